"""What tests of hostile input share: a limit of time, and the measurements of a device."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import numpy as np

MOST_S = 20


@contextlib.contextmanager
def no_hang():
    def late(*_):
        raise AssertionError(f"it took longer than {MOST_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def npz(path: Path, meta, **arrays) -> Path:
    raw = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    np.savez_compressed(path, meta=np.frombuffer(raw, np.uint8), **arrays)
    return path


SPEED = {"load": 1.0, "warm_up_invocations": 3, "invocations": 9, "p50": 1.0, "p90": 2.0, "p99": 3.0}
NOTE = {
    "fingerprint": "f",
    "device": "phone",
    "part": 0,
    "parts": 1,
    "speeds": {"detector|xnnpack": SPEED},
    "machine": "m",
    "runtime": "r",
    "python": "3",
}
