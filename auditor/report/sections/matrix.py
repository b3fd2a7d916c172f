"""Models by scenarios: the mean over severities, coloured by what is kept of clean."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, Shade, is_judged, judged_metrics, rows_of_result, scenario_names, shaded
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult, MetricValue

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    if not is_judged(result):
        return None
    scenarios = scenario_names(result)
    packs: dict[str, list[str]] = {}
    for scenario in scenarios:
        pack, _, name = scenario.partition("/")
        packs.setdefault(pack, []).append(name)
    more = _more_metrics(result)
    rows = [
        {
            "row": row,
            "summary": row.summary,
            "clean": row.clean,
            "more": [_metric(row, name) for name in more],
            "means": [_mean(row, scenario) for scenario in scenarios],
        }
        for row in rows_of_result(result)
    ]
    return {"rows": rows, "packs": packs, "more": more, "metrics": judged_metrics(result), "about": _about(result)}


def _about(result: AuditResult) -> list[str]:
    """The metrics that models are judged by, in words."""
    told = {model.judging.primary: model.judging.about for model in result.models}
    told |= {name: about for name, about in result.plan.evaluation.metrics.items() if name in _more_metrics(result)}
    return [f"{name}: {about}" if about else name for name, about in told.items()]


def _more_metrics(result: AuditResult) -> list[str]:
    """Metrics with a column of their own: registered ones, which are compared between cells as the primary one is, and
    those that `evaluation:` adds."""
    compared = {
        name.removesuffix("_minus_clean")
        for cell in result.cells
        for name in cell.metrics
        if name.endswith("_minus_clean")
    }
    added = [name for name in result.plan.evaluation.metrics if any(name in cell.metrics for cell in result.cells)]
    primary = set(judged_metrics(result))
    at_point = {name for model in result.models for name in model.judging.at_point}
    own = {name for name in compared if "/" not in name} - primary - at_point - set(added)
    return [*sorted(own), *added]


def _metric(row: Row, name: str) -> MetricValue | None:
    return row.clean.metrics.get(name) if row.clean is not None else None


def _mean(row: Row, scenario: str) -> Shade:
    values = [cell.value if cell.status == "ok" else None for cell in row.of(scenario)]
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known and len(known) == len(values) else None
    return shaded(mean, row.summary.clean.value)


SECTION = Section("matrix", 20, _facts, "matrix.html.j2")
