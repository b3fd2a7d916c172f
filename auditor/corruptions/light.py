"""The light of a scene, before any lens: lamps at night, a low sun, the end of a tunnel, flicker and casts.

Everything is done in linear light (IEC 61966-2-1). Each image draws its own places once, whatever the severity.
"""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import (
    Image,
    Kelvin,
    NotNegative,
    Positive,
    Share,
    Stops,
    image_of_light,
    light_of,
    planckian_gains,
)
from auditor.corruptions.depth import away_m
from auditor.corruptions.over_time import each_frame

__all__ = ["cast", "flicker", "headlamps", "infrared", "low_sun", "tunnel_exit"]

Field = NDArray[np.float32]


def infrared(
    image: Image, *, rng: np.random.Generator, reach: Positive, hot: Annotated[float, Ge(0), Le(4)] = 1.0
) -> Image:
    """Light the scene by the camera's own infra-red lamp: without colour; at `reach` metres as bright as by day, beyond
    it darker with the square of the distance, nearer at most `hot` stops brighter; a stop and a half less in the
    corners.

    The three colour filters of a sensor pass 850 nm about alike, so that an image is their mean; what reflects more
    infra-red than light (foliage, many dyes) cannot be known from a picture. The ground is level, 3 m below the camera;
    nothing is farther than 30 m, and what is bright and goes on to the upper edge of the picture is taken to be sky,
    which gives no light back; number plates and reflective bands, which flare, cannot be known either. Source:
    Fredembach and Süsstrunk 2008, Colouring the near-infrared; the inverse-square law.
    """
    light = light_of(image)
    gray = np.asarray(cv2.transform(light, np.full((1, 3), 1 / 3)))
    darkest = np.asarray(cv2.min(cv2.min(light[..., 0], light[..., 1]), light[..., 2]), dtype=np.float32)
    away = away_m(image.shape[:2], height=3.0, horizon=0.35, far=30.0)
    lit = np.minimum(np.float32(2**hot), (np.float32(reach) / away) ** 2)[:, np.newaxis]
    ys, xs = _places(image)
    middle = rng.uniform(-0.15, 0.15, size=2).astype(np.float32)
    beam = np.exp2(np.float32(-0.75) * ((xs - middle[0]) ** 2 + (ys - middle[1]) ** 2))
    sky = 1 - np.float32(0.85) * _sky(darkest) * np.clip((darkest - np.float32(_SKY)) * 12 + np.float32(0.5), 0, 1)
    seen = gray * lit * beam * sky
    return np.repeat(image_of_light(np.asarray(seen, dtype=np.float32))[..., np.newaxis], 3, axis=2)


_SKY = 0.3
"""So bright in all three channels a sky is at least."""


def _sky(darkest: Field) -> Field:
    """How far each place belongs to a bright field that begins at the upper edge and goes on without a step, over its
    own gradients, clouds and wires, in a picture of 64 × 48; walls and windows that a step parts from it do not."""
    height, width = darkest.shape
    small = np.asarray(cv2.resize(darkest, (64, 48), interpolation=cv2.INTER_AREA))
    small = np.asarray(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    found = np.zeros((50, 66), dtype=np.uint8)
    found[1:-1, 1:-1] = small < _SKY  # what flooding does not enter
    for column in np.flatnonzero(small[0] >= _SKY).tolist():
        if not found[1, column + 1]:
            cv2.floodFill(small, found, (column, 0), 0.0, _STEP, _STEP, 4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8))
    sky = (found[1:-1, 1:-1] == 2).astype(np.float32)
    return np.asarray(cv2.resize(cv2.dilate(sky, np.ones((3, 3), np.uint8)), (width, height)), dtype=np.float32)


_STEP = 0.12
"""Neighbours that differ by more, of white, are of two fields."""


def headlamps(image: Image, *, rng: np.random.Generator, ratio: NotNegative) -> Image:
    """Two headlamps that shine into the lens, one up to twice as bright: each a burnt-out core, around it stray light,
    and below both a flat pool of light on the road; `ratio` is the stray light, as a share of white, a tenth of the
    picture's width beside a lamp. It fills up what a pixel can hold, without a rim.

    Source: CIE 146:2002, CIE Equations for Disability Glare (10 / angle³ + 5 / angle², here four to one at a tenth of
    the width in favour of the square).
    """
    ys, xs = _places(image)
    middle, height, apart = rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.4), rng.uniform(0.12, 0.3)
    brighter = rng.uniform(0.7, 1.4, size=2)
    stray = np.zeros(image.shape[:2], dtype=np.float32)
    for side, share in zip((-1, 1), brighter, strict=True):
        stray += _stray(xs, ys, (middle + side * apart, height), ratio * share)
    pool = ((xs - np.float32(middle)) / _POOL[0]) ** 2 + ((ys - np.float32(height + _POOL[2])) / _POOL[1]) ** 2
    stray += np.float32(0.7 * ratio) * np.exp(-pool)
    return _filled(light_of(image), stray, (1.0, 0.95, 0.85))


_POOL = (0.6, 0.1, 0.22)
"""How wide and tall the pool of light is, and how far below the lamps, in halves of the width."""


