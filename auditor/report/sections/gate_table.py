"""Every gate and what it met."""

from __future__ import annotations

from auditor.report.outcome import gate_text
from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    gates = [{"rule": str(gate.rule), "status": gate.status, "text": gate_text(gate)} for gate in shown.result.gates]
    return {"gates": gates} if gates else None


SECTION = Section("gate_table", 48, _facts, "gate_table.html.j2", title="Gates")
