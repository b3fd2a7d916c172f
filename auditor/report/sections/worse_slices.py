"""Parts of the data on which models do worse, and what may be missing in the truth."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    if not result.slices and not result.suspects:
        return None
    suspects = [
        {"suspect": suspect, "picture": shown.pictures.get(f"suspect {number}")}
        for number, suspect in enumerate(result.suspects)
    ]
    return {"slices": result.slices, "suspects": suspects}


SECTION = Section("worse_slices", 72, _facts, "worse_slices.html.j2")
