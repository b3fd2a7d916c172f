"""Find images, and read each as 8-bit RGB, the way that its annotations mean it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.datasets.idx_file import load_idx
from auditor.errors import DataError, InputError
from auditor.provenance import sha256_of
from auditor.values import ImageRecord

__all__ = ["SUFFIXES", "folder_images", "list_images", "read_image", "read_record", "sizes_of"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_ERROR
)  # errors only: what cannot be decoded is told by our own error


def read_record(record: ImageRecord) -> NDArray[np.uint8]:
    """Return the image of a record as (H, W, 3) uint8 RGB, whether it is a file or one of many in a file.

    Raises:
        DataError: the file is missing or is not an image.
    """
    if record.index is None:
        return read_image(record.path, size=record.size)
    image = load_idx(record.path)[record.index]
    return np.ascontiguousarray(
        np.broadcast_to(image[..., np.newaxis] if image.ndim == 2 else image, (*image.shape[:2], 3))
    )


def read_image(path: Path, *, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB: grey is repeated, 16 bits are scaled to 8, alpha is dropped, CMYK
    converted.

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


def sizes_of(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Return the (width, height) of each image as it is read, None where it cannot be."""

    def size(path: Path) -> tuple[int, int] | None:
        try:
            height, width = read_image(path, size=None).shape[:2]
        except DataError:
            return None
        return width, height

    with ThreadPoolExecutor() as pool:
        return list(pool.map(size, paths))


def list_images(folder: Path) -> list[Path]:
    """List the image files in a folder and below, by path; links to folders are followed, in circles once."""
    return sorted(path for path in _files_below(folder) if path.suffix.lower() in SUFFIXES)


def folder_images(folder: Path, *, limit: int | None) -> tuple[ImageRecord, ...]:
    """List the images in a folder and below, at most the first `limit` by name; in an order by content.

    A quantizer's ranges are moving averages, which the last images weigh on most: an order by content mixes what names
    would group, and does not change when files are renamed.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected calibration images")
    paths = list_images(folder)[:limit]
    if not paths:
        raise InputError(f"{folder}: no image there ({', '.join(SUFFIXES)})")
    records = (ImageRecord(number, path, None, sha256_of(path)) for number, path in enumerate(paths, start=1))
    return tuple(sorted(records, key=lambda record: record.sha256 or ""))


def _files_below(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        yield from (Path(place) / name for name in files if (Path(place) / name).exists())


def _decode(content: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    if content.size == 0:
        return None
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error:  # an image too large for OpenCV raises, any other that cannot be decoded gives None
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)
