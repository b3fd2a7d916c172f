"""A threshold whose recall holds on other images too, with the confidence that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.guarantee import design_effect, images_that_suffice, p_of_misses
from auditor.tasks.detection.point_matches import Curve, PointMatches

__all__ = ["sure_recall"]

_STEPS = 400
"""So many thresholds are tried at most."""


def sure_recall(
    found: Sequence[PointMatches], *, images: int, recall: float, confidence: float
) -> tuple[float, bool, int | None]:
    """The highest threshold at which all classes together have at least this recall on other images of the kind with
    this confidence; where these images show none, the lowest, and about how many images would."""
    curve = Curve.over(found, images=images)
    steps = np.unique(np.linspace(1, len(curve.score) - 1, _STEPS).astype(np.int64))[::-1]
    objects = np.concatenate([np.zeros(0, np.int64), *(item.truths for item in found)])
    scores = np.concatenate([np.zeros(0), *(item.found for item in found)])
    each = np.bincount(objects, minlength=images).astype(np.float64)
    best, first = None, (0.0, 0.0)
    for step in steps.tolist() if len(objects) else ():
        missed = np.bincount(objects[~(scores >= curve.score[step])], minlength=images).astype(np.float64)
        misses, independent = _independent(missed, each)
        first = first if first[1] else (misses, independent)
        if p_of_misses(misses, independent, 1 - recall) > 1 - confidence:
            break
        best = step
    if best is None:
        enough = images_that_suffice(*first, 1 - recall, 1 - confidence, images)
        return curve.threshold(len(curve.score) - 1), False, enough
    return curve.threshold(best), True, None


def _independent(missed: NDArray[np.float64], objects: NDArray[np.float64]) -> tuple[float, float]:
    """Misses and objects, as many as would vary alike if they were independent."""
    effect = design_effect(missed, objects)
    return float(missed.sum()) / effect, float(objects.sum()) / effect
