"""A cell as it was evaluated: its result, and what comparing it with others needs beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import Counted
from auditor.values import CellResult, OperatingPoint

__all__ = ["CellEvaluation"]


@dataclass(frozen=True, eq=False)
class CellEvaluation:
    """A cell's result, and by name the metrics that are compared between cells on every resample of the images (empty
    where it has none): the same resamples for every cell of a data set, so that differences of two cells are paired.
    `means` holds the values of each image, from 0 to 1, of metrics that are their mean.
    `invoke_ms` is the median time of an invocation; `kept` is what the task itself compares, beside what was `said` of
    each image (its id, the task's prediction), which is read again whenever it is gone through; `unreadable` says by id
    what is wrong with images that could not be read."""

    result: CellResult
    samples: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    fixed: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Of means over classes: the samples, with the value on all images in the place of a class that drops out."""
    stored: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Further metrics on each resample, which another run is compared by."""
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    invoke_ms: float | None = None
    kept: Any = None
    said: Iterable[tuple[int, Any]] | None = None
    unreadable: Mapping[int, str] = field(default_factory=dict)
    images: tuple[int, ...] = ()
    """The ids of the images that `means` are of."""
    counted: Counted | None = None
    """What metrics follow from that are sums over images."""
    point: OperatingPoint | None = None
    """The operating point that it is held at."""

    @property
    def primary_samples(self) -> NDArray[np.float64]:
        """The primary metric on every resample; empty where there is none."""
        return self.samples.get(self.result.judged_by, np.zeros(0))
