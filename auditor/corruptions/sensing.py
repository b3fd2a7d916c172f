"""What a sensor does: shot and read noise at a gain, hot and dead pixels, a short range of light, a colour mosaic."""

from __future__ import annotations

import functools
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import (
    QUANTILES,
    Factor,
    Image,
    NotNegative,
    Positive,
    Share,
    image_of_light,
    light_of,
    poisson_quantiles,
)
from auditor.corruptions.over_time import each_frame

__all__ = ["bad_pixels", "gained", "mosaic", "short_range"]


@each_frame
def gained(
    image: Image,
    *,
    rng: np.random.Generator,
    gain: Annotated[float, Ge(0), Le(72)],
    well: Positive = 12000.0,
    read: NotNegative = 2.5,
    colour: bool = True,
    darker: float = 1.0,
) -> Image:
    """A picture of little light that a gain of so many dB made bright: where white fills the `well` (electrons) without
    gain, it is well / 10^(gain / 20) electrons now, a Poisson count, with a read noise of `read` electrons (root mean
    square). What is burnt out stays so, since it may be brighter by any amount. Without `colour` the picture is gray,
    and so is its noise. Where the scene of a clip is `darker` by a factor than its mean, the gain is larger by it, by
    four at most: picture and noise are brighter. Where it is brighter, the gain is the one that is given.

    Source: EMVA Standard 1288, release 4.0 (shot noise is the square root of the electrons, read noise is added). A
    well of 12000 and 2.5 electrons are by us, of the order of small sensors of security cameras.
    """
    electrons = well / 10 ** (gain / 20)
    seen = image if colour else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[..., np.newaxis]
    quantile = rng.integers(0, QUANTILES, size=seen.shape, dtype=np.uint16)
    counted = _counts(round(electrons, 6))[seen, quantile]
    noise = np.empty(seen.shape, dtype=np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, np.zeros(seen.shape[2]), np.full(seen.shape[2], read / electrons))
    found = image_of_light((counted + noise) * np.float32(np.clip(darker, 1, _FOLLOWS)))
    found[seen == 255] = 255
    return found if colour else np.repeat(found, 3, axis=2)


_FOLLOWS = 4.0
"""A gain follows the scene by so large a factor, 12 dB, at most."""


@functools.lru_cache(maxsize=8)
def _counts(electrons: float) -> NDArray[np.float32]:
    """(256, QUANTILES): the light that is counted of each level, white at 1, at each quantile of its distribution."""
    light = light_of(np.arange(256, dtype=np.uint8).reshape(-1, 1)).ravel().astype(np.float64)
    return (poisson_quantiles(light * electrons, QUANTILES) / electrons).astype(np.float32)


def bad_pixels(image: Image, *, rng: np.random.Generator, share: Share) -> Image:
    """So large a share of the sensor's pixels is bad: two of three are hot, brighter by a level that is exponential
    with a mean of 0.6 of white, the others dead (black). Each has one colour of a mosaic, and by the interpolation of
    colours its neighbours get a half of it.

    Source: EMVA Standard 1288, release 4.0 (defect pixels); Bayer 1976, US 3971065 (the mosaic).
    """
    size = image.shape[:2]
    drawn, hot = rng.random(size, dtype=np.float32), rng.random(size, dtype=np.float32) < _HOT
    levels = np.minimum(rng.exponential(0.6, size), 1).astype(np.float32)
    color, bad = _color_of_mosaic(*size), drawn < share
    found = image.astype(np.float32)
    spread = np.array([[0, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 0]], dtype=np.float32)
    for channel in range(3):
        mine = bad & (color == channel)
        dead = np.minimum(np.asarray(cv2.filter2D((mine & ~hot).astype(np.float32), -1, spread)), 1)
        bright = np.asarray(cv2.filter2D(np.where(mine & hot, levels, 0).astype(np.float32), -1, spread))
        found[..., channel] = found[..., channel] * (1 - dead) + bright * 255
    return np.asarray(np.clip(np.rint(found), 0, 255), dtype=np.uint8)


_HOT = 2 / 3


def _color_of_mosaic(height: int, width: int) -> NDArray[np.int64]:
    """(H, W): 0, 1 or 2, the colour of each pixel of a mosaic RG/GB."""
    return np.asarray(np.array([[0, 1], [1, 2]])[np.arange(height)[:, np.newaxis] % 2, np.arange(width) % 2])


def short_range(image: Image, *, rng: np.random.Generator, stops: Annotated[float, Ge(0.5), Le(14)]) -> Image:
    """A sensor that tells no more than so many stops of light apart, around a middle gray of 18 %: what is brighter
    clips to white, what is darker to black.

    Source: ISO 15739:2023 (dynamic range); 18 % is the gray of ISO 2720's light meters.
    """
    top = min(1.0, _MIDDLE * 2 ** (stops / 2))
    bottom = top / 2**stops
    return image_of_light((light_of(image) - np.float32(bottom)) / np.float32(top - bottom))


_MIDDLE = 0.18


def mosaic(image: Image, *, rng: np.random.Generator, factor: Factor) -> Image:
    """A colour mosaic whose pixels are larger than the picture's by a factor, its colours interpolated: false colours
    and zippers along edges.

    Source: Bayer 1976, US 3971065; bilinear interpolation by OpenCV.
    """
    height, width = image.shape[:2]
    size = (max(4, round(width / factor)), max(4, round(height / factor)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    color = _color_of_mosaic(size[1], size[0])
    raw = np.take_along_axis(small, color[..., np.newaxis], axis=2)[..., 0]
    colored = cv2.demosaicing(raw, cv2.COLOR_BayerRGGB2RGB)
    return np.asarray(cv2.resize(colored, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
