"""Corruptions of our own, where albumentations has none with a physical knob, or a slow one.

Each takes an (H, W, 3) uint8 RGB image, leaves it untouched and returns a new one of the same shape and type. `rng` is
the image's own generator: the same for every severity, so that severities of one image differ in strength alone. What a
knob physically can be is written in its type, and asked of every value before a corruption runs.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Protocol

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from auditor.corruptions.over_time import each_frame
from auditor.values.srgb import linear_of, srgb_of

__all__ = [
    "QUANTILES",
    "Corruption",
    "Factor",
    "Kelvin",
    "NotNegative",
    "Positive",
    "Share",
    "Stops",
    "color_temperature",
    "contrast",
    "defocus",
    "downscale",
    "exposure",
    "gaussian_noise",
    "image_of_light",
    "light_of",
    "motion_blur",
    "pixelate",
    "planckian_gains",
    "poisson_quantiles",
    "row_banding",
    "shot_noise",
    "uneven_light",
]

Image = NDArray[np.uint8]

NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
Factor = Annotated[float, Ge(1)]
Stops = Annotated[float, Ge(-12), Le(12)]
"""Factors of two of light; twelve are all that 8 bits of sRGB can tell apart."""
Kelvin = Annotated[float, Ge(1667), Le(25000)]
"""What the approximation of the Planckian locus holds for."""


class Corruption(Protocol):
    """The extension point `auditor.corruptions`, and what a pack's `function:` names (that gets `severity` alone)."""

    def __call__(self, image: Image, *, rng: np.random.Generator, **knobs: float) -> Image: ...


_LINEAR = linear_of(np.arange(256) / 255)
"""Linear light of each 8-bit level."""


def light_of(image: Image) -> NDArray[np.float32]:
    """An image as linear light, white at 1."""
    return np.asarray(cv2.LUT(image, _LINEAR.astype(np.float32)))


def image_of_light(light: NDArray[np.float32]) -> Image:
    """Linear light as an image; what is above white clips, as a sensor's does."""
    steps = np.clip(light, 0, 1) * np.float32(4095) + np.float32(0.5)
    return np.asarray(_srgb_table()[steps.astype(np.uint16)])


def _levels(srgb: NDArray[np.floating[Any]]) -> Image:
    return np.asarray(np.clip(np.rint(srgb * 255), 0, 255), dtype=np.uint8)


def exposure(image: Image, *, rng: np.random.Generator, stops: Stops) -> Image:
    """Multiply linear light by 2^stops; what exceeds the sensor's range clips."""
    table = _levels(srgb_of(np.clip(_LINEAR * 2.0**stops, 0, 1)))
    return np.asarray(cv2.LUT(image, table))


def contrast(image: Image, *, rng: np.random.Generator, factor: NotNegative) -> Image:
    """Scale the distance of every pixel from the image's mean level by `factor`."""
    mean = float(image.mean())
    table = np.clip(np.rint((np.arange(256) - mean) * factor + mean), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table))


def color_temperature(image: Image, *, rng: np.random.Generator, kelvin: Kelvin) -> Image:
    """Light a scene, white-balanced for 6500 K, with a black body of `kelvin`; the green channel keeps its level.

    Source: Kim et al. 2002, "Design of advanced color temperature control system for HDTV applications" (the cubic
    approximation of the Planckian locus, 1667 K to 25000 K); IEC 61966-2-1 (the matrix from XYZ to linear sRGB).
    """
    table = _levels(srgb_of(np.clip(_LINEAR[:, np.newaxis] * planckian_gains(kelvin), 0, 1)))
    return np.asarray(cv2.LUT(image, table[np.newaxis]))


def planckian_gains(kelvin: float) -> NDArray[np.float64]:
    """By how much red, green and blue of a black body of `kelvin` differ from daylight of 6500 K, green at 1: (3,)."""
    gains = _planckian_rgb(kelvin) / _planckian_rgb(6500.0)
    return np.asarray(gains / gains[1])


def _planckian_rgb(kelvin: float) -> NDArray[np.float64]:
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    matrix = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    return np.asarray(np.maximum(matrix @ xyz, 1e-3))


