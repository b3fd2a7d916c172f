"""AP under resampling, without evaluating anything again.

Detections are matched to truth once per cell, image by image, and matching does not depend on the other images. A
resample of images is therefore a vector of weights, and AP under weights is a few sums.
Source: AP as pycocotools accumulates it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import drawn_sums
from auditor.evaluate.intervals import class_aware

__all__ = ["ClassMatches", "Resampled", "ResampledAP", "resampled_ap"]

Weights = NDArray[np.integer[Any]]

_RECALLS = np.linspace(0.0, 1.0, 101)
_POINTS = {"": None, "50": 0, "75": 5}
"""What is a mean over all thresholds, and which of COCO's ten others are at."""
_ELEMENTS = 1_000_000
"""So many numbers a matrix of resamples has at most."""


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """How one class was matched: for D detections in the order of images, then of descending score, `image` (D,) the
    image's position, `score` (D,), `hit` and `ignored` (T, D) by IoU threshold; `truths` (G,) the positions of the
    images of the true objects that count."""

    image: NDArray[np.int64]
    score: NDArray[np.float64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truths: NDArray[np.int64]


class ResampledAP:
    """COCO AP of each resample, class by class, and at IoU 0.50 and 0.75 where all ten thresholds are there. `weights`
    is (R, N): how often each resample has each image.

    Equal, to the last digits of a sum, to evaluating the resampled images themselves, each standing as often as drawn:
    an image whose detections tie within a class is split into copies for it, since copies of tied detections alternate.
    """

    def __init__(self, weights: Weights) -> None:
        everything = np.ones((1, weights.shape[1]), dtype=weights.dtype)
        self._weights = np.concatenate([everything, weights])
        shape = len(_POINTS), len(self._weights)
        self._total, self._fixed = np.zeros(shape), np.zeros(shape)
        self._count, self._classes = np.zeros(shape[1], dtype=np.int64), 0

    def add(self, found: ClassMatches) -> NDArray[np.float64] | None:
        """Take the next class; one of which nothing counts has no AP. Return its own AP on each resample, NaN where it
        has no object."""
        if not len(found.truths):
            return None
        images, objects = np.unique(found.truths, return_counts=True)
        counted = drawn_sums(self._weights[:, images], objects)
        values = _class_ap(_split_ties(found, self._weights), self._weights, counted)
        present = counted > 0
        self._total[:, present] += values[:, present]
        self._fixed += np.where(present, values, values[:, :1])
        self._count += present
        self._classes += 1
        return np.where(present, values[0], np.nan)[1:]

    def of(self, point: str = "") -> Resampled:
        """AP over all thresholds, or at `50` or `75`."""
        index = list(_POINTS).index(point)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(self._count > 0, self._total[index] / self._count, np.nan)
            fixed = self._fixed[index] / self._classes if self._classes else np.full(len(values), np.nan)
        return Resampled(float(values[0]), values[1:], fixed[1:])

    @property
    def values(self) -> NDArray[np.float64]:
        """(R,), NaN where a resample has no true object."""
        return self.of().values


@dataclass(frozen=True, eq=False)
class Resampled:
    """A mean over classes: on all images, on each resample (R,), and on each with the value on all images in the place
    of a class that dropped out."""

    value: float
    values: NDArray[np.float64]
    fixed: NDArray[np.float64]

    def interval(self, images: int) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return class_aware(self.value, self.values, self.fixed, images=images)


def resampled_ap(matches: Iterable[ClassMatches], weights: Weights) -> NDArray[np.float64]:
    """COCO AP of each resample over these classes: (R,), NaN where a resample has no true object."""
    resampled = ResampledAP(weights)
    for found in matches:
        resampled.add(found)
    return resampled.values


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The detections of a class by descending score, in each of which `column` (D,) of the resamples it stands; a
    column is an `image` (C,), weighing as often as it is drawn, or its copy number `copy` (C,), weighing 0 or 1."""

    column: NDArray[np.int64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    image: NDArray[np.int64]
    copy: NDArray[np.int64]

    def drawn(self, weights: Weights) -> NDArray[np.float64]:
        """What each column weighs in some of the resamples: (R, C)."""
        drawn = weights[:, self.image]
        return np.where(self.copy > 0, drawn >= self.copy, drawn).astype(np.float64)


def _split_ties(found: ClassMatches, weights: Weights) -> _Ranked:
    """Replace each image with tied detections by as many copies as it is drawn at most.

    A tie in which nothing is ever a hit is left alone: in which order false alarms of one score come does not matter.
    """
    same = (found.image[1:] == found.image[:-1]) & (found.score[1:] == found.score[:-1])
    group = np.concatenate([[0], np.cumsum(~same)])[: len(found.score)]
    hits = np.bincount(group[found.hit.any(axis=0)], minlength=group.max(initial=-1) + 1) > 0
    tied = np.unique(found.image[1:][same & hits[group[1:]]])
    split = np.isin(found.image, tied)
    copies = np.ones(len(found.image), dtype=np.int64)
    if len(tied):
        copies[split] = weights[:, tied].max(axis=0)[np.searchsorted(tied, found.image[split])]
    chosen = np.repeat(np.arange(len(copies)), copies)
    copy = np.arange(len(chosen)) - np.repeat(np.cumsum(copies) - copies, copies) + 1
    copy[~split[chosen]] = 0
    # Equal scores of different images stand in the order of the images, copies of one image one after the other.
    order = np.lexsort((copy, found.image[chosen]))
    chosen, copy = chosen[order], copy[order]
    ranked = np.argsort(-found.score[chosen], kind="stable")
    chosen, copy = chosen[ranked], copy[ranked]
    most = 1 + int(copies.max(initial=0))
    every, column = np.unique(found.image[chosen] * most + copy, return_inverse=True)
    return _Ranked(column, found.hit[:, chosen], found.ignored[:, chosen], every // most, every % most)


def _class_ap(found: _Ranked, weights: Weights, counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP of one class at each of `_POINTS`: (3, R); some resamples at a time, so that memory is bounded."""
    counts = found.hit & ~found.ignored
    hits = np.nonzero(counts.any(axis=0))[0]
    if not len(hits):
        return np.zeros((len(_POINTS), len(weights)))
    last = int(hits[-1]) + 1  # what is ranked below changes nothing
    column = found.column[:last]
    rows = [hit.tobytes() + ignored.tobytes() for hit, ignored in zip(counts, found.ignored, strict=True)]
    first = {row: index for index, row in reversed(list(enumerate(rows)))}  # thresholds that are matched alike
    curves = {
        row: _Curve.of(counts[index, :last], ~found.ignored[index, :last], column, len(found.image))
        for row, index in first.items()
    }
    widest = max(curve.width for curve in curves.values())
    step = max(1, _ELEMENTS // max(widest, len(found.image)))
    parts = []
    for start in range(0, len(weights), step):
        drawn = found.drawn(weights[start : start + step])
        known: dict[bytes, NDArray[np.float64]] = {}
        values = {row: curve.ap(drawn, counted[start : start + step], known) for row, curve in curves.items()}
        every = sum((values[row] for row in rows), np.zeros(len(drawn))) / len(rows)
        at = [index for index in _POINTS.values() if index is not None]
        parts.append(np.stack([every, *(values[rows[min(index, len(rows) - 1)]] for index in at)]))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class _Curve:
    """A class at one threshold: of which `columns` its `steps` are, the detections that are hits; the false alarms
    before each by column (`alarms`, (C, steps)), or where that would be large, what `counts` of all detections."""

    steps: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: NDArray[np.bool_]
    alarms: NDArray[np.float64] | None

    @classmethod
    def of(cls, hit: NDArray[np.bool_], counts: NDArray[np.bool_], columns: NDArray[np.int64], images: int) -> _Curve:
        """Prepare what every part of the resamples needs."""
        steps = np.nonzero(hit)[0]
        if images * len(steps) > _ELEMENTS:
            return cls(steps, columns, counts, None)
        before = np.zeros((images, len(steps)))
        false = np.nonzero(counts & ~hit)[0]
        false = false[: int(np.searchsorted(false, steps[-1]))] if len(steps) else false[:0]
        np.add.at(before, (columns[false], np.searchsorted(steps, false)), 1.0)
        return cls(steps, columns, counts, np.cumsum(before, axis=1))

    @property
    def width(self) -> int:
        """How many numbers a resample takes."""
        return len(self.steps) if self.alarms is not None else len(self.columns)

    def ap(
        self, drawn: NDArray[np.float64], counted: NDArray[np.int64], known: dict[bytes, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """AP of some of the resamples: (R,). `known` are sums over all detections, by which of them count."""
        if not len(self.steps):
            return np.zeros(len(drawn))
        hits = np.cumsum(drawn[:, self.columns[self.steps]], axis=1)
        if self.alarms is not None:
            return _ap_of(hits, drawn @ self.alarms + hits, counted)
        key = self.counts.tobytes()
        if key not in known:
            known[key] = np.cumsum(drawn[:, self.columns] * self.counts, axis=1)
        return _ap_of(hits, known[key][:, self.steps], counted)


def _ap_of(hits: NDArray[np.float64], seen: NDArray[np.float64], counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP from the hits and from all detections up to each hit, (R, steps) both."""
    seen += np.spacing(1)
    precision = np.divide(hits, seen, out=seen)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _reached(np.divide(hits, np.maximum(counted, 1)[:, np.newaxis], out=hits))
    gained = np.diff(reached, axis=1, prepend=0)
    return np.asarray((envelope * gained).sum(axis=1) / len(_RECALLS))


def _reached(recall: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the 101 recall points are at most `recall`, compared exactly as pycocotools compares them."""
    guess = np.minimum(np.floor(recall * 100 + 1e-6).astype(np.int64), 100)
    return np.asarray(guess + 1 - (_RECALLS[guess] > recall))
