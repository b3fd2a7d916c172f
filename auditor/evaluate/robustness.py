"""Robustness over scenarios: mPC and rPC. Source: Michaelis et al. 2019, arXiv:1907.07484, eq. 1 and 2."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from auditor.values import OVER_SCENARIOS, CellResult, MetricValue, Summary

__all__ = ["clean_name", "summarize"]


def clean_name(metric: str) -> str:
    """What a metric on clean images is called in a summary.

    >>> clean_name("AP")
    'AP_clean'
    """
    return f"{metric}_clean"


def summarize(
    cells: Sequence[CellResult], *, judged_by: Mapping[str, str], left_out: Collection[str] = ()
) -> tuple[Summary, ...]:
    """Summarize the cells of each model file and delegate: its primary metric on clean images, `mPC` and `rPC`.

    `judged_by` names the primary metric by file; files `left_out` have no summary. mPC is the mean over scenarios of
    the mean over severities, clean left out; rPC is mPC / clean. All are None, with the reason, where a cell they need
    failed.
    Cells of a changed input count nowhere.
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
            metrics={value.name: value for value in _summary(found, judged_by[key[1]])},
        )
        for key, found in groups.items()
    )


def _summary(cells: Sequence[CellResult], metric: str) -> list[MetricValue]:
    absent = MetricValue(metric, None, reason="not measured")
    clean = next((_value(cell, metric) for cell in cells if cell.is_clean), absent)
    by_scenario: dict[str, list[MetricValue]] = {}
    for cell in cells:
        if not cell.is_clean:
            by_scenario.setdefault(cell.scenario, []).append(_value(cell, metric))
    values = [value for found in by_scenario.values() for value in found]
    missing = next((value.reason for value in values if value.value is None), None)
    images = clean.images
    first = MetricValue(clean_name(metric), clean.value, reason=clean.reason, images=images)
    if not values or missing:
        reason = missing or "the audit has no scenario but clean"
        return [first, *(MetricValue(name, None, reason=reason, images=images) for name in OVER_SCENARIOS)]
    if any(cell.of_images is not None for cell in cells) and len({cell.images for cell in cells}) > 1:
        reason = "its cells were measured on different images, since gates were decided early"
        return [first, *(MetricValue(name, None, reason=reason, images=images) for name in OVER_SCENARIOS)]
    means = [sum(value.value or 0.0 for value in found) / len(found) for found in by_scenario.values()]
    mpc = MetricValue("mPC", sum(means) / len(means), images=images)
    if not clean.value:
        return [first, mpc, MetricValue("rPC", None, reason=clean.reason or f"clean {metric} is 0", images=images)]
    return [first, mpc, MetricValue("rPC", (mpc.value or 0.0) / clean.value, images=images)]


def _value(cell: CellResult, metric: str) -> MetricValue:
    if cell.status != "ok":
        return MetricValue(metric, None, reason=f"the cell {cell.key} {cell.status}")
    return cell.metrics.get(metric, MetricValue(metric, None, reason=f"{metric} was not computed"))
