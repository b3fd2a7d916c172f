"""The AP that other orders of equal scores would give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.detection.coco_truth import CocoTruth
from auditor.tasks.detection.columns import EVERY_ORDER, Columns
from auditor.tasks.detection.hotcoco_sets import detections_table, evaluated, truth_set
from auditor.tasks.detection.ties import ORDERS

__all__ = ["TiedAP"]

_POINTS = 10 * 101
"""IoU thresholds and recalls that AP is a mean over, for each class of which a true object counts."""


class TiedAP:
    """COCO AP by hotcoco of detections as they are ranked, and with equal scores in other orders, part by part.

    An order of ties is a ranking without ties: each score is replaced by its rank in it, which is all that AP sees.
    """

    def __init__(self, known: CocoTruth) -> None:
        self._known = known
        self._rng = np.random.default_rng(0)
        self._sums, self._count = np.zeros(1 + ORDERS), 0
        self.tied = False
        """Whether the rank of any detection hangs on how equal scores are ordered."""

    def add(self, part: Columns) -> None:
        """Take some of the classes, or all of them."""
        tied = _has_ties(part)
        self.tied = self.tied or tied
        if not tied and not part.labels:
            return  # all there is, and nothing to tell
        labels = part.labels or tuple(range(len(self._known.classes)))
        true, counted = truth_set(self._known, tuple(sorted(labels)))
        self._count += counted * _POINTS
        if not counted:
            return
        number, others = (self._known.position_of(table.image) for table in (part.found, part.other))
        rows = detections_table(part.found, number)
        ranked = _sum(true, rows[np.argsort(number, kind="stable")], None)
        self._sums[0] += ranked
        for order in range(ORDERS):
            self._sums[1 + order] += _sum(true, _drawn(part, number, others, order), self._rng) if tied else ranked

    @property
    def values(self) -> tuple[float, NDArray[np.float64]]:
        """AP as it is ranked, and (ORDERS,) in other orders; a true object counts."""
        ranked, *others = (self._sums / self._count).tolist()
        return ranked, np.array(others)


def _has_ties(part: Columns) -> bool:
    """Whether another order of equal scores keeps others, or two detections of a class have one score."""
    if len(part.other) or bool((part.found.orders != EVERY_ORDER).any()):
        return True
    pairs = part.found.label + 1j * part.found.score
    return len(np.unique(pairs)) < len(pairs)


def _drawn(part: Columns, number: NDArray[np.int64], others: NDArray[np.int64], order: int) -> NDArray[np.float64]:
    """What one order keeps, image by image."""
    mine, theirs = ((table.orders >> order & 1) == 1 for table in (part.found, part.other))
    rows = np.concatenate([detections_table(part.found, number)[mine], detections_table(part.other, others)[theirs]])
    return np.asarray(rows[np.argsort(rows[:, 0], kind="stable")])


def _sum(true: Any, table: NDArray[np.float64], rng: np.random.Generator | None) -> float:
    """The sum of the precisions whose mean is AP."""
    if not len(table):
        return 0.0
    if rng is not None:
        order = np.lexsort((rng.random(len(table)), table[:, 5]))
        table[order, 5] = np.arange(1, len(table) + 1) / len(table)
    evaluation = evaluated(true, table)
    evaluation.accumulate()
    precision = np.asarray((evaluation.eval or {})["precision"])[:, :, :, 0, -1]
    return math.fsum(precision[precision > -1].tolist())  # whatever the order of the classes
