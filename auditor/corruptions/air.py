"""What is between the scene and the lens: haze, rain, snow, insects.

Distances are those of a level ground seen by a camera of 60 degrees across, `height` metres above it, with the horizon
at a share of the picture's height (below 0: above the picture); above the horizon it is `_SKY_M` away.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import Image, NotNegative, Positive, Share, image_of_light, light_of

__all__ = ["haze", "insects", "rain", "snowfall"]

Field = NDArray[np.float32]

_AIRLIGHT = 0.75
"""Of the air itself, as a share of white."""
_SKY_M = 150.0
_HALF_ANGLE = math.radians(30)
Rate = Annotated[float, Gt(0), Le(500)]
"""mm of water an hour."""


def haze(
    image: Image,
    *,
    rng: np.random.Generator,
    visibility: Positive,
    height: Positive = 3.0,
    horizon: Annotated[float, Ge(-5), Le(1)] = 0.15,
) -> Image:
    """Fog or haze in which black is seen against the sky no farther than `visibility` metres (5 % contrast): light of
    the scene fades with the distance, and light of the air comes in its place.

    Source: Koschmieder 1924, Theorie der horizontalen Sichtweite; 5 % by WMO-No. 8, Guide to Instruments and Methods of
    Observation (meteorological optical range).
    """
    return _behind_air(image, -math.log(0.05) / visibility, height=height, horizon=horizon)


def _behind_air(
    image: Image, extinction: float, *, height: float = 3.0, horizon: float = 0.15, airlight: float = _AIRLIGHT
) -> Image:
    """A scene behind air that takes a share of `extinction` of the light on each metre, and is itself so bright."""
    tall, wide = image.shape[:2]
    focal = wide / 2 / math.tan(_HALF_ANGLE)
    below = np.maximum(np.arange(tall, dtype=np.float32) + np.float32(0.5) - np.float32(horizon * tall), 1e-3)
    away = np.minimum(np.float32(height * focal) / below, np.float32(_SKY_M))
    left = np.exp(-np.float32(extinction) * away)[:, np.newaxis, np.newaxis]
    return image_of_light(light_of(image) * left + (1 - left) * np.float32(airlight))


def rain(
    image: Image,
    *,
    rng: np.random.Generator,
    rate: Rate,
    exposure: Positive = 2.0,
    lit: NotNegative = 0.9,
    airlight: Share = _AIRLIGHT,
) -> Image:
    """Rain of `rate` mm an hour: streaks of the drops within two metres, as long as they fall in an `exposure` of so
    many milliseconds, each as bright as `lit` (of white; lamps beside the lens make it more) for the part of the time
    that it is there; and the veil of all farther ones.

    Sources: Marshall and Palmer 1948 (sizes: 8000 exp(-4.1 R^-0.21 D) a cubic metre and millimetre); Atlas et al. 1973,
    https://doi.org/10.1029/RG011i001p00001 (speeds: 9.65 - 10.3 exp(-0.6 D) m/s); Garg and Nayar 2007,
    https://doi.org/10.1007/s11263-006-0028-6 (how bright a streak is). The veil takes twice the drops' cross-section.
    """
    slope = 4.1 * rate**-0.21
    count = 8000 / slope * math.exp(-slope * _SMALLEST_MM)
    sizes, depth, places = _near(rng, count, slope)
    speeds = 9.65 - 10.3 * np.exp(-0.6 * sizes)
    shown = speeds * exposure * 1e-3
    veil = math.pi / 2 * 8000 * 2 / slope**3 * 1e-6
    seen = light_of(_behind_air(image, veil, airlight=airlight))
    cover = _streaks(image, places, depth, (sizes, shown, np.minimum(1, sizes * 1e-3 / shown)), rng.normal(0, 0.12))
    return image_of_light(seen * (1 - cover) + cover * np.float32(lit))


def snowfall(image: Image, *, rng: np.random.Generator, rate: Rate, exposure: Positive = 5.0) -> Image:
    """Snow of `rate` mm of water an hour: the flakes within two metres, falling by a metre a second during an
    `exposure` of so many milliseconds, and the veil of all farther ones.

    Source: Gunn and Marshall 1958, The Distribution with Size of Aggregate Snowflakes (of melted diameters:
    3800 R^-0.87 exp(-2.55 R^-0.48 D) a cubic metre and millimetre). A flake is taken to have a tenth of water's
    density; the veil takes twice the flakes' cross-section.
    """
    slope, most = 2.55 * rate**-0.48, 3800 * rate**-0.87
    count = most / slope * math.exp(-slope * _SMALLEST_MM)
    melted, depth, places = _near(rng, count, slope)
    sizes = melted * _FLUFFY
    veil = math.pi / 2 * _FLUFFY**2 * most * 2 / slope**3 * 1e-6
    seen = light_of(_behind_air(image, veil))
    shown = np.full(len(sizes), exposure * 1e-3)
    cover = _streaks(image, places, depth, (sizes, shown, np.full(len(sizes), 0.85)), rng.normal(0, 0.3))
    return image_of_light(seen * (1 - cover) + cover * np.float32(0.9))


_SMALLEST_MM = 0.8
"""Smaller drops are not drawn: nobody sees one."""
_FLUFFY = 10 ** (1 / 3)
_NEAR_M = (0.3, 2.2)
_MOST_DRAWN = 6000


def _near(
    rng: np.random.Generator, count: float, slope: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of `count` drops a cubic metre the diameters in mm, distances in metres and places (N, 2) of 0 to 1 of those
    before the lens; the first of one list for every rate."""
    drawn = rng.random((_MOST_DRAWN, 4))
    nearest, farthest = _NEAR_M
    volume = (2 * math.tan(_HALF_ANGLE)) ** 2 * 0.75 * (farthest**3 - nearest**3) / 3
    mine = drawn[: min(_MOST_DRAWN, max(1, round(count * volume)))]
    depth = np.cbrt(nearest**3 + mine[:, 0] * (farthest**3 - nearest**3))
    return _SMALLEST_MM - np.log(1 - mine[:, 1]) / slope, depth, mine[:, 2:]


