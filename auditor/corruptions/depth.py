"""How far what is on each row of a picture is taken to be: level ground below a camera of 60 degrees across."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["away_m", "focal_px"]

_SOFT = 0.08
"""Around the horizon the distance bends over so large a share of the height, so that no edge is seen."""


def focal_px(width: int) -> float:
    """The focal length in pixels."""
    return width / 2 / math.tan(math.radians(30))


def away_m(size: tuple[int, ...], *, height: float, horizon: float, far: float) -> NDArray[np.float32]:
    """(H,): metres to what is on each row, for a camera `height` metres above the ground with the horizon at a share of
    the picture's height (below 0: above the picture), where nothing is farther than `far`."""
    tall, wide = size[:2]
    rows = (np.arange(tall) + 0.5) / tall - horizon
    below = np.logaddexp(0, rows / _SOFT) * _SOFT * tall
    return np.asarray(1 / (1 / far + below / (height * focal_px(wide))), dtype=np.float32)
