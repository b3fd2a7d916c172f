"""How detections are matched at the operating point's IoU, and what any threshold would give.

A threshold only takes detections away from below: matching goes by descending score, so that those above it are matched
as they were without it, and so does NMS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "PointMatches"]

_DIGITS = 6


@dataclass(frozen=True, eq=False)
class PointMatches:
    """The D detections of one class that count, by image and descending score: `image` (D,) the image's position,
    `score` (D,), `boxes` (D, 4) xyxy, and `object` (D,) which of the class's G true objects that count it is matched
    with, -1 for none; `truths` (G,) the positions of these objects' images, `objects` (G, 4) their boxes, `tracks` (G,)
    which object each is over the frames of a clip, -1 where that is not known."""

    category: str
    image: NDArray[np.int64]
    score: NDArray[np.float64]
    boxes: NDArray[np.float64]
    object: NDArray[np.int64]
    truths: NDArray[np.int64]
    objects: NDArray[np.float64]
    tracks: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        category: str,
        found: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
        matched: NDArray[np.int64],
        ignored: NDArray[np.bool_],
        truth: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]],
    ) -> PointMatches:
        """From `found` (images, scores and xyxy boxes), with which true object of the class each is `matched`, which
        are `ignored`, and the `truth`: images, xyxy boxes, which objects count, and their tracks."""
        images, boxes, counts, tracks = truth
        number = np.where(counts, np.cumsum(counts) - 1, -1)
        object_ = np.where(matched >= 0, number[matched], -1) if len(counts) else np.full(len(matched), -1)
        keep = ~ignored
        image, score, place = found
        return cls(
            category,
            image[keep],
            score[keep],
            place[keep],
            object_[keep],
            images[counts],
            boxes[counts],
            tracks[counts],
        )

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Which are right: (D,)."""
        return np.asarray(self.object >= 0)

    @property
    def found(self) -> NDArray[np.float32]:
        """The score by which each true object is found: (G,), NaN where it is missed."""
        scores = np.full(len(self.truths), np.nan, dtype=np.float32)
        scores[self.object[self.hit]] = self.score[self.hit]
        return scores


@dataclass(frozen=True, eq=False)
class Curve:
    """What every threshold gives: detections by descending score, up to and with each distinct one `score` (S,), how
    many are right (`hits`) and false (`alarms`); `objects` are there on `images`. The first keeps nothing."""

    score: NDArray[np.float64]
    hits: NDArray[np.float64]
    alarms: NDArray[np.float64]
    objects: int
    images: int

    @classmethod
    def of(cls, score: NDArray[np.float64], hit: NDArray[np.bool_], *, objects: int, images: int) -> Curve:
        """From scores and which of the detections are right, in any order."""
        order = np.argsort(-score, kind="stable")
        score, right = score[order], np.cumsum(hit[order])
        last = np.nonzero(np.diff(score, append=-np.inf))[0]
        nothing = np.zeros(1)
        hits = np.concatenate([nothing, right[last]])
        return cls(
            np.concatenate([[np.inf], score[last]]),
            hits,
            np.concatenate([nothing, last + 1.0]) - hits,
            objects,
            images,
        )

    @classmethod
    def over(cls, classes: Iterable[PointMatches], *, images: int) -> Curve:
        """That of some classes together, all at one threshold."""
        found = list(classes)
        nothing = np.zeros(0)
        return cls.of(
            np.concatenate([nothing, *(item.score for item in found)]),
            np.concatenate([nothing.astype(bool), *(item.hit for item in found)]),
            objects=sum(len(item.truths) for item in found),
            images=images,
        )

    @property
    def precision(self) -> NDArray[np.float64]:
        """(S,), NaN where nothing is kept."""
        with np.errstate(invalid="ignore"):
            return self.hits / (self.hits + self.alarms)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(S,), NaN where there is no true object."""
        return self.hits / self.objects if self.objects else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(S,): 2 TP / (2 TP + FP + FN), NaN where there is neither a detection nor an object."""
        with np.errstate(invalid="ignore"):
            return 2 * self.hits / (self.hits + self.alarms + self.objects)

    def at(self, threshold: float) -> int:
        """The step of a threshold: it keeps every score of at least that."""
        return int(np.searchsorted(-self.score, -threshold, side="right")) - 1

    def threshold(self, step: int) -> float:
        """A threshold in as few digits as keep just the detections of a step: between its lowest score and the next."""
        low = float(self.score[step + 1]) if step + 1 < len(self.score) else 0.0
        high = float(self.score[step])
        if np.isinf(high):
            high = max(1.0, low * 2)
        middle = (low + high) / 2
        for digits in range(1, _DIGITS + 1):
            rounded = round(middle, digits)
            if low < rounded <= high:
                return rounded
        return high

    def best_f1(self) -> int:
        """The step of the highest F1; of several that of the fewest detections."""
        return int(np.argmax(np.nan_to_num(self.f1, nan=-1.0)))

    def of_recall(self, target: float) -> int | None:
        """The step of the fewest detections whose recall is at least the target."""
        return _first(self.recall >= target)

    def of_precision(self, target: float) -> int | None:
        """The step of the most detections whose precision is at least the target."""
        return _last(self.precision >= target)

    def of_alarms(self, per_image: float) -> int:
        """The step of the most detections with at most so many false positives per image."""
        return _last(self.alarms <= per_image * self.images) or 0


def _first(holds: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(holds)) if holds.any() else None


def _last(holds: NDArray[np.bool_]) -> int | None:
    return len(holds) - 1 - int(np.argmax(holds[::-1])) if holds.any() else None
