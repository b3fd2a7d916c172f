"""Many cells compared with one, so that none is called better by chance: simultaneous intervals of paired
differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import LEAST_BLOCKS
from auditor.evaluate.evaluated import CellEvaluation
from auditor.values import DECLARED, WORTH, MetricValue

__all__ = [
    "FAMILY_ERROR",
    "compare_with_declared",
    "error_of_look",
    "is_hopeless",
    "may_be_worth",
    "simultaneous",
    "undecided",
]

FAMILY_ERROR = 0.05
"""The chance that any of a model's comparisons calls an input better that is not, over all looks."""

_EARLY = 0.2
"""The share of the family's error that all looks but the last have together: most is kept for the whole set."""
_CLEARLY_WORSE = -2.0
_HOPELESS = 2.0
_LEAST_C = 1.96
"""No interval is narrower than that of one comparison alone at 95 %."""
_LEAST_IMAGES = 10
"""On fewer images resampling knows too little of what other images would show."""


def simultaneous(
    differences: NDArray[np.float64], samples: NDArray[np.float64], *, error: float
) -> NDArray[np.float64]:
    """Intervals (K, 2) of K differences that all hold at once with probability 1 - `error`, on the side that matters.

    `samples` (R, K) are the differences on R resamples. The intervals are difference ± c × its standard error, c being
    the 1 - `error` quantile of the largest studentized deviation over the comparisons; those clearly worse (below -2
    standard errors) cannot be called better by chance and are left out of that maximum.
    Source: Romano and Wolf 2005, https://doi.org/10.1198/016214504000000539; the last step is Hansen's 2005,
    https://doi.org/10.1198/073500105000000063.
    """
    spread = samples.std(axis=0)
    safe = np.where(spread > 0, spread, 1.0)
    near = (spread > 0) & (differences / safe > _CLEARLY_WORSE)
    deviations = (samples[:, near] - differences[near]) / safe[near]
    c = max(_LEAST_C, float(np.quantile(deviations.max(axis=1), 1 - error))) if near.any() else _LEAST_C
    return np.stack([differences - c * spread, differences + c * spread], axis=1)


def error_of_look(look: int, looks: int) -> float:
    """The error that look number `look` of `looks` may have: together `FAMILY_ERROR`, most of it in the last."""
    if looks == 1:
        return FAMILY_ERROR
    return FAMILY_ERROR * (1 - _EARLY) if look == looks else FAMILY_ERROR * _EARLY / (looks - 1)


def compare_with_declared(
    declared: CellEvaluation, others: Sequence[CellEvaluation], *, error: float
) -> list[MetricValue]:
    """The difference of each of `others` from `declared`, with simultaneous intervals; both of the same images."""
    first = declared.result.primary
    if first is None:
        raise ValueError(f"expected a declared cell with a primary metric but got {declared.result}")
    name = f"{first.name}_minus_{DECLARED}"
    values: list[MetricValue | None] = [None] * len(others)
    usable = []
    for index, other in enumerate(others):
        mine = other.result.primary
        if first.value is None or mine is None or mine.value is None:
            values[index] = MetricValue(
                name, None, reason=(mine and mine.reason) or first.reason or other.result.error or "not measured"
            )
        elif other.result.images < _LEAST_IMAGES or _is_one_scene(other):
            values[index] = MetricValue(name, mine.value - first.value, images=other.result.images)
        elif _are_paired(other, declared):
            usable.append(index)
        else:
            values[index] = MetricValue(name, mine.value - first.value, images=other.result.images)
    if usable:
        differences = np.array([(others[index].result.value or 0.0) - (first.value or 0.0) for index in usable])
        samples = np.stack([others[index].primary_samples - declared.primary_samples for index in usable], axis=1)
        for index, value, (low, high) in zip(
            usable, differences, simultaneous(differences, samples, error=error), strict=True
        ):
            values[index] = MetricValue(
                name, float(value), interval=(float(low), float(high)), images=others[index].result.images
            )
    return [value for value in values if value is not None]


def _is_one_scene(found: CellEvaluation) -> bool:
    """Whether what was seen are so few seconds of a clip that they tell nothing of others."""
    return found.result.blocks is not None and found.result.blocks < LEAST_BLOCKS


def _are_paired(first: CellEvaluation, second: CellEvaluation) -> bool:
    mine, theirs = first.primary_samples, second.primary_samples
    return mine.shape == theirs.shape and bool(np.isfinite(mine - theirs).all())


def is_hopeless(declared: CellEvaluation, other: CellEvaluation) -> bool:
    """Whether a few images show that another is not worth having: its difference and two of its standard errors are
    below what would be, or of a few seconds of a clip the difference alone. What differs on none of them may differ on
    others. Giving up too early makes no false alarm."""
    mine, theirs = declared.result.value, other.result.value
    if mine is None or theirs is None or not _are_paired(other, declared):
        return False
    if _is_one_scene(other):
        return theirs - mine < WORTH
    spread = float((other.primary_samples - declared.primary_samples).std())
    return spread > 0 and theirs - mine + _HOPELESS * spread < WORTH


def may_be_worth(value: MetricValue) -> bool:
    """Whether a difference can still be worth having, as its interval says."""
    return value.value is not None and (value.interval is None or value.interval[1] >= WORTH)


def undecided(values: Sequence[MetricValue]) -> bool:
    """Whether any difference would be worth having but may be chance."""
    return any(
        value.value is not None and value.value >= WORTH and (value.interval is None or value.interval[0] <= 0)
        for value in values
    )
