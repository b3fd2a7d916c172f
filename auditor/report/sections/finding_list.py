"""What checks found, by code and cause, with what mends it; and what became of every check."""

from __future__ import annotations

from auditor.report.first_reasons import place_link
from auditor.report.ladder_rows import rows_of_result, scenario_names
from auditor.report.outcome import fixes, remedy_of
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult, FindingGroup

__all__ = ["SECTION"]

_LEVELS = ("error", "warning", "info")


def _facts(shown: Shown) -> Facts:
    result = shown.result
    roots = [number for number, group in enumerate(result.groups) if group.cause is None]
    outcomes = {status: [item for item in result.checks if item.status == status] for status in ("passed", "left out")}
    unrun = [(item.check, reason) for item in result.checks for reason in item.reasons if item.status != "left out"]
    return {
        "groups": [_group(result, number) for number in roots],
        "levels": {level: sum(result.groups[n].level == level for n in roots) for level in _LEVELS},
        "passed": outcomes["passed"],
        "left_out": outcomes["left out"],
        "unrun": unrun,
    }


def _group(result: AuditResult, number: int) -> dict[str, object]:
    group = result.groups[number]
    return {
        "number": number,
        "group": group,
        "remedy": remedy_of(result, group),
        "fixes": fixes(result, group),
        "rows": _places(result, group, "file"),
        "columns": _places(result, group, "scenario"),
        "each": [result.findings[index] for index in group.findings],
        "link": place_link(result, result.findings[group.findings[0]].cell),
        "follow": [_group(result, other) for other in group.follow],
    }


def _places(result: AuditResult, group: FindingGroup, name: str) -> str:
    """The numbers of the rows, or columns, of the matrix that a group is of; empty: of all."""
    files = [row.summary.file for row in rows_of_result(result)]
    known = files if name == "file" else scenario_names(result)
    values = {result.findings[index].cell.get(name) for index in group.findings}
    return " ".join(str(place) for place, value in enumerate(known) if value in values)


SECTION = Section("finding_list", 50, _facts, "finding_list.html.j2", title="Findings")
