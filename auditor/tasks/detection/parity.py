"""Whether two runs of one model give the same detections: image by image, not only on average."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from auditor.boxes import iou
from auditor.values import Detections

__all__ = ["SCORE", "Parity", "compare_detections"]

SCORE = 0.1
"""Detections below this are left out: the tail of a ranking differs between any two programs, and nobody acts on it."""

_IOU = 0.9


@dataclass(frozen=True)
class Parity:
    """`matched` is the share of both sides' detections that have a partner, None where there are none at all; `score`
    and `corner_px` are the largest differences of partners; `image` is the image with the most detections without
    one."""

    matched: float | None
    score: float
    corner_px: float
    image: int | None
    detections: int


def compare_detections(first: Iterable[tuple[int, Detections]], second: Iterable[tuple[int, Detections]]) -> Parity:
    """Match the detections of each image that both have (by descending score, same label, IoU at least 0.9), those of
    score 0.1 and more; images come with their ids.

    A detection just below that score may be the partner of one above it.
    """
    matched = total = worst = 0
    score = corner = 0.0
    image = None
    for image_id, mine, theirs in _of_both(first, second):
        partners = _partners(mine, theirs)
        seen = {index for index, _ in partners}, {other for _, other in partners}
        counted = int((mine.scores >= SCORE).sum()) + int((theirs.scores >= SCORE).sum())
        paired = sum(mine.scores[index] >= SCORE for index in seen[0]) + sum(
            theirs.scores[other] >= SCORE for other in seen[1]
        )
        total, matched = total + counted, matched + int(paired)
        if counted - paired > worst:
            worst, image = int(counted - paired), image_id
        for index, other in partners:
            score = max(score, float(abs(mine.scores[index] - theirs.scores[other])))
            corner = max(corner, float(np.abs(mine.boxes[index] - theirs.boxes[other]).max()))
    return Parity(matched / total if total else None, score, corner, image, total)


def _of_both(
    first: Iterable[tuple[int, Detections]], second: Iterable[tuple[int, Detections]]
) -> Iterator[tuple[int, Detections, Detections]]:
    """What both have of an image; what only one had so far is held, which is next to nothing where they come in one
    order."""
    mine: dict[int, Detections] = {}
    theirs: dict[int, Detections] = {}
    for one, other in itertools.zip_longest(first, second):
        mine |= dict([one] if one is not None else [])
        theirs |= dict([other] if other is not None else [])
        for image_id in {item[0] for item in (one, other) if item is not None}:
            if image_id in mine and image_id in theirs:
                yield image_id, mine.pop(image_id), theirs.pop(image_id)


def _partners(mine: Detections, theirs: Detections) -> list[tuple[int, int]]:
    near = (
        iou(mine.boxes, theirs.boxes)
        if len(mine.boxes) and len(theirs.boxes)
        else np.zeros((len(mine.boxes), len(theirs.boxes)))
    )
    allowed = (near >= _IOU) & (mine.labels[:, np.newaxis] == theirs.labels[np.newaxis])
    taken: set[int] = set()
    pairs = []
    for index in range(len(mine.scores)):
        options = [int(other) for other in np.nonzero(allowed[index])[0] if int(other) not in taken]
        if options and (mine.scores[index] >= SCORE or theirs.scores[options].max() >= SCORE):
            other = max(options, key=lambda option: near[index, option])
            taken.add(other)
            pairs.append((index, other))
    return pairs
