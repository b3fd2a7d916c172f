"""From a result to its findings and verdict; opens no model and reads no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.judge.gates import apply_gates
from auditor.judge.told import Check, Row, as_finding
from auditor.values import AuditResult, Finding, Judgement, Rule, Verdict

__all__ = ["judge"]

_ORDER = {"error": 0, "warning": 1, "info": 2}


def judge(
    result: AuditResult, rules: Sequence[Rule], checks: Mapping[str, Check], catalogue: Mapping[str, Row]
) -> Judgement:
    """Apply gates and checks, but for those that the audit leaves out by their name or by a finding's code. Only gates
    and failed cells decide the verdict: `failed` when a gate is violated, else `incomplete` when a cell failed or a
    gate could not be judged, else `passed`."""
    gates = apply_gates(result, rules, catalogue)
    findings: list[Finding] = [finding for gate in gates for finding in gate.findings]
    for name, check in checks.items():
        if result.plan.asks(name):
            findings += [as_finding(told, catalogue) for told in check(result) if result.plan.asks(told.code)]
    findings.sort(key=lambda finding: (_ORDER[finding.level], finding.check != "gate"))
    return Judgement(result.judged(tuple(findings), _verdict(result, [gate.status for gate in gates])), gates)


def _verdict(result: AuditResult, gates: Sequence[str]) -> Verdict:
    if "failed" in gates:
        return "failed"
    lost = any(cell.status == "failed" and cell.is_declared for cell in result.cells)
    return "incomplete" if lost or "incomplete" in gates else "passed"
