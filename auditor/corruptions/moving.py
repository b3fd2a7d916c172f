"""Movements: what moves things on an image, as where every point goes; pixels and true boxes follow the same one.

Each takes the size (height, width) of an image and returns a `Warp`. `rng` is the image's own generator: a direction is
drawn once for each image, whatever the severity.
"""

from __future__ import annotations

import math
from typing import Annotated, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from auditor.corruptions.builtin import Factor
from auditor.values.warps import Affine, Projective, Radial, Warp

__all__ = [
    "Movement",
    "crop",
    "digital_zoom",
    "distance",
    "lens_distortion",
    "rolling_shutter",
    "rotate",
    "tile",
    "tilt",
]

Size = tuple[int, int]


class Movement(Protocol):
    """The extension point `auditor.movements`."""

    def __call__(self, size: Size, *, rng: np.random.Generator, **knobs: float) -> Warp: ...


def rotate(size: Size, *, rng: np.random.Generator, degrees: Annotated[float, Ge(0), Le(180)]) -> Projective:
    """Turn the image about its middle, to a side that is drawn once per image."""
    height, width = size
    angle = math.radians(degrees) * _side(rng)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    return Projective(_to(width / 2, height / 2) @ turn @ _to(-width / 2, -height / 2))


def tilt(size: Size, *, rng: np.random.Generator, degrees: Annotated[float, Ge(0), Lt(60)]) -> Projective:
    """See the picture as a plane that is turned by so many degrees out of that of the camera, about a level or an
    upright axis through its middle, which is drawn once per image, by a lens of 60 degrees across.

    Source: Hartley and Zisserman 2004, Multiple View Geometry, 8.1 (a plane's homography K [r1 r2 t]).
    """
    height, width = size
    focal = width / 2 / math.tan(math.radians(_ACROSS / 2))
    angle = math.radians(degrees) * _side(rng)
    level = rng.random() < 0.5
    sine, cosine = math.sin(angle), math.cos(angle)
    about_level = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_upright = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    plane = np.column_stack([(about_level if level else about_upright)[:, :2], [0, 0, 1]])
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Projective(camera @ plane @ np.linalg.inv(camera))


_ACROSS = 60


def lens_distortion(size: Size, *, rng: np.random.Generator, k: Annotated[float, Gt(-0.33), Le(1)]) -> Radial:
    """Bend the picture as a wide lens does: `k` below 0 is a barrel, above 0 a pincushion; a corner at a radius of 1
    moves by so large a share of it. The picture is enlarged until the middles of its longer sides stand where they did.
    """
    height, width = size
    reach = math.hypot(width, height) / 2
    nearest = min(height, width) / 2 / reach
    return Radial((width / 2, height / 2), reach, k, zoom=1 / (1 + k * nearest**2))


def crop(size: Size, *, rng: np.random.Generator, share: Annotated[float, Gt(0), Le(1)]) -> Projective:
    """Keep a window of so large a share of each side, at a place that is drawn once per image, and enlarge it to the
    size of the image."""
    height, width = size
    left, top = (rng.random() * side * (1 - share) for side in (width, height))
    return Affine((1 / share, 1 / share), (-left / share, -top / share))


def digital_zoom(size: Size, *, rng: np.random.Generator, factor: Factor) -> Projective:
    """Enlarge the middle of the picture by a factor, as a camera without a zoom lens does."""
    height, width = size
    return Affine((factor, factor), ((1 - factor) * width / 2, (1 - factor) * height / 2))


def distance(size: Size, *, rng: np.random.Generator, factor: Factor) -> Projective:
    """See the picture from so many times as far away: everything is smaller by the factor, about the middle; what lies
    around it is not known, and is a blur of the picture's mirror image."""
    height, width = size
    return Affine((1 / factor, 1 / factor), ((1 - 1 / factor) * width / 2, (1 - 1 / factor) * height / 2))


def tile(size: Size, *, rng: np.random.Generator, tiles: Annotated[float, Ge(1), Le(16)]) -> Projective:
    """Show the picture as one of `tiles` × `tiles` of a recorder's screen, in a corner that is drawn once per image;
    the others are black. Between whole numbers the tile's size is between theirs."""
    height, width = size
    free = 1 - 1 / tiles
    down, across = rng.integers(2, size=2).tolist()
    return Affine((1 / tiles, 1 / tiles), (free * across * width, free * down * height), black=True)


def rolling_shutter(size: Size, *, rng: np.random.Generator, skew: Annotated[float, Ge(0), Le(1)]) -> Projective:
    """Lean everything over as a shutter that reads row after row does while the camera pans: between the first row and
    the last the scene moves by so large a share of the width, to a side that is drawn once per image.

    Source: Liang, Chang and Chen 2008, https://doi.org/10.1109/TIP.2008.925384 (a global motion of constant speed).
    """
    height, width = size
    lean = skew * width / height * _side(rng)
    return Affine((1, 1), (-lean * height / 2, 0), skew=lean)


def _side(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _to(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=np.float64)
