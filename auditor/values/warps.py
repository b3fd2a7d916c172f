"""Where the points of an image go when a scenario moves what is on it: one object for its pixels and its boxes.

Points are (N, 2) of x and y in pixels, the corner of the image at 0, 0 and the middle of its first pixel at 0.5, 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.boxes import area, clip

__all__ = ["KEPT_SHARE", "Affine", "Projective", "Radial", "Warp", "moved_boxes", "wide_blur"]

KEPT_SHARE = 0.4
"""A true object counts where more than this share of it is still on the image; else nothing is asked of it there."""
_ALONG = 17
"""So many points of each side of a box are followed."""

Points = NDArray[np.float64]
Image = NDArray[np.uint8]


class Warp(Protocol):
    """Where points go, and where they came from."""

    def forward(self, points: Points) -> Points:
        """Where these points of the original image are on the new one."""
        ...

    def backward(self, points: Points) -> Points:
        """Where these points of the new image were on the original one."""
        ...

    def pixels(self, image: Image) -> Image:
        """The new image, of the same size; what was not on the original is a blur of its mirror image, or black."""
        ...


@dataclass(frozen=True, eq=False)
class Projective:
    """A plane seen from elsewhere: `matrix` (3, 3) takes homogeneous points of the original to the new image."""

    matrix: NDArray[np.float64]
    black: bool = False
    """Whether what was not on the original is black."""

    def forward(self, points: Points) -> Points:
        return _projected(self.matrix, points)

    def backward(self, points: Points) -> Points:
        return _projected(np.asarray(np.linalg.inv(self.matrix), dtype=np.float64), points)

    def pixels(self, image: Image) -> Image:
        height, width = image.shape[:2]
        to_corner, to_middle = _shifted(0.5), _shifted(-0.5)
        shrinks = float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))
        blur = 0.5 * np.sqrt(max(0.0, 1 / shrinks**2 - 1))
        source = image if blur < _SHARP else np.asarray(cv2.GaussianBlur(image, (0, 0), blur), dtype=np.uint8)
        matrix = to_middle @ self.matrix @ to_corner

        def drawn(of: NDArray[Any], *, beyond: int = cv2.BORDER_CONSTANT) -> NDArray[Any]:
            return np.asarray(cv2.warpPerspective(of, matrix, (width, height), borderMode=beyond))

        if self.black:
            return np.asarray(drawn(source), dtype=np.uint8)
        return _filled(drawn(source), drawn(np.full((height, width), _WHOLE, np.uint8)), drawn(source, beyond=_REPEAT))


def Affine(  # noqa: N802
    scale: tuple[float, float], offset: tuple[float, float], *, skew: float = 0.0, black: bool = False
) -> Projective:
    """Points are scaled, moved, and pushed aside by `skew` times their height."""
    matrix = np.array([[scale[0], skew, offset[0]], [0, scale[1], offset[1]], [0, 0, 1]], dtype=np.float64)
    return Projective(matrix, black)


_SHARP = 0.3
"""An image that shrinks is smoothed first, so that fine patterns do not alias, where that takes more than so many
pixels."""
_REPEAT = cv2.BORDER_REFLECT


def _filled(moved: NDArray[Any], inside: NDArray[Any], around: NDArray[Any]) -> Image:
    """What moved, and where the picture has nothing, its mirror image, blurred the more the farther out, until no thing
    can be seen in it."""
    width = moved.shape[1]
    if inside.min() == _WHOLE:
        return np.asarray(moved, dtype=np.uint8)
    share = (inside.astype(np.float32) / _WHOLE)[..., np.newaxis]
    near = np.clip(2 * wide_blur(share[..., 0], width / 60), 0, 1)[..., np.newaxis]
    mirrored = around.astype(np.float32)
    soft = near * wide_blur(mirrored, width / 250) + (1 - near) * wide_blur(mirrored, width / 25)
    mixed = moved.astype(np.float32) + (1 - share) * soft
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


_WHOLE = 255


def wide_blur(values: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur of (H, W) or (H, W, C) by `sigma` pixels; a wide one is made of a smaller picture, which takes a
    fraction of the time and differs by less than a level of 8 bits."""
    height, width = values.shape[:2]
    shrink = max(1, int(sigma / 3))
    small = values
    if shrink > 1:
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.6, sigma / shrink), borderType=cv2.BORDER_REPLICATE)
    whole = soft if shrink == 1 else cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole, dtype=np.float32)


