"""MOTChallenge's text of boxes over frames (gt.txt). Source: https://motchallenge.net/instructions and the README of
https://github.com/dendorferpatrick/MOTChallengeEvalKit."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditor.datasets.clip_truth import ClipRequest, ClipTruth
from auditor.errors import InputError
from auditor.files import whole_text
from auditor.values import GroundTruth

__all__ = ["MotRow", "mot_truth", "read_mot"]

_PEDESTRIAN = 1
_NAMES = (
    "person",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
    "crowd",
)
"""The classes of MOT16 and later from 1 on; its pedestrians are called `person`, as the models' are."""
_DISTRACTORS = frozenset({2, 7, 8, 12, 13})
"""Classes of MOT16 and later that look like a pedestrian: who finds one is neither right nor wrong."""
_SHOWN = 20
_MOST = 2**53
_COLUMNS = "frame, track, left, top, width, height, whether it counts, class, visibility"


@dataclass(frozen=True)
class MotRow:
    """One box of one frame, numbered from 1: `box` is xyxy in pixels from 0 on; `label` is the class from 1 on, -1
    where the file has none (MOT15); what does not count (`counts`) is to be ignored."""

    frame: int
    track: int
    box: tuple[float, float, float, float]
    counts: bool
    label: int


def read_mot(path: Path) -> tuple[MotRow, ...]:
    """Read a gt.txt; its boxes begin at pixel 1, its frames at 1.

    Raises:
        InputError: with every line that is none of it.
    """
    try:
        text = whole_text(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a gt.txt of MOTChallenge") from error
    if text.strip() and "," not in text:
        raise InputError(f"{path}: no commas in it; expected {_COLUMNS}, with commas between them")
    rows: list[MotRow] = []
    problems: list[str] = []
    lines: dict[tuple[int, int, int], int] = {}
    for number, fields in enumerate(csv.reader(text.splitlines()), start=1):
        if not any(field.strip() for field in fields):
            continue
        try:
            row = _row(fields)
        except (ValueError, OverflowError) as error:
            problems.append(f"{path}:{number}: {error}; expected {_COLUMNS}, with commas between them")
            continue
        rows.append(row)
        before = lines.setdefault((row.frame, row.track, row.label), number)
        if before != number:
            problems.append(
                f"{path}:{number}: track {row.track} stands on frame {row.frame} already, in line {before}; give each "
                "object one box on a frame"
            )
    if any(row.frame == 0 for row in rows):
        problems.insert(0, f"{path}: its frames are numbered from 0; MOTChallenge numbers them from 1: add 1 to each")
    if len(problems) > _SHOWN:
        problems = [*problems[:_SHOWN], f"{path}: and {len(problems) - _SHOWN} lines more"]
    if not rows and not problems:
        problems = [f"{path}: it has no line; expected {_COLUMNS}"]
    if problems:
        raise InputError(problems)
    return tuple(rows)


def _row(fields: Sequence[str]) -> MotRow:
    if not 6 <= len(fields) <= 10:
        raise ValueError(f"{len(fields)} columns")
    numbers = [float(field) for field in fields]
    if not all(math.isfinite(number) and abs(number) < _MOST for number in numbers):
        raise ValueError("a number that is not finite, or beyond 2^53")
    frame, track, left, top, width, height = numbers[:6]
    label = numbers[7] if 8 <= len(numbers) <= 9 else -1.0
    if frame < 0 or frame != int(frame) or track != int(track) or label != int(label):
        raise ValueError(f"frame {frame:g}, track {track:g} and class {label:g} are no whole numbers from 1 on")
    if track < 0:
        raise ValueError(f"track {track:g}, as in a file of detections (det.txt), which is no truth")
    counts = len(numbers) < 7 or numbers[6] != 0
    box = (left - 1, top - 1, left - 1 + width, top - 1 + height)
    return MotRow(int(frame), int(track), box, counts, int(label))


def mot_truth(asked: ClipRequest) -> ClipTruth:
    """The truth of a gt.txt. Boxes that do not count, and those of what only looks like a pedestrian, are crowds, which
    AP ignores. All classes of a list of one's own are judged, so that what is found of those that do not come up is a
    false alarm; of MOT16's those of which something counts, since its lists name more than was annotated.

    Raises:
        InputError: it cannot be read, or is of another clip.
    """
    rows = _rows(asked)
    names = _names(asked, rows)
    mine = {row.label for row in rows if row.counts}
    listed = mine if asked.labels is None else {label for label, name in enumerate(names, start=1) if name}
    places = {label: index for index, label in enumerate(sorted(listed))}
    by_frame: dict[int, list[tuple[MotRow, int]]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for row in rows:
        label = row.label
        if label not in places and label in _DISTRACTORS and _PEDESTRIAN in places:
            label = _PEDESTRIAN
        if not (row.box[2] > row.box[0] and row.box[3] > row.box[1]):
            counts["zero_area_boxes"] += 1
        elif label not in places:
            counts["objects_of_other_classes"] += 1
        else:
            by_frame[row.frame].append((row, places[label]))
    frames = {frame: _truth(found) for frame, found in by_frame.items()}
    return ClipTruth(tuple(names[label - 1] for label in places), frames, counts)


def _rows(asked: ClipRequest) -> tuple[MotRow, ...]:
    """The boxes of a gt.txt of this clip; those of a file without classes are pedestrians."""
    read = read_mot(asked.path)
    rows = tuple(row if row.label != -1 else dataclasses.replace(row, label=_PEDESTRIAN) for row in read)
    last = max(row.frame for row in rows)
    if last > len(asked.sizes):
        raise InputError(
            f"{asked.path}: it has boxes up to frame {last}, but {asked.clip} has {len(asked.sizes)} frames"
            f"{asked.cut}; give the two of one clip"
        )
    if not any(row.counts for row in rows):
        raise InputError(
            f"{asked.path}: none of its {len(rows)} boxes counts (column 7 is 0), so nothing can be judged"
        )
    wrong = _unlike([row.box for row in rows], *asked.sizes[0])
    if wrong:
        raise InputError(f"{asked.path}: {wrong}; MOTChallenge has left, top, width and height, in pixels")
    return rows


def _unlike(boxes: Sequence[tuple[float, float, float, float]], width: int, height: int) -> str:
    """In what way boxes are none of a picture of that size, if they all are none."""
    left, top, right, bottom = np.array(boxes).T
    wide, high = right - left, bottom - top
    if np.abs([left + 1, top + 1, wide, high]).max() <= 1:
        return "all its boxes lie between 0 and 1, as shares of the picture; multiply them by its size"
    if not ((wide > 0) & (high > 0)).any():
        return f"none of its {len(boxes)} boxes has a width and a height above 0 (columns 5 and 6)"
    if not ((right > 0) & (bottom > 0) & (left < width) & (top < height)).any():
        return f"all its {len(boxes)} boxes lie outside of the picture, {width} × {height} pixels"
    beyond = ((right > width + 1) | (bottom > height + 1)).mean()
    are_corners = (wide > left) & (high > top) & (wide <= width + 1) & (high <= height + 1)
    if beyond > _BEYOND and are_corners.all():
        return (
            f"{beyond:.0%} of its boxes reach beyond the picture, {width} × {height} pixels, and columns 5 and 6 of "
            "all are larger than 3 and 4: they look like right and bottom; subtract left and top"
        )
    return ""


_BEYOND = 0.3
"""Of boxes that are read as they are meant, hardly any reach beyond the picture."""


def _names(asked: ClipRequest, rows: Sequence[MotRow]) -> Sequence[str]:
    """The names of the classes from 1 on."""
    names: Sequence[str] = _NAMES
    if asked.labels is not None:
        try:
            names = [line.strip() for line in whole_text(asked.labels, encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{asked.labels}: cannot be read ({error}); expected class names") from error
    used = {row.label for row in rows}
    beyond = sorted(label for label in used if not 1 <= label <= len(names) or not names[label - 1])
    if beyond:
        raise InputError(
            f"{asked.path}: it has boxes of class {', '.join(map(str, beyond))}, which {asked.labels or 'MOT16'} does "
            "not name; give their names, one in each line, as `labels`"
        )
    return names


def _truth(found: Sequence[tuple[MotRow, int]]) -> GroundTruth:
    boxes = np.array([row.box for row, _ in found], dtype=np.float64).reshape(-1, 4)
    return GroundTruth(
        boxes=boxes,
        labels=np.array([label for _, label in found], dtype=np.int64),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        iscrowd=np.array([not row.counts for row, _ in found], dtype=bool),
        tracks=np.array([row.track for row, _ in found], dtype=np.int64),
    )
