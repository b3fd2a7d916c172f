"""The metric over a scenario's own unit, one chart a scenario, with the bands of its intervals."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, is_judged, judged_metrics, rows_of_result, scenario_names
from auditor.report.line_chart import Line, Tick, draw_lines
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult, CellResult, ScenarioRecord

__all__ = ["SECTION"]

_NAMED = 8
"""Lines that have a name each; of more, families have one."""


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    scenarios = scenario_names(result)
    if not is_judged(result) or not scenarios:
        return None
    rows = rows_of_result(result)
    known = [cell.primary for cell in result.cells if cell.status == "ok" and cell.primary is not None]
    values = [value for metric in known for value in (metric.value, *(metric.interval or ())) if value is not None]
    top = min(1.0, (int(max(values, default=0.1) * 10) + 1) / 10)
    records = {scenario.key: scenario for scenario in result.plan.scenarios}
    metric = " or ".join(judged_metrics(result))
    charts = []
    for column, name in enumerate(scenarios):
        record = records.get(name)
        svg = draw_lines(
            f"{metric} of {len(rows)} models over the severities of {name}",
            [_line(row, name, _called(row, rows), banded=len(rows) <= _NAMED) for row in rows],
            ticks=_ticks(result, record),
            top=top,
            titles=(record.unit if record is not None else "severity", metric, "severity"),
        )
        charts.append({"name": name, "about": record.about if record is not None else "", "svg": svg, "column": column})
    return {"charts": charts, "banded": len(rows) <= _NAMED}


def _called(row: Row, rows: list[Row]) -> str:
    """What stands at the end of a line: what tells it apart from the others."""
    if len(rows) > _NAMED:
        return row.summary.model if row.level == 0 else ""
    return row.short


def _line(row: Row, scenario: str, name: str, *, banded: bool) -> Line:
    """A row's values from clean on, and their intervals, where these do not cover all others."""
    cells = [row.clean, *row.of(scenario)]
    known = [cell for cell in cells if cell is not None and cell.status == "ok" and cell.value is not None]
    return Line(
        name,
        row.hue,
        [(cell.severity, cell.value or 0.0) for cell in known],
        [(cell.severity, *interval) for cell in known if banded and (interval := _interval(cell)) is not None],
        row.number,
    )


def _interval(cell: CellResult) -> tuple[float, float] | None:
    return cell.primary.interval if cell.primary is not None else None


def _ticks(result: AuditResult, record: ScenarioRecord | None) -> list[Tick]:
    """Clean, and each severity with the value of the scenario's first knob."""
    knob = next(iter(record.knobs.values()), ()) if record is not None else ()
    ticks = [Tick(0, "clean", "0")]
    for severity in sorted(result.plan.severities):
        place = int(severity) - 1
        whole = severity == int(severity) and place < len(knob)
        ticks.append(Tick(severity, f"{knob[place]:g}" if whole else "", f"{severity:g}"))
    return ticks


SECTION = Section("curves", 30, _facts, "curves.html.j2", title="Curves")
