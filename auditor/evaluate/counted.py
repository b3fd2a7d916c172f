"""Metrics that follow from sums over images: what was counted on each image, and what the sums of a resample give."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.intervals import expanded, of_rate, of_share
from auditor.values import MetricValue

__all__ = ["LEAST_BLOCKS", "Counted", "Named", "Seen", "joined", "measured", "paired"]

_AT_ONCE = 100
"""Resamples whose sums are taken at once."""


@dataclass(frozen=True)
class Named:
    """A metric of sums: its name, why it is None where it is undefined, whether it is of one class, whether it is
    compared between cells, whether it is a share or a number per image (and what an event on each image would be:
    `unit`), and whether there is enough for an interval."""

    name: str
    reason: str
    higher_is_better: bool = True
    of_class: bool = False
    compared: bool = True
    kind: Literal["share", "rate", "other"] = "share"
    enough: bool = True
    unit: float = 1.0


LEAST_BLOCKS = 5
"""By fewer blocks of frames there is no interval."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Which images of a data set of `of` were seen, at `positions` of its order, and the seed of its resamples; `block`
    consecutive ones are drawn together."""

    positions: NDArray[np.int64]
    of: int
    seed: int
    block: int = 1

    @property
    def weights(self) -> NDArray[np.int8]:
        """How often each resample has each of these images: (R, N); the same for every cell of a data set."""
        every = _weights(self.of, self.seed, self.block)
        return every if len(self.positions) == self.of else every[:, self.positions]

    def independent(self, images: int) -> int:
        """As how many images that say something of their own so many count, at least one; fewer blocks than
        `LEAST_BLOCKS` say nothing of what others would show, and count as one."""
        blocks = images // self.block
        return blocks if self.block == 1 or blocks >= LEAST_BLOCKS else 1

    def is_same(self, other: Seen) -> bool:
        """Whether another cell saw the same images."""
        mine, theirs = (self.of, self.seed, self.block), (other.of, other.seed, other.block)
        return mine == theirs and np.array_equal(self.positions, other.positions)


@functools.lru_cache(maxsize=4)
def _weights(images: int, seed: int, block: int) -> NDArray[np.int8]:
    return draw_weights(images, seed=seed, block=block)


@dataclass(frozen=True, eq=False)
class Counted:
    """What was counted on N images in K columns, where it is not 0, `packed` since every cell keeps it until it was
    compared. `reduce` turns sums over images, (R, K), into the values of `metrics`, (R, M), NaN where undefined."""

    seen: Seen
    columns: int
    packed: bytes
    metrics: tuple[Named, ...]
    reduce: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        seen: Seen,
        metrics: Sequence[Named],
        reduce: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        columns: int,
        entries: tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], NDArray[np.floating[Any]]],
    ) -> Counted:
        """From entries of images, columns and values, in any order; those of one place add up."""
        image, column, values = entries
        where, back = np.unique(image.astype(np.int64) * columns + column, return_inverse=True)
        total = np.bincount(back, values, minlength=len(where)).astype(np.float32)
        steps = np.diff(where, prepend=0)
        return cls(seen, columns, zlib.compress(steps.tobytes() + total.tobytes(), 1), tuple(metrics), reduce)

    @property
    def _entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        content = zlib.decompress(self.packed)
        cut = len(content) * 2 // 3  # 8 bytes of a step, then 4 of a value
        where = np.cumsum(np.frombuffer(content[:cut], dtype=np.int64))
        return where // self.columns, where % self.columns, np.frombuffer(content[cut:], dtype=np.float32)

    @property
    def sums(self) -> NDArray[np.float64]:
        """Over all images: (K,)."""
        _, column, values = self._entries
        return np.bincount(column, values, minlength=self.columns).astype(np.float64)

    @functools.cached_property
    def samples(self) -> NDArray[np.float64]:
        """Every metric on every resample: (R, M)."""
        weights = self.seen.weights
        dense = np.zeros((weights.shape[1], self.columns), dtype=np.float32)
        image, column, values = self._entries
        dense[image, column] = values
        parts = []
        for start in range(0, len(weights), _AT_ONCE):
            sums = weights[start : start + _AT_ONCE].astype(np.float32) @ dense
            parts.append(self.reduce(sums.astype(np.float64)))
        return np.concatenate(parts)

    def forgotten(self) -> Counted:
        """This one without the samples that were drawn of it: they are many, and drawn again where they are needed."""
        return replace(self)


def joined(first: Counted, second: Counted) -> Counted:
    """What was counted on the same images in more columns, with the metrics of both."""
    (image, column, values), (other, further, more) = first._entries, second._entries
    entries = (
        np.concatenate([image, other]),
        np.concatenate([column, further + first.columns]),
        np.concatenate([values, more]),
    )
    reduce = _Joined(first.reduce, first.columns, second.reduce)
    metrics = (*first.metrics, *second.metrics)
    return Counted.of(first.seen, metrics, reduce, columns=first.columns + second.columns, entries=entries)


@dataclass(frozen=True)
class _Joined:
    """Two reductions, of the columns up to a place and of those after it."""

    first: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    at: int
    second: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([self.first(sums[:, : self.at]), self.second(sums[:, self.at :])], axis=1)


def measured(counted: Counted, images: int) -> list[MetricValue]:
    """Each metric with its interval."""
    values = counted.reduce(counted.sums[np.newaxis])[0].tolist()
    samples = counted.samples
    independent = counted.seen.independent(images)
    plain = expanded(samples, images=independent)
    found = []
    for index, (named, value) in enumerate(zip(counted.metrics, values, strict=True)):
        between = plain[index]
        if named.kind != "other":
            mine = samples[:, index]
            if named.kind == "share":
                between = of_share(value, mine, images=independent)
            else:
                between = of_rate(value, mine, images=independent, unit=named.unit)
        found.append(_value(named, named.name, value, between if named.enough else None, images))
    return found


def paired(first: Counted, second: Counted, *, against: str, images: int, of_classes: bool) -> list[MetricValue]:
    """Each metric of `first` that is compared less that of `second`, with the paired interval where both saw the same
    images; those `of_classes` too where that is asked."""
    theirs = {named.name: index for index, named in enumerate(second.metrics)}
    chosen = [
        (index, theirs[named.name])
        for index, named in enumerate(first.metrics)
        if named.compared and named.name in theirs and (of_classes or not named.of_class)
    ]
    mine, others = [index for index, _ in chosen], [index for _, index in chosen]
    here, there = first.reduce(first.sums[np.newaxis])[0], second.reduce(second.sums[np.newaxis])[0]
    between: Sequence[tuple[float, float] | None] = [None] * len(chosen)
    if first.seen.is_same(second.seen):
        independent = first.seen.independent(images)
        between = expanded(first.samples[:, mine] - second.samples[:, others], images=independent)
    return [
        _value(first.metrics[index], f"{first.metrics[index].name}_minus_{against}", value, interval, images)
        for index, value, interval in zip(mine, (here[mine] - there[others]).tolist(), between, strict=True)
    ]


def _value(named: Named, name: str, value: float, between: tuple[float, float] | None, images: int) -> MetricValue:
    better = named.higher_is_better
    if not np.isfinite(value):
        return MetricValue(name, None, reason=named.reason, higher_is_better=better, images=images)
    return MetricValue(name, value, interval=between, higher_is_better=better, images=images)
