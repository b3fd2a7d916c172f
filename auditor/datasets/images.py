"""Read an image from disk as 8-bit RGB, the way that its annotations mean it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "read_image"]

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # errors only: what cannot be decoded is told by our own error


def read_image(path: Path, *, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB: grey is repeated, 16 bits are scaled to 8, alpha is dropped, CMYK converted.

    An EXIF orientation is applied, unless only the unrotated image has the annotated `size` (width, height): then the
    annotations were made on that, and it is read as stored.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    image = _decode(content, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"{path}: not an image that OpenCV can decode ({len(content)} bytes)")
    if size is not None and (image.shape[1], image.shape[0]) == (size[1], size[0]) != size:
        stored = _decode(content, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if stored is not None and (stored.shape[1], stored.shape[0]) == size:
            image = stored
    return image


def _decode(content: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    if content.size == 0:
        return None
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error:  # an image too large for OpenCV raises, any other that cannot be decoded gives None
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)
