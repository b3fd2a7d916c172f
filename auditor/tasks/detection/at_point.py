"""What a detector does at its operating point on one cell: right and false detections and missed objects, by image and
class, and how its scores moved.

Source: precision, recall and F1 as van Rijsbergen 1979; D-ECE as Küppers et al. 2020, arXiv:2004.13546, over the
detections that the threshold keeps, as Kuzucu et al. 2024, arXiv:2405.20459, ask for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import Counted, Named, Seen
from auditor.tasks.detection.over_frames import OVER_FRAMES, WITHOUT_BOUND
from auditor.tasks.detection.point_choice import LEAST_OBJECTS, is_held
from auditor.tasks.detection.point_matches import Curve, PointMatches
from auditor.values import AtThreshold, Moved, OperatingPoint, ReliabilityBin

__all__ = [
    "AT_POINT",
    "BY_CLASS",
    "DECIDES",
    "LOWER_IS_BETTER",
    "OVER_FRAMES",
    "PER_HOUR",
    "UNBOUNDED",
    "count",
    "moved",
]

PER_HOUR = "false_alarms_per_hour"
_ON_IMAGES = {
    "precision": "share of the detections at the operating point that are right",
    "recall": "share of the true objects that are found at the operating point",
    "F1": "harmonic mean of precision and recall at the operating point",
    "fppi": "false positives per image at the operating point",
    "missed": "missed objects per image at the operating point",
    "error_free": "share of the images without a false positive or a missed object",
    "fppi_background": "false positives per image, on images without any object of a deployed class",
    PER_HOUR: "false positives per hour, at the frames a second that `fps:` gives",
    "D-ECE": "how far scores are from the share of right detections, at the operating point",
}
"""Those of images, whatever they are of."""
AT_POINT = {**_ON_IMAGES, **OVER_FRAMES}
"""The metrics of an operating point."""
DECIDES = "F1"
"""Which of them says whether one run is better than another."""
BY_CLASS = ("precision", "recall", "F1", "fppi", "missed")
"""Those that each class has."""
UNBOUNDED = ("fppi", "missed", "fppi_background", PER_HOUR, *WITHOUT_BOUND)
"""Those that are no share."""
LOWER_IS_BETTER = (*UNBOUNDED, *OVER_FRAMES, "D-ECE")

_BINS = 10
_SAMPLES = 40
_NOTHING_KEPT = "nothing is detected at the operating point"
_NO_OBJECT = "no true object counts here"
_REASONS = {
    "precision": _NOTHING_KEPT,
    "recall": _NO_OBJECT,
    "F1": "there is neither a detection nor an object",
    "fppi_background": "every image has an object of a deployed class",
    "D-ECE": _NOTHING_KEPT,
}
_IMAGES, _FREE, _BACKGROUND, _THERE = range(4)
"""Columns beside those of classes and bins: images, those without an error, those without objects, false positives
there."""


@dataclass(frozen=True)
class _Reduce:
    """Sums over images into metrics: columns are, by class, right detections, false ones and objects; then by bin
    detections, their scores and right ones; then those above."""

    classes: int
    per_class: tuple[int, ...]
    per_hour: float | None

    def __call__(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = np.cumsum([self.classes] * 3 + [_BINS] * 3)
        hits, alarms, objects, kept, scores, right, other = np.split(sums, ends, axis=1)
        images = other[:, _IMAGES]
        total = hits.sum(axis=1), alarms.sum(axis=1), objects.sum(axis=1)
        fppi = total[1] / images
        with np.errstate(divide="ignore", invalid="ignore"):
            overall = [
                *_ratios(*total, images),
                other[:, _FREE] / images,
                other[:, _THERE] / other[:, _BACKGROUND],
                *([] if self.per_hour is None else [fppi * self.per_hour]),
                np.abs(scores - right).sum(axis=1) / kept.sum(axis=1),
            ]
            mine = list(self.per_class)
            by_class = _ratios(hits[:, mine].T, alarms[:, mine].T, objects[:, mine].T, images)
        rows = np.stack(by_class, axis=1).reshape(-1, len(sums)) if self.per_class else np.zeros((0, len(sums)))
        return np.concatenate([np.stack(overall), rows]).T


def _ratios(
    hits: NDArray[np.float64], alarms: NDArray[np.float64], objects: NDArray[np.float64], images: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Precision, recall, F1, false positives and missed objects per image, in the order of `BY_CLASS`."""
    return [
        hits / (hits + alarms),
        hits / objects,
        2 * hits / (hits + alarms + objects),
        alarms / images,
        (objects - hits) / images,
    ]


