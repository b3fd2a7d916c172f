"""Robustness over scenarios: mPC and rPC. Source: Michaelis et al. 2019, arXiv:1907.07484, eq. 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.values import CLEAN, EVIDENCE_LEVELS, PRIMARY_METRICS, CellResult, MetricValue, Summary

__all__ = ["summarize"]


def summarize(cells: Sequence[CellResult]) -> tuple[Summary, ...]:
    """Summarize the cells of each model file and delegate: `AP_clean` (`top1_clean` of a classifier), `mPC` and `rPC`.

    mPC is the mean over scenarios of the mean over severities, clean left out; rPC is mPC / clean. All are None, with
    the reason, where a cell they need failed. Cells of a changed input count nowhere.
    """
    groups: dict[tuple[str, str, str, str, str], list[CellResult]] = {}
    for result in cells:
        cell = result.cell
        if cell.input == "declared" and cell.quantization not in EVIDENCE_LEVELS:
            groups.setdefault((cell.model, cell.file, cell.quantization, cell.delegate, cell.device), []).append(result)
    return tuple(
        Summary(*key[:4], device=key[4], metrics={value.name: value for value in _summary(found, _metric(found))})
        for key, found in groups.items()
    )


def _metric(cells: Sequence[CellResult]) -> str:
    """The metric that these cells are judged by; where none was measured, that of detection."""
    return next((metric.name for cell in cells if (metric := cell.primary)), PRIMARY_METRICS["detection"])


def _summary(cells: Sequence[CellResult], metric: str) -> list[MetricValue]:
    clean = next(
        (_value(cell, metric) for cell in cells if cell.cell.scenario == CLEAN),
        MetricValue(metric, None, reason="not measured"),
    )
    by_scenario: dict[str, list[MetricValue]] = {}
    for cell in cells:
        if cell.cell.scenario != CLEAN:
            by_scenario.setdefault(cell.cell.scenario, []).append(_value(cell, metric))
    values = [value for found in by_scenario.values() for value in found]
    missing = next((value.reason for value in values if value.value is None), None)
    images = clean.images
    first = MetricValue(f"{metric}_clean", clean.value, reason=clean.reason, images=images)
    if not values or missing:
        reason = missing or "the audit has no scenario but clean"
        return [
            first,
            MetricValue("mPC", None, reason=reason, images=images),
            MetricValue("rPC", None, reason=reason, images=images),
        ]
    means = [sum(value.value or 0.0 for value in found) / len(found) for found in by_scenario.values()]
    mpc = MetricValue("mPC", sum(means) / len(means), images=images)
    if not clean.value:
        return [first, mpc, MetricValue("rPC", None, reason=clean.reason or f"clean {metric} is 0", images=images)]
    return [first, mpc, MetricValue("rPC", (mpc.value or 0.0) / clean.value, images=images)]


def _value(cell: CellResult, metric: str) -> MetricValue:
    if cell.status != "ok":
        return MetricValue(metric, None, reason=f"the cell {cell.cell} {cell.status}")
    return cell.metrics.get(metric, MetricValue(metric, None, reason=f"{metric} was not computed"))
