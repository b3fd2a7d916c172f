"""Differences between cells, each with a paired interval: what a scenario, the conversion and a quantization level
cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from auditor.evaluate.bootstrap import interval
from auditor.evaluate.cells import CellEvaluation
from auditor.evaluate.classification import mcnemar
from auditor.evaluate.parity import SCORE, Parity, compare_detections
from auditor.values import CLEAN, PRIMARY_METRICS, Cell, CellResult, MetricValue

__all__ = ["DIFFERENCES", "difference", "with_differences"]

DIFFERENCES = tuple(
    f"{metric}_minus_{reference}"
    for metric in PRIMARY_METRICS.values()
    for reference in ("clean", "float32", "parent", "delegate")
)
"""What a cell's primary metric is compared with."""

_REFERENCE_LEVEL = "float32"
_PARENT = "parent"


def with_differences(results: Sequence[CellResult], evaluations: Mapping[Cell, CellEvaluation]) -> list[CellResult]:
    """Add to each cell its difference from clean (`AP_minus_clean`), from the family's float32 level, else from the
    family's first member (`AP_minus_float32`), and from the Keras or SavedModel parent (`AP_minus_parent`), and from
    the first delegate (`AP_minus_delegate`); negative is a loss. Of a classifier they are differences of top1, and
    `McNemar_p` says whether two levels are equally good.

    The interval is of the difference on the same resamples, which is narrower than the cells' own intervals suggest.
    """
    by_cell = {result.cell: result for result in results}
    added = []
    for result in results:
        metrics, counts = dict(result.metrics), dict(result.counts)
        leader = _leader(result.cell, by_cell)
        first = _first_delegate(result.cell, by_cell)
        references = {
            "clean": _clean(result.cell),
            "float32": leader,
            "parent": _parent(result.cell, by_cell),
            "delegate": first,
        }
        for name, reference in references.items():
            compared = evaluations.get(reference) if reference is not None else None
            if result.status == "ok" and compared is not None and compared.result.status == "ok":
                value = difference(evaluations[result.cell], compared, against=name)
                metrics[value.name] = value
        mine, theirs = (
            evaluations[cell].correct if cell in evaluations else None for cell in (result.cell, leader or result.cell)
        )
        if leader is not None and mine is not None and theirs is not None and len(mine) == len(theirs):
            counts["right_here_only"], counts["right_in_float32_only"], p = mcnemar(mine, theirs)
            metrics["McNemar_p"] = MetricValue("McNemar_p", p, images=len(mine))
        details = dict(result.details)
        for name, other in (("parity", first), ("level_parity", leader)):
            found = _parity(result.cell, other, evaluations)
            if found is not None and other is not None:
                metric = "parity_matched" if name == "parity" else "level_matched"
                reason = None if found.matched is not None else f"neither has a detection of score {SCORE}"
                metrics[metric] = MetricValue(metric, found.matched, reason=reason, images=result.images)
                against = other.delegate if name == "parity" else other.file
                details[name] = {
                    "against": against,
                    "score": found.score,
                    "corner_px": found.corner_px,
                    "image": found.image,
                }
        added.append(dataclasses.replace(result, metrics=metrics, counts=counts, details=details))
    return added


def _parity(cell: Cell, other: Cell | None, evaluations: Mapping[Cell, CellEvaluation]) -> Parity | None:
    if other is None or cell not in evaluations or other not in evaluations:
        return None
    mine, theirs = evaluations[cell].detections, evaluations[other].detections
    return None if mine is None or theirs is None else compare_detections(mine, theirs)


def _first_delegate(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same file on the audit's first delegate that measured it."""
    key = (cell.file, cell.device, cell.input, cell.scenario, cell.severity)
    same = [
        other for other in by_cell if (other.file, other.device, other.input, other.scenario, other.severity) == key
    ]
    first = next((other for other in same if by_cell[other].status == "ok"), None)
    return None if first == cell else first


def _clean(cell: Cell) -> Cell | None:
    return None if cell.scenario == CLEAN else dataclasses.replace(cell, scenario=CLEAN, severity=0)


def _leader(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The cell of the same family, delegate, scenario and severity that this one is compared with."""
    if cell.quantization == _PARENT:
        return None
    family = [
        other for other in _family(cell, by_cell) if other.delegate == cell.delegate or other.quantization == _PARENT
    ]
    leaders = [other for other in family if other.quantization == _REFERENCE_LEVEL] or family
    return None if leaders[0] == cell else leaders[0]


def _parent(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> Cell | None:
    """The parent's cell of the same scenario and severity: it runs in TensorFlow, whatever the delegate."""
    return next((other for other in _family(cell, by_cell) if other.quantization == _PARENT and other != cell), None)


def _family(cell: Cell, by_cell: Mapping[Cell, CellResult]) -> list[Cell]:
    key = (cell.model, cell.device, cell.input, cell.scenario, cell.severity)
    return [
        other for other in by_cell if (other.model, other.device, other.input, other.scenario, other.severity) == key
    ]


def difference(first: CellEvaluation, second: CellEvaluation, *, against: str) -> MetricValue:
    """The primary metric of `first` less that of `second`, with the paired interval where both are of the same
    images."""
    mine, theirs = first.result.primary, second.result.primary
    if mine is None or theirs is None:
        raise ValueError(
            f"expected two cells with a primary metric but got {first.result.cell} and {second.result.cell}"
        )
    name = f"{mine.name}_minus_{against}"
    if mine.value is None or theirs.value is None:
        return MetricValue(name, None, reason=mine.reason or theirs.reason, images=first.result.images)
    paired = first.samples - second.samples if first.result.images == second.result.images else np.zeros(0)
    return MetricValue(name, mine.value - theirs.value, interval=interval(paired), images=first.result.images)
