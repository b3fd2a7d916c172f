"""How far two sets of pictures are apart by the distributions of their traits, and at which severity they are
nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearest", "distances", "nearest_severity", "scale_of"]

_RESAMPLES = 200
_TAIL = 0.025
_EVEN = np.linspace(0.01, 0.99, 50)
"""Quantiles at which distributions are compared."""


@dataclass(frozen=True)
class Nearest:
    """The severity at which a scenario makes clean pictures most like real ones (0: untouched ones are), its 95 %
    interval, the distance there, and of untouched pictures."""

    severity: float
    interval: tuple[float, float]
    distance: float
    untouched: float


def scale_of(*sets: NDArray[np.float64]) -> NDArray[np.float64]:
    """By what each trait (T,) is measured: its deviation within the sets (N, T), root mean square over them, so that
    what pictures of one kind differ by counts as one."""
    spread = np.sqrt(np.mean([found.var(axis=0) for found in sets], axis=0))
    return np.asarray(np.maximum(spread, 1e-6))


def distances(
    first: NDArray[np.float64], second: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The distance of each trait (T,) of two sets (N, T) and (M, T): Wasserstein's of order 1, between their quantiles,
    in units of `scale`.

    Source: Villani 2009, Optimal Transport, 6 (in one dimension it is the area between the quantile functions).
    """
    apart = np.abs(np.quantile(first, _EVEN, axis=0) - np.quantile(second, _EVEN, axis=0)).mean(axis=0)
    return np.asarray(apart / scale)


def nearest_severity(
    by_severity: Mapping[float, NDArray[np.float64]],
    real: NDArray[np.float64],
    scale: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
    *,
    seed: int = 0,
) -> Nearest:
    """The severity whose traits (N, T) of the clean pictures are nearest to those of `real` (M, T).

    The distance of two sets is the root mean square over groups of the mean distance of a group's traits, so that each
    group counts alike. Between severities it is a parabola through the least value and its neighbours. The interval is
    of resamples of both sets of pictures, the clean ones alike at every severity.
    """
    order = sorted(by_severity)
    every = np.stack([by_severity[severity] for severity in order])
    known = np.array(order, dtype=np.float64)

    def apart(mine: NDArray[np.signedinteger[Any]], theirs: NDArray[np.signedinteger[Any]]) -> NDArray[np.float64]:
        told = [distances(traits[mine], real[theirs], scale) for traits in every]
        return np.array([_over_groups(found, groups) for found in told])

    whole = apart(np.arange(every.shape[1]), np.arange(len(real)))
    rng = np.random.default_rng([20261128, seed])
    found = []
    for _ in range(_RESAMPLES):
        drawn = (np.asarray(rng.integers(count, size=count)) for count in (every.shape[1], len(real)))
        found.append(_least(known, apart(*drawn)))
    low, high = np.quantile(found, [_TAIL, 1 - _TAIL])
    return Nearest(_least(known, whole), (float(low), float(high)), float(whole.min()), float(whole[0]))


def _over_groups(found: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> float:
    return float(np.sqrt(np.mean([found[list(group)].mean() ** 2 for group in groups])))


def _least(known: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Where a parabola through the least value and its neighbours is least; at an end, the end."""
    index = int(values.argmin())
    if index in (0, len(known) - 1):
        return float(known[index])
    x, y = known[index - 1 : index + 2], values[index - 1 : index + 2]
    second, first, _ = np.polyfit(x - x[1], y, 2)
    return float(np.clip(x[1] - first / (2 * second), x[0], x[2])) if second > 0 else float(x[1])
