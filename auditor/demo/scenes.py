"""Scenes of simple objects, drawn from a seed: the embedded example's pictures, for training and for the audit alike.

A scene has one to seven objects of six classes, of varied size, colour, texture and rotation, lit from one side, before
a textured background. Everything is drawn by this module; nothing is downloaded and nothing is photographed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.values import GroundTruth

__all__ = ["CLASSES", "Painted", "background", "lit", "painted_object", "render_scene"]

CLASSES = ("ball", "crate", "cone", "star", "ring", "cross")

_SIZES = ((240, 320), (240, 320), (320, 240), (256, 256), (216, 288))
_SHIFT = 4  # cv2 draws with coordinates in 1/16 pixel


def render_scene(seed: int) -> tuple[NDArray[np.uint8], GroundTruth]:
    """Draw the scene of `seed`: an (H, W, 3) uint8 RGB image and its truth; `labels` index `CLASSES`."""
    rng = np.random.default_rng([20261124, seed])
    height, width = _SIZES[rng.integers(len(_SIZES))]
    canvas = background(rng, height, width)
    boxes: list[NDArray[np.float64]] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(1, 8))):
        label = int(rng.integers(len(CLASSES)))
        placed = _place(rng, label, canvas, boxes)
        if placed is not None:
            boxes.append(placed)
            labels.append(label)
    bright = lit(canvas, rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2))
    bright = bright + rng.normal(0, 2.0, canvas.shape).astype(np.float32)
    image = np.clip(np.rint(bright), 0, 255).astype(np.uint8)
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return image, GroundTruth(
        boxes=array,
        labels=np.array(labels, dtype=np.int64),
        area=np.prod(array[:, 2:] - array[:, :2], axis=1),
        iscrowd=np.zeros(len(labels), dtype=bool),
    )


@dataclass(frozen=True, eq=False)
class Painted:
    """One object alone, for a clip: `pixels` (H, W, 3), where it covers them (H, W) in [0, 1], and its box (4,)."""

    pixels: NDArray[np.float32]
    cover: NDArray[np.float32]
    box: NDArray[np.float64]


def painted_object(rng: np.random.Generator, label: int, ground: NDArray[np.float32]) -> Painted:
    """Paint one object of 36 to 110 pixels in the middle of a background."""
    height, width = ground.shape[:2]
    size = float(np.exp(rng.uniform(np.log(36), np.log(110))))
    mask = _silhouette(rng, label, (height, width), np.array([width / 2, height / 2]), size)
    ys, xs = np.nonzero(mask > 0.5)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float64)
    canvas = ground.copy()
    _paint(rng, canvas, mask, box)
    return Painted(canvas, mask, box)


def background(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """A textured background (height, width, 3), in levels of 8 bits."""
    tint = rng.uniform(60, 190, 3)
    canvas = np.full((height, width, 3), tint, dtype=np.float32)
    for cells, strength in ((3, 16.0), (12, 12.0), (48, 7.0)):
        grain = rng.normal(0, strength, (cells, cells, 3 if cells == 3 else 1)).astype(np.float32)
        smooth = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        canvas += smooth.reshape(height, width, -1)
    if rng.random() < 0.5:  # planks or tiles
        step = int(rng.integers(24, 70))
        lines = np.zeros((height, width), dtype=np.float32)
        lines[int(rng.integers(step)) :: step] = 1
        if rng.random() < 0.5:
            lines[:, int(rng.integers(step)) :: step] = 1
        canvas -= cv2.GaussianBlur(lines, (0, 0), 0.8)[..., np.newaxis] * np.float32(rng.uniform(20, 70))
    return np.clip(canvas, 10, 245)


def _place(
    rng: np.random.Generator, label: int, canvas: NDArray[np.float32], boxes: list[NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """Draw one object onto `canvas` where it hides little of the others; None where no such place was found."""
    height, width = canvas.shape[:2]
    for _ in range(12):
        size = float(np.exp(rng.uniform(np.log(20), np.log(120))))
        centre = rng.uniform([size * 0.45, size * 0.45], [width - size * 0.45, height - size * 0.45])
        mask = _silhouette(rng, label, (height, width), centre, size)
        ys, xs = np.nonzero(mask > 0.5)
        if len(xs) == 0:
            continue
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float64)
        if boxes and iou(box[np.newaxis], np.array(boxes)).max() > 0.12:
            continue
        _paint(rng, canvas, mask, box)
        return box
    return None


def _silhouette(
    rng: np.random.Generator, label: int, shape: tuple[int, int], centre: NDArray[np.float64], size: float
) -> NDArray[Any]:
    """The coverage (H, W) in [0, 1] of one object about `size` pixels across."""
    mask = np.zeros(shape, dtype=np.uint8)
    radius = size / 2
    squeeze = rng.uniform(0.75, 1.0)
    turn = rng.uniform(-0.35, 0.35)
    name = CLASSES[label]
    if name in ("ball", "ring"):
        axes = _fixed(np.array([radius, radius * (squeeze if name == "ball" else rng.uniform(0.55, 1.0))]))
        middle = _fixed(centre)
        cv2.ellipse(mask, middle, axes, np.degrees(turn), 0, 360, 255, -1, cv2.LINE_AA, _SHIFT)
        if name == "ring":
            inner = tuple(int(axis * 0.58) for axis in axes)
            cv2.ellipse(mask, middle, inner, np.degrees(turn), 0, 360, 0, -1, cv2.LINE_AA, _SHIFT)
        return mask.astype(np.float32) / 255
    outline = _outline(name) * radius * np.array([1.0, squeeze])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.rint((outline @ rotation.T + centre) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def _outline(name: str) -> NDArray[np.float64]:
    if name == "crate":
        return np.array([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]])
    if name == "cone":
        return np.array(
            [
                [-0.16, -1.0],
                [0.16, -1.0],
                [0.62, 0.78],
                [0.9, 0.78],
                [0.9, 1.0],
                [-0.9, 1.0],
                [-0.9, 0.78],
                [-0.62, 0.78],
            ]
        )
    if name == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        return np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=1)
    arm = 0.34  # cross
    corner = [[-arm, -1], [arm, -1], [arm, -arm], [1, -arm], [1, arm], [arm, arm], [arm, 1], [-arm, 1]]
    return np.array([*corner, [-arm, arm], [-1, arm], [-1, -arm], [-arm, -arm]], dtype=np.float64)


def _paint(
    rng: np.random.Generator, canvas: NDArray[np.float32], mask: NDArray[np.float32], box: NDArray[np.float64]
) -> None:
    """Lay a shadow, then the object's textured and shaded surface."""
    shadow = cv2.GaussianBlur(np.roll(mask, (3, 4), axis=(0, 1)), (0, 0), 3)[..., np.newaxis]
    canvas *= 1 - 0.35 * shadow
    left, top, right, bottom = box.astype(int)
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
    under = canvas[top:bottom, left:right].mean(axis=(0, 1))
    colour = rng.uniform(15, 245, 3)
    while np.abs(colour - under).max() < 50:
        colour = rng.uniform(15, 245, 3)
    surface = np.broadcast_to(colour.astype(np.float32), (*ys.shape, 3)).copy()
    kind = rng.integers(4)
    period = float(rng.uniform(5, 14))
    accent = np.float32(rng.uniform(0.55, 0.8))
    if kind == 1:
        angle = rng.uniform(0, np.pi)
        surface[np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * 2 * np.pi / period) > 0] *= accent
    elif kind == 2:
        surface[((xs // period) + (ys // period)) % 2 > 0] *= accent
    elif kind == 3:
        surface += cv2.GaussianBlur(rng.normal(0, 40, (*ys.shape, 1)).astype(np.float32), (0, 0), 1)[..., np.newaxis]
    ramp = ((xs - left) / max(right - left, 1) + (ys - top) / max(bottom - top, 1)) / 2
    surface *= (1.15 - 0.35 * ramp)[..., np.newaxis]
    cover = mask[top:bottom, left:right, np.newaxis]
    canvas[top:bottom, left:right] = canvas[top:bottom, left:right] * (1 - cover) + np.clip(surface, 0, 255) * cover


def lit(canvas: NDArray[np.float32], angle: float, share: float) -> NDArray[Any]:
    """Light the whole scene from one side, by such an `angle`; the edges get that `share` more and less of the light,
    the farther one down to two thirds."""
    height, width = canvas.shape[:2]
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    ramp = 1 + np.float32(share) * (xs * np.cos(angle) + ys * np.sin(angle)).astype(np.float32) / np.float32(1.4)
    return np.asarray(np.clip(canvas * ramp[..., np.newaxis], 0, 255))


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(point * 2**_SHIFT).astype(int)
    return int(x), int(y)
