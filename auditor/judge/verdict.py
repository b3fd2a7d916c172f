"""From a result to its findings and verdict; opens no model and reads no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.judge.gates import apply_gates
from auditor.judge.told import Check, Row, as_finding
from auditor.values import AuditResult, Finding, GateOutcome, Verdict

__all__ = ["judge"]

_ORDER = {"error": 0, "warning": 1, "info": 2}


def judge(result: AuditResult, checks: Mapping[str, Check], catalogue: Mapping[str, Row]) -> AuditResult:
    """Apply the gates of a result's plan, and checks, but for those that the audit leaves out by their name or by a
    finding's code. Gates, failed cells and, where the audit says `fail_on`, findings decide the verdict: `failed` when
    a gate is violated or a finding counts, else `incomplete` when a cell failed or a gate could not be judged, else
    `undecided` when one is neither held nor violated with its confidence (unless the audit lets that pass), else
    `passed`, which nothing is without a gate: then it is `not judged`."""
    applied = apply_gates(result, result.plan.gates, catalogue)
    gates = tuple(gate.outcome for gate in applied)
    findings: list[Finding] = [finding for gate in applied for finding in gate.findings]
    for name, check in checks.items():
        if result.plan.asks(name):
            findings += [as_finding(told, catalogue) for told in check(result) if result.plan.asks(told.code)]
    findings.sort(key=lambda finding: (_ORDER[finding.level], finding.check != "gate"))
    return result.judged(tuple(findings), gates, _verdict(result, gates, findings))


def _verdict(result: AuditResult, gates: Sequence[GateOutcome], findings: Sequence[Finding]) -> Verdict:
    statuses = [gate.status for gate in gates]
    if "failed" in statuses or any(map(result.fails_on, findings)):
        return "failed"
    lost = any(cell.status == "failed" and cell.is_declared for cell in result.cells)
    if lost or "incomplete" in statuses:
        return "incomplete"
    if "undecided" in statuses and result.plan.undecided is None:
        return "undecided"
    return "passed" if gates else "not judged"
