"""Robustness over scenarios: mPC and rPC. Source: Michaelis et al. 2019, arXiv:1907.07484, eq. 1 and 2."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.intervals import FIXED, class_aware, expanded
from auditor.values import CLEAN, OVER_SCENARIOS, Cell, CellResult, MetricValue, Summary

__all__ = ["clean_name", "summarize"]


def clean_name(metric: str) -> str:
    """What a metric on clean images is called in a summary.

    >>> clean_name("AP")
    'AP_clean'
    """
    return f"{metric}_clean"


def summarize(
    cells: Sequence[CellResult],
    *,
    judged_by: Mapping[str, str],
    left_out: Collection[str] = (),
    samples: Mapping[tuple[Cell, str], NDArray[np.floating[Any]]] | None = None,
) -> tuple[Summary, ...]:
    """Summarize the cells of each model file and delegate: its primary metric on clean images, `mPC` and `rPC`.

    `judged_by` names the primary metric by file; files `left_out` have no summary. mPC is the mean over scenarios of
    the mean over severities, clean left out; rPC is mPC / clean. All are None, with the reason, where a cell they need
    failed.
    Cells of a changed input count nowhere. `samples` are metrics of cells on every resample of the same images: with
    them mPC and rPC have intervals.
    """
    groups: dict[tuple[str, str, str, str, str], list[CellResult]] = {}
    for cell in cells:
        if cell.is_declared and cell.file not in left_out:
            key = (cell.model, cell.file, cell.quantization, cell.delegate, cell.device)
            groups.setdefault(key, []).append(cell)
    return tuple(
        Summary(
            *key[:4],
            judged_by=judged_by[key[1]],
            device=key[4],
            metrics={value.name: value for value in _summary(found, judged_by[key[1]], samples or {})},
        )
        for key, found in groups.items()
    )


def _summary(
    cells: Sequence[CellResult], metric: str, samples: Mapping[tuple[Cell, str], NDArray[np.floating[Any]]]
) -> list[MetricValue]:
    absent = MetricValue(metric, None, reason="not measured")
    clean = next((_value(cell, metric) for cell in cells if cell.is_clean), absent)
    by_scenario: dict[str, list[MetricValue]] = {}
    for cell in cells:
        if not cell.is_clean:
            by_scenario.setdefault(cell.scenario, []).append(_value(cell, metric))
    values = [value for found in by_scenario.values() for value in found]
    missing = next((value.reason for value in values if value.value is None), None)
    images = clean.images
    first = MetricValue(clean_name(metric), clean.value, reason=clean.reason, interval=clean.interval, images=images)
    if not values or missing:
        reason = missing or "the audit has no scenario but clean"
        return [first, *(MetricValue(name, None, reason=reason, images=images) for name in OVER_SCENARIOS)]
    if any(cell.of_images is not None for cell in cells) and len({cell.images for cell in cells}) > 1:
        reason = "its cells were measured on different images, since gates were decided early"
        return [first, *(MetricValue(name, None, reason=reason, images=images) for name in OVER_SCENARIOS)]
    means = [sum(value.value or 0.0 for value in found) / len(found) for found in by_scenario.values()]
    value = sum(means) / len(means)
    mpc = MetricValue("mPC", value, interval=_over(cells, metric, samples, value), images=images)
    if not clean.value:
        return [first, mpc, MetricValue("rPC", None, reason=clean.reason or f"clean {metric} is 0", images=images)]
    kept = value / clean.value
    between = _over(cells, metric, samples, kept, of_clean=True)
    return [first, mpc, MetricValue("rPC", kept, interval=between, images=images)]


def _over(
    cells: Sequence[CellResult],
    metric: str,
    samples: Mapping[tuple[Cell, str], NDArray[np.floating[Any]]],
    value: float,
    *,
    of_clean: bool = False,
) -> tuple[float, float] | None:
    """The interval of the mean over scenarios of the mean over severities, or of its share of clean; None where not all
    cells are of the same images, or are not known on their resamples."""
    if len({cell.images for cell in cells}) > 1:
        return None
    plain, fixed = (_mean(cells, f"{metric}{part}", samples, of_clean=of_clean) for part in ("", FIXED))
    if plain is None:
        return None
    if fixed is not None:
        return class_aware(value, plain, fixed, images=cells[0].independent, bounds=(0.0, np.inf))
    return expanded(plain[:, np.newaxis], images=cells[0].independent)[0]


def _mean(
    cells: Sequence[CellResult],
    name: str,
    samples: Mapping[tuple[Cell, str], NDArray[np.floating[Any]]],
    *,
    of_clean: bool,
) -> NDArray[np.float64] | None:
    by_scenario: dict[str, list[NDArray[np.float64]]] = {}
    for cell in cells:
        found = samples.get((cell.key, name))
        if found is None:
            return None
        by_scenario.setdefault(cell.scenario, []).append(np.asarray(found, dtype=np.float64))
    clean = by_scenario.pop(CLEAN, None)
    mean = np.asarray(np.mean([np.mean(found, axis=0) for found in by_scenario.values()], axis=0))
    if not of_clean:
        return mean
    if clean is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(mean / clean[0])


def _value(cell: CellResult, metric: str) -> MetricValue:
    if cell.status != "ok":
        return MetricValue(metric, None, reason=f"the cell {cell.key} {cell.status}")
    return cell.metrics.get(metric, MetricValue(metric, None, reason=f"{metric} was not computed"))
