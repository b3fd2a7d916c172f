"""A video: its frames as images, with the truth of MOTChallenge, of COCO's JSON over frames, or none."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from auditor.datasets.clip_truth import ClipRequest, ClipTruth
from auditor.datasets.coco_vid_file import coco_vid_truth
from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.mot_file import mot_truth
from auditor.datasets.truth_boxes import BOX_KEYS, box_reading
from auditor.datasets.video_file import Clip, darker_than_mean, read_clip
from auditor.errors import DataError, InputError
from auditor.provenance import content_hash, digest, sha256_of
from auditor.values import GroundTruth, ImageRecord, Moment

__all__ = ["FORMAT"]

_READ: Mapping[str, Callable[[ClipRequest], ClipTruth]] = {"mot": mot_truth, "coco_vid": coco_vid_truth}
_TRUTHS = (*_READ, "none")
_KEYS = {
    "path": "the video file",
    "truth": "what its truth is: `mot`, the gt.txt of MOTChallenge, `coco_vid`, COCO's JSON with a `frame_id` of each "
    "image, or `none`",
    "annotations": "the file of `truth`",
    "labels": "for `mot` a text file of class names, class 1 in the first line; without it those of MOT16",
    "video": "for `coco_vid` of several videos the name of this one; without it the one that is called as the file is",
    **BOX_KEYS,
    "every": "take each N-th frame only, beginning with the first",
}


_OF = {
    "annotations": tuple(_READ),
    "labels": ("mot",),
    "video": ("coco_vid",),
    **dict.fromkeys(BOX_KEYS, ("coco_vid",)),
}
"""Which truths take a key."""


def load(request: DatasetRequest) -> Dataset:
    """Load the frames of a video in the order in which they are shown, at most the first `limit`; of `coco_vid` those
    that it lists.

    Raises:
        InputError: PyAV is not installed, the video or its truth cannot be read, or the two do not fit each other.
    """
    problems = list(_problems(request))
    if problems:
        raise InputError(problems)
    path = Path(str(request.options["path"]))
    try:
        clip = read_clip(path)
    except DataError as error:
        raise InputError(str(error)) from error
    counts = Counter({"damaged_packets": clip.damaged, "interlaced_frames": clip.interlaced})
    counts["missing_frames"] = _missing(clip)
    stored = request.meant.exif == "ignore"
    about = _about(path, clip, stored=stored)
    every = int(request.options.get("every", 1))
    about |= {"every": every} if every > 1 else {}
    chosen = range(1, len(clip.frames) + 1, every)
    truth: ClipTruth | None = None
    if request.annotations is not None:
        if clip.torn_after is not None:
            raise InputError(
                f"{path}: a packet after frame {clip.torn_after} is damaged, so that the frames behind it have other "
                f"numbers than in {request.annotations}; take the clip that was annotated, or `truth: none`"
            )
        sizes = [frame.size for frame in clip.frames]
        video = request.options.get("video")
        reading = box_reading(request.options, box_format="xywh", box_unit="pixels")
        named = None if video is None else str(video)
        cut = f" (its file says {clip.promised}: is it cut?)" if _missing(clip) else ""
        asked = ClipRequest(request.annotations, path, sizes, request.labels, named, reading, cut)
        truth = _READ[str(request.options["truth"])](asked)
        about |= {"annotations": str(request.annotations), "annotations_sha256": sha256_of(request.annotations)}
        counts.update(truth.counts)
    listed = chosen if truth is None or truth.listed is None else sorted(set(chosen) & truth.listed)
    images = _records(path, clip, listed[: request.limit], stored=stored)
    found = {image.id: GroundTruth.nothing() if truth is None else truth.of(image.id) for image in images}
    if truth is not None:
        counts["images_without_truth"] = sum(not len(mine.labels) for mine in found.values())
        counts["crowds"] = sum(int(mine.iscrowd.sum()) for mine in found.values())
        objects = {track for mine in found.values() if mine.tracks is not None for track in mine.tracks[~mine.iscrowd]}
        about |= {"tracks": len(objects)} if objects else {}
        if truth.listed is None:
            about |= _annotated([image.id for image in images], every, sorted(truth.frames))
    return Dataset(
        name=request.name,
        format="video",
        images=images,
        truth=found,
        categories=() if truth is None else truth.categories,
        counts={key: count for key, count in counts.items() if count},
        about=about,
        is_labelled=truth is not None,
    )


def _problems(request: DatasetRequest) -> Iterator[str]:
    """Whatever of a request cannot be meant."""
    path, every = request.options.get("path"), request.options.get("every", 1)
    truth = request.options.get("truth", "none" if request.annotations is None else None)
    if path is None:
        yield "`path` is missing; expected the video file"
    elif Path(str(path)).is_dir():
        yield f"{path}: a folder; expected one video file"
    elif not Path(str(path)).is_file():
        yield f"{path}: no such file; expected a video"
    elif not Path(str(path)).stat().st_size:
        yield f"{path}: the file is empty; expected a video"
    if truth is None:
        yield f"`truth` is missing, which says what `annotations` are; expected one of {', '.join(_READ)}"
    elif truth not in _TRUTHS:
        yield f"`truth` is {truth!r}; expected one of {', '.join(_TRUTHS)}"
    elif truth != "none" and request.annotations is None:
        yield f"`annotations` is missing; expected the file that `truth: {truth}` means"
    given = {"annotations": request.annotations, "labels": request.labels, "video": request.options.get("video")}
    given |= {key: request.options.get(key) for key in BOX_KEYS}
    for key, truths in _OF.items():
        if given[key] is not None and truth in _TRUTHS and truth not in truths:
            yield f"`{key}` is given, but `truth: {truth}` takes none; leave one of them out"
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        yield f"`every` is {every!r}; expected a whole number from 1 on"


def _missing(clip: Clip) -> int:
    """How many frames fewer there are than the file says: more than the few by which players differ."""
    lost = clip.promised - len(clip.frames)
    return lost if lost > max(2, 0.02 * clip.promised) else 0


def _annotated(taken: Sequence[int], every: int, told: Sequence[int]) -> dict[str, object]:
    """What the frames that have a true box (`told`) look like, where not all that are taken seem to be annotated: they
    come at equal gaps, or end long before the clip."""
    found: dict[str, object] = {}
    gaps = {after - before for before, after in itertools.pairwise(told)}
    if len(told) > 2 and len(gaps) == 1 and gaps != {every} and min(gaps) > 1:
        found["boxes_on_every"] = min(gaps)
    behind = sum(number > told[-1] for number in taken) if told else 0
    if behind > max(_BEHIND, _BEHIND_OF * len(taken)):
        found["last_box_on"] = told[-1]
    return found


_BEHIND, _BEHIND_OF = 10, 0.2
"""With more frames, and a larger share of the clip, behind the last box, annotation may have ended there."""


def _about(path: Path, clip: Clip, *, stored: bool) -> dict[str, object]:
    """What a clip is, as it is shown or `stored`."""
    seconds, shown = clip.frames[-1].time_s, clip.frames[0].size
    width, height = reversed(shown) if stored and clip.turned % 180 else shown
    about: dict[str, object] = {"path": str(path), "codec": clip.codec, "size": f"{width} × {height}"}
    if seconds > 0:
        about["frames_a_second"] = f"{(len(clip.frames) - 1) / seconds:.4g}"
    about |= {"frames_in_file": len(clip.frames), "seconds": f"{seconds:.3f}"}
    return about | ({"turned": f"{clip.turned}°"} if clip.turned and not stored else {})


def _records(path: Path, clip: Clip, numbers: Sequence[int], *, stored: bool) -> tuple[ImageRecord, ...]:
    """The frames of such `numbers`, from 1 on, as images, which have them as ids; as they are shown, or `stored`."""
    swapped = stored and clip.turned % 180 != 0
    content = content_hash(path) or ""
    darker = darker_than_mean(clip.frames)
    frames = [(number, clip.frames[number - 1]) for number in numbers]
    return tuple(
        ImageRecord(
            id=number,
            path=path,
            size=(frame.size[1], frame.size[0]) if swapped else frame.size,
            sha256=digest(content, number - 1),
            index=number - 1,
            sized=False,
            moment=Moment(frame.time_s, frame.pts, content, darker[number - 1]),
        )
        for number, frame in frames
    )


def _detect(folder: Path) -> dict[str, Path | str] | None:
    """One video with a gt.txt beside it, or in a folder `gt`."""
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES]
    truth = next((path for path in (folder / "gt.txt", folder / "gt" / "gt.txt") if path.is_file()), None)
    if len(videos) != 1 or truth is None:
        return None
    labels = folder / "labels.txt"
    named: dict[str, Path | str] = {"labels": labels} if labels.is_file() else {}
    return {"path": videos[0], "truth": "mot", "annotations": truth, **named}


_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm")


FORMAT = Format(
    name="video",
    task="detection",
    about="the frames of a video",
    keys=_KEYS,
    load=load,
    detect=_detect,
    rank=45,
    paths=("path", "annotations", "labels"),
    truth_beside=False,
    deep=False,
)
