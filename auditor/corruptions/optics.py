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
from auditor.corruptions.over_time import each_frame
from auditor.values.warps import wide_blur

__all__ = ["dirt", "drops", "forward_motion", "reflection", "scratches", "shake"]

Field = NDArray[np.float32]
_MOST_SCRATCHES, _MOST_DROPS = 250, 120


def scratches(image: Image, *, rng: np.random.Generator, count: Annotated[float, Ge(0), Le(_MOST_SCRATCHES)]) -> Image:
    """A dome with so many scratches, 40 mm before an opening of 2 mm, so that each is a pale band, 28 pixels wide in a
    picture of 640: it scatters the light of the scene into the lens. A part of one is a fainter one."""
    height, width = image.shape[:2]
    total = np.zeros((height, width), dtype=np.float32)
    for number in range(math.ceil(count)):
        layer = np.zeros((height, width), dtype=np.uint8)
        start, turn = rng.random(2) * [width, height], rng.uniform(0, math.pi)
        long, bend, strength = rng.exponential(0.16) * width, rng.normal(0, 0.4), rng.uniform(0.3, 1)
        angles = turn + bend * np.linspace(0, 1, 8)
        way = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * long / 8
        points = np.rint((start + way) * 16).astype(np.int32).reshape(-1, 1, 2)
        thick = max(1, round(rng.uniform(1, 4) * width / 640))
        cv2.polylines(layer, [points], False, 255 * min(1.0, count - number), thick, cv2.LINE_AA, 4)
        left, top, wide, high = _around(points / 16, thick, (height, width))
        part = (slice(top, top + high), slice(left, left + wide))
        total[part] += layer[part].astype(np.float32) * np.float32(strength / 255)
    soft = 1 - np.exp(-wide_blur(total, width * _DISC / 4))[..., np.newaxis]
    light = light_of(image)
    scattered = wide_blur(light, width / 8)
    return image_of_light(np.asarray(light * (1 - soft) + soft * scattered * np.float32(1.6), dtype=np.float32))


_DISC = 28 / 640
"""The disc of confusion, of the width: 2 mm / 40 mm by a lens of 60 degrees across."""


