"""Equal scores: the detections that other orders of them would keep.

An integer model's scores take few values, so many detections tie, and by what comes first NMS keeps other boxes and AP
ranks them otherwise. The order that counts depends on the detection alone; here is how far others are from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.values import Detections

__all__ = ["ORDERS", "Ranked", "with_orders"]

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
