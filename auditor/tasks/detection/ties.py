"""Equal scores: the detections that other orders of them would keep, and the AP that these would give.

An integer model's scores take few values, so many detections tie, and by what comes first NMS keeps other boxes and AP
ranks them otherwise. The order that counts depends on the detection alone; here is how far others are from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.values import Detections, GroundTruth

__all__ = ["ORDERS", "Ranked", "ap_of_orders", "has_ties", "with_orders"]

ORDERS = 20
"""Random orders of equal scores that are tried."""


@dataclass(frozen=True, eq=False)
class Ranked(Detections):
    """Detections, and those that other orders of equal scores keep: bit d of `orders` (N,) says that order number d
    keeps a detection too; `other` are those that only other orders keep, with `other_orders` of theirs."""

    orders: NDArray[np.int64]
    other: Detections
    other_orders: NDArray[np.int64]

    def drawn(self, number: int) -> Detections:
        """What order `number` keeps."""
        mine, theirs = (bits >> number & 1 == 1 for bits in (self.orders, self.other_orders))
        return Detections(
            np.concatenate([self.boxes[mine], self.other.boxes[theirs]]),
            np.concatenate([self.scores[mine], self.other.scores[theirs]]),
            np.concatenate([self.labels[mine], self.other.labels[theirs]]),
        )


def with_orders(
    found: Detections,
    kept: NDArray[np.int64],
    drawn: Sequence[NDArray[np.int64]],
    finished: Callable[[NDArray[np.int64]], Detections],
) -> Detections:
    """Join what counts (`found`, the rows `kept`) with the rows that each other order keeps; `found` itself where all
    keep the same."""
    bits: dict[int, int] = dict.fromkeys(kept.tolist(), 0)
    for number, rows in enumerate(drawn):
        for row in rows.tolist():
            bits[row] = bits.get(row, 0) | 1 << number
    every = (1 << len(drawn)) - 1
    if all(value == every for value in bits.values()):
        return found
    others = np.array(list(bits)[len(kept) :], dtype=np.int64)
    values = np.array(list(bits.values()), dtype=np.int64)
    return Ranked(found.boxes, found.scores, found.labels, values[: len(kept)], finished(others), values[len(kept) :])


def has_ties(predictions: Mapping[int, Detections]) -> bool:
    """Whether the rank of any detection hangs on how equal scores are ordered: two of one class have one score, or
    another order keeps others."""
    if any(isinstance(found, Ranked) for found in predictions.values()):
        return True
    pairs = [found.labels + 1j * found.scores for found in predictions.values()]
    return bool(pairs) and len(np.unique(np.concatenate(pairs))) < sum(map(len, pairs))


def ap_of_orders(
    truth: Mapping[int, GroundTruth], predictions: Mapping[int, Detections], classes: int
) -> tuple[float, NDArray[np.float64]]:
    """COCO AP by hotcoco of the predictions as they are ranked, and (ORDERS,) with equal scores in other orders.

    An order of ties is a ranking without ties: each score is replaced by its rank in it, which is all that AP sees.
    `labels` of both index `classes` classes, and a true object counts.
    """
    from hotcoco import COCO

    number = {image_id: index for index, image_id in enumerate(truth, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, found in truth.items():
        for box, label, area, crowd in zip(
            to_xywh(found.boxes).tolist(),
            found.labels.tolist(),
            found.area.tolist(),
            found.iscrowd.tolist(),
            strict=True,
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number[image_id],
                    "category_id": label + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    true = COCO(
        {
            "images": [{"id": index, "width": 1, "height": 1} for index in number.values()],
            "annotations": annotations,
            "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
        }
    )
    ranked = _ap(true, _table(number, predictions), None)
    rng = np.random.default_rng(0)
    values = []
    for order in range(ORDERS):
        drawn = {
            image_id: found.drawn(order) if isinstance(found, Ranked) else found
            for image_id, found in predictions.items()
        }
        values.append(_ap(true, _table(number, drawn), rng))
    return ranked, np.array(values)


def _table(number: Mapping[int, int], predictions: Mapping[int, Detections]) -> NDArray[np.float64]:
    """Detections as hotcoco takes them: image, x, y, width, height, score, category."""
    parts = []
    for image_id, found in predictions.items():
        image = np.full((len(found.scores), 1), float(number[image_id]))
        parts.append(
            np.concatenate([image, to_xywh(found.boxes), found.scores[:, None], found.labels[:, None] + 1.0], axis=1)
        )
    return np.concatenate([np.zeros((0, 7)), *parts])


def _ap(true: Any, table: NDArray[np.float64], rng: np.random.Generator | None) -> float:
    from hotcoco import COCOeval

    if not len(table):
        return 0.0
    if rng is not None:
        table = table.copy()
        order = np.lexsort((rng.random(len(table)), table[:, 5]))
        table[order, 5] = np.arange(1, len(table) + 1) / len(table)
    evaluation = COCOeval(true, true.loadRes(table), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray((evaluation.eval or {})["precision"])[:, :, :, 0, -1]
    counted = precision[precision > -1]
    return math.fsum(counted.tolist()) / len(counted)  # whatever the order of the classes
