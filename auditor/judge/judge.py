"""From a result to its findings and verdict; opens no model and reads no image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from auditor.judge.gates import apply_gates
from auditor.values import AuditResult, Finding, Judgement, Rule

__all__ = ["Check", "judge"]

_ORDER = {"error": 0, "warning": 1, "info": 2}


class Check(Protocol):
    """The extension point `auditor.checks`."""

    def __call__(self, result: AuditResult) -> Iterable[Finding]:
        """Look at a whole result and say what a reader should know or do."""


def judge(result: AuditResult, rules: Sequence[Rule], checks: Mapping[str, Check]) -> Judgement:
    """Apply gates and checks. Only gates and failed cells decide the verdict: `failed` when a gate is violated, else
    `incomplete` when a cell failed or a gate could not be judged, else `passed`."""
    gates = apply_gates(result, rules)
    findings = [finding for gate in gates for finding in gate.findings]
    for check in checks.values():
        findings += check(result)
    findings.sort(key=lambda finding: (_ORDER[finding.level], finding.check != "gate"))
    if any(gate.status == "failed" for gate in gates):
        verdict = "failed"
    elif any(gate.status == "incomplete" for gate in gates) or any(
        cell.status == "failed" and cell.cell.input == "declared" for cell in result.cells
    ):
        verdict = "incomplete"
    else:
        verdict = "passed"
    return Judgement(result.judged(tuple(findings), verdict), gates)
