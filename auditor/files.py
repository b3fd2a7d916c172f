"""Read what the user names: a file, whole, of a size that it can have; text, JSON, and nothing that never ends."""

from __future__ import annotations

import errno
import json
import math
import stat
from pathlib import Path
from typing import Any

__all__ = ["DOCUMENT_BYTES", "is_there", "parsed_json", "readable", "whole_bytes", "whole_text"]

DOCUMENT_BYTES = 64 * 2**20
"""More than any document written by hand has."""
_MOST_BYTES = 8 * 2**30


def is_there(path: Path) -> bool:
    """Whether there is something at a path; nothing is where no path can be (a name that is too long, a NUL)."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def whole_bytes(path: Path, *, most: int = _MOST_BYTES) -> bytes:
    """Read a file.

    Raises:
        OSError: it cannot be read, is a pipe or a device that may never end, or is larger than `most` bytes.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than {most:,}", str(path))
        return path.read_bytes()
    except ValueError as error:  # a NUL, or what is no text, in its name
        raise OSError(errno.EINVAL, f"no file can have this name ({error})", repr(str(path))) from error


def whole_text(path: Path, *, encoding: str = "utf-8", most: int = _MOST_BYTES) -> str:
    """Read a text file.

    Raises:
        OSError: as in `whole_bytes`.
        UnicodeDecodeError: it is no text.
    """
    return whole_bytes(path, most=most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def parsed_json(text: str | bytes, *, finite: bool = False) -> Any:
    """Parse JSON; where it is to be `finite`, NaN and infinities are none, as in the standard.

    Raises:
        ValueError: it is no JSON, is nested too deeply, has a number that is not finite, or text that is none (half a
            surrogate pair).
    """
    try:
        if not finite:
            found = json.loads(text)
        else:
            found = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    escapes = b"\\ud" if isinstance(text, bytes) else "\\ud"
    if escapes in text.lower():  # type: ignore[operator]  # both are bytes, or both text
        json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(text: str) -> float:
    raise ValueError(f"{text[:40]} is not a finite number")


def readable(text: str) -> str:
    """A text with the characters that move a terminal's cursor, hide or turn what follows, or are none, as escapes.

    >>> readable("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\n'
    """
    return "".join(
        character if character in "\n\t" or _is_plain(character) else ascii(character)[1:-1] for character in text
    )


def _is_plain(character: str) -> bool:
    return character.isprintable() or character == "\u00a0"
