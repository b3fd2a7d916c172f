"""Intervals by resampling images. The same weights serve every cell of a data set, so that differences of two are
paired.

Source: Efron 1979, https://doi.org/10.1214/aos/1176344552 (the percentile bootstrap).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "draw_weights", "interval"]

RESAMPLES = 1000

_COVERAGE = 0.95
_AT_ONCE = 50


def draw_weights(images: int, *, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int16]:
    """Draw resamples of `images` images with replacement: (resamples, images), how often each stands in each.

    >>> draw_weights(5, seed=1, resamples=3).sum(axis=1).tolist()
    [5, 5, 5]
    """
    rng = np.random.default_rng([20260101, seed])
    drawn = np.empty((resamples, images), dtype=np.int16)
    for start in range(0, resamples, _AT_ONCE):
        part = drawn[start : start + _AT_ONCE]
        part[:] = rng.multinomial(images, np.full(images, 1 / images), size=len(part))
    return drawn


def interval(samples: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % percentile interval of resampled values; None where some are undefined."""
    if samples.size == 0 or not np.isfinite(samples).all():
        return None
    tail = (1 - _COVERAGE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)
