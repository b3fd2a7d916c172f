"""AP under resampling, without evaluating anything again.

Detections are matched to truth once per cell, image by image, and matching does not depend on the other images. A
resample of images is therefore a vector of weights, and AP under weights is a few matrix products.
Source: AP as pycocotools accumulates it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import drawn_sums

__all__ = ["ClassMatches", "resampled_ap"]

Weights = NDArray[np.integer[Any]]

_RECALLS = np.linspace(0.0, 1.0, 101)
_ELEMENTS = 1_000_000
"""So many numbers a matrix of resamples has at most."""


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """How one class was matched: for D detections in the order of images, then of descending score, `image` (D,) the
    image's position, `score` (D,), `hit` and `ignored` (T, D) by IoU threshold; `truths` (N,) the true objects of each
    image that count."""

    image: NDArray[np.int64]
    score: NDArray[np.float64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truths: NDArray[np.int64]


def resampled_ap(matches: Sequence[ClassMatches], weights: Weights) -> NDArray[np.float64]:
    """COCO AP of each resample: (R,), NaN where a resample has no true object.

    `weights` is (R, N). Equal, to the last digits of a sum, to evaluating the resampled images themselves, each
    standing as often as drawn: an image whose detections tie within a class is split into copies for it, since copies
    of tied detections alternate.
    """
    total, count = np.zeros(len(weights)), np.zeros(len(weights), dtype=np.int64)
    for found in matches:
        counted = drawn_sums(weights, found.truths)
        values = _class_ap(_split_ties(found, weights), counted)
        present = counted > 0
        total[present] += values[present]
        count += present
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))


def _split_ties(found: ClassMatches, weights: Weights) -> tuple[ClassMatches, Weights]:
    """Replace each image with tied detections by as many copies as it is drawn at most, each weighing 0 or 1.

    A tie in which nothing is ever a hit is left alone: in which order false alarms of one score come does not matter.
    """
    same = (found.image[1:] == found.image[:-1]) & (found.score[1:] == found.score[:-1])
    group = np.concatenate([[0], np.cumsum(~same)])[: len(found.score)]
    hits = np.bincount(group[found.hit.any(axis=0)], minlength=group.max(initial=-1) + 1) > 0
    tied = np.unique(found.image[1:][same & hits[group[1:]]])
    if not len(tied):
        return found, weights
    columns, rows, owners = [weights * ~np.isin(np.arange(weights.shape[1]), tied)], [], []
    free = np.nonzero(~np.isin(found.image, tied))[0]
    rows.append(free)
    owners.append(found.image[free])
    position = weights.shape[1]
    for image in tied:
        for copy in range(1, int(weights[:, image].max()) + 1):
            columns.append((weights[:, image] >= copy).astype(np.int64)[:, np.newaxis])
            mine = np.nonzero(found.image == image)[0]
            rows.append(mine)
            owners.append(np.full(len(mine), position))
            position += 1
    chosen, owner = np.concatenate(rows), np.concatenate(owners)
    # Equal scores of different images stand in the order of the images, copies of one image one after the other.
    order = np.lexsort((owner, found.image[chosen]))
    chosen, owner = chosen[order], owner[order]
    split = ClassMatches(owner, found.score[chosen], found.hit[:, chosen], found.ignored[:, chosen], found.truths)
    return split, np.concatenate(columns, axis=1)


def _class_ap(split: tuple[ClassMatches, Weights], counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP of one class, averaged over the IoU thresholds: (R,)."""
    found, weights = split
    ranked = np.argsort(-found.score, kind="stable")
    seen, image = np.unique(found.image[ranked], return_inverse=True)
    drawn = weights[:, seen]
    values = np.zeros(len(weights))
    known: dict[bytes, NDArray[np.float64]] = {}
    for hit, ignored in zip(found.hit[:, ranked], found.ignored[:, ranked], strict=True):
        alike = hashlib.sha256(hit.tobytes() + ignored.tobytes()).digest()
        if alike not in known:
            known[alike] = _ap_in_parts(hit & ~ignored, ~hit & ~ignored, image, drawn, counted)
        values += known[alike]
    return values / len(found.hit)


def _ap_in_parts(
    hit: NDArray[np.bool_],
    false: NDArray[np.bool_],
    image: NDArray[np.int64],
    drawn: Weights,
    counted: NDArray[np.int64],
) -> NDArray[np.float64]:
    """AP of one class at one threshold: (R,), some resamples at a time, so that memory is bounded."""
    steps = np.nonzero(hit)[0]
    if not len(steps):
        return np.zeros(len(drawn))
    alarms_at = np.nonzero(false)[0]
    alarms_at = alarms_at[: int(np.searchsorted(alarms_at, steps[-1]))]  # those below the last hit change nothing
    alarms = _Alarms.of(steps, alarms_at, image, drawn.shape[1])
    rows = max(1, _ELEMENTS // max(len(steps), alarms.width))
    found = []
    for start in range(0, len(drawn), rows):
        part = drawn[start : start + rows].astype(np.float64)
        hits = np.cumsum(part[:, image[steps]], axis=1)
        found.append(_ap_of(hits, alarms.counted(part), counted[start : start + rows]))
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Alarms:
    """The false alarms before each hit: `table` (N, steps) how many each image has, or where that would be large, the
    `images` of all of them and how many are before each hit (`places`)."""

    table: NDArray[np.float64] | None
    images: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(
        cls, steps: NDArray[np.int64], alarms_at: NDArray[np.int64], image: NDArray[np.int64], images: int
    ) -> _Alarms:
        """Prepare what every part of the resamples needs."""
        mine, places = image[alarms_at], np.searchsorted(alarms_at, steps)
        if images * len(steps) > _ELEMENTS:
            return cls(None, mine, places)
        before = np.zeros((images, len(steps)))
        np.add.at(before, (mine, np.searchsorted(steps, alarms_at)), 1.0)
        return cls(np.cumsum(before, axis=1), mine, places)

    @property
    def width(self) -> int:
        """How many numbers a resample takes."""
        return 0 if self.table is not None else len(self.images)

    def counted(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many each resample has before each hit: (R, steps)."""
        if self.table is not None:
            return np.asarray(part @ self.table)
        sums = np.zeros((len(part), len(self.images) + 1))
        np.cumsum(part[:, self.images], axis=1, out=sums[:, 1:])
        return np.asarray(sums[:, self.places])


def _ap_of(hits: NDArray[np.float64], alarms: NDArray[np.float64], counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP from the hits and the false alarms up to each hit, (R, steps) both."""
    alarms += hits
    alarms += np.spacing(1)
    precision = np.divide(hits, alarms, out=alarms)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _reached(np.divide(hits, np.maximum(counted, 1)[:, np.newaxis], out=hits))
    gained = np.diff(reached, axis=1, prepend=0)
    return np.asarray((envelope * gained).sum(axis=1) / len(_RECALLS))


def _reached(recall: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the 101 recall points are at most `recall`, compared exactly as pycocotools compares them."""
    guess = np.minimum(np.floor(recall * 100 + 1e-6).astype(np.int64), 100)
    return np.asarray(guess + 1 - (_RECALLS[guess] > recall))
