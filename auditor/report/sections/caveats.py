"""What the numbers are, and are not."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts:
    return {"judged": list(dict.fromkeys(model.judging.about for model in shown.result.models))}


SECTION = Section("caveats", 140, _facts, "caveats.html.j2")
