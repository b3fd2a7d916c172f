"""Find images, and read each as 8-bit RGB, the way that its annotations mean it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.datasets.idx_file import load_idx
from auditor.datasets.named_files import no_folder
from auditor.datasets.video_file import read_frame
from auditor.errors import DataError, InputError
from auditor.files import whole_bytes
from auditor.provenance import content_hash
from auditor.values import AS_FOUND, ImageRecord, Meant

__all__ = [
    "SUFFIXES",
    "Oddities",
    "folder_images",
    "list_images",
    "oddities_of",
    "read_image",
    "read_record",
    "sizes_of",
]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_EXIF = (b"Exif\0\0", b"eXIf", b"EXIF")
"""How notes of a camera are marked in JPEG, PNG and WebP."""
_PNG = b"\x89PNG"
_PNG_END = b"IEND"
_HEADER = 2**16
_MOST_BYTES, _MOST_PIXELS = 2**30, 2**27
"""Larger images are no input of a detector, and a few bytes of one that is all of one colour can fill the memory."""
_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", 0xDA, 0xD9
"""How a JPEG begins, and two of its markers. Source: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1."""
_WIDTH, _HEIGHT, _ORIENTATION, _SHORT = 256, 257, 274, 3
"""Tags of a TIFF, and the type of a number of 16 bits."""
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: np.rot90,
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: lambda image: np.rot90(image, -1),
}
"""By orientation what undoes it."""
_DEPTH_AT = 24
"""The byte of a PNG file that holds its bit depth. Source: https://www.w3.org/TR/png-3/#11IHDR."""
_FULL = 65535.0
_OF_ONE = 1.001
"""The most of a floating-point image whose values go from 0 to 1."""

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what cannot be decoded is told by our own error


def read_record(record: ImageRecord) -> NDArray[np.uint8]:
    """Return the image of a record as (H, W, 3) uint8 RGB, whether it is a file, or one of many in a file or
    video.

    Raises:
        DataError: the file is missing or is not an image.
    """
    if record.moment is not None:
        return read_frame(record.path, record.moment.pts, turn=record.meant.exif != "ignore")
    if record.index is None:
        return read_image(record.path, size=record.size, meant=record.meant)
    image = load_idx(record.path)[record.index]
    return np.ascontiguousarray(
        np.broadcast_to(image[..., np.newaxis] if image.ndim == 2 else image, (*image.shape[:2], 3))
    )


def read_image(path: Path, *, size: tuple[int, int] | None, meant: Meant = AS_FOUND) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB: grey is repeated, alpha is dropped, CMYK converted, and what is deeper is
    scaled to 8 bits: of 16 bits (or of as many as are `meant`) the highest 8, of floating point 0 to 1.

    An EXIF orientation is applied, unless only the unrotated image has the annotated `size` (width, height): then the
    annotations were made on that, and it is read as stored; `meant.exif` decides otherwise.

    Raises:
        DataError: the file is missing or is not an image.
    """
    content = _content(path)
    image = _decoded(content, path, meant, as_stored=meant.exif == "ignore")
    if size is not None and meant.exif is None and (image.shape[1], image.shape[0]) == (size[1], size[0]) != size:
        stored = _decoded(content, path, meant, as_stored=True)
        if (stored.shape[1], stored.shape[0]) == size:
            image = stored
    return image


@dataclass(frozen=True)
class Oddities:
    """What may be read otherwise than it was meant: how many bits all but a thousandth of a deep image's values use (of
    16; 0 for one of 8 bits), whether more than a hundredth of them lie beyond the bits that are `meant`, and whether it
    has an orientation that its annotated size neither confirms nor refutes."""

    bits_used: int = 0
    beyond: bool = False
    undecided: bool = False


def oddities_of(record: ImageRecord) -> Oddities:
    """Look at what the bytes of an image leave open; nothing where it cannot be read."""
    if record.index is not None:
        return Oddities()
    try:
        content = _content(record.path)
        used, beyond = _bits_of(_deep(content), record.meant.bits)
        undecided = False
        if record.meant.exif is None and (_tiff_turn(content) or any(mark in content.tobytes() for mark in _EXIF)):
            turned, stored = (_decoded(content, record.path, record.meant, as_stored=way) for way in (False, True))
            told = record.size is not None and record.sized and turned.shape != stored.shape
            undecided = not told and not np.array_equal(turned, stored)
    except DataError:
        return Oddities()  # counted when it is measured
    return Oddities(used, beyond, undecided)


def _bits_of(deep: NDArray[Any] | None, bits: int | None) -> tuple[int, bool]:
    """How many bits of 16 all but a thousandth of the values use, and whether more than a hundredth are beyond `bits`;
    floating point up to 1 is taken as parts of 16 bits."""
    if deep is None or deep.dtype == np.uint8 or deep.dtype.kind not in "uf":
        return 0, False
    values = np.nan_to_num(deep.astype(np.float64))
    if deep.dtype.kind == "f":
        values = values * (_FULL if values.max(initial=0.0) <= _OF_ONE else 1.0)
    used = int(np.quantile(values, 0.999)).bit_length()
    return used, bits is not None and float((values >= 2**bits).mean()) > 0.01


def sizes_of(paths: Sequence[Path], meant: Meant = AS_FOUND) -> list[tuple[int, int] | None]:
    """Return the (width, height) of each image as it is read, None where it cannot be."""

    def size(path: Path) -> tuple[int, int] | None:
        try:
            height, width = read_image(path, size=None, meant=meant).shape[:2]
        except DataError:
            return None
        return width, height

    with ThreadPoolExecutor() as pool:
        return list(pool.map(size, paths))


def list_images(folder: Path) -> list[Path]:
    """List the image files in a folder and below, by path; links to folders are followed, in circles once."""
    return sorted(path for path in _files_below(folder) if path.suffix.lower() in SUFFIXES)


def folder_images(folder: Path, *, limit: int | None, meant: Meant = AS_FOUND) -> tuple[ImageRecord, ...]:
    """List the images in a folder and below, at most the first `limit` by name; in an order by content.

    A quantizer's ranges are moving averages, which the last images weigh on most: an order by content mixes what names
    would group, and does not change when files are renamed.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {no_folder(folder)}; expected calibration images")
    paths = list_images(folder)[:limit]
    if not paths:
        raise InputError(f"{folder}: no image there ({', '.join(SUFFIXES)})")
    records = (
        ImageRecord(number, path, None, content_hash(path), meant=meant) for number, path in enumerate(paths, start=1)
    )
    return tuple(sorted(records, key=lambda record: record.sha256 or ""))


