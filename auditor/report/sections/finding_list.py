"""Every finding with its remedy."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts:
    return {"findings": shown.result.findings}


SECTION = Section("finding_list", 90, _facts, "finding_list.html.j2")
