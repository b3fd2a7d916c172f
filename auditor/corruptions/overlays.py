"""Pictures of real dirt, drops, cracks or reflections, laid over an image."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from auditor.corruptions.builtin import Image, Share

__all__ = ["overlay"]

Field = NDArray[np.float32]


def overlay(
    image: Image,
    *,
    rng: np.random.Generator,
    files: Annotated[tuple[Path, ...], MinLen(1)],
    opacity: Share,
    scale: Annotated[float, Ge(1), Le(20)] = 1.0,
    mode: Literal["cover", "lighten", "darken"] = "cover",
) -> Image:
    """Lay one of `files`, drawn once per image and mirrored by chance, over the image.

    It fills the image, enlarged by `scale` about its middle; `opacity` is its share of what is seen. With `cover` its
    alpha channel says where it lies; `lighten` and `darken` (screen and multiply) are for pictures on black and on
    white, such as photographs of drops and of dust before a lit screen.

    Source of the modes: W3C, Compositing and Blending Level 1, https://www.w3.org/TR/compositing-1/.

    Raises:
        ValueError: a file is no picture, or has no alpha channel where `cover` needs it.
    """
    picture = _picture(files[int(rng.integers(len(files)))], needs_alpha=mode == "cover")
    down, across = (1 - 2 * rng.integers(2, size=2)).tolist()
    layer = _filling(picture, image.shape[:2], scale)[::down, ::across]
    above, below = layer[..., :3], image.astype(np.float32) / np.float32(255)
    blended = {"cover": above, "lighten": below + above - below * above, "darken": below * above}[mode]
    weight = layer[..., 3:] * np.float32(opacity)
    return np.asarray(np.clip(np.rint((below + (blended - below) * weight) * 255), 0, 255), dtype=np.uint8)


@functools.lru_cache(maxsize=16)
def _picture(path: Path, *, needs_alpha: bool) -> Field:
    """A picture's red, green, blue and cover: (H, W, 4) of 0 to 1."""
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} is not a picture of 8 or 16 bits that can be read")
    values = np.asarray(read, dtype=np.float32) / np.float32(255 if read.dtype == np.uint8 else 65535)
    if values.ndim == 2:
        values = np.repeat(values[..., np.newaxis], 3, axis=2)
    if needs_alpha and values.shape[2] != 4:
        raise ValueError(
            f"{path} has no alpha channel, so that it would hide the whole image; save it with one, or say `mode: "
            "lighten` (a picture on black) or `mode: darken` (on white)"
        )
    opaque = np.ones(values.shape[:2], dtype=np.float32)
    return np.dstack([values[..., 2::-1], values[..., 3] if values.shape[2] == 4 else opaque])


_MOST_PIXELS = 2e8


def _filling(picture: Field, size: tuple[int, ...], scale: float) -> Field:
    """A picture's middle, enlarged by `scale` beyond what fills (height, width)."""
    height, width = size
    factor = scale * max(height / picture.shape[0], width / picture.shape[1])
    if factor**2 * picture.shape[0] * picture.shape[1] > _MOST_PIXELS:
        raise ValueError(
            f"a picture of {picture.shape[1]} × {picture.shape[0]} pixels would be {factor:.0f} times as large to fill "
            f"one of {width} × {height}; cut it to a shape like that of the images"
        )
    whole = (max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor)))
    large = cv2.resize(picture, whole, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    top, left = (whole[1] - height) // 2, (whole[0] - width) // 2
    return np.asarray(large[top : top + height, left : left + width], dtype=np.float32)
