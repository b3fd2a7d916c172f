"""A gallery as a page of its own, its pictures files beside it."""

from __future__ import annotations

from auditor.report.frame import render_page
from auditor.report.gallery_pictures import Gallery
from auditor.report.ladder_rows import rows_of_result, scenario_names
from auditor.report.section import Shown
from auditor.report.sections.gallery import SECTION
from auditor.values import AuditResult

__all__ = ["render_gallery"]


def render_gallery(result: AuditResult, gallery: Gallery) -> str:
    """Render the page; the gallery's pictures are paths from it on."""
    facts = SECTION.facts(Shown(result, {}, gallery)) or {}
    return render_page(
        "gallery_page.html.j2",
        scripts=("gallery.js",),
        pictures_from="'self' file:",
        title=f"{result.name}: what the models saw",
        nav=[("gallery", "Pictures")],
        chip="gallery",
        kind="not-judged",
        data={
            "rows": [row.document for row in rows_of_result(result)],
            "matrix": {"scenarios": scenario_names(result)},
            "gallery": gallery.document(result),
        },
        **facts,
    )
