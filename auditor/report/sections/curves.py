"""The metric over severity, one chart a scenario."""

from __future__ import annotations

from auditor.report.charts import severity_chart
from auditor.report.ladder_rows import is_judged, judged_metrics, rows_of_result, scenario_names
from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    if not is_judged(result):
        return None
    rows, scenarios = rows_of_result(result), scenario_names(result)
    if not scenarios:
        return None
    values = [cell.value for cell in result.cells if cell.status == "ok" and cell.value is not None]
    top = min(1.0, (int(max(values, default=0.1) * 10) + 1) / 10)
    units = {scenario.key: scenario.unit for scenario in result.plan.scenarios}
    charts = []
    for scenario in scenarios:
        series: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            start = row.summary.clean.value
            points = [] if start is None else [(0.0, start)]
            points += [
                (cell.severity, cell.value)
                for cell in row.of(scenario)
                if cell.status == "ok" and cell.value is not None
            ]
            if points:
                series[row.label] = points
        svg = severity_chart(
            scenario,
            series,
            top=top,
            names=[row.label for row in rows],
            metric=" or ".join(judged_metrics(result)),
        )
        charts.append({"name": scenario, "unit": units.get(scenario, ""), "svg": svg})
    return {"charts": charts, "rows": rows}


SECTION = Section("curves", 70, _facts, "curves.html.j2")
