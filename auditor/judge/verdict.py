"""From a result to its findings and verdict; opens no model and reads no image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from auditor.judge.gates import apply_gates
from auditor.judge.grouping import group_findings
from auditor.judge.told import Check, NotRun, Row, Told, as_finding
from auditor.values import AuditResult, CheckOutcome, Finding, GateOutcome, Verdict

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
    outcomes = []
    for name, check in checks.items():
        found, outcome = _checked(result, name, check, catalogue)
        findings += found
        outcomes.append(outcome)
    findings.sort(key=lambda finding: (_ORDER[finding.level], finding.check != "gate"))
    return dataclasses.replace(
        result,
        findings=tuple(findings),
        groups=group_findings(findings, catalogue),
        checks=tuple(outcomes),
        gates=gates,
        verdict=_verdict(result, gates, findings),
    )


def _checked(
    result: AuditResult, name: str, check: Check, catalogue: Mapping[str, Row]
) -> tuple[list[Finding], CheckOutcome]:
    """What a check finds, and what became of it."""
    if not result.plan.asks(name):
        return [], CheckOutcome(name, "left out", reasons=(f"`checks: {{{name}: false}}`",))
    told = list(check(result))
    reasons = tuple(dict.fromkeys(item.reason for item in told if isinstance(item, NotRun)))
    said = [item for item in told if isinstance(item, Told)]
    found = [as_finding(item, catalogue) for item in said if result.plan.asks(item.code)]
    if any(finding.level != "info" for finding in found):
        return found, CheckOutcome(name, "found", len(found), reasons)
    return found, CheckOutcome(name, "not run" if reasons and not said else "passed", len(found), reasons)


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
