"""MOTChallenge's text of boxes over frames (gt.txt). Source: https://motchallenge.net/instructions and the README of
https://github.com/dendorferpatrick/MOTChallengeEvalKit."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import InputError
from auditor.files import whole_text

__all__ = ["DISTRACTORS", "NAMES", "PEDESTRIAN", "MotRow", "read_mot"]

PEDESTRIAN = 1
NAMES = (
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
DISTRACTORS = frozenset({2, 7, 8, 12, 13})
"""Classes of MOT16 and later that look like a pedestrian: who finds one is neither right nor wrong."""
_SHOWN = 20
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
    """Read a gt.txt; its boxes begin at pixel 1.

    Raises:
        InputError: with every line that is none of it.
    """
    try:
        text = whole_text(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a gt.txt of MOTChallenge") from error
    rows, problems = [], []
    for number, fields in enumerate(csv.reader(text.splitlines()), start=1):
        if not any(field.strip() for field in fields):
            continue
        try:
            rows.append(_row(fields))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}; expected {_COLUMNS}, with commas between them")
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
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number that is not finite")
    frame, track, left, top, width, height = numbers[:6]
    if frame < 1 or frame != int(frame) or track != int(track):
        raise ValueError(f"frame {frame:g} and track {track:g} are no whole numbers from 1 on")
    counts = len(numbers) < 7 or numbers[6] != 0
    label = int(numbers[7]) if 8 <= len(numbers) <= 9 else -1
    return MotRow(int(frame), int(track), (left - 1, top - 1, left - 1 + width, top - 1 + height), counts, label)