def low_sun(image: Image, *, rng: np.random.Generator, ratio: NotNegative) -> Image:
    """A low sun just above the picture: stray light as of a lamp, which burns out what is next to it, a warm veil that
    falls off with the distance, soft coloured ghosts of the lens's surfaces on the line through the picture's middle;
    and the camera exposes by up to a stop less for it. `ratio` as of `headlamps`.

    Source: CIE 146:2002 for the stray light; Hullin et al. 2011, https://doi.org/10.1145/1964921.1965003 for ghosts.
    """
    ys, xs = _places(image)
    light = light_of(image)
    sun = (float(rng.uniform(-0.6, 0.6)), float(ys[0, 0]) - _ABOVE)
    away = np.hypot(xs - np.float32(sun[0]), ys - np.float32(sun[1]))
    strays = np.float32(8) * _stray(xs, ys, sun, ratio) + np.float32(0.6 * ratio) / (1 + (away / np.float32(0.5)) ** 2)
    seen = _filled(light * np.float32(2 ** -min(1.0, 4 * ratio)), strays, (1, 0.93, 0.8))
    ghosts = np.zeros((2, *image.shape[:2]), dtype=np.float32)
    for number, (along, size) in enumerate(zip(rng.uniform(-1.2, 0.7, 4), rng.uniform(0.04, 0.1, 4), strict=True)):
        place = np.hypot(xs - np.float32(along * sun[0]), ys - np.float32(along * sun[1])) / np.float32(size)
        ghosts[number % 2] += np.float32(0.3 * ratio) / (1 + np.exp(np.clip((place - 1) * 9, -30, 30)))
    colored = ghosts[0][..., np.newaxis] * _GREENISH + ghosts[1][..., np.newaxis] * _REDDISH
    return image_of_light(light_of(seen) + np.maximum(1 - light_of(seen), 0) * (1 - np.exp(-colored)))


_ABOVE = 0.03
"""By so much, of half the width, the sun stands above the picture."""
_GREENISH, _REDDISH = np.array([0.4, 1.0, 0.6], np.float32), np.array([1.0, 0.5, 0.6], np.float32)


def _stray(xs: Field, ys: Field, lamp: tuple[float, float], ratio: float) -> Field:
    """Stray light of a lamp: `ratio` at 0.2 of half the width (a tenth of it all); within its core as much as makes any
    sensor white."""
    away = np.maximum(np.hypot(xs - np.float32(lamp[0]), ys - np.float32(lamp[1])), np.float32(_CORE))
    near = np.float32(_TENTH) / away
    return np.asarray(np.float32(ratio) * (np.float32(0.8) * near**2 + np.float32(0.2) * near**3), dtype=np.float32)


_CORE, _TENTH = 0.012, 0.2


def _filled(light: Field, stray: Field, color: tuple[float, float, float]) -> Image:
    """A scene with stray light that fills up what is left to white."""
    more = 1 - np.exp(-stray[..., np.newaxis] * np.array(color, dtype=np.float32))
    return image_of_light(np.asarray(light + np.maximum(1 - light, 0) * more, dtype=np.float32))


def tunnel_exit(image: Image, *, rng: np.random.Generator, stops: Annotated[float, Ge(0), Le(8)]) -> Image:
    """The first moments out of a tunnel: the exposure is still that of the dark, so many stops too long, and the lens
    scatters two per cent of all that light over the picture.

    Source: CIE 88:2004, Guide for the Lighting of Road Tunnels (the luminance of the access zone against the inside);
    ISO 9358:1994 (veiling glare of lenses: some per cent).
    """
    light = light_of(image) * np.float32(2**stops)
    return image_of_light(light + np.float32(_GLARE * (1 - 2**-stops)) * light.mean(axis=(0, 1)))


_GLARE = 0.02


@each_frame
def flicker(image: Image, *, rng: np.random.Generator, depth: Share) -> Image:
    """Lamps on mains that flicker at 100 Hz, seen row by row by a shutter that reads a picture in 1/30 s: bands, whose
    dark has lost so large a share of the light; the exposure holds the mean.

    Source: IEEE 1789-2015 (flicker as modulation depth).
    """
    height = image.shape[0]
    rows = np.arange(height, dtype=np.float32) / height
    wave = (1 + np.cos(2 * math.pi * (rows * _PERIODS + rng.random()))) / 2
    gain = ((1 - np.float32(depth) * wave) / np.float32(1 - depth / 2))[:, np.newaxis, np.newaxis]
    return image_of_light(light_of(image) * gain.astype(np.float32))


_PERIODS = 100 / 30


def cast(image: Image, *, rng: np.random.Generator, kelvin: Kelvin, stops: Stops = 0.0) -> Image:
    """Lamps of `kelvin` with so many stops more green than red and blue (below 0: magenta), as of cheap fluorescent and
    LED lamps, on a camera balanced for daylight; no channel is brighter than it was, and what was burnt out stays
    white, the brighter the more.

    Source: as of `color_temperature`.
    """
    gains = planckian_gains(kelvin) * np.exp2(np.array([-stops / 2, stops / 2, -stops / 2]))
    light = light_of(image)
    white = np.clip((light.min(axis=2, keepdims=True) - _BURNT) / (1 - _BURNT), 0, 1)
    lit = light * (gains / gains.max()).astype(np.float32)
    return image_of_light(np.asarray(lit * (1 - white) + light * white, dtype=np.float32))


_BURNT = np.float32(0.7)
"""From so bright on in all channels a place turns to white again, which it is at 1."""


def _places(image: Image) -> tuple[Field, Field]:
    """Down and across from the middle of a picture, in halves of its width."""
    height, width = image.shape[:2]
    ys = (np.arange(height, dtype=np.float32) + np.float32(0.5) - height / 2) / (width / 2)
    xs = (np.arange(width, dtype=np.float32) + np.float32(0.5) - width / 2) / (width / 2)
    return np.repeat(ys[:, np.newaxis], width, axis=1), np.repeat(xs[np.newaxis], height, axis=0)
