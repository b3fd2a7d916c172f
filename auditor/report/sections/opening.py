"""The verdict with its reasons, and what was measured."""

from __future__ import annotations

from auditor.report.outcome import reasons
from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]

_MOST = 6
_OF_THE_METRIC = ("labels",)
"""The checks whose warnings say what the metric is over: they stand beside it."""


def _facts(shown: Shown) -> Facts:
    result = shown.result
    declared = [cell for cell in result.cells if cell.is_declared]
    why = reasons(result)
    told = {reason.text for reason in why}
    errors = [
        finding
        for finding in result.findings
        if finding.level == "error" and finding.check != "gate" and finding.message not in told
    ]
    about = [finding for finding in result.findings if finding.level == "warning" and finding.check in _OF_THE_METRIC]
    counts = {status: sum(cell.status == status for cell in declared) for status in ("ok", "failed", "skipped")}
    things = {model.dataset: model.judging.things for model in result.models}
    return {
        "gates": result.gates,
        "reasons": why,
        "errors": errors[:_MOST],
        "more": len(errors) - _MOST,
        "counts": counts,
        "things": things,
        "about": about,
        "declared": sum(model.role == "declared" for model in result.models),
        "made": sum(model.role != "declared" for model in result.models),
    }


SECTION = Section("opening", 0, _facts, "opening.html.j2")
