"""A threshold that is chosen on some images and holds on others with a stated probability: Learn then Test.

Source: Angelopoulos et al. 2021, arXiv:2110.01052, with fixed-sequence testing: thresholds are tested from the lowest
on, which finds most, until one fails; the last that did not fail has the recall that is asked for, with the confidence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["design_effect", "images_that_suffice", "p_of_misses"]

_MOST_IMAGES = 10_000_000


def p_of_misses(misses: float, objects: float, rate: float) -> float:
    """The exact binomial p-value of a miss rate of at least `rate`, where so many of the objects are missed: the chance
    of as few misses or fewer.

    >>> round(p_of_misses(2, 60, 0.1), 4)
    0.053
    """
    from scipy.special import betainc

    if objects <= misses:
        return 1.0
    return float(betainc(objects - misses, misses + 1, 1 - rate))


def design_effect(misses: NDArray[np.float64], objects: NDArray[np.float64]) -> float:
    """By how much more a miss rate varies than of as many independent objects, since those of one image are missed
    together: from the misses and objects of each image, at least 1. So many times fewer objects count as independent.

    Source: Kish 1965, Survey Sampling, of a ratio of cluster totals.
    """
    total, images = float(objects.sum()), int((objects > 0).sum())
    rate = float(misses.sum()) / total if total else 0.0
    if images < 2 or not 0 < rate < 1:
        return 1.0
    residual = misses - rate * objects
    variance = images / (images - 1) * float((residual**2).sum()) / total**2
    return max(1.0, variance / (rate * (1 - rate) / total))


def images_that_suffice(misses: float, objects: float, rate: float, error: float, images: int) -> int | None:
    """About how many images would show a miss rate below `rate` with this error, if misses stayed as frequent as they
    are; None where no number would."""
    if not objects or misses / objects >= rate:
        return None
    low, high = 1.0, 2.0
    while p_of_misses(misses * high, objects * high, rate) > error:
        low, high = high, high * 2
        if high * images > _MOST_IMAGES:
            return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if p_of_misses(misses * middle, objects * middle, rate) > error else (low, middle)
    return math.ceil(high * images)
