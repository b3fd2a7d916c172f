"""What a picture looks like, in numbers that do not hang on what is on it: brightness, noise, sharpness, colour,
blocks."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "TRAITS", "traits_of"]

Image = NDArray[np.uint8]

GROUPS = {
    "brightness": ("level", "darkest", "brightest", "contrast"),
    "noise": ("noise_dark", "noise_middle", "noise_bright"),
    "sharpness": ("detail", "fall_off"),
    "colour": ("saturation", "red_green", "blue_yellow"),
    "blocks": ("blockiness",),
}
"""Traits by what they are of."""
TRAITS = tuple(name for names in GROUPS.values() for name in names)

_LEVELS = ((0, 60), (60, 150), (150, 256))
"""Luma of dark, middle and bright parts."""
_LEAST = 200
"""So many pixels of a part tell its noise; of fewer, the whole picture's is taken."""
_BLOCK = 8


def traits_of(image: Image) -> NDArray[np.float64]:
    """The traits (T,) of an (H, W, 3) uint8 RGB image, in the order of `TRAITS`.

    - level, darkest, brightest, contrast: mean, 5th and 95th percentile and deviation of the luma, as shares of white -
    noise_…: the logarithm of the noise's deviation where the picture is dark, middle and bright, by Immerkær's operator
    - detail: the logarithm of the deviation of the Laplacian behind a median filter, which noise hardly passes;
    fall_off: how
      much less the gradients are at half the size, which a blur makes less of
    - saturation, red_green, blue_yellow: mean chroma, and mean a and b of CIE L*a*b*, over 100
    - blockiness: the logarithm of how much larger steps are between blocks of 8 than within

    Sources: Immerkær 1996, https://doi.org/10.1006/cviu.1996.0060 (noise); Pech-Pacheco et al. 2000,
    https://doi.org/10.1109/ICPR.2000.903548 (variance of the Laplacian); Crete et al. 2007,
    https://doi.org/10.1117/12.702790 (what a second blur changes); Wang, Bovik and Evans 2000,
    https://doi.org/10.1109/ICIP.2000.899622 (blocks).
    """
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    low, high = np.percentile(luma, [5, 95]) / 255
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)[..., 1:] - 128
    a, b = float(lab[..., 0].mean()), float(lab[..., 1].mean())
    values = [
        float(luma.mean()) / 255,
        float(low),
        float(high),
        float(luma.std()) / 255,
        *_noise(luma),
        *_sharpness(luma),
        float(np.hypot(lab[..., 0], lab[..., 1]).mean()) / 100,
        a / 100,
        b / 100,
        _blockiness(luma),
    ]
    return np.array(values, dtype=np.float64)


def _noise(luma: Image) -> list[float]:
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    found = np.abs(np.asarray(cv2.filter2D(luma, cv2.CV_32F, kernel)))
    smooth: Any = cv2.blur(luma, (5, 5))
    flat = _flat(luma)
    whole = _deviation(found[flat] if flat.sum() >= _LEAST else found)
    told = []
    for low, high in _LEVELS:
        mine = flat & (smooth >= low) & (smooth < high)
        told.append(math.log(0.3 + (_deviation(found[mine]) if mine.sum() >= _LEAST else whole)))
    return told


def _flat(luma: Image) -> NDArray[np.bool_]:
    """The half of the pixels beside which least happens: what differs there is noise rather than an edge."""
    rough = cv2.GaussianBlur(luma, (0, 0), 2.0)
    bent, mixed = cv2.Laplacian(rough, cv2.CV_32F), cv2.Sobel(rough, cv2.CV_32F, 1, 1)
    edges = np.abs(np.asarray(bent)) + np.abs(np.asarray(mixed))
    return np.asarray(edges <= np.median(edges))


def _deviation(found: NDArray[np.float32]) -> float:
    """Immerkær's: the mean absolute answer of the operator, whose weights have a norm of 6."""
    return math.sqrt(math.pi / 2) / 6 * float(found.mean()) if found.size else 0.0


def _sharpness(luma: Image) -> list[float]:
    quiet = cv2.medianBlur(luma, 3)
    detail = float(np.asarray(cv2.Laplacian(quiet, cv2.CV_32F)).std())
    height, width = luma.shape
    small = cv2.resize(quiet, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    steep, steep_small = (
        float(np.abs(np.asarray(cv2.Sobel(of, cv2.CV_32F, 1, 0))).mean())
        + float(np.abs(np.asarray(cv2.Sobel(of, cv2.CV_32F, 0, 1))).mean())
        for of in (quiet, small)
    )
    return [math.log(0.5 + detail), math.log((steep + 0.5) / (steep_small + 0.5))]


def _blockiness(luma: Image) -> float:
    values = luma.astype(np.float32)
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(values, axis=axis)).mean(axis=1 - axis)
        at = np.arange(1, len(steps) + 1) % _BLOCK == 0
        if at.any() and not at.all():
            ratios.append((float(steps[at].mean()) + 0.2) / (float(steps[~at].mean()) + 0.2))
    return math.log(float(np.mean(ratios))) if ratios else 0.0
