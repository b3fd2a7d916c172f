"""Resamples of images. The same weights serve every cell of a data set, so that differences of two are
paired.

Source: Efron 1979, https://doi.org/10.1214/aos/1176344552.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "draw_weights", "drawn_sums"]

RESAMPLES = 1000

_AT_ONCE = 50


def draw_weights(images: int, *, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int8]:
    """Draw resamples of `images` images with replacement: (resamples, images), how often each stands in each.

    >>> draw_weights(5, seed=1, resamples=3).sum(axis=1).tolist()
    [5, 5, 5]
    """
    rng = np.random.default_rng([20260101, seed])
    drawn = np.empty((resamples, images), dtype=np.int8)  # none is drawn a hundred times
    for start in range(0, resamples, _AT_ONCE):
        part = drawn[start : start + _AT_ONCE]
        part[:] = rng.multinomial(images, np.full(images, 1 / images), size=len(part))
    return drawn


def drawn_sums(weights: NDArray[np.integer[Any]], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of (N,) whole numbers over each resample: (R,); some resamples at a time, since a product makes them
    wider."""
    parts = range(0, len(weights), _AT_ONCE)
    return np.concatenate([np.zeros(0, np.int64), *(weights[start : start + _AT_ONCE] @ values for start in parts)])
