"""Resamples of images. The same weights serve every cell of a data set, so that differences of two are
paired.

Sources: Efron 1979, https://doi.org/10.1214/aos/1176344552; of blocks of frames Politis and Romano 1992, A circular
block-resampling procedure for stationary data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "draw_weights", "drawn_sums"]

RESAMPLES = 1000

_AT_ONCE = 50


def draw_weights(images: int, *, seed: int, resamples: int = RESAMPLES, block: int = 1) -> NDArray[np.int8]:
    """Draw resamples of `images` images with replacement: (resamples, images), how often each stands in each. Frames of
    a clip are drawn `block` consecutive ones at a time, its end followed by its start: neighbours are alike, and drawn
    one by one they would vary too little.

    >>> draw_weights(5, seed=1, resamples=3).sum(axis=1).tolist()
    [5, 5, 5]
    >>> draw_weights(6, seed=1, resamples=2, block=4).tolist()
    [[0, 1, 1, 2, 2, 0], [1, 1, 0, 0, 2, 2]]
    """
    rng = np.random.default_rng([20260101, seed])
    if block > 1:
        return _of_blocks(rng, images, resamples, block)
    drawn = np.empty((resamples, images), dtype=np.int8)  # none is drawn a hundred times
    for start in range(0, resamples, _AT_ONCE):
        part = drawn[start : start + _AT_ONCE]
        part[:] = rng.multinomial(images, np.full(images, 1 / images), size=len(part))
    return drawn


def _of_blocks(rng: np.random.Generator, images: int, resamples: int, block: int) -> NDArray[np.int8]:
    """As many blocks as make up all images, the last one shorter."""
    lengths = [block] * (images // block) + [images % block] * (images % block > 0)
    drawn = np.zeros((resamples, images), dtype=np.int8)
    rows = np.arange(resamples)[:, np.newaxis]
    for length in lengths:
        starts = rng.integers(images, size=resamples)
        drawn[rows, (starts[:, np.newaxis] + np.arange(length)) % images] += 1
    return drawn


def drawn_sums(weights: NDArray[np.integer[Any]], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of (N,) whole numbers over each resample: (R,); some resamples at a time, since a product makes them
    wider."""
    parts = range(0, len(weights), _AT_ONCE)
    return np.concatenate([np.zeros(0, np.int64), *(weights[start : start + _AT_ONCE] @ values for start in parts)])
