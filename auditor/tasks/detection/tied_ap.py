"""The AP that other orders of equal scores would give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.tasks.detection.columns import EVERY_ORDER, Columns, Table
from auditor.tasks.detection.ties import ORDERS
from auditor.values import GroundTruth

__all__ = ["TiedAP"]

_POINTS = 10 * 101
"""IoU thresholds and recalls that AP is a mean over, for each class of which a true object counts."""


class TiedAP:
    """COCO AP by hotcoco of detections as they are ranked, and with equal scores in other orders, part by part.

    An order of ties is a ranking without ties: each score is replaced by its rank in it, which is all that AP sees.
    """

    def __init__(self, truth: Mapping[int, GroundTruth], classes: int) -> None:
        self._truth, self._classes = truth, classes
        ids = np.array(list(truth), dtype=np.int64)
        self._order = np.argsort(ids)
        self._ids = ids[self._order]
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
        labels = part.labels or tuple(range(self._classes))
        true, counted = self._true(labels)
        self._count += counted * _POINTS
        if not counted:
            return
        number, others = (self._number(table.image) for table in (part.found, part.other))
        rows = _rows(part.found, number)
        ranked = _sum(true, rows[np.argsort(number, kind="stable")], None)
        self._sums[0] += ranked
        for order in range(ORDERS):
            self._sums[1 + order] += _sum(true, _drawn(part, number, others, order), self._rng) if tied else ranked

    @property
    def values(self) -> tuple[float, NDArray[np.float64]]:
        """AP as it is ranked, and (ORDERS,) in other orders; a true object counts."""
        ranked, *others = (self._sums / self._count).tolist()
        return ranked, np.array(others)

    def _number(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each image in hotcoco: one more than its place in the truth, whose order ties go by."""
        return np.asarray(self._order[np.searchsorted(self._ids, ids)] + 1)

    def _true(self, labels: Iterable[int]) -> tuple[Any, int]:
        """The truth of some classes as hotcoco takes it, and of how many of them a true object counts."""
        from hotcoco import COCO

        annotations: list[dict[str, Any]] = []
        chosen, counted = set(labels), set()
        for number, found in enumerate(self._truth.values(), start=1):
            columns = to_xywh(found.boxes).tolist(), found.labels.tolist(), found.area.tolist(), found.iscrowd.tolist()
            for box, label, area, crowd in zip(*columns, strict=True):
                if label not in chosen:
                    continue
                counted |= set() if crowd else {label}
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": label + 1,
                        "bbox": box,
                        "area": area,
                        "iscrowd": int(crowd),
                    }
                )
        images = [{"id": index, "width": 1, "height": 1} for index in range(1, 1 + len(self._truth))]
        categories = [{"id": label + 1, "name": str(label)} for label in sorted(chosen)]
        return COCO({"images": images, "annotations": annotations, "categories": categories}), len(counted)


def _has_ties(part: Columns) -> bool:
    """Whether another order of equal scores keeps others, or two detections of a class have one score."""
    if len(part.other) or bool((part.found.orders != EVERY_ORDER).any()):
        return True
    pairs = part.found.label + 1j * part.found.score
    return len(np.unique(pairs)) < len(pairs)


def _drawn(part: Columns, number: NDArray[np.int64], others: NDArray[np.int64], order: int) -> NDArray[np.float64]:
    """What one order keeps, image by image."""
    mine, theirs = ((table.orders >> order & 1) == 1 for table in (part.found, part.other))
    rows = np.concatenate([_rows(part.found, number)[mine], _rows(part.other, others)[theirs]])
    return np.asarray(rows[np.argsort(rows[:, 0], kind="stable")])


def _rows(table: Table, number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Detections as hotcoco takes them: image, x, y, width, height, score, category."""
    columns = (number, *to_xywh(table.boxes).T, table.score, table.label + 1.0)
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _sum(true: Any, table: NDArray[np.float64], rng: np.random.Generator | None) -> float:
    """The sum of the precisions whose mean is AP."""
    from hotcoco import COCOeval

    if not len(table):
        return 0.0
    if rng is not None:
        order = np.lexsort((rng.random(len(table)), table[:, 5]))
        table[order, 5] = np.arange(1, len(table) + 1) / len(table)
    evaluation = COCOeval(true, true.loadRes(table), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray((evaluation.eval or {})["precision"])[:, :, :, 0, -1]
    return math.fsum(precision[precision > -1].tolist())  # whatever the order of the classes
