"""Differences between cells, each with a paired interval: what a scenario, the conversion and a quantization level
cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from auditor.evaluate.counted import paired
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import class_aware, expanded
from auditor.values import CLEAN, Cell, CellResult, MetricValue
from auditor.values.levels import FLOAT32, PARENT

__all__ = ["REFERENCES", "difference", "with_differences"]

REFERENCES = ("clean", FLOAT32, PARENT, "delegate")
"""What a cell's metrics are compared with: clean images, the family's reference level, its parent, the first
delegate."""

Compare = Callable[[CellResult, CellEvaluation, CellEvaluation, str, str], CellResult]
"""What a task adds to a cell of what two runs of one model say of each other: (the cell, its evaluation, the other's,
`clean`, `delegate` or `level`, what the other is called)."""


def with_differences(
    results: Sequence[CellResult], evaluations: Mapping[Cell, CellEvaluation], compare: Callable[[str], Compare]
) -> list[CellResult]:
    """Add to each cell its metrics' differences from clean (`AP_minus_clean`), from the family's float32 level, else
    from the family's first member (`AP_minus_float32`), from the Keras or SavedModel parent (`AP_minus_parent`), and
    from the first delegate (`AP_minus_delegate`); negative is a loss. `compare` gives, of a model file, what its task
    compares besides.

    The interval is of the difference on the same resamples, which is narrower than the cells' own intervals suggest.
    """
    by_cell = {result.key: result for result in results}
    added = []
    for result in results:
        cell, metrics = result.key, dict(result.metrics)
        leader, first = _leader(cell, by_cell), _first_delegate(cell, by_cell)
        found = (_clean(cell), leader, _parent(cell, by_cell), first)
        for name, reference in zip(REFERENCES, found, strict=True):
            compared = evaluations.get(reference) if reference is not None else None
            if compared is not None and _of_other_images(result, compared.result):
                continue
            if result.status == "ok" and compared is not None and compared.result.status == "ok":
                metrics |= {value.name: value for value in difference(evaluations[cell], compared, against=name)}
                metrics |= _of_counted(evaluations[cell], compared, name)
        more = dataclasses.replace(result, metrics=metrics)
        for kind, other in (("clean", _clean(cell)), ("delegate", first), ("level", leader)):
            mine, theirs = (evaluations.get(key) for key in (cell, other or cell))
            if other is not None and mine is not None and theirs is not None:
                called = other.delegate if kind == "delegate" else other.file
                more = compare(cell.file)(more, mine, theirs, kind, called)
        added.append(more)
    return added


def _of_counted(first: CellEvaluation, second: CellEvaluation, against: str) -> dict[str, MetricValue]:
    """The differences of metrics that follow from what was counted; of single classes from clean images alone."""
    if first.counted is None or second.counted is None:
        return {}
    images, of_classes = first.result.images, against == REFERENCES[0]
    found = paired(first.counted, second.counted, against=against, images=images, of_classes=of_classes)
    return {value.name: value for value in found}


def _of_other_images(first: CellResult, second: CellResult) -> bool:
    """Whether one was decided early on other images than the other: few images have another AP than many."""
    early = first.of_images is not None or second.of_images is not None
    return early and first.images != second.images


def _first_delegate(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same file on the audit's first delegate that measured it."""
    key = (cell.file, cell.device, cell.input, cell.scenario, cell.severity)
    same = [
        other for other in by_cell if (other.file, other.device, other.input, other.scenario, other.severity) == key
    ]
    first = next((other for other in same if by_cell[other].status == "ok"), None)
    return None if first == cell else first


def _clean(cell: Cell) -> Cell | None:
    return None if cell.is_clean else dataclasses.replace(cell, scenario=CLEAN, severity=0)


def _leader(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same family, delegate, scenario and severity that this one is compared with."""
    if cell.quantization == PARENT:
        return None
    family = [
        other for other in _family(cell, by_cell) if other.delegate == cell.delegate or other.quantization == PARENT
    ]
    leaders = [other for other in family if other.quantization == FLOAT32] or family
    return None if leaders[0] == cell else leaders[0]


def _parent(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The parent's cell of the same scenario and severity: it runs in TensorFlow, whatever the delegate."""
    family = _family(cell, by_cell)
    return next((other for other in family if other.quantization == PARENT and other != cell), None)


def _family(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> list[Cell]:
    key = (cell.model, cell.device, cell.input, cell.scenario, cell.severity)
    return [
        other for other in by_cell if (other.model, other.device, other.input, other.scenario, other.severity) == key
    ]


def difference(first: CellEvaluation, second: CellEvaluation, *, against: str) -> list[MetricValue]:
    """Each compared metric of `first` less that of `second`, with the paired interval where both are of the same
    images."""
    values = []
    for name in first.samples:
        mine, theirs = first.result.metrics.get(name), second.result.metrics.get(name)
        if mine is None or theirs is None:
            continue
        called, images = f"{name}_minus_{against}", first.result.images
        if mine.value is None or theirs.value is None:
            values.append(MetricValue(called, None, reason=mine.reason or theirs.reason, images=images))
            continue
        apart = None
        if first.result.images == second.result.images and name in second.samples:
            apart = paired_interval(first, second, name, mine.value - theirs.value)
        values.append(
            MetricValue(
                called,
                mine.value - theirs.value,
                interval=apart,
                higher_is_better=mine.higher_is_better,
                images=images,
            )
        )
    return values


def paired_interval(
    first: CellEvaluation, second: CellEvaluation, name: str, value: float
) -> tuple[float, float] | None:
    """The interval of a difference of two cells of the same images."""
    images = first.result.independent
    samples = first.samples[name] - second.samples[name]
    if name in first.fixed and name in second.fixed:
        fixed = first.fixed[name] - second.fixed[name]
        return class_aware(value, samples, fixed, images=images, bounds=(-1.0, 1.0))
    return expanded(samples[:, np.newaxis], images=images)[0]