def _files_below(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        yield from (Path(place) / name for name in files if (Path(place) / name).is_file())


def _content(path: Path) -> NDArray[np.uint8]:
    try:
        content = np.frombuffer(whole_bytes(path, most=_MOST_BYTES), dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    tags = _tiff_tags(content)
    wide = (tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)) if tags else _declared(content[:_HEADER].tobytes())
    if wide is not None and wide[0] * wide[1] > _MOST_PIXELS:
        raise DataError(
            f"{path}: an image of {wide[0]} × {wide[1]} pixels, more than {_MOST_PIXELS:,}; cut it up first"
        )
    if content[:4].tobytes() == _PNG and not _has_its_chunks(content):
        raise DataError(f"{path}: it is a truncated PNG ({len(content)} bytes)")
    return content


def _declared(header: bytes) -> tuple[int, int] | None:
    """The (width, height) that the header of a PNG, JPEG, BMP or WebP file declares, None of
    others. Sources: https://www.w3.org/TR/png-3/,
    https://developers.google.com/speed/webp/docs/riff_container, TIFF 6.0."""
    if header[:4] == _PNG:
        return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    if header[:2] == b"BM":
        width, height = (int.from_bytes(header[at : at + 4], "little", signed=True) for at in (18, 22))
        return abs(width), abs(height)
    if header[:4] == b"RIFF" and header[12:16] == b"VP8X":
        return 1 + int.from_bytes(header[24:27], "little"), 1 + int.from_bytes(header[27:30], "little")
    if header[:2] == _JPEG:
        return _declared_by_jpeg(header)
    return None


def _declared_by_jpeg(header: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(header) and header[at] == 0xFF:
        marker = header[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            return int.from_bytes(header[at + 7 : at + 9], "big"), int.from_bytes(header[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(header[at + 2 : at + 4], "big")
    return None


def _has_its_chunks(content: NDArray[np.uint8]) -> bool:
    """Whether a PNG is as long as its chunks say: a decoder makes room for what they say first."""
    at = 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4].tobytes(), "big")
        if at + 12 + length > len(content):
            return False
        if content[at + 4 : at + 8].tobytes() == _PNG_END:
            return True
        at += 12 + length
    return False


def _decoded(content: NDArray[np.uint8], path: Path, meant: Meant, *, as_stored: bool) -> NDArray[np.uint8]:
    orientation = cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0
    deep = _deep(content, orientation)
    turn = _tiff_turn(content) if as_stored else None
    if deep is not None and deep.dtype != np.uint8:
        shallow = _of_8_bits(deep if turn is None else np.ascontiguousarray(turn(deep)), path, meant.bits)
        code = cv2.COLOR_GRAY2RGB if shallow.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(shallow, code), dtype=np.uint8)
    image = _decode(content, cv2.IMREAD_COLOR_RGB | orientation)
    wrong = _damage(content.tobytes(), image)
    if image is None or wrong is not None:
        raise DataError(f"{path}: {wrong} ({len(content)} bytes)")
    image = image if turn is None else np.ascontiguousarray(turn(image))
    return np.asarray(image, dtype=np.uint8)


def _damage(content: bytes, image: NDArray[Any] | None) -> str | None:
    """What is wrong with the bytes of an image file: OpenCV fills up what is missing of a truncated one with grey."""
    begins = content[:4]
    if begins[:2] == _JPEG and not _ends(content):
        return "it is a truncated JPEG"
    if begins == _PNG and _PNG_END not in content:
        return "it is a truncated PNG"
    if image is not None:
        return None
    if not content:
        return "it is empty"
    if content.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the image; fetch it with `git lfs pull`"
    if content.lstrip()[:1] == b"<":
        return "it is a page of text, not an image; get it again"
    return "not an image that OpenCV can decode"


def _ends(content: bytes) -> bool:
    """Whether the scans of a JPEG come to an end: at its end marker, whatever a camera appends behind it."""
    at = 2
    while at + 4 <= len(content):
        marker = content[at + 1]
        if content[at] != 0xFF:
            return False
        if marker == _END_OF_IMAGE:
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker != _START_OF_SCAN:
            continue
        while True:  # within a scan 0xFF stands before 0, a restart or the next marker
            at = content.find(b"\xff", at)
            if at < 0 or at + 1 >= len(content):
                return False
            if content[at + 1] == 0 or 0xD0 <= content[at + 1] <= 0xD7 or content[at + 1] == 0xFF:
                at += 1 if content[at + 1] == 0xFF else 2
                continue
            break
    return at + 2 <= len(content) and content[at : at + 2] == b"\xff\xd9"


def _tiff_turn(content: NDArray[np.uint8]) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """What turns a TIFF as OpenCV gives it, by its tag 274 whatever the flag, back to how it is stored; None where
    there is nothing to turn. Source: TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf."""
    return _TURNS.get(_tiff_tags(content).get(_ORIENTATION, 0))


def _tiff_tags(content: NDArray[np.uint8]) -> dict[int, int]:
    """The tags of the first image of a TIFF that are one number, by their number; none of other files."""
    start = content[:8].tobytes()
    if start[:4] not in (b"II*\0", b"MM\0*"):
        return {}
    order: Literal["little", "big"] = "little" if start[:2] == b"II" else "big"
    at = int.from_bytes(start[4:8], order)
    count = int.from_bytes(content[at : at + 2].tobytes(), order)
    found = {}
    for number in range(min(count, 512)):
        entry = content[at + 2 + 12 * number : at + 14 + 12 * number].tobytes()
        size = 2 if int.from_bytes(entry[2:4], order) == _SHORT else 4
        found[int.from_bytes(entry[:2], order)] = int.from_bytes(entry[8 : 8 + size], order)
    return found


def _deep(content: NDArray[np.uint8], orientation: int = 0) -> NDArray[Any] | None:
    """The image in its own depth, grey (H, W) or BGR (H, W, 3), where its format may hold more than 8 bits."""
    start = content[: _DEPTH_AT + 1].tobytes()
    shallow = start[:2] in (_JPEG, b"BM") or start[8:12] == b"WEBP" or start[:3] == b"GIF"
    if shallow or (start[:4] == _PNG and start[_DEPTH_AT:] != b"\x10"):
        return None
    return _decode(content, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | orientation)


def _of_8_bits(deep: NDArray[Any], path: Path, bits: int | None) -> NDArray[np.uint8]:
    """Scale a deep image to 8 bits.

    Raises:
        DataError: its type leaves open what white is.
    """
    if deep.dtype == np.uint16:
        return np.asarray(np.minimum(deep >> ((bits or 16) - 8), 255), dtype=np.uint8)
    if deep.dtype.kind != "f":
        raise DataError(f"{path}: an image of {deep.dtype} pixels; expected 8 or 16 bits without sign, or 0 to 1")
    most = float(np.nanmax(deep, initial=0.0))
    if bits is None and most > _OF_ONE:
        raise DataError(
            f"{path}: an image of floating-point pixels up to {most:.6g}, where 0 to 1 was expected; write "
            "`images: {bits: N}` with the bits that white has (8 where it is 255)"
        )
    white = 1.0 if bits is None else 2.0**bits - 1
    if bits is not None and most <= _OF_ONE:
        white /= _FULL
    return np.asarray(np.rint(np.clip(np.nan_to_num(deep) / white, 0, 1) * 255), dtype=np.uint8)


def _decode(content: NDArray[np.uint8], flags: int) -> NDArray[Any] | None:
    if content.size == 0:
        return None
    try:
        return cv2.imdecode(content, flags)
    except cv2.error:  # an image too large for OpenCV raises, any other that cannot be decoded gives None
        return None
