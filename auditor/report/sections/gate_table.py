"""Every gate and what it met."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    return {"gates": shown.judgement.gates} if shown.judgement.gates else None


SECTION = Section("gate_table", 10, _facts, "gate_table.html.j2")