def _streaks(
    image: Image,
    places: NDArray[np.float64],
    depth: NDArray[np.float64],
    drops: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    lean: float,
) -> Field:
    """How much of each pixel is covered: (H, W, 1). `drops` are diameters in mm, ways in metres, and shares of the time
    that a place on the way is covered."""
    height, width = image.shape[:2]
    focal = width / 2 / math.tan(_HALF_ANGLE)
    sizes, ways, shares = drops
    wide = sizes * 1e-3 * focal / depth
    long = ways * focal / depth
    ends = places * [width * 1.2, height * 1.3] - [width * 0.1, height * 0.15]
    levels = np.clip(shares * np.minimum(1, wide), 0, 1) * 255
    layer = np.zeros((height, width), dtype=np.uint8)
    order = np.argsort(levels)  # the ones that cover most last
    starts = np.rint(ends * 16).astype(int)
    stops = np.rint((ends + np.stack([long * lean, long], axis=1)) * 16).astype(int)
    thick = np.maximum(1, np.rint(wide)).astype(int)
    for index in order.tolist():
        level = float(levels[index])
        cv2.line(layer, starts[index].tolist(), stops[index].tolist(), level, int(thick[index]), cv2.LINE_AA, 4)
    soft: Any = cv2.GaussianBlur(layer, (0, 0), 0.7)
    return np.asarray(soft, dtype=np.float32)[..., np.newaxis] / np.float32(255)


def insects(
    image: Image, *, rng: np.random.Generator, count: Annotated[float, Ge(0), Le(60)], lit: Share = 1.0
) -> Image:
    """So many insects before the lens, lit by the camera's lamp and out of focus: bright, curved and blurred trails. A
    part of one is a fainter one."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), dtype=np.float32)
    for number in range(_MOST_INSECTS):
        start, turn = rng.uniform(0, 1, size=2) * [width, height], rng.uniform(0, 2 * math.pi)
        long, bend, thick = rng.uniform(0.03, 0.16) * width, rng.normal(0, 2.5), rng.uniform(0.004, 0.014) * width
        share = min(1.0, count - number)
        if share <= 0:
            break
        way = np.linspace(0, 1, 12)
        angles = turn + bend * way
        steps = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * long / 12
        points = np.rint((start + steps) * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(layer, [points], False, share, max(1, round(thick)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), max(0.6, width * 0.004))
    return image_of_light(light_of(image) + np.asarray(soft)[..., np.newaxis] * np.float32(lit))


_MOST_INSECTS = 60
