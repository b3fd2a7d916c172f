"""A video: its frames as images, with the truth of a gt.txt of MOTChallenge or none."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.mot_file import DISTRACTORS, NAMES, PEDESTRIAN, MotRow, read_mot
from auditor.datasets.video_file import Clip, read_clip
from auditor.errors import DataError, InputError
from auditor.files import whole_text
from auditor.provenance import content_hash, digest, sha256_of
from auditor.values import GroundTruth, ImageRecord, Moment

__all__ = ["FORMAT"]

_TRUTHS = ("mot", "none")
_KEYS = {
    "path": "the video file",
    "truth": "what its truth is: `mot`, the gt.txt of MOTChallenge that `annotations` names, or `none`",
    "annotations": "the gt.txt of `truth: mot`",
    "labels": "a text file of class names for it, class 1 in the first line; without it those of MOT16",
    "every": "take each N-th frame only, beginning with the first",
}


def load(request: DatasetRequest) -> Dataset:
    """Load the frames of a video in the order in which they are shown, at most the first `limit`.

    Boxes of a gt.txt that do not count, and those of what only looks like a pedestrian, become crowds, which AP
    ignores; a class of which nothing counts is none of the data set's.

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
    numbers = range(0, len(clip.frames), int(request.options.get("every", 1)))[: request.limit]
    images = _records(path, clip, numbers)
    counts = Counter({"damaged_packets": clip.damaged, "interlaced_frames": clip.interlaced})
    about = {"path": str(path), "codec": clip.codec, "seconds": f"{clip.frames[-1].time_s:.3f}"}
    truth: Mapping[int, GroundTruth] = {image.id: GroundTruth.nothing() for image in images}
    categories: tuple[str, ...] = ()
    if request.annotations is not None:
        rows = _rows(request.annotations, clip, path)
        names = _names(request, rows)
        categories = tuple(names[label - 1] for label in _judged(rows))
        truth = _truths(rows, [image.id for image in images], counts)
        about |= {"annotations": str(request.annotations), "annotations_sha256": sha256_of(request.annotations)}
    return Dataset(
        name=request.name,
        format="video",
        images=images,
        truth=truth,
        categories=categories,
        counts={key: count for key, count in counts.items() if count},
        about=about,
        is_labelled=request.annotations is not None,
    )


def _problems(request: DatasetRequest) -> Iterator[str]:
    """Whatever of a request cannot be meant."""
    path, every = request.options.get("path"), request.options.get("every", 1)
    truth = request.options.get("truth", "none" if request.annotations is None else None)
    if path is None:
        yield "`path` is missing; expected the video file"
    elif not Path(str(path)).is_file():
        yield f"{path}: no such file; expected a video"
    if truth not in _TRUTHS:
        yield f"`truth` is {truth!r}; expected one of {', '.join(_TRUTHS)}"
    elif truth == "mot" and request.annotations is None:
        yield "`annotations` is missing; expected the gt.txt of MOTChallenge that `truth: mot` means"
    if truth == "none":
        for key in ("annotations", "labels"):
            if getattr(request, key) is not None:
                yield f"`{key}` is given, but `truth: none`; leave one of them out"
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        yield f"`every` is {every!r}; expected a whole number from 1 on"


def _rows(path: Path, clip: Clip, video: Path) -> tuple[MotRow, ...]:
    """The boxes of a gt.txt; those of a file without classes are pedestrians.

    Raises:
        InputError: it cannot be read, or is of another clip.
    """
    rows = tuple(row if row.label != -1 else dataclasses.replace(row, label=PEDESTRIAN) for row in read_mot(path))
    last = max(row.frame for row in rows)
    if last > len(clip.frames):
        raise InputError(
            f"{path}: it has boxes up to frame {last}, but {video} has {len(clip.frames)} frames; give the two of one "
            "clip"
        )
    if not any(row.counts for row in rows):
        raise InputError(f"{path}: none of its {len(rows)} boxes counts (column 7 is 0), so nothing can be judged")
    return rows


def _records(path: Path, clip: Clip, numbers: Sequence[int]) -> tuple[ImageRecord, ...]:
    """The frames of such `numbers`, from 0 on, as images; their ids count from 1 as a gt.txt does."""
    content = content_hash(path) or ""
    return tuple(
        ImageRecord(
            id=number + 1,
            path=path,
            size=clip.frames[number].size,
            sha256=digest(content, number),
            index=number,
            sized=False,
            moment=Moment(clip.frames[number].time_s, clip.frames[number].pts, content),
        )
        for number in numbers
    )


def _judged(rows: Sequence[MotRow]) -> list[int]:
    """The classes of which something is to be found."""
    return sorted({row.label for row in rows if row.counts})


def _names(request: DatasetRequest, rows: Sequence[MotRow]) -> Sequence[str]:
    """The names of the classes from 1 on.

    Raises:
        InputError: the boxes have a class that has none.
    """
    names: Sequence[str] = NAMES
    if request.labels is not None:
        try:
            names = [line.strip() for line in whole_text(request.labels, encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{request.labels}: cannot be read ({error}); expected class names") from error
    used = {row.label for row in rows}
    beyond = sorted(label for label in used if not 1 <= label <= len(names) or not names[label - 1])
    if beyond:
        raise InputError(
            f"{request.annotations}: it has boxes of class {', '.join(map(str, beyond))}, which "
            f"{request.labels or 'MOT16'} does not name; give their names, one in each line, as `labels`"
        )
    return names


def _truths(rows: Sequence[MotRow], ids: Sequence[int], counts: Counter[str]) -> dict[int, GroundTruth]:
    """The true objects of each frame; the labels index the classes of which something counts."""
    places = {label: index for index, label in enumerate(_judged(rows))}
    by_frame: dict[int, list[tuple[MotRow, int, bool]]] = defaultdict(list)
    wanted = set(ids)
    for row in rows:
        if row.frame not in wanted:
            continue
        if not (row.box[2] > row.box[0] and row.box[3] > row.box[1]):
            counts["zero_area_boxes"] += 1
            continue
        label, ignored = row.label, not row.counts
        if label not in places and label in DISTRACTORS and PEDESTRIAN in places:
            label = PEDESTRIAN
        if label not in places:
            counts["objects_of_other_classes"] += 1
            continue
        counts["crowds"] += ignored
        by_frame[row.frame].append((row, places[label], ignored))
    counts["images_without_truth"] = sum(not by_frame.get(image) for image in ids)
    return {image: _truth(by_frame.get(image, [])) for image in ids}


def _truth(found: Sequence[tuple[MotRow, int, bool]]) -> GroundTruth:
    boxes = np.array([row.box for row, _, _ in found], dtype=np.float64).reshape(-1, 4)
    return GroundTruth(
        boxes=boxes,
        labels=np.array([label for _, label, _ in found], dtype=np.int64),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        iscrowd=np.array([ignored for _, _, ignored in found], dtype=bool),
        tracks=np.array([row.track for row, _, _ in found], dtype=np.int64),
    )


FORMAT = Format(
    name="video",
    task="detection",
    about="the frames of a video, with MOTChallenge's gt.txt or without truth",
    keys=_KEYS,
    load=load,
    detect=lambda folder: None,  # noqa: ARG005 (a folder of clips is no one data set)
    rank=900,
    paths=("path", "annotations", "labels"),
    truth_beside=False,
)
