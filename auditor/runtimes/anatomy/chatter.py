"""Keep what native code writes past Python's streams away from results and from the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["captured_stderr", "dropped_output", "dropped_stderr"]


def dropped_stderr() -> contextlib.AbstractContextManager[None]:
    """Silence what C++ writes to the standard error stream ("Created TensorFlow Lite XNNPACK delegate"): it cannot be
    turned off, and its errors come as exceptions as well."""
    return _dropped(2)


@contextlib.contextmanager
def dropped_output() -> Iterator[None]:
    """Silence both standard streams: TensorFlow reports its progress on either, from Python and from C++."""
    with _dropped(1), _dropped(2):
        yield


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Silence the standard error stream, and put what was written there into the list, line by line, at the end."""
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode("utf-8", "replace").splitlines()


@contextlib.contextmanager
def _dropped(stream: int) -> Iterator[None]:
    for file in (sys.stdout, sys.stderr):
        if file is not None:
            file.flush()
    try:
        kept = os.dup(stream)
    except OSError:  # there is no such stream
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream)
        yield
    finally:
        for file in (sys.stdout, sys.stderr):
            if file is not None:
                file.flush()
        os.dup2(kept, stream)
        os.close(kept)
        os.close(nowhere)
