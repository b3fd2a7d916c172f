"""Differences between cells, each with a paired interval: what a scenario costs, and what a quantization level costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.values import CLEAN, Cell, CellResult, MetricValue

__all__ = ["AGAINST_CLEAN", "AGAINST_REFERENCE", "with_differences"]

AGAINST_CLEAN = "AP_minus_clean"
AGAINST_REFERENCE = "AP_minus_float32"

_REFERENCE_LEVEL = "float32"


def with_differences(results: Sequence[CellResult], samples: Mapping[Cell, NDArray[np.float64]]) -> list[CellResult]:
    """Add to each cell its difference from clean (`AP_minus_clean`) and from the family's float32 level, else from the
    family's first member (`AP_minus_float32`); negative is a loss. `samples` holds each cell's AP on every resample.

    The interval is of the difference on the same resamples, which is narrower than the cells' own intervals suggest.
    """
    by_cell = {result.cell: result for result in results}
    added = []
    for result in results:
        metrics = dict(result.metrics)
        for name, reference in ((AGAINST_CLEAN, _clean(result.cell)), (AGAINST_REFERENCE, _leader(result.cell, by_cell))):
            other = by_cell.get(reference) if reference is not None else None
            if result.status == "ok" and other is not None and other.status == "ok":
                metrics[name] = _difference(name, result, other, samples)
        added.append(dataclasses.replace(result, metrics=metrics))
    return added


def _clean(cell: Cell) -> Cell | None:
    return None if cell.scenario == CLEAN else dataclasses.replace(cell, scenario=CLEAN, severity=0)


def _leader(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same family, delegate, scenario and severity that this one is compared with."""
    key = (cell.model, cell.delegate, cell.device, cell.input, cell.scenario, cell.severity)
    family = [other for other in by_cell if (other.model, other.delegate, other.device, other.input, other.scenario, other.severity) == key]
    leaders = [other for other in family if other.quantization == _REFERENCE_LEVEL] or family
    return None if leaders[0] == cell else leaders[0]


def _difference(name: str, result: CellResult, other: CellResult, samples: Mapping[Cell, NDArray[np.float64]]) -> MetricValue:
    mine, theirs = result.metrics["AP"], other.metrics["AP"]
    if mine.value is None or theirs.value is None:
        return MetricValue(name, None, reason=mine.reason or theirs.reason, images=result.images)
    paired = samples[result.cell] - samples[other.cell] if result.images == other.images else np.zeros(0)
    return MetricValue(name, mine.value - theirs.value, interval=interval(paired), images=result.images)
