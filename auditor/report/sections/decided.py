"""What gates were decided by before all images were measured, and what was not measured."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    if result.plan.decide is None:
        return None
    return {
        "error": result.plan.decide,
        "decisions": result.decisions,
        "partial": [cell for cell in result.cells if cell.of_images is not None],
        "skipped": [str(cell.key) for cell in result.cells if cell.cause == "decided"],
    }


SECTION = Section("decided", 12, _facts, "decided.html.j2")
