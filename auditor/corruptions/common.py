"""The corruptions of ImageNet-C, as they are applied to COCO, in code of our own.

Sources: Hendrycks and Dietterich 2019, arXiv:1903.12261; Michaelis et al. 2019, arXiv:1907.07484. The values of each at
severities 1 to 5 stand in `scenarios/common_corruptions.yaml`. Ours differ where theirs draw pixel by pixel (glass),
need pictures (frost), or take long; `tests/reference/test_common_corruptions.py` says by how much.

Each takes an (H, W, 3) uint8 RGB image, leaves it untouched and returns a new one; `rng` is the image's own.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any

import cv2
import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import QUANTILES, Factor, NotNegative, Positive, Share, poisson_quantiles
from auditor.corruptions.over_time import each_frame

__all__ = [
    "blocks",
    "brighter",
    "channel_contrast",
    "disk_blur",
    "elastic",
    "fog",
    "frost",
    "glass_blur",
    "impulse_noise",
    "photon_noise",
    "saturated",
    "snow",
    "soft_blur",
    "spatter",
    "speckle_noise",
    "streak_blur",
    "zoom_blur",
]

Image = NDArray[np.uint8]
Field = NDArray[np.float32]


def _image(values: NDArray[np.floating[Any]]) -> Image:
    """Values of 0 to 1 as 8-bit levels; theirs are cut off, not rounded."""
    return np.asarray(np.clip(values * 255, 0, 255), dtype=np.uint8)


def _real(image: Image) -> Field:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    return rng.standard_normal(shape, dtype=np.float32)


@each_frame
def photon_noise(image: Image, *, rng: np.random.Generator, count: Positive) -> Image:
    """Draw each value from a Poisson distribution around `count` times it, on the 8-bit scale as it is."""
    quantile = rng.integers(0, QUANTILES, size=image.shape, dtype=np.uint16)
    return np.asarray(_photon_table(float(count))[image, quantile])


@functools.lru_cache(maxsize=16)
def _photon_table(count: float) -> Image:
    """(256, QUANTILES): the noisy level of each level at each quantile of its Poisson distribution."""
    return np.stack([_image(drawn / count) for drawn in poisson_quantiles(np.arange(256) / 255 * count, QUANTILES)])


@each_frame
def impulse_noise(image: Image, *, rng: np.random.Generator, amount: Share) -> Image:
    """Set so large a share of all values, channel by channel, to black or to white."""
    drawn = rng.random(image.shape, dtype=np.float32)
    found = image.copy()
    found[drawn < amount / 2] = 0
    found[(drawn >= amount / 2) & (drawn < amount)] = 255
    return found


def disk_blur(image: Image, *, rng: np.random.Generator, radius: Positive, alias: Positive) -> Image:
    """Blur with a disk of `radius` pixels whose edge is smoothed by a Gaussian of `alias`."""
    small = radius <= 8
    reach = 8 if small else math.ceil(radius)
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (xs**2 + ys**2 <= radius**2).astype(np.float32)
    side = 3 if small else 5
    kernel = cv2.GaussianBlur(disk / disk.sum(), (side, side), alias)
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def glass_blur(image: Image, *, rng: np.random.Generator, sigma: Positive, reach: Factor, rounds: Factor) -> Image:
    """Blur, let pixels become others up to `reach` away, one after the other and so many times, and blur again. The
    places of a square of 128 pixels are drawn once and laid side by side, from a place of the image's own on."""
    height, width = image.shape[:2]
    down, across = _exchanged(max(1, round(reach)), max(1, round(rounds)))
    rows = (np.arange(height) + rng.integers(_SQUARE)) % _SQUARE
    columns = (np.arange(width) + rng.integers(_SQUARE)) % _SQUARE
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    ys, xs = ys + down[np.ix_(rows, columns)], xs + across[np.ix_(rows, columns)]
    soft = cv2.GaussianBlur(image, (0, 0), sigma)
    mixed = cv2.remap(soft, xs, ys, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.GaussianBlur(mixed, (0, 0), sigma), dtype=np.uint8)


