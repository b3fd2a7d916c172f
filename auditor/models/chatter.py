"""Keep what native code writes past Python's streams away from results and from the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["dropped_stderr", "stdout_to_stderr"]


@contextlib.contextmanager
def dropped_stderr() -> Iterator[None]:
    """Silence what C++ writes to the standard error stream ("Created TensorFlow Lite XNNPACK delegate"): it cannot be turned
    off, and its errors come as exceptions as well."""
    try:
        stream = sys.__stderr__.fileno() if sys.__stderr__ else None
    except (OSError, ValueError):
        stream = None
    if stream is None:
        yield
        return
    kept = os.dup(stream)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream)
        yield
    finally:
        os.dup2(kept, stream)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what TensorFlow prints, its C++ included, to the standard error stream: standard output is for results."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # no standard output at all
        yield
        return
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
