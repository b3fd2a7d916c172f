"""How like two images are: PSNR and SSIM."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["psnr", "ssim"]

Image = NDArray[np.uint8]


def psnr(first: Image, second: Image) -> float | None:
    """Peak signal-to-noise ratio in dB of two 8-bit images; None where they are equal."""
    return None if np.array_equal(first, second) else float(cv2.PSNR(first, second))


def ssim(first: Image, second: Image) -> float:
    """Mean structural similarity of the luma of two RGB images, with an 11-pixel Gaussian window of deviation 1.5.

    Source: Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861 (K1 = 0.01, K2 = 0.03, L = 255).
    """
    x, y = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )
    return float(similarity.mean())
