"""The pages of the manual that findings name, so that they are at hand where the report is."""

from __future__ import annotations

import importlib.resources

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    names = sorted({group.page for group in shown.result.groups} | ({"gates"} if shown.result.gates else set()))
    folder = importlib.resources.files("auditor").joinpath("docs")
    pages = {}
    for name in names:
        page = folder.joinpath(f"{name}.md")
        if page.is_file():
            pages[name] = page.read_text(encoding="utf-8")
    return {"pages": pages} if pages else None


SECTION = Section("manual_pages", 200, _facts, "manual_pages.html.j2", title="Manual")
