"""The verdict with its reasons, and what was measured."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]

_MOST = 6
_OF_THE_METRIC = ("labels",)
"""The checks whose warnings say what the metric is over: they stand beside it."""


def _facts(shown: Shown) -> Facts:
    result, gates = shown.judgement.result, shown.judgement.gates
    declared = [cell for cell in result.cells if cell.is_declared]
    reasons = []
    for gate in gates:
        if gate.status != "passed":
            beyond = sum(finding.observed is not None for finding in gate.findings)
            told = f" in {beyond} of {gate.measured}" if beyond else ""
            unjudged = len(gate.findings) - beyond
            more = f", {unjudged} could not be judged" if unjudged and gate.measured else ""
            worst = "Worst: " if len(gate.findings) > 1 else ""
            text = f": {gate.status}{told}{more}. {worst}{gate.findings[0].message}"
            reasons.append({"rule": str(gate.rule), "text": text})
    errors = [finding for finding in result.findings if finding.level == "error" and finding.check != "gate"]
    reasons += [{"rule": "", "text": finding.message} for finding in errors[:_MOST]]
    about = [finding for finding in result.findings if finding.level == "warning" and finding.check in _OF_THE_METRIC]
    counts = {status: sum(cell.status == status for cell in declared) for status in ("ok", "failed", "skipped")}
    things = {model.dataset: model.judging.things for model in result.models}
    return {
        "gates": gates,
        "reasons": reasons,
        "more": len(errors) - _MOST,
        "counts": counts,
        "things": things,
        "about": about,
    }


SECTION = Section("opening", 0, _facts, "opening.html.j2")
