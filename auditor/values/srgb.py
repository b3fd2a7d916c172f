"""The curve of sRGB between values of pixels and linear light. Source: IEC 61966-2-1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["linear_of", "srgb_of"]


def linear_of(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in [0, 1] as linear light, white at 1.

    >>> linear_of(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.214, 1.0]
    """
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb_of(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light in [0, 1] as sRGB.

    >>> srgb_of(np.array([0.0, 0.214, 1.0])).round(3).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-12) ** (1 / 2.4) - 0.055)
