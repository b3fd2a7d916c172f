"""The IDX file format: one array of bytes, plain or gzip. Source: https://yann.lecun.org/exdb/mnist/ (FILE FORMATS)."""

from __future__ import annotations

import functools
import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DataError
from auditor.files import whole_bytes

__all__ = ["load_idx"]

_UINT8 = 0x08
_GZIP = b"\x1f\x8b"
_MOST_BYTES = 4 * 2**30


def _unpacked(content: bytes) -> bytes:
    """What a gzip file holds: no more than its own header says, and a byte."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        header = file.read(20)
        dimensions = min(header[3], 4) if len(header) > 3 else 0
        sides = [int.from_bytes(header[offset : offset + 4], "big") for offset in range(4, 4 + 4 * dimensions, 4)]
        says = min(4 + 4 * dimensions + math.prod(sides), _MOST_BYTES)
        return header + file.read(max(0, says - len(header)) + 1)


@functools.lru_cache(maxsize=4)
def load_idx(path: Path) -> NDArray[np.uint8]:
    """Read the array of an IDX file of unsigned bytes; it is kept for the next call, and read-only.

    Raises:
        DataError: the file is missing, is not IDX of unsigned bytes, or holds another number of bytes than it says.
    """
    try:
        content = whole_bytes(path)
        if content[:2] == _GZIP:
            content = _unpacked(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UINT8 or not 1 <= content[3] <= 4:
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes (it begins with {content[:4].hex()}; expected 00 00 08 and 1 "
            "to 4 dimensions)"
        )
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[offset : offset + 4], "big") for offset in range(4, start, 4)]
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: its header says {' × '.join(map(str, shape))} bytes, but {max(0, len(content) - start)} follow; "
            "get the file again"
        )
    array = np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
    array.flags.writeable = False
    return array