def _shifted(by: float) -> NDArray[np.float64]:
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1]], dtype=np.float64)


def _projected(matrix: NDArray[np.float64], points: Points) -> Points:
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])


@dataclass(frozen=True)
class Radial:
    """A lens that pulls points towards its middle (`k` below 0, a barrel) or pushes them away (a pincushion): a radius
    r, as a share of `reach`, becomes `zoom` r (1 + k r²).

    Source: Brown 1966, Decentering Distortion of Lenses, the first radial coefficient.
    """

    middle: tuple[float, float]
    reach: float
    k: float
    zoom: float = 1.0

    def forward(self, points: Points) -> Points:
        away = (points - np.array(self.middle)) / self.reach
        squared = (away**2).sum(axis=1, keepdims=True)
        return np.asarray(away * self.zoom * (1 + self.k * squared) * self.reach + np.array(self.middle))

    def backward(self, points: Points) -> Points:
        away = (points - np.array(self.middle)) / (self.reach * self.zoom)
        radius = np.sqrt((away**2).sum(axis=1, keepdims=True))
        turns = np.sqrt(-1 / (3 * self.k)) if self.k < 0 else np.inf  # from here on a barrel would fold back
        found = radius.copy()
        for _ in range(_NEWTON):
            found = np.minimum(found, 0.999 * turns)
            found -= (found * (1 + self.k * found**2) - radius) / (1 + 3 * self.k * found**2)
        found = np.where(radius < turns * (1 + self.k * turns**2), found, _NOWHERE) if self.k < 0 else found
        ratio = np.divide(found, radius, out=np.ones_like(radius), where=radius > 0)
        return np.asarray(away * ratio * self.reach + np.array(self.middle))

    def pixels(self, image: Image) -> Image:
        height, width = image.shape[:2]
        ys, xs = np.mgrid[:height, :width]
        places = np.column_stack([xs.ravel(), ys.ravel()]) + 0.5
        sources = (self.backward(places) - 0.5).astype(np.float32).reshape(height, width, 2)
        across, down = sources[..., 0], sources[..., 1]

        def drawn(of: NDArray[Any], *, beyond: int = cv2.BORDER_CONSTANT) -> NDArray[Any]:
            return np.asarray(cv2.remap(of, across, down, cv2.INTER_LINEAR, borderMode=beyond))

        return _filled(drawn(image), drawn(np.full((height, width), _WHOLE, np.uint8)), drawn(image, beyond=_REPEAT))


_NOWHERE = 10.0
"""A radius that no image reaches: what is there was on none."""
_NEWTON = 12
"""Steps after which the radius is exact to the last digits for a k of -0.3 and more."""


def moved_boxes(
    boxes: NDArray[np.float64], warps: Sequence[Warp], *, width: float, height: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where (N, 4) xyxy boxes are after one warp upon the other, on an image of `width` × `height` pixels: the boxes
    around their outlines, cut off at the image's edges; by how much their areas grew (N,); and which (N,) count still,
    since more than `KEPT_SHARE` of them is on the image after every warp.

    A box around an outline that was turned is larger than the object in it: by up to 2 at 45 degrees.
    """
    kept, grown, now = np.ones(len(boxes), dtype=bool), np.ones(len(boxes)), np.asarray(boxes, dtype=np.float64)
    for warp in warps:
        outlines = warp.forward(_outlines(now).reshape(-1, 2)).reshape(len(now), 4 * _ALONG, 2)
        whole = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1).reshape(-1, 4)
        inside = clip(whole, width=width, height=height)
        before, after = area(now), area(whole)
        kept &= np.divide(area(inside), after, out=np.zeros_like(after), where=after > 0) > KEPT_SHARE
        grown *= np.divide(area(inside), before, out=np.ones_like(before), where=before > 0)
        now = inside
    return now, grown, kept


def _outlines(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4 * _ALONG, 2): points along the sides of boxes."""
    share = np.linspace(0, 1, _ALONG)
    left, top, right, bottom = (boxes[:, index, np.newaxis] for index in range(4))
    across, down = left + share * (right - left), top + share * (bottom - top)
    same = np.ones_like(share)
    sides = [(across, top * same), (across, bottom * same), (left * same, down), (right * same, down)]
    return np.concatenate([np.stack(side, axis=2) for side in sides], axis=1)
