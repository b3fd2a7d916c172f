"""What light passes on its way to the sensor: a dome or windscreen with scratches, dirt, drops and reflections, and a
camera that shakes.

Each image draws its own places once; a higher severity has more of the same.
"""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import Image, NotNegative, Share, image_of_light, light_of

__all__ = ["dirt", "drops", "forward_motion", "reflection", "scratches", "shake"]

Field = NDArray[np.float32]
_MOST_SCRATCHES, _MOST_DROPS = 250, 120


def scratches(image: Image, *, rng: np.random.Generator, count: Annotated[float, Ge(0), Le(_MOST_SCRATCHES)]) -> Image:
    """A dome with so many scratches, out of focus: each scatters light of a lamp or the sky into the lens, as a pale
    line. A part of one is a fainter one."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), dtype=np.float32)
    for number in range(math.ceil(count)):
        start, turn = rng.random(2) * [width, height], rng.uniform(0, math.pi)
        long, bend, strength = rng.exponential(0.16) * width, rng.normal(0, 0.4), rng.uniform(0.05, 0.3)
        angles = turn + bend * np.linspace(0, 1, 8)
        way = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * long / 8
        points = np.rint((start + way) * 16).astype(np.int32).reshape(-1, 1, 2)
        one = strength * min(1.0, count - number)
        cv2.polylines(layer, [points], False, one, max(1, round(width / 320)), cv2.LINE_AA, 4)
    soft = np.asarray(cv2.GaussianBlur(layer, (0, 0), max(0.6, width / 330)))[..., np.newaxis]
    return image_of_light(light_of(image) * (1 - soft) + soft * np.float32(0.8))


def dirt(image: Image, *, rng: np.random.Generator, cover: Share) -> Image:
    """Dirt on the glass before the lens, out of focus, over so large a share of the picture; it lets 15 % of the light
    through and adds a brown of its own.

    Source: Uricar et al. 2019, SoilingNet, arXiv:1905.01492 (opaque soiling of camera lenses, and how much of a picture
    it takes).
    """
    height, width = image.shape[:2]
    field = np.zeros((height, width), dtype=np.float32)
    for cells, weight in ((4, 1.0), (9, 0.7), (22, 0.5)):
        small = rng.standard_normal((cells, max(2, cells * width // max(1, height))), dtype=np.float32)
        field += np.float32(weight) * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    edge = float(np.quantile(field, 1 - cover))
    opaque = 1 / (1 + np.exp(np.clip((edge - field) * np.float32(9), -30, 30)))
    opaque = (opaque * np.float32(0.85 * min(1.0, cover / _THIN)))[..., np.newaxis].astype(np.float32)
    brown = np.array([0.055, 0.045, 0.033], dtype=np.float32)
    return image_of_light(light_of(image) * (1 - opaque) + opaque * brown)


_THIN = 0.02
"""Where less of the picture than that is covered, what covers it is thin."""


def drops(image: Image, *, rng: np.random.Generator, count: Annotated[float, Ge(0), Le(_MOST_DROPS)]) -> Image:
    """So many drops on the glass, out of focus: each is a small lens that shows much of the scene upside down, dark at
    its rim. A part of one is a smaller one.

    Source: Halimeh and Roser 2009, https://doi.org/10.1109/IVS.2009.5164347 (what a raindrop on a windscreen shows).
    """
    height, width = image.shape[:2]
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    across, down = xs.copy(), ys.copy()
    cover, rim = (np.zeros((height, width), dtype=np.float32) for _ in range(2))
    drawn = rng.random((_MOST_DROPS, 3))
    for number in range(math.ceil(count)):
        x, y = drawn[number, 0] * width, drawn[number, 1] * height
        radius = (0.012 + 0.045 * drawn[number, 2] ** 2) * width * math.sqrt(min(1.0, count - number))
        left, top = max(0, math.floor(x - radius)), max(0, math.floor(y - radius))
        part = (slice(top, math.ceil(y + radius) + 1), slice(left, math.ceil(x + radius) + 1))
        away = np.hypot(xs[part] - x, ys[part] - y) / max(radius, 0.5)
        inside = away < 1
        bend = 3.5 + 6 * away**2
        across[part] = np.where(inside, x - (xs[part] - x) * bend, across[part])
        down[part] = np.where(inside, y - (ys[part] - y) * bend, down[part])
        cover[part] = np.maximum(cover[part], inside)
        rim[part] = np.where(inside, away**4, rim[part])
    if not cover.any():
        return image.copy()
    seen = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    soft = max(0.6, width / 400)
    through = light_of(np.asarray(cv2.GaussianBlur(seen, (0, 0), soft), dtype=np.uint8))
    through = through * (1 - np.float32(0.75) * rim[..., np.newaxis])
    covered = np.asarray(cv2.GaussianBlur(cover, (0, 0), soft), dtype=np.float32)[..., np.newaxis]
    mixed = light_of(image) * (1 - covered) + through * covered
    return image_of_light(np.asarray(mixed, dtype=np.float32))


def reflection(image: Image, *, rng: np.random.Generator, share: Share) -> Image:
    """A glass door before the camera that reflects so large a share of what is behind it: the picture itself, turned
    around, out of focus, and twice, for the two sides of the glass.

    Source: Shih et al. 2015, Reflection Removal Using Ghosting Cues (two shifted reflections); 4 % a surface is
    Fresnel's share for glass seen straight on.
    """
    height, width = image.shape[:2]
    light = light_of(image)
    other = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(light[:, ::-1]), (0, 0), max(0.6, width / 300)))
    move = np.array([[1, 0, width * 0.012], [0, 1, height * 0.008]], dtype=np.float64)
    ghost = np.asarray(cv2.warpAffine(other, move, (width, height), borderMode=cv2.BORDER_REFLECT))
    behind = (other + np.float32(0.8) * ghost) / np.float32(1.8)
    mixed = light * np.float32(1 - share) + behind * np.float32(share * _BRIGHTER)
    return image_of_light(np.asarray(mixed, dtype=np.float32))


_BRIGHTER = 1.6
"""What is behind the camera is taken to be so much brighter than what is before it: a shop's lamps, a street's sky."""


def forward_motion(image: Image, *, rng: np.random.Generator, enlargement: Annotated[float, Ge(1), Le(2)]) -> Image:
    """A camera that moves forward during the exposure: everything streams away from a vanishing point a little above
    the middle, until it is larger by so much; the mean of 32 pictures on the way, in equal ratios.

    Each of five steps takes the mean of what there is and of the same enlarged by twice the step before, which is the
    mean over all 32 (as a product of two-term sums).
    """
    height, width = image.shape[:2]
    light = light_of(image)
    middle = (width / 2, height * 0.45)
    for step in range(_DOUBLINGS):
        factor = enlargement ** (2**step / (2**_DOUBLINGS - 1))
        matrix = np.array([[factor, 0, (1 - factor) * middle[0]], [0, factor, (1 - factor) * middle[1]]])
        moved = cv2.warpAffine(light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        light = (light + np.asarray(moved)) * np.float32(0.5)
    return image_of_light(light)


_DOUBLINGS = 5


def shake(image: Image, *, rng: np.random.Generator, path: NotNegative) -> Image:
    """A camera that vibrates during the exposure, along a random, smooth way that strays by `path` pixels (root mean
    square).

    Source: Boracchi and Foi 2012, https://doi.org/10.1109/TIP.2012.2192126 (point spreads of random motion).
    """
    steps = rng.standard_normal((64, 2))
    way = np.cumsum(np.cumsum(steps - steps.mean(axis=0), axis=0), axis=0)
    way -= way.mean(axis=0)
    way *= path / max(float(np.sqrt((way**2).sum(axis=1).mean())), 1e-9)
    reach = math.ceil(float(np.abs(way).max(initial=0.0))) + 1  # with room for the pixel beside
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    for x, y in _dense(way) + reach:
        left, top = math.floor(x), math.floor(y)
        right, below = x - left, y - top
        kernel[top : top + 2, left : left + 2] += np.outer([1 - below, below], [1 - right, right]).astype(np.float32)
    kernel /= kernel.sum()
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _dense(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """A way with points closer than a pixel."""
    steps = np.linspace(0, len(way) - 1, 16 * len(way))
    return np.stack([np.interp(steps, np.arange(len(way)), way[:, axis]) for axis in (0, 1)], axis=1)
