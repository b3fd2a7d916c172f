"""COCO's JSON over the frames of videos: `videos`, and of each image its `video_id` and `frame_id`. Sources:
https://github.com/open-mmlab/mmtracking (CocoVID), https://github.com/TAO-Dataset/tao (`frame_index`, `track_id`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.clip_truth import ClipRequest, ClipTruth
from auditor.datasets.coco_file import Annotated, gathered, is_id, read_coco, some, truth_of
from auditor.errors import InputError

__all__ = ["coco_vid_truth"]

_FRAME = ("frame_id", "frame_index")
"""What a frame's number, from 0 on, is called."""
_TRACK = ("instance_id", "track_id")
_SHOWN = 10


def coco_vid_truth(asked: ClipRequest) -> ClipTruth:
    """The truth of one clip of such a file; its frames are those that the file lists.

    Raises:
        InputError: it is no such file, or none of its videos is this clip.
    """
    document = read_coco(asked.path, judged=True)
    images = _images(document, asked)
    numbers = {image["id"]: _number(image, _FRAME) + 1 for image in images}
    _check(images, numbers, asked)
    sizes = {image: asked.sizes[number - 1] for image, number in numbers.items()}
    boxes = [annotation for annotation in document["annotations"] if annotation["image_id"] in sizes]
    raw = np.array([annotation["bbox"] for annotation in boxes], dtype=np.float64).reshape(-1, 4)
    known = np.array([sizes[annotation["image_id"]] for annotation in boxes], dtype=np.float64).reshape(-1, 2)
    misread = asked.reading.problem(raw, known)
    if misread is not None:
        raise InputError(f"{asked.path}: {misread}")
    by_image, counts = gathered(boxes, dict(sizes), asked.reading)
    categories = sorted(document["categories"], key=lambda item: item["id"])
    if not any(by_image.values()):
        raise InputError(f"{asked.path}: no object is on its {len(images)} frames of {asked.clip.name}")
    labels = {category["id"]: index for index, category in enumerate(categories)}
    frames = {}
    tracks, counts["objects_without_track"] = _tracks(by_image, asked.path)
    for image, found in by_image.items():
        frames[numbers[image]] = truth_of(found, labels, areas=True, tracks=tracks.get(image))
    names = tuple(str(category["name"]) for category in categories)
    return ClipTruth(names, frames, counts, frozenset(numbers.values()))


def _tracks(by_image: Mapping[int, Sequence[Annotated]], path: Path) -> tuple[dict[int, NDArray[np.int64]], int]:
    """Which object each annotation of an image is, of whatever ids; none where some have none, and how many these are.

    Raises:
        InputError: an object stands twice on a frame.
    """
    ids = {image: [_track(annotation) for annotation, _ in found] for image, found in by_image.items()}
    every = dict.fromkeys(one for mine in ids.values() for one in mine if one is not None)
    beyond = 1 + max((one for one in every if isinstance(one, int)), default=-1)
    known = {one: one if isinstance(one, int) else beyond + index for index, one in enumerate(every)}
    if not known:
        return {}, 0
    twice = [
        f"{path}: track {track!r} stands {count} times on the image {image}; give each object one box on a frame"
        for image, mine in ids.items()
        for track, count in Counter(mine).items()
        if track is not None and count > 1
    ]
    if twice:
        more = [f"{path}: and {len(twice) - _SHOWN} more"] if len(twice) > _SHOWN else []
        raise InputError([*twice[:_SHOWN], *more])
    without = sum(
        track is None and not annotation.get("iscrowd", 0)
        for image, found in by_image.items()
        for track, (annotation, _) in zip(ids[image], found, strict=True)
    )
    coded = {image: [-1 if one is None else known[one] for one in mine] for image, mine in ids.items()}
    return ({} if without else {image: np.array(mine, dtype=np.int64) for image, mine in coded.items()}), without


def _track(annotation: Mapping[str, Any]) -> int | str | None:
    """Which object it is, by a number from 0 on or a name; None where it does not say."""
    for key in _TRACK:
        value: Any = annotation.get(key)
        if (is_id(value) and value >= 0) or (isinstance(value, str) and value):
            track: int | str = value
            return track
    return None


def _images(document: Mapping[str, Any], asked: ClipRequest) -> Sequence[Mapping[str, Any]]:
    """The images of the clip."""
    videos = document.get("videos")
    if not isinstance(videos, list) or not videos or not all(_is_video(video) for video in videos):
        raise InputError(
            f"{asked.path}: it has no list of `videos`, each with `id` and `name`; expected COCO's JSON of videos"
        )
    called = asked.video or asked.clip.stem
    mine = [video for video in videos if called in (_name(video), Path(_name(video)).stem)]
    if asked.video is None and len(videos) == 1:
        mine = videos
    if len(mine) != 1:
        names = some([_name(video) for video in videos])
        raise InputError(
            f"{asked.path}: {len(mine)} of its {len(videos)} videos are called {called}; say which is "
            f"{asked.clip.name} by `video:`, one of {names}"
        )
    images = [image for image in document["images"] if image.get("video_id") == mine[0]["id"]]
    if not images:
        raise InputError(f"{asked.path}: no image has the `video_id` {mine[0]['id']} of {_name(mine[0])}")
    return images


def _check(images: Sequence[Mapping[str, Any]], numbers: Mapping[int, int], asked: ClipRequest) -> None:
    """Raise where the frames are none of the clip."""
    problems = []
    without = [image["id"] for image in images if _number(image, _FRAME) < 0]
    if without:
        problems.append(
            f"{asked.path}: {len(without)} images have no `frame_id`, a number from 0 on, for example the image "
            f"{without[0]}"
        )
    last = max(numbers.values())
    if last > len(asked.sizes):
        problems.append(
            f"{asked.path}: its last frame is {last - 1}, from 0 on, but {asked.clip} has {len(asked.sizes)} frames"
            f"{asked.cut}; "
            + (
                "it has none of frame 0: take 1 from each `frame_id`"
                if min(numbers.values()) == 2 and last == len(asked.sizes) + 1
                else "give the two of one clip"
            )
        )
    elif not without:
        if len(numbers) > 1 and sorted(numbers.values()) == list(range(2, last + 1)):
            problems.append(
                f"{asked.path}: its frames go from 1 to {last - 1} without one between them left out, but `frame_id` "
                "counts from 0: take 1 from each, or list the clip's first frame too, if these are their numbers"
            )
        if len(set(numbers.values())) < len(numbers):
            problems.append(f"{asked.path}: several images have the same `frame_id`; expected one of each frame")
        for image in images:
            said, is_ = (image.get("width"), image.get("height")), asked.sizes[numbers[image["id"]] - 1]
            if None not in said and said != is_:
                problems.append(
                    f"{asked.path}: its frames are {said[0]} × {said[1]} pixels, but those of {asked.clip} {is_[0]} × "
                    f"{is_[1]}; give the clip that was annotated"
                )
                break
    if problems:
        raise InputError(problems)


def _is_video(video: Any) -> bool:
    return isinstance(video, dict) and is_id(video.get("id")) and bool(_name(video))


def _name(video: Mapping[str, Any]) -> str:
    return str(video.get("name") or video.get("file_name") or "")


def _number(item: Mapping[str, Any], keys: Sequence[str]) -> int:
    """The first of these keys that is a number from 0 on; -1 where none is."""
    return next((item[key] for key in keys if is_id(item.get(key)) and item[key] >= 0), -1)
