"""The mean of all images from those that were seen, valid however often one looks: a confidence sequence by betting.

Source: Waudby-Smith and Ramdas 2023, https://doi.org/10.1093/jrsssb/qkad009, the hedged capital process, sampling
without replacement; bets by the predictable plug-in of empirical Bernstein.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["drop_of_all", "mean_of_all"]

_GRID = 1000
_CUT = 0.5
"""No bet is more than this share of the largest that cannot lose all."""


def mean_of_all(seen: NDArray[np.float64], *, of: int, error: float) -> tuple[float, float]:
    """The interval that the mean of `of` values in [0, 1] lies in with probability 1 - `error`, after those `seen` (n,)
    in random order, whenever one stops: the intersection over all that were seen so far.

    >>> mean_of_all(np.ones(40), of=40, error=0.05)
    (1.0, 1.0)
    """
    count = len(seen)
    if count > of or (count and not (seen.min() >= 0 and seen.max() <= 1)):
        raise ValueError(f"expected at most {of} values from 0 to 1 but got {count}")
    if not count:
        return 0.0, 1.0
    means = np.linspace(0.0, 1.0, _GRID + 1)[:, np.newaxis]
    before = np.concatenate([[0.0], np.cumsum(seen)[:-1]])
    left = of - np.arange(count)
    rest = (of * means - before) / left  # of what is not seen yet, if that is the mean of all
    bets = _bets(seen, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(rest > 0, np.minimum(bets, _CUT / rest), 0.0)
        down = np.where(rest < 1, np.minimum(bets, _CUT / (1 - rest)), 0.0)
    gains = np.cumsum(np.log1p(up * (seen - rest)), axis=1)
    losses = np.cumsum(np.log1p(-down * (seen - rest)), axis=1)
    capital = np.maximum(gains, losses) + math.log(0.5)
    capital[(rest < 0) | (rest > 1)] = np.inf
    possible = np.nonzero(np.maximum.accumulate(capital, axis=1)[:, -1] <= -math.log(error))[0]
    total = float(np.sum(seen))
    least, most = total / of, (total + of - count) / of
    if not len(possible):
        return least, most
    low, high = float(possible[0] - 1) / _GRID, float(possible[-1] + 1) / _GRID
    return max(low, least), min(high, most)


def drop_of_all(
    seen: NDArray[np.float64], others: NDArray[np.float64], *, of: int, error: float
) -> tuple[float, float]:
    """The interval of the difference of two means of `of` values in [0, 1], the images of both in one order: that of
    the mean of the paired differences, however few of these differ so far.

    >>> low, high = drop_of_all(np.ones(40), np.ones(40), of=400, error=0.05)
    >>> low < -0.05 < 0.05 < high
    True
    """
    low, high = mean_of_all((seen - others + 1) / 2, of=of, error=error)
    return 2 * low - 1, 2 * high - 1


def _bets(seen: NDArray[np.float64], error: float) -> NDArray[np.float64]:
    """How much is bet before each value is seen, by the mean and variance of those before it."""
    turn = np.arange(1, len(seen) + 1)
    mean = (0.5 + np.cumsum(seen)) / (turn + 1)
    variance = (0.25 + np.cumsum((seen - mean) ** 2)) / (turn + 1)
    known = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * math.log(1 / error) / (known * turn * np.log1p(turn))))