def uneven_light(image: Image, *, rng: np.random.Generator, stops: NotNegative) -> Image:
    """Let linear light fall off by `stops` from one side of the image to the other, the side drawn once per image."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(np.cos(angle))
    down = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(np.sin(angle))
    reach = np.abs(np.cos(angle)) + np.abs(np.sin(angle))
    position = ((across[np.newaxis] + down[:, np.newaxis]) / np.float32(reach) + 1) / 2
    gain = np.exp2(-np.float32(stops) * position)
    return image_of_light(light_of(image) * gain[..., np.newaxis])


@functools.cache
def _srgb_table() -> Image:
    """The 8-bit level of each of 4096 steps of linear light."""
    return _levels(srgb_of(np.arange(4096) / 4095))


def downscale(image: Image, *, rng: np.random.Generator, factor: Factor) -> Image:
    """Reduce the image by `factor` with area averaging and enlarge it again bilinearly: detail is lost, size is
    kept."""
    return _reduced(image, factor, cv2.INTER_LINEAR)


def pixelate(image: Image, *, rng: np.random.Generator, block: Factor) -> Image:
    """Replace blocks of `block` × `block` pixels by their mean."""
    return _reduced(image, block, cv2.INTER_NEAREST)


def _reduced(image: Image, factor: float, back: int) -> Image:
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=back), dtype=np.uint8)


def defocus(image: Image, *, rng: np.random.Generator, radius: NotNegative) -> Image:
    """Blur with a disk of `radius` pixels, the point spread of a lens out of focus."""
    reach = int(np.ceil(radius)) + 1
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(radius + 0.5 - np.hypot(xs, ys), 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(image, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def motion_blur(image: Image, *, rng: np.random.Generator, length: NotNegative) -> Image:
    """Blur along a line of `length` pixels, in a direction drawn once per image."""
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along = np.abs(xs * np.cos(angle) + ys * np.sin(angle))
    aside = np.abs(-xs * np.sin(angle) + ys * np.cos(angle))
    line = (np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - aside, 0, 1)).astype(np.float32)
    return np.asarray(cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


@each_frame
def gaussian_noise(image: Image, *, rng: np.random.Generator, sigma: NotNegative) -> Image:
    """Add white noise of `sigma` 8-bit levels to every channel; the same field at every severity of one image."""
    # OpenCV draws four times as fast as numpy; its generator is seeded at every call, so no state is carried over.
    noise = np.empty(image.shape, dtype=np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, np.zeros(3), np.full(3, float(sigma)))
    return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), dtype=np.uint8)


@each_frame
def shot_noise(image: Image, *, rng: np.random.Generator, photons: Positive) -> Image:
    """Count photons: each value is a Poisson draw around its linear light × `photons` (the count at full white).

    One uniform field per image picks the quantile, whatever the severity; tables of quantiles make it fast.
    """
    quantile = rng.integers(0, QUANTILES, size=image.shape, dtype=np.uint16)
    return np.asarray(_shot_table(float(photons))[image, quantile])


QUANTILES = 4096
"""Steps of probability that draws are made in."""


@functools.lru_cache(maxsize=16)
def _shot_table(photons: float) -> Image:
    """(256, 4096): the noisy 8-bit level of each level at each quantile of its Poisson distribution."""
    drawn = poisson_quantiles(_LINEAR * photons, QUANTILES)
    return np.stack([_levels(srgb_of(np.clip(counts / photons, 0, 1))) for counts in drawn])


def poisson_quantiles(means: NDArray[np.float64], steps: int) -> NDArray[np.int64]:
    """The counts of Poisson distributions of M `means` at the middles of so many equal steps of probability:
    (M, steps)."""
    quantiles = (np.arange(steps) + 0.5) / steps
    most = float(means.max())
    counts = np.arange(int(most + 12 * np.sqrt(most) + 30) + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    found = np.empty((len(means), steps), dtype=np.int64)
    for row, mean in enumerate(means.tolist()):
        chances = np.exp(counts * np.log(mean) - mean - log_factorial) if mean > 0 else (counts == 0).astype(np.float64)
        found[row] = np.searchsorted(np.cumsum(chances), quantiles)
    return found


@each_frame
def row_banding(image: Image, *, rng: np.random.Generator, amplitude: NotNegative) -> Image:
    """Shift each row by its own offset, normal with a deviation of `amplitude` 8-bit levels: a sensor's readout
    noise."""
    offsets = rng.normal(0, 1, size=(image.shape[0], 1, 1)).astype(np.float32) * np.float32(amplitude)
    field = np.broadcast_to(offsets, image.shape)
    return np.asarray(cv2.add(image, np.ascontiguousarray(field), dtype=cv2.CV_8U), dtype=np.uint8)
