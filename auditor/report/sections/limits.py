"""Where each model breaks: a strip a scenario over its own unit, with the limit of every level."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, rows_of_result, scenario_names
from auditor.report.limit_words import between_words, limit_words, returns
from auditor.report.section import Facts, Section, Shown
from auditor.values import LOCAL, BreakingPoint

__all__ = ["SECTION"]

_WIDTH = 400
"""Of a strip, from severity 1 to 5."""


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    wanted = result.plan.breaking
    if wanted is None or not result.breaking_points:
        return None
    rows = {
        (row.summary.file, row.summary.delegate): row for row in rows_of_result(result) if row.summary.device == LOCAL
    }
    columns = {name: index for index, name in enumerate(scenario_names(result))}
    strips = []
    for scenario in result.plan.scenarios:
        mine = [point for point in result.breaking_points if point.scenario == scenario.key]
        if mine:
            strips.append(
                {
                    "scenario": scenario,
                    "column": columns.get(scenario.key),
                    "knob": (knob := next(iter(scenario.knobs.values()))),
                    "ordered": list(knob) in (sorted(knob), sorted(knob, reverse=True)),
                    "rows": [_strip(point, rows.get((point.file, point.delegate))) for point in mine],
                }
            )
    lower = any(wanted.metric in model.judging.lower_is_better for model in result.models)
    return {"strips": strips, "wanted": wanted, "verb": "rises" if lower else "falls", "width": _WIDTH}


def _strip(point: BreakingPoint, row: Row | None) -> dict[str, object]:
    """One level: how far it holds, between which places it breaks, and both in words."""
    begin, end = {"never": (1.0, 5.0), "already": (1.0, 1.0)}.get(point.outcome, (1.0, point.severity or 1.0))
    milder, harder = point.severities or (None, None)
    known = point.severities is not None and (milder is not None or harder is not None)
    return {
        "label": point.file if row is None else row.short or row.label,
        "hue": "" if row is None else row.hue,
        "number": None if row is None else row.number,
        "held": _across(end) - _across(begin),
        "at": _across(end) if point.outcome == "reached" else None,
        "band": (_across(milder or 1.0), _across(harder or 5.0)) if known else None,
        "limit": limit_words(point),
        "between": (between_words(point) + returns(point)).removeprefix("; "),
        "outcome": point.outcome,
    }


def _across(severity: float) -> float:
    return round((severity - 1) / 4 * _WIDTH, 1)


SECTION = Section("limits", 32, _facts, "limits.html.j2", title="Limits")