def count(point: OperatingPoint, found: Sequence[PointMatches], seen: Seen) -> Counted:
    """Count, on each image, what is right, false and missed at the point; of classes that are deployed alone."""
    deployed = [item for item in found if point.thresholds.of(item.category) is not None]
    images, classes = len(seen.positions), len(deployed)
    errors, objects, alarms = (np.zeros(images, dtype=np.int64) for _ in range(3))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64] | int, NDArray[np.float64] | float]] = []
    for number, item in enumerate(deployed):
        held = is_held(item, point.thresholds)
        right, wrong = item.image[held & item.hit], item.image[held & ~item.hit]
        entries += [(right, number, 1.0), (wrong, classes + number, 1.0), (item.truths, 2 * classes + number, 1.0)]
        errors += np.bincount(wrong, minlength=images) + np.bincount(item.truths, minlength=images)
        errors -= np.bincount(right, minlength=images)
        objects += np.bincount(item.truths, minlength=images)
        alarms += np.bincount(wrong, minlength=images)
        place = 3 * classes + _bin_of(item.score[held])
        entries += [
            (item.image[held], place, 1.0),
            (item.image[held], place + _BINS, item.score[held]),
            (right, place[item.hit[held]] + 2 * _BINS, 1.0),
        ]
    last, every = 3 * (classes + _BINS), np.arange(images)
    entries += [
        (every, last + _IMAGES, 1.0),
        (every[errors == 0], last + _FREE, 1.0),
        (every[objects == 0], last + _BACKGROUND, 1.0),
        (every[objects == 0], last + _THERE, alarms[objects == 0].astype(np.float64)),
    ]
    images_of = np.concatenate([image for image, _, _ in entries])
    columns_of = np.concatenate([np.broadcast_to(column, image.shape) for image, column, _ in entries])
    values = np.concatenate([np.broadcast_to(value, image.shape) for image, _, value in entries])
    shown = [index for index, item in enumerate(deployed) if len(item.truths) or is_held(item, point.thresholds).any()]
    per_hour = None if point.fps is None else point.fps * 3600
    names = [name for name in _ON_IMAGES if name != PER_HOUR or per_hour is not None]
    empty = int((objects == 0).sum())
    units = {"fppi_background": images / empty if empty else 1.0, PER_HOUR: per_hour or 1.0}
    overall = [dataclasses.replace(_named(name), unit=units.get(name, 1.0)) for name in names]
    metrics = [*overall, *(_of_class(name, deployed[index]) for index in shown for name in BY_CLASS)]
    reduce = _Reduce(classes, tuple(shown), per_hour)
    return Counted.of(seen, metrics, reduce, columns=last + 4, entries=(images_of, columns_of, values))


def _named(metric: str) -> Named:
    kind: Literal["share", "rate", "other"] = "rate" if metric in UNBOUNDED else "share"
    if metric in ("F1", "D-ECE"):
        kind = "other"
    return Named(metric, _REASONS.get(metric, "there is no image"), metric not in LOWER_IS_BETTER, kind=kind)


def _of_class(metric: str, found: PointMatches) -> Named:
    """A metric of one class; of one with few objects there is too little for an interval, or to compare cells by."""
    named = dataclasses.replace(_named(metric), name=f"{metric}/{found.category}", of_class=True)
    common = len(found.truths) >= LEAST_OBJECTS
    return dataclasses.replace(named, compared=common, enough=common)


def _bin_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which tenth of 0 to 1 each score is in; 1 belongs to the last."""
    return np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)


def moved(point: OperatingPoint, found: Sequence[PointMatches], images: int, *, curve_of: bool = False) -> Moved:
    """How the scores of a cell lie beside the thresholds that it is held at: these times a factor would give another
    point; `curve_of` asks for what many others would give."""
    deployed = [(item, point.thresholds.of(item.category)) for item in found]
    mine = [(item, threshold) for item, threshold in deployed if threshold is not None]
    nothing = np.zeros(0)
    score = np.concatenate([nothing, *(item.score for item, _ in mine)])
    hit = np.concatenate([nothing.astype(bool), *(item.hit for item, _ in mine)])
    single = point.thresholds.single
    scale = [np.full(len(item.score), 1.0 if single is not None else max(value, 1e-6)) for item, value in mine]
    curve = Curve.of(
        score / np.concatenate([np.ones(0), *scale]),
        hit,
        objects=sum(len(item.truths) for item, _ in mine),
        images=images,
    )
    recall, precision = point.clean.get("recall"), point.clean.get("precision")
    return Moved(
        ceiling=float(score.max()) if len(score) else None,
        best_f1=_at(curve, curve.best_f1() if curve.objects else None, single),
        restores_recall=_at(curve, None if recall is None else curve.of_recall(recall), single),
        restores_precision=_at(curve, None if precision is None else curve.of_precision(precision), single),
        reliability=_reliability(score, hit),
        curve=_sampled(curve, single) if curve_of else (),
    )


def _sampled(curve: Curve, single: float | None) -> tuple[AtThreshold, ...]:
    """What every fortieth part of the scores' range gives, from 0 on; factors where classes have thresholds of their
    own, as far as these keep anything."""
    top = float(curve.score[1]) if len(curve.score) > 1 else 0.0
    found = []
    for part in range(_SAMPLES):
        value = top * part / _SAMPLES
        at = _at(curve, curve.at(max(value, np.finfo(np.float64).tiny)), single)
        if at is not None:
            found.append(
                dataclasses.replace(
                    at, factor=value / max(single or 1.0, 1e-6), threshold=None if single is None else value
                )
            )
    return tuple(found)


def _at(curve: Curve, step: int | None, single: float | None) -> AtThreshold | None:
    if not step:
        return None  # nothing is kept there
    value = curve.threshold(step)

    def known(values: NDArray[np.float64]) -> float | None:
        return float(values[step]) if np.isfinite(values[step]) else None

    return AtThreshold(
        factor=value if single is None else value / max(single, 1e-6),
        threshold=None if single is None else value,
        precision=known(curve.precision),
        recall=known(curve.recall),
        f1=known(curve.f1),
        fppi=float(curve.alarms[step] / curve.images),
    )


def _reliability(score: NDArray[np.float64], hit: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    place = _bin_of(score)
    count = np.bincount(place, minlength=_BINS)
    scores, hits = np.bincount(place, score, minlength=_BINS), np.bincount(place, hit, minlength=_BINS)
    rows = zip(count.tolist(), scores.tolist(), hits.tolist(), strict=True)
    return tuple(ReliabilityBin(many, total / many, right / many) for many, total, right in rows if many)