_SQUARE = 128


@functools.lru_cache(maxsize=16)
def _exchanged(reach: int, rounds: int) -> tuple[Field, Field]:
    """How far down and across lies the pixel that each of a square (its ends joined) gets, where all are gone through
    from the last to the first, and each becomes what lies from `reach` before to as far behind it, that end left out.
    Published is an exchange; what the published code does to colour images is this."""
    drawn = np.random.default_rng(reach * 10 + rounds)
    place = np.arange(_SQUARE * _SQUARE).reshape(_SQUARE, _SQUARE)
    for _ in range(rounds):
        moves = drawn.integers(-reach, reach, (_SQUARE, _SQUARE, 2)).tolist()
        for y in range(_SQUARE - 1, -1, -1):
            for x in range(_SQUARE - 1, -1, -1):
                across, down = moves[y][x]
                place[y, x] = place[(y + down) % _SQUARE, (x + across) % _SQUARE]
    ys, xs = np.divmod(place, _SQUARE)
    own = np.mgrid[:_SQUARE, :_SQUARE]
    half = _SQUARE // 2
    down, across = ((found - mine + half) % _SQUARE - half for found, mine in zip((ys, xs), own, strict=True))
    return down.astype(np.float32), across.astype(np.float32)


def streak_blur(image: Image, *, rng: np.random.Generator, radius: Factor, sigma: Positive) -> Image:
    """Blur along a half Gaussian of `sigma` over 2 `radius` + 1 pixels, at an angle of up to 45 degrees."""
    kernel = _streak(radius, sigma, rng.uniform(-45, 45))
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _streak(radius: float, sigma: float, degrees: float) -> Field:
    """The kernel of a streak from its middle on, at an angle."""
    width = 2 * round(radius) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    kernel = np.zeros((2 * width + 1, 2 * width + 1), dtype=np.float32)
    angle = math.radians(degrees)
    for step, weight in enumerate(weights / weights.sum()):
        down, across = round(step * math.sin(angle)), round(step * math.cos(angle))
        kernel[width + down, width + across] += np.float32(weight)
    return kernel


def zoom_blur(image: Image, *, rng: np.random.Generator, most: Factor, step: Positive) -> Image:
    """The mean of the image and of all its enlargements about the middle, from 1 on by `step` to below `most`."""
    height, width = image.shape[:2]
    total = image.astype(np.float32)
    factors = np.arange(1, most - 1e-9, step)
    for factor in factors:
        matrix = np.array([[factor, 0, (1 - factor) * width / 2], [0, factor, (1 - factor) * height / 2]])
        cv2.accumulate(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), total)
    return np.asarray(total / (len(factors) + 1), dtype=np.uint8)


@each_frame
def snow(
    image: Image,
    *,
    rng: np.random.Generator,
    mean: float,
    spread: NotNegative,
    zoom: Factor,
    cut: float,
    radius: Factor,
    sigma: Positive,
    keep: Share,
) -> Image:
    """Flakes are what lies above `cut` in noise of a `mean` and `spread`, enlarged by `zoom`; they fall in streaks,
    twice, the second time turned around, over an image that is whitened but for a share of `keep`."""
    height, width = image.shape[:2]
    small = (math.ceil(height / zoom), math.ceil(width / zoom))
    noise = np.float32(mean) + np.float32(spread) * _normal(rng, (height, width))[: small[0], : small[1]]
    flakes: Any = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    flakes = np.where(flakes < cut, 0, np.clip(flakes, 0, 1)).astype(np.float32)
    falling = cv2.filter2D(flakes, -1, _streak(radius, sigma, rng.uniform(45, 135)), borderType=cv2.BORDER_REPLICATE)
    values = _real(image)
    gray = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[..., np.newaxis] * np.float32(1.5) + np.float32(0.5)
    white = np.float32(keep) * values + np.float32(1 - keep) * np.maximum(values, gray)
    return _image(white + (falling + falling[::-1, ::-1])[..., np.newaxis])


