"""Differences between cells, each with a paired interval: what a scenario, the conversion and a quantization level cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.values import CLEAN, Cell, CellResult, MetricValue

__all__ = ["AGAINST_CLEAN", "AGAINST_PARENT", "AGAINST_REFERENCE", "with_differences"]

AGAINST_CLEAN = "AP_minus_clean"
AGAINST_REFERENCE = "AP_minus_float32"
AGAINST_PARENT = "AP_minus_parent"

_REFERENCE_LEVEL = "float32"
_PARENT = "parent"


def with_differences(results: Sequence[CellResult], samples: Mapping[Cell, NDArray[np.float64]]) -> list[CellResult]:
    """Add to each cell its difference from clean (`AP_minus_clean`), from the family's float32 level, else from the family's
    first member (`AP_minus_float32`), and from the Keras or SavedModel parent (`AP_minus_parent`); negative is a loss.
    `samples` holds each cell's AP on every resample.

    The interval is of the difference on the same resamples, which is narrower than the cells' own intervals suggest.
    """
    by_cell = {result.cell: result for result in results}
    added = []
    for result in results:
        metrics = dict(result.metrics)
        references = {
            AGAINST_CLEAN: _clean(result.cell),
            AGAINST_REFERENCE: _leader(result.cell, by_cell),
            AGAINST_PARENT: _parent(result.cell, by_cell),
        }
        for name, reference in references.items():
            other = by_cell.get(reference) if reference is not None else None
            if result.status == "ok" and other is not None and other.status == "ok":
                metrics[name] = _difference(name, result, other, samples)
        added.append(dataclasses.replace(result, metrics=metrics))
    return added


def _clean(cell: Cell) -> Cell | None:
    return None if cell.scenario == CLEAN else dataclasses.replace(cell, scenario=CLEAN, severity=0)


def _leader(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same family, delegate, scenario and severity that this one is compared with."""
    if cell.quantization == _PARENT:
        return None
    family = [other for other in _family(cell, by_cell) if other.delegate == cell.delegate or other.quantization == _PARENT]
    leaders = [other for other in family if other.quantization == _REFERENCE_LEVEL] or family
    return None if leaders[0] == cell else leaders[0]


def _parent(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The parent's cell of the same scenario and severity: it runs in TensorFlow, whatever the delegate."""
    return next((other for other in _family(cell, by_cell) if other.quantization == _PARENT and other != cell), None)


def _family(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> list[Cell]:
    key = (cell.model, cell.device, cell.input, cell.scenario, cell.severity)
    return [other for other in by_cell if (other.model, other.device, other.input, other.scenario, other.severity) == key]


def _difference(name: str, result: CellResult, other: CellResult, samples: Mapping[Cell, NDArray[np.float64]]) -> MetricValue:
    mine, theirs = result.metrics["AP"], other.metrics["AP"]
    if mine.value is None or theirs.value is None:
        return MetricValue(name, None, reason=mine.reason or theirs.reason, images=result.images)
    paired = samples[result.cell] - samples[other.cell] if result.images == other.images else np.zeros(0)
    return MetricValue(name, mine.value - theirs.value, interval=interval(paired), images=result.images)
