"""What gates were decided by before all images were measured, and what was not measured."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    partial = [cell for cell in result.cells if cell.of_images is not None]
    skipped = [str(cell.key) for cell in result.cells if cell.cause == "decided"]
    if result.plan.decide is None or not (partial or skipped):
        return None
    rules = [outcome.rule for outcome in result.gates]
    decisions = [item for item in result.decisions if any(item.rule.is_same(rule) for rule in rules)]
    return {"error": result.plan.decide, "decisions": decisions, "partial": partial, "skipped": skipped}


SECTION = Section("decided", 49, _facts, "decided.html.j2")