def frost(image: Image, *, rng: np.random.Generator, keep: Share, strength: NotNegative) -> Image:
    """Keep a share `keep` of the image, and add `strength` of a window's frost. Theirs is cut out of six photographs;
    ours is drawn: branching ridges of noise at several sizes, bright and bluish."""
    height, width = image.shape[:2]
    layers = np.zeros((height, width), dtype=np.float32)
    for octave, weight in ((96, 0.36), (36, 0.28), (12, 0.22), (4, 0.14)):
        small = _normal(rng, (height // octave + 2, width // octave + 2))
        field = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        layers += np.float32(weight) * (1 - np.minimum(np.abs(field), 1))
    layers = np.clip(layers * np.float32(1.02) + np.float32(0.31), 0, 1)
    ice = layers[..., np.newaxis] * np.array([0.78, 0.86, 0.92], dtype=np.float32)
    return _image(np.float32(keep) * _real(image) + np.float32(strength) * ice)


def fog(image: Image, *, rng: np.random.Generator, amount: NotNegative, decay: Factor) -> Image:
    """Add `amount` of a cloud whose roughness falls by `decay` from size to size, and scale back into range."""
    height, width = image.shape[:2]
    cloud = _cloud(1 << (max(height, width) - 1).bit_length(), decay, rng)[:height, :width]
    values = _real(image)
    top = float(values.max())
    return _image((values + np.float32(amount) * cloud[..., np.newaxis]) * np.float32(top / (top + amount)))


def _cloud(side: int, decay: float, rng: np.random.Generator) -> Field:
    """A field of 0 to 1 by midpoint displacement on a torus: between known points lie their means, displaced by up to
    the square of a roughness that begins at 100 and is divided by `decay` at each halving.

    Source: Fournier, Fussell and Carpenter 1982, https://doi.org/10.1145/358523.358553.
    """
    known = np.zeros((1, 1), dtype=np.float32)
    rough = 100.0
    while len(known) < side:
        size = len(known)
        most = np.float32(rough * rough)
        drawn = (rng.random((3, size, size), dtype=np.float32) * 2 - 1) * most
        right, below = np.roll(known, -1, axis=1), np.roll(known, -1, axis=0)
        middle = (known + right + below + np.roll(right, -1, axis=0)) / 4 + drawn[0]
        found = np.empty((2 * size, 2 * size), dtype=np.float32)
        found[::2, ::2], found[1::2, 1::2] = known, middle
        found[::2, 1::2] = (known + right + middle + np.roll(middle, 1, axis=0)) / 4 + drawn[1]
        found[1::2, ::2] = (known + below + middle + np.roll(middle, 1, axis=1)) / 4 + drawn[2]
        known, rough = found, rough / decay
    known = known - known.min()
    return np.asarray(known / max(float(known.max()), 1e-9), dtype=np.float32)


def brighter(image: Image, *, rng: np.random.Generator, amount: float) -> Image:
    """Raise the value of each pixel's colour (HSV) by `amount`, at its hue and saturation."""
    return _with_value(image, amount)


def _with_value(image: Image, amount: float) -> Image:
    top = image.max(axis=2)
    ratio = _ratios(amount)[top]
    found = _image(_real(image) * ratio[..., np.newaxis])
    found[top == 0] = np.uint8(min(255.0, amount * 255))
    return found


@functools.lru_cache(maxsize=16)
def _ratios(amount: float) -> Field:
    """By how much a pixel of each value grows."""
    values = np.maximum(np.arange(256), 1) / 255
    return np.asarray(np.minimum(values + amount, 1) / values, dtype=np.float32)


def saturated(image: Image, *, rng: np.random.Generator, factor: NotNegative, more: float) -> Image:
    """Multiply the saturation of each pixel's colour (HSV) by `factor` and add `more`; gray ones turn red with that."""
    values = _real(image)
    top = values.max(axis=2, keepdims=True)
    below = top - values
    old = below.max(axis=2, keepdims=True) / np.maximum(top, np.float32(1e-6))
    new = np.clip(old * np.float32(factor) + np.float32(more), 0, 1)
    red = np.array([0, 1, 1], dtype=np.float32) * top
    found = top - np.where(old > 0, below * (new / np.maximum(old, np.float32(1e-6))), red * new)
    return _image(found)


@each_frame
def speckle_noise(image: Image, *, rng: np.random.Generator, sigma: NotNegative) -> Image:
    """Add to each value noise of `sigma` times it."""
    values = _real(image)
    return _image(values + values * _normal(rng, image.shape) * np.float32(sigma))


def soft_blur(image: Image, *, rng: np.random.Generator, sigma: Positive) -> Image:
    """Blur with a Gaussian of `sigma` pixels, cut off at four of these."""
    side = 2 * math.ceil(4 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def spatter(
    image: Image,
    *,
    rng: np.random.Generator,
    mean: float,
    spread: NotNegative,
    sigma: Positive,
    cut: float,
    strength: NotNegative,
    mud: Share,
) -> Image:
    """Drops are where noise of a `mean` and `spread`, smoothed by `sigma`, lies above `cut`: of water, bright at their
    rims, added with `strength`; or, from `mud` 0.5 on, of mud that covers what is behind, its edges as soft as
    `strength` pixels."""
    layer = cv2.GaussianBlur(np.float32(mean) + np.float32(spread) * _normal(rng, image.shape[:2]), (0, 0), sigma)
    layer = np.where(layer < cut, 0, layer).astype(np.float32)
    values = _real(image)
    if mud >= _MUD:
        cover = cv2.GaussianBlur((layer > cut).astype(np.float32), (0, 0), strength)
        cover = np.where(cover < _DENSE, 0, cover)[..., np.newaxis].astype(np.float32)
        return _image(values * (1 - cover) + cover * np.array([63, 42, 20], dtype=np.float32) / 255)
    drops = (np.clip(layer, 0, 1) * 255).astype(np.uint8)
    away: Any = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    rims = cv2.equalizeHist(cv2.blur(np.minimum(away, 20), (3, 3)).astype(np.uint8))
    relief = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.float32)
    light = cv2.blur(cv2.filter2D(rims, cv2.CV_8U, relief), (3, 3)).astype(np.float32) * drops
    light *= np.float32(strength) / max(float(light.max()), 1e-6)
    return _image(values + light[..., np.newaxis] * np.array([175, 238, 238], dtype=np.float32) / 255)


_MUD, _DENSE = 0.5, 0.8


def channel_contrast(image: Image, *, rng: np.random.Generator, factor: NotNegative) -> Image:
    """Scale the distance of each channel's values from their mean by `factor`."""
    mean = image.reshape(-1, 3).mean(axis=0)
    table = np.clip((np.arange(256)[:, np.newaxis] - mean) * factor + mean, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[np.newaxis]))


def blocks(image: Image, *, rng: np.random.Generator, share: Annotated[float, Gt(0), Le(1)]) -> Image:
    """Reduce both sides to a `share` by averaging, and enlarge again without interpolation."""
    height, width = image.shape[:2]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)


def elastic(image: Image, *, rng: np.random.Generator, strength: NotNegative) -> Image:
    """Move pixels by `strength` times a random field of up to 0.5 % of the height, smoothed over 1 % of each side."""
    height, width = image.shape[:2]
    most = np.float32(height * 0.005)
    moves = []
    for _ in range(2):
        field = (rng.random((height, width), dtype=np.float32) * 2 - 1) * most
        smooth = cv2.GaussianBlur(field, (0, 0), width * 0.01, sigmaY=height * 0.01, borderType=cv2.BORDER_REFLECT)
        moves.append(smooth * np.float32(strength))
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(image, xs + moves[0], ys + moves[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.uint8)
