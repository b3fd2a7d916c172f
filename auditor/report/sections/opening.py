"""The first screen: the verdict with what matters most, and each model in one line."""

from __future__ import annotations

from auditor.report.first_reasons import first_reasons
from auditor.report.ladder_rows import Row, is_judged, rows_of_result
from auditor.report.outcome import reasons
from auditor.report.section import Facts, Section, Shown
from auditor.report.trade_points import Choice, choices
from auditor.report.weakest import weakest_condition
from auditor.values import AuditResult, MetricValue

__all__ = ["SECTION"]

_OF_THE_METRIC = ("labels",)
"""The checks whose warnings say what the metric is over: they stand beside it."""
_LINES = 8
_FIRST = ("recall", "fppi")
"""The metrics of the operating point that have a column."""


def _facts(shown: Shown) -> Facts:
    result = shown.result
    declared = [cell for cell in result.cells if cell.is_declared]
    about = [group for group in result.groups if group.level == "warning" and group.check in _OF_THE_METRIC]
    first = first_reasons(result)
    told = {reason.text for reason in first}
    why = [reason for reason in reasons(result) if reason.text.partition(": ")[2] not in told]
    lines = _lines(result)
    return {
        "first": first,
        "why": [str(reason) for reason in why if reason.text not in told],
        "counts": {status: sum(cell.status == status for cell in declared) for status in ("ok", "failed", "skipped")},
        "things": {model.dataset: model.judging.things for model in result.models},
        "about": about,
        "declared": sum(model.role == "declared" for model in result.models),
        "made": sum(model.role != "declared" for model in result.models),
        "columns": _columns(result),
        "lines": lines[:_LINES],
        "more": lines[_LINES:],
        "judged": is_judged(result),
    }


def _columns(result: AuditResult) -> list[tuple[str, str]]:
    """The metrics of the operating point that have a column: recall, and false alarms."""
    names: dict[str, str] = {}
    for model in result.models:
        names |= model.judging.at_point
    there = {name for cell in result.cells if cell.is_clean for name in cell.metrics}
    shown = [name for name in _FIRST if name in names and name in there]
    return [(name, names[name]) for name in shown]


def _lines(result: AuditResult) -> list[dict[str, object]]:
    """A line for each family on each delegate: its level to deploy, else its first."""
    chosen = choices(result)
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows_of_result(result):
        groups.setdefault((row.summary.model, row.summary.delegate, row.summary.device), []).append(row)
    lines = []
    for (family, delegate, _), rows in groups.items():
        choice = chosen.get((family, delegate))
        mine = [row for row in rows if choice is not None and row.summary.file == choice.point.file]
        lines.append(_line(result, (mine or rows)[0], choice if mine else None))
    return lines


def _line(result: AuditResult, row: Row, choice: Choice | None) -> dict[str, object]:
    metrics: dict[str, MetricValue] = dict(row.clean.metrics) if row.clean is not None else {}
    return {
        "row": row,
        "choice": choice,
        "broken": row.is_broken(result),
        "at_point": [metrics.get(name) for name, _ in _columns(result)],
        "weakest": weakest_condition(result, row),
    }


SECTION = Section("opening", 0, _facts, "opening.html.j2", title="Verdict")
