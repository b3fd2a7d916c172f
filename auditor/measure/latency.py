"""How an invocation is timed, here and on any other device: a bundle carries this file, so it stands alone (Python 3.9,
numpy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["percentiles", "warm_up"]

_WINDOW = 10
_STEADY = 0.05
_MOST_WARM_UP = 300
_RESAMPLES = 1000


def warm_up(invoke: Callable[[int], float]) -> int:
    """Invoke until the medians of two windows of 10 differ by less than 5 %; return how often that was. `invoke` gives
    the milliseconds of an invocation."""
    last = None
    for start in range(0, _MOST_WARM_UP, _WINDOW):
        median = float(np.median([invoke(start + step) for step in range(_WINDOW)]))
        if last is not None and abs(median - last) < _STEADY * last:
            return start + _WINDOW
        last = median
    return _MOST_WARM_UP


def percentiles(values: Sequence[float]) -> dict[str, Any]:
    """p50, p90 and p99 of milliseconds, each with the 95 % percentile interval of resampled invocations."""
    array = np.array(values)
    rng = np.random.default_rng(0)
    samples = array[rng.integers(0, len(array), (_RESAMPLES, len(array)))]
    found: dict[str, Any] = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        low, high = np.quantile(np.quantile(samples, share, axis=1), [0.025, 0.975])
        found[name] = float(np.quantile(array, share))
        found[name + "_interval"] = (float(low), float(high))
    return found
