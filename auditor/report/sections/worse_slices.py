"""Parts of the data on which models do worse."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    return {"slices": shown.result.slices} if shown.result.slices else None


SECTION = Section("worse_slices", 58, _facts, "worse_slices.html.j2", title="Slices")
