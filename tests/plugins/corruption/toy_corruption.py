"""A corruption of its own: dark stripes, as blinds throw them."""

from __future__ import annotations

import numpy as np


def stripes(image, *, rng, width):
    """Darken every second stripe of `width` pixels, the first at a random row."""
    rows = (int(rng.integers(0, 64)) + np.arange(image.shape[0])) // int(width) % 2 == 1
    striped = image.copy()
    striped[rows] //= 4
    return striped
