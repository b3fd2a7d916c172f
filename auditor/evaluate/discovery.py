"""Many tests at once, with a bound on the share of false ones among those that are called."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["DISCOVERY", "discoveries", "p_of"]

DISCOVERY = 0.05
"""The share of false ones among the differences that are called real, at most and on average."""


def discoveries(p: Sequence[float], *, rate: float = DISCOVERY) -> NDArray[np.bool_]:
    """Which of the tests with these p-values are called, so that the expected share of false ones among them is at most
    `rate`: (M,). Holds for independent tests, and for those that depend on each other positively, as cells of the same
    images do.

    Source: Benjamini and Hochberg 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x; Benjamini and Yekutieli
    2001, https://doi.org/10.1214/aos/1013699998, theorem 1.2.

    >>> discoveries([0.01, 0.04, 0.03, 0.5]).tolist()
    [True, False, False, False]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    below = values[order] <= rate * np.arange(1, len(values) + 1) / max(1, len(values))
    called = np.zeros(len(values), dtype=bool)
    if below.any():
        called[order[: int(np.nonzero(below)[0][-1]) + 1]] = True
    return called


def p_of(value: float, error: float) -> float:
    """The two-sided p-value of a difference of no expected value, whose standard error this is; normal.

    >>> round(p_of(1.959964, 1.0), 4)
    0.05
    """
    if error <= 0:
        return 1.0 if value == 0 else 0.0
    return math.erfc(abs(value) / error / math.sqrt(2))
