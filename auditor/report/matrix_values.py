"""Every value of the matrix: models × scenarios × severities, for each metric that it can be switched to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.report.ladder_rows import Row, Shade, at_knob, judged_metrics, rows_of_result, scenario_names
from auditor.report.markup import shade_class
from auditor.values import AuditResult, CellResult, MetricValue

__all__ = ["MatrixMetric", "is_worse", "kept_of", "matrix_document", "matrix_metrics", "mean_of"]

_DIGITS = 6
_WORSE = 1
_TOLD = 360
"""Letters of an error."""
Entry = list[float | int | None]
"""A value, the ends of its interval, and whether it is worse than clean beyond chance."""


@dataclass(frozen=True)
class MatrixMetric:
    """A metric that the matrix can show. `beside_clean` is one that compares with clean: it has no clean value."""

    name: str
    about: str
    lower_is_better: bool
    beside_clean: bool = False


def matrix_metrics(result: AuditResult) -> list[MatrixMetric]:
    """The metrics of every cell that are no single class's and no difference: those that models are judged by, those of
    the operating point, and what else is compared between cells."""
    lower: set[str] = set()
    about: dict[str, str] = {}
    order = dict.fromkeys(judged_metrics(result))
    for model in result.models:
        judging = model.judging
        lower |= set(judging.lower_is_better)
        about |= {judging.primary: judging.about, **judging.at_point, **judging.compared}
        order |= dict.fromkeys((*judging.decided_by, *judging.at_point))
    about |= result.plan.evaluation.metrics
    there: dict[str, MetricValue] = {}
    beside: set[str] = set()
    for cell in result.cells:
        if not cell.is_declared or cell.is_clean or cell.status != "ok":
            continue
        compared = {name.removesuffix("_minus_clean") for name in cell.metrics if name.endswith("_minus_clean")}
        own = {*compared, *order}
        for name, metric in cell.metrics.items():
            is_single = "/" not in name and "_minus_" not in name
            if is_single and metric.value is not None and name in own | lower:
                there.setdefault(name, metric)
                beside |= {name} - own
    compared_ones = {name for model in result.models for name in model.judging.compared}
    others = sorted((name for name in there if name not in order), key=lambda name: name not in compared_ones)
    names = [name for name in order if name in there] + others
    return [
        MatrixMetric(name, about.get(name, ""), name in lower or not there[name].higher_is_better, name in beside)
        for name in names
    ]


def matrix_document(result: AuditResult) -> dict[str, object]:
    """What the page's script needs to show another metric or severity: by metric, row and scenario an entry for each
    severity, None where it was not measured; what failed or was skipped by its place."""
    rows, scenarios, severities = rows_of_result(result), scenario_names(result), result.plan.severities
    metrics = matrix_metrics(result)
    by_row = [{(cell.scenario, cell.severity): cell for cell in row.cells} for row in rows]
    records = {scenario.key: scenario for scenario in result.plan.scenarios}
    places = [[[cells.get((name, severity)) for severity in severities] for name in scenarios] for cells in by_row]
    return {
        "metrics": [
            {"name": m.name, "about": m.about, "lower": m.lower_is_better, "beside": m.beside_clean} for m in metrics
        ],
        "scenarios": scenarios,
        "severities": [float(severity) for severity in severities],
        "knobs": [[at_knob(records.get(name), severity) for severity in severities] for name in scenarios],
        "clean": {m.name: [_entry(row.clean, m) for row in rows] for m in metrics},
        "values": {m.name: [[[_entry(cell, m) for cell in found] for found in row] for row in places] for m in metrics},
        "lost": [
            [row, column, index, cell.status, _short(cell.error or "")]
            for row, found in enumerate(places)
            for column, cells in enumerate(found)
            for index, cell in enumerate(cells)
            if cell is not None and cell.status != "ok"
        ],
    }


def _short(error: str) -> str:
    """The beginning and the end of what went wrong."""
    text = " ".join(error.split())
    return text if len(text) <= _TOLD else f"{text[: _TOLD // 3]} … {text[-_TOLD * 2 // 3 :]}"


def _entry(cell: CellResult | None, metric: MatrixMetric) -> Entry | None:
    found = cell.metrics.get(metric.name) if cell is not None and cell.status == "ok" else None
    if cell is None or found is None or found.value is None:
        return None
    low, high = found.interval or (None, None)
    numbers: Entry = [None if number is None else round(number, _DIGITS) for number in (found.value, low, high)]
    return [*numbers, _WORSE] if is_worse(cell, metric) else numbers


def is_worse(cell: CellResult, metric: MatrixMetric) -> bool:
    """Whether a cell is worse than the clean one beyond chance: the paired interval of their difference lies on one
    side of 0."""
    difference = cell.metrics.get(f"{metric.name}_minus_clean")
    if difference is None or difference.interval is None:
        return False
    low, high = difference.interval
    return low > 0 if metric.lower_is_better else high < 0


def kept_of(metric: MatrixMetric, value: float | None, clean: float | None) -> float | None:
    """The share of the clean value that is kept; of what is better when lower, clean over here; of what compares with
    clean itself, what is left.

    >>> kept_of(MatrixMetric("AP", "", False), 0.2, 0.4), kept_of(MatrixMetric("fppi", "", True), 2.0, 0.5)
    (0.5, 0.25)
    >>> kept_of(MatrixMetric("flips", "", True, True), 0.3, None)
    0.7
    """
    if value is None:
        return None
    if metric.beside_clean:
        return 1 - value if metric.lower_is_better else None
    if clean is None:
        return None
    if metric.lower_is_better:
        return 1.0 if value <= clean else clean / value
    return value / clean if clean else None


def mean_of(row: Row, scenario: str, metric: MatrixMetric, severities: Sequence[float]) -> Shade:
    """The mean of a metric over a scenario's severities; none where one of them was not measured."""
    cells = [cell for cell in row.of(scenario) if cell.severity in severities]
    found = [cell.metrics.get(metric.name) for cell in cells if cell.status == "ok"]
    values = [item.value for item in found if item is not None and item.value is not None]
    mean = sum(values) / len(values) if values and len(values) == len(severities) else None
    clean = row.clean.metrics.get(metric.name) if row.clean is not None else None
    kept = kept_of(metric, mean, clean.value if clean is not None else None)
    return Shade(mean, kept, shade_class(kept), mean is not None and any(is_worse(cell, metric) for cell in cells))
