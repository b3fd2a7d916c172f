"""Choose the thresholds of an operating point from how the detections of clean images are matched, and measure by how
much choosing on the same images flatters them.

Source of cross-fitting: Stone 1974, https://doi.org/10.1111/j.2517-6161.1974.tb00994.x.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.detection.point_matches import Curve, PointMatches
from auditor.tasks.detection.sure_recall import sure_recall
from auditor.values import OTHERS, OperatingPoint, PointChoice, Thresholds

__all__ = ["LEAST_OBJECTS", "choose", "is_held", "values_at"]

LEAST_OBJECTS = 20
"""A class with fewer true objects has no threshold of its own."""
_FOLDS = 10


def choose(
    choice: PointChoice, found: Sequence[PointMatches], *, images: int, model: str, chosen_on: str, alike: bool = False
) -> OperatingPoint:
    """The operating point that a choice comes to on these images: thresholds by class where a class has at least
    `LEAST_OBJECTS`, one for all others; one for all where false positives per image are the target, which are of all
    classes together, or where a recall must hold with a confidence. Neighbouring images may be `alike`."""
    thresholds, unreached = _thresholds(choice, found, images)
    enough = None
    if choice.thresholds is not None:
        thresholds, unreached = choice.thresholds, ()
    elif choice.confidence is not None:
        recall, confidence = choice.target or 0.0, choice.confidence
        score, holds, enough = sure_recall(found, images=images, recall=recall, confidence=confidence)
        thresholds, unreached = Thresholds(score), () if holds else (OTHERS,)
    clean = values_at(thresholds, found, images)
    optimism = {}
    if choice.thresholds is None and choice.confidence is None:
        fitted = _cross_fitted(choice, found, _folds(images, alike=alike))
        optimism = {
            name: value - other
            for name, value in clean.items()
            if value is not None and (other := fitted[name]) is not None
        }
    return dataclasses.replace(
        OperatingPoint.given(choice, model, chosen_on=chosen_on),
        thresholds=thresholds,
        images=images,
        clean=clean,
        optimism=optimism,
        unreached=unreached,
        reason=None,
        enough=enough,
    )


def is_held(found: PointMatches, thresholds: Thresholds) -> NDArray[np.bool_]:
    """Which detections of a class a deployment keeps: (D,)."""
    threshold = thresholds.of(found.category)
    return np.asarray(found.score >= (np.inf if threshold is None else threshold))


def values_at(thresholds: Thresholds, found: Sequence[PointMatches], images: int) -> dict[str, float | None]:
    """Precision, recall, F1 and false positives per image of all deployed classes together; None where undefined."""
    return _values(*_counts(thresholds, found), images)


def _counts(thresholds: Thresholds, found: Sequence[PointMatches]) -> tuple[int, int, int]:
    """Right detections, false ones and objects of the classes that are deployed."""
    hits = alarms = objects = 0
    for item in found:
        if thresholds.of(item.category) is None:
            continue
        held = is_held(item, thresholds)
        right = int((item.hit & held).sum())
        hits, alarms, objects = hits + right, alarms + int(held.sum()) - right, objects + len(item.truths)
    return hits, alarms, objects


def _values(hits: int, alarms: int, objects: int, images: int) -> dict[str, float | None]:
    def share(above: float, below: float) -> float | None:
        return above / below if below else None

    return {
        "precision": share(hits, hits + alarms),
        "recall": share(hits, objects),
        "F1": share(2 * hits, hits + alarms + objects),
        "fppi": share(alarms, images),
    }


def _thresholds(choice: PointChoice, found: Sequence[PointMatches], images: int) -> tuple[Thresholds, tuple[str, ...]]:
    """The thresholds of a choice, and the classes on which none reaches its target."""
    own = [] if choice.by == "fppi" else [item for item in found if len(item.truths) >= LEAST_OBJECTS]
    rest = [item for item in found if item not in own]
    objects = sum(len(item.truths) for item in rest)
    unreached: list[str] = []
    by_class = {}
    for item in own if rest or len(own) > 1 else ():
        by_class[item.category], reached = _chosen(choice, Curve.over([item], images=images))
        unreached += [] if reached else [item.category]
    others = None
    if rest or len(own) == 1:
        pooled = rest if objects >= LEAST_OBJECTS else found
        others, reached = _chosen(choice, Curve.over(pooled, images=images))
        unreached += [] if reached else [OTHERS]
    return Thresholds(others, by_class), tuple(unreached)


def _chosen(choice: PointChoice, curve: Curve) -> tuple[float, bool]:
    """The threshold of some classes, and whether it reaches its target; one that is never reached is come nearest
    to."""
    target = choice.target or 0.0
    if choice.by == "recall":
        step = curve.of_recall(target)
        return curve.threshold(len(curve.score) - 1 if step is None else step), step is not None
    if choice.by == "precision":
        step = curve.of_precision(target)
        nearest = int(np.argmax(np.nan_to_num(curve.precision, nan=-1.0)))
        return curve.threshold(nearest if step is None else step), step is not None
    if choice.by == "fppi":
        return curve.threshold(curve.of_alarms(target)), True
    return curve.threshold(curve.best_f1()), True


def _folds(images: int, *, alike: bool) -> NDArray[np.int64]:
    """The fold of each image: every tenth one, or, of a clip, a tenth of it in one piece, so that no frame is judged by
    thresholds that its neighbours chose."""
    numbers, folds = np.arange(images), min(_FOLDS, images)
    return numbers * folds // images if alike else numbers % max(1, folds)


def _cross_fitted(
    choice: PointChoice, found: Sequence[PointMatches], folds: NDArray[np.int64]
) -> Mapping[str, float | None]:
    """The values on each fold of the images at thresholds that were chosen on the others, all folds together."""
    images, totals = len(folds), np.zeros(3, dtype=np.int64)
    parts = np.unique(folds)
    for fold in parts if len(parts) > 1 else ():
        mine = folds == fold
        thresholds, _ = _thresholds(choice, [_of_images(item, ~mine) for item in found], images - int(mine.sum()))
        totals += _counts(thresholds, [_of_images(item, mine) for item in found])
    hits, alarms, objects = totals.tolist()
    return _values(hits, alarms, objects, images)


def _of_images(found: PointMatches, mine: NDArray[np.bool_]) -> PointMatches:
    """The detections and objects of some of the images."""
    keep, there = mine[found.image], mine[found.truths]
    number = np.where(there, np.cumsum(there) - 1, -1)
    matched = found.object[keep]
    return dataclasses.replace(
        found,
        image=found.image[keep],
        score=found.score[keep],
        boxes=found.boxes[keep],
        object=np.where(matched >= 0, number[matched], -1) if len(there) else matched,
        truths=found.truths[there],
        objects=found.objects[there],
    )