def _around(points: NDArray[np.float64], thick: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part of a picture that a line lies in."""
    low = np.floor(points.min(axis=(0, 1))).astype(int) - thick - 2
    high = np.ceil(points.max(axis=(0, 1))).astype(int) + thick + 2
    left, top = np.clip(low, 0, [size[1], size[0]]).tolist()
    right, bottom = np.clip(high, 0, [size[1], size[0]]).tolist()
    return left, top, right - left, bottom - top


def dirt(image: Image, *, rng: np.random.Generator, cover: Share) -> Image:
    """Dirt on the glass before the lens, out of focus, over so large a share of the picture, opaque by a third in one
    place and nearly whole in another, and as brown as the light of the scene makes it.

    Source: Uricar et al. 2019, SoilingNet, arXiv:1905.01492 (opaque soiling of camera lenses, and how much of a picture
    it takes).
    """
    height, width = image.shape[:2]
    field = np.zeros((height, width), dtype=np.float32)
    for cells, weight in ((4, 1.0), (9, 0.7), (22, 0.5)):
        small = rng.standard_normal((cells, max(2, cells * width // max(1, height))), dtype=np.float32)
        field += np.float32(weight) * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    edge = float(np.quantile(field, 1 - cover))
    opaque = 1 / (1 + np.exp(np.clip((edge - field) * np.float32(4), -30, 30)))
    small = rng.uniform(0.35, 0.95, size=(5, 7)).astype(np.float32)
    opaque = opaque * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    opaque = (opaque * np.float32(min(1.0, cover / _THIN)))[..., np.newaxis].clip(0, 1)
    light = light_of(image)
    brown = np.array([0.3, 0.25, 0.18], dtype=np.float32) * np.float32(light.mean())
    return image_of_light(np.asarray(light * (1 - opaque) + opaque * brown, dtype=np.float32))


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
    drawn = rng.random((_MOST_DROPS, 5))
    for number in range(math.ceil(count)):
        x, y = drawn[number, 0] * width, drawn[number, 1] * height
        radius = (0.006 + 0.04 * drawn[number, 2] ** 2.5) * width * math.sqrt(min(1.0, count - number))
        tall, phase = 1 + 0.4 * drawn[number, 3], 2 * math.pi * drawn[number, 4]
        reach = radius * 1.7
        left, top = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
        part = (slice(top, math.ceil(y + reach) + 1), slice(left, math.ceil(x + reach) + 1))
        aside, below = xs[part] - np.float32(x), (ys[part] - np.float32(y)) / np.float32(tall)
        turn = np.arctan2(below, aside)
        outline = 1 + 0.12 * np.sin(2 * turn + phase) + 0.08 * np.sin(3 * turn + 2 * phase)
        away = np.hypot(aside, below) / (max(radius, 0.5) * outline)
        inside = away < 1
        bend = 3.5 + 6 * away**2
        across[part] = np.where(inside, x - aside * bend, across[part])
        down[part] = np.where(inside, y - below * bend, down[part])
        cover[part] = np.maximum(cover[part], inside)
        rim[part] = np.where(inside, away**4 * (below < 0), rim[part])
    if not cover.any():
        return image.copy()
    seen = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    through = wide_blur(light_of(np.asarray(seen, dtype=np.uint8)), width / 110)
    shade = np.asarray(cv2.GaussianBlur(rim, (0, 0), max(0.6, width / 250)))[..., np.newaxis]
    covered = np.asarray(cv2.GaussianBlur(cover, (0, 0), max(0.6, width / 250)), dtype=np.float32)[..., np.newaxis]
    mixed = light_of(image) * (1 - covered) + through * (1 - np.float32(0.35) * shade) * covered
    return image_of_light(np.asarray(mixed, dtype=np.float32))


def reflection(image: Image, *, rng: np.random.Generator, share: Share) -> Image:
    """A glass door before the camera that reflects so large a share of what is behind it: a part of the picture itself
    that is drawn once per image, turned around, enlarged and out of focus, of which only what is bright is seen; twice,
    for the two sides of the glass. A little out of focus, and half of its colours is lost.

    Source: Shih et al. 2015, Reflection Removal Using Ghosting Cues (two shifted reflections); 4 % a surface is
    Fresnel's share for glass seen straight on.
    """
    height, width = image.shape[:2]
    light = light_of(image)
    part = rng.uniform(0.5, 0.7)
    left, top = rng.random(2) * (1 - part) * [width, height]
    zoom = 1 / part
    matrix = np.array([[-zoom, 0, width + left * zoom], [0, zoom, -top * zoom]])
    turned = cv2.warpAffine(light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    turned = np.asarray(turned, dtype=np.float32)
    turned = (turned + turned.mean(axis=2, keepdims=True)) / 2
    other = wide_blur(turned, width / 200)
    move = np.array([[1, 0, width * 0.012], [0, 1, height * 0.008]], dtype=np.float64)
    ghost = cv2.warpAffine(other, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    bright = (other + np.float32(0.8) * np.asarray(ghost)) ** 2
    bright *= np.float32(light.mean() * _BRIGHTER) / max(float(bright.mean()), 1e-6)
    mixed = light * np.float32(1 - share) + bright * np.float32(share)
    return image_of_light(np.asarray(mixed, dtype=np.float32))


_BRIGHTER = 2.0
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


@each_frame
def shake(image: Image, *, rng: np.random.Generator, path: NotNegative) -> Image:
    """A camera that vibrates during the exposure, along a random, smooth way that strays by `path` pixels (root mean
    square) of a picture 640 pixels wide, and by as large a share of another.

    Source: Boracchi and Foi 2012, https://doi.org/10.1109/TIP.2012.2192126 (point spreads of random motion).
    """
    steps = rng.standard_normal((64, 2))
    way = np.cumsum(np.cumsum(steps - steps.mean(axis=0), axis=0), axis=0)
    way -= way.mean(axis=0)
    way *= path * image.shape[1] / 640 / max(float(np.sqrt((way**2).sum(axis=1).mean())), 1e-9)
    reach = math.ceil(float(np.abs(way).max(initial=0.0))) + 1  # with room for the pixel beside
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    for x, y in _dense(way) + reach:
        left, top = math.floor(x), math.floor(y)
        right, below = x - left, y - top
        kernel[top : top + 2, left : left + 2] += np.outer([1 - below, below], [1 - right, right]).astype(np.float32)
    kernel /= kernel.sum()
    moved = cv2.filter2D(light_of(image), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return image_of_light(np.asarray(moved, dtype=np.float32))


def _dense(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """A way with points closer than a pixel."""
    steps = np.linspace(0, len(way) - 1, 16 * len(way))
    return np.stack([np.interp(steps, np.arange(len(way)), way[:, axis]) for axis in (0, 1)], axis=1)
