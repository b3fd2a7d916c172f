"""What the scenarios stand for."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    scenarios = shown.result.plan.scenarios
    return {"scenarios": scenarios} if scenarios else None


SECTION = Section("scenario_table", 130, _facts, "scenario_table.html.j2")
