"""The light of a scene, before any lens: lamps at night, a low sun, the end of a tunnel, flicker and casts.

Everything is done in linear light (IEC 61966-2-1). Each image draws its own places once, whatever the severity.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import Image, NotNegative, Share, Stops, image_of_light, light_of

__all__ = ["flicker", "headlamps", "infrared", "low_sun", "tint", "tunnel_exit"]

Field = NDArray[np.float32]


def infrared(
    image: Image, *, rng: np.random.Generator, stops: NotNegative, hot: Annotated[float, Ge(0), Le(6)]
) -> Image:
    """Light the scene by the camera's own infra-red lamp: without colour, `hot` stops brighter in the middle of the
    beam, and `stops` darker than that in the corners.

    The three colour filters of a sensor pass 850 nm about alike, so that an image is their mean; what reflects more
    infra-red than light (foliage, many dyes) cannot be known from a picture. The beam is a Gaussian, its middle a
    little beside the picture's. Source: Fredembach and Süsstrunk 2008, Colouring the near-infrared.
    """
    gray = light_of(image).mean(axis=2)
    ys, xs = _places(image)
    middle = rng.uniform(-0.15, 0.15, size=2).astype(np.float32)
    away = (xs - middle[0]) ** 2 + (ys - middle[1]) ** 2
    lit = gray * np.exp2(np.float32(hot) - np.float32(stops) * away / 2)
    return image_of_light(np.repeat(lit[..., np.newaxis], 3, axis=2))


def headlamps(image: Image, *, rng: np.random.Generator, ratio: NotNegative) -> Image:
    """Two headlamps that shine into the lens: each a burnt-out core, and around it stray light that falls with the
    square of the distance; `ratio` is the stray light, as a share of white, a tenth of the picture's width beside a
    lamp.

    Source: CIE 146:2002, CIE Equations for Disability Glare (stray light in proportion to 1 / angle²).
    """
    ys, xs = _places(image)
    middle, height, apart = rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.5), rng.uniform(0.12, 0.3)
    stray = np.zeros(image.shape[:2], dtype=np.float32)
    for side in (-1, 1):
        stray += _stray(xs, ys, (middle + side * apart, height), ratio)
    warm = np.array([1.0, 0.95, 0.85], dtype=np.float32)
    return image_of_light(light_of(image) + stray[..., np.newaxis] * warm)


def low_sun(image: Image, *, rng: np.random.Generator, ratio: NotNegative) -> Image:
    """A low sun in the picture: stray light as of a lamp, a veil over all of the picture, and ghosts of the lens's
    surfaces on the line through its middle; `ratio` as of `headlamps`.

    Source: CIE 146:2002 for the stray light; Hullin et al. 2011, https://doi.org/10.1145/1964921.1965003 for ghosts.
    """
    ys, xs = _places(image)
    sun = (rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.3))
    light = light_of(image) + (_stray(xs, ys, sun, ratio) + np.float32(0.15 * ratio))[..., np.newaxis]
    for along, size in zip(rng.uniform(-1.2, 0.7, size=4), rng.uniform(0.04, 0.12, size=4), strict=True):
        inside = ((xs - along * sun[0]) ** 2 + (ys - along * sun[1]) ** 2 < size**2).astype(np.float32)
        color = rng.uniform(0.3, 1, size=3).astype(np.float32)
        light += np.float32(0.12 * ratio) * inside[..., np.newaxis] * color
    return image_of_light(light)


def _stray(xs: Field, ys: Field, lamp: tuple[float, float], ratio: float) -> Field:
    """Stray light of a lamp: `ratio` at 0.2 of half the width (a tenth of it all), falling with the distance squared;
    within its core as much as makes any sensor white."""
    squared = (xs - np.float32(lamp[0])) ** 2 + (ys - np.float32(lamp[1])) ** 2
    core = np.float32(_CORE**2)
    return np.asarray(np.float32(ratio * _TENTH**2) / np.maximum(squared, core) + (squared < core) * np.float32(2))


_CORE, _TENTH = 0.03, 0.2


def tunnel_exit(image: Image, *, rng: np.random.Generator, stops: Annotated[float, Ge(0), Le(8)]) -> Image:
    """The end of a tunnel: the middle of the picture is so many stops too bright for an exposure that was set for the
    dark around it, and the dark is one stop darker.

    Source: CIE 88:2004, Guide for the Lighting of Road Tunnels (the luminance of the access zone against the inside).
    """
    ys, xs = _places(image)
    middle, size = rng.uniform(-0.25, 0.25, size=2), rng.uniform(0.35, 0.55)
    away = np.hypot((xs - middle[0]) / size, (ys - middle[1]) / (size * 0.8))
    opening = 1 / (1 + np.exp(np.clip((away - 1) * np.float32(14), -30, 30)))
    gain = np.exp2((opening * np.float32(stops + 1) - 1) * np.float32(min(1.0, stops)))
    return image_of_light(light_of(image) * gain[..., np.newaxis].astype(np.float32))


def flicker(image: Image, *, rng: np.random.Generator, depth: Share) -> Image:
    """Lamps on mains that flicker at 100 Hz, seen row by row by a shutter that reads a picture in 1/30 s: bands, whose
    dark has lost so large a share of the light.

    Source: IEEE 1789-2015 (flicker as modulation depth).
    """
    height = image.shape[0]
    rows = np.arange(height, dtype=np.float32) / height
    wave = (1 + np.cos(2 * math.pi * (rows * _PERIODS + rng.random()))) / 2
    gain = (1 - np.float32(depth) * wave)[:, np.newaxis, np.newaxis].astype(np.float32)
    return image_of_light(light_of(image) * gain)


_PERIODS = 100 / 30


def tint(image: Image, *, rng: np.random.Generator, stops: Stops) -> Image:
    """Light with so many stops more green than red and blue, as of cheap fluorescent and LED lamps; below 0,
    magenta."""
    gains = np.exp2(np.array([-stops / 2, stops / 2, -stops / 2])).astype(np.float32)
    return image_of_light(light_of(image) * gains)


def _places(image: Image) -> tuple[Field, Field]:
    """Down and across from the middle of a picture, in halves of its width."""
    height, width = image.shape[:2]
    ys = (np.arange(height, dtype=np.float32) + np.float32(0.5) - height / 2) / (width / 2)
    xs = (np.arange(width, dtype=np.float32) + np.float32(0.5) - width / 2) / (width / 2)
    return np.repeat(ys[:, np.newaxis], width, axis=1), np.repeat(xs[np.newaxis], height, axis=0)
