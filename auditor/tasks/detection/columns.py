"""The detections of one cell in columns, no more of them at once than memory is meant for."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.detection.ties import ORDERS, Ranked
from auditor.values import Detections

__all__ = ["EVERY_ORDER", "MOST", "Columns", "Table", "in_parts"]

MOST = 300_000
"""Detections of a cell that are held at once, in 56 bytes each; of more, some classes at a time."""

EVERY_ORDER = (1 << ORDERS) - 1


class Table:
    """Detections in the order in which they came: `image` (D,) ids, `label` (D,), `score` (D,), `boxes` (D, 4) xyxy,
    and `orders` (D,), the orders of equal scores that keep each, a bit for each."""

    def __init__(self) -> None:
        self._image, self._label, self._score = array("q"), array("i"), array("d")
        self._boxes, self._orders = array("d"), array("i")

    def __len__(self) -> int:
        return len(self._image)

    def add(self, image_id: int, found: Detections, orders: NDArray[np.int64] | None, labels: Collection[int]) -> None:
        """Take the detections of an image that have one of these labels; of all where none is named."""
        keep = np.isin(found.labels, list(labels)) if labels else np.ones(len(found.labels), dtype=bool)
        count = int(keep.sum())
        bits = np.full(count, EVERY_ORDER) if orders is None else orders[keep]
        self._image.frombytes(np.full(count, image_id, dtype=np.int64).tobytes())
        self._label.frombytes(found.labels[keep].astype(np.int32).tobytes())
        self._score.frombytes(found.scores[keep].astype(np.float64).tobytes())
        self._boxes.frombytes(found.boxes[keep].astype(np.float64).tobytes())
        self._orders.frombytes(bits.astype(np.int32).tobytes())

    @property
    def image(self) -> NDArray[np.int64]:
        return np.asarray(self._image)

    @property
    def label(self) -> NDArray[np.int32]:
        return np.asarray(self._label)

    @property
    def score(self) -> NDArray[np.float64]:
        return np.asarray(self._score)

    @property
    def boxes(self) -> NDArray[np.float64]:
        return np.asarray(self._boxes).reshape(-1, 4)

    @property
    def orders(self) -> NDArray[np.int32]:
        return np.asarray(self._orders)


class Columns:
    """What was found on images, `found`, and what only other orders of equal scores keep, `other`; of the `labels`
    alone that are named, else of all.

    Where no label is named and there are too many, none is held any longer; `counts` (labels,) goes on.
    """

    def __init__(self, labels: Collection[int] = ()) -> None:
        self.labels = tuple(labels)
        self.found, self.other = Table(), Table()
        self.counts = np.zeros(0, dtype=np.int64)
        self.held = True

    @classmethod
    def of(cls, predictions: Iterable[tuple[int, Detections]], labels: Collection[int] = ()) -> Columns:
        """Those of all images, however many they are."""
        columns = cls(labels)
        for image_id, found in predictions:
            columns._take(image_id, found)
        return columns

    def __setitem__(self, image_id: int, found: Detections) -> None:
        counts = np.bincount(found.labels, minlength=len(self.counts))
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        if self.held:
            self._take(image_id, found)
            if len(self.found) + len(self.other) > MOST:
                self.held, self.found, self.other = False, Table(), Table()

    def _take(self, image_id: int, found: Detections) -> None:
        ranked = found if isinstance(found, Ranked) else None
        self.found.add(image_id, found, None if ranked is None else ranked.orders, self.labels)
        if ranked is not None:
            self.other.add(image_id, ranked.other, ranked.other_orders, self.labels)


def in_parts(
    predictions: Columns | Mapping[int, Detections],
    again: Callable[[], Iterator[tuple[int, Detections]]],
    labels: Sequence[int],
) -> Iterator[Columns]:
    """All detections where they are held; else those of some of the `labels` at a time, in their order, read `again`
    for each part. A part is larger than what is held at once only where one class is."""
    if not isinstance(predictions, Columns):
        yield Columns.of(predictions.items())
        return
    if predictions.held:
        yield predictions
        return
    counts = np.zeros(max(len(predictions.counts), 1 + max(labels)), dtype=np.int64)
    counts[: len(predictions.counts)] = predictions.counts
    part: list[int] = []
    for label in labels:
        if part and counts[[*part, label]].sum() > MOST:
            yield Columns.of(again(), part)
            part = []
        part.append(label)
    yield Columns.of(again(), part)
