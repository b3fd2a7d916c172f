"""The IDX file format: one array of bytes, plain or gzip. Source: https://yann.lecun.org/exdb/mnist/ (FILE FORMATS)."""

from __future__ import annotations

import functools
import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DataError

__all__ = ["load_idx"]

_UINT8 = 0x08
_GZIP = b"\x1f\x8b"


@functools.lru_cache(maxsize=4)
def load_idx(path: Path) -> NDArray[np.uint8]:
    """Read the array of an IDX file of unsigned bytes; it is kept for the next call, and read-only.

    Raises:
        DataError: the file is missing, is not IDX of unsigned bytes, or holds another number of bytes than it says.
    """
    try:
        content = path.read_bytes()
        if content[:2] == _GZIP:
            content = gzip.decompress(content)
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
