"""report.html: one file that opens from disk, from a judged result alone: its sections one after the other."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import markupsafe

from auditor import extensions
from auditor.report.frame import page_environment, render_page
from auditor.report.gallery_pictures import Gallery
from auditor.report.ladder_rows import rows_of_result
from auditor.report.matrix_values import matrix_document
from auditor.report.section import Section, Shown
from auditor.values import AuditResult

__all__ = ["render_report"]


def render_report(
    result: AuditResult, pictures: Mapping[str, str], gallery: Gallery | None = None, *, document: object = None
) -> str:
    """Render the report as one HTML page that fetches nothing; `pictures` are data URIs by the cell's name, `document`
    is what `result.json` holds, to be saved from the page."""
    shown = Shown(result, pictures, gallery)
    environment = page_environment()
    sections, nav = [], []
    for section in sorted(_sections(), key=lambda section: section.rank):
        facts = section.facts(shown)
        if facts is not None:
            own = environment.from_string(section.source) if section.source else None
            template = own or environment.get_template(section.template)
            sections.append((section.name, markupsafe.Markup(template.render(result=result, **facts))))
            nav += [(section.name, section.title)] if section.title else []
    return render_page(
        "page.html.j2",
        scripts=("matrix.js", "filter.js", "gallery.js"),
        result=result,
        sections=sections,
        nav=nav,
        chip=result.verdict,
        kind=result.verdict.replace(" ", "-"),
        data={
            "rows": [row.document for row in rows_of_result(result)],
            "matrix": matrix_document(result),
            "gallery": None if gallery is None else gallery.document(result),
        },
        packed=_packed(document),
    )


def _packed(document: object) -> str:
    """A JSON document as base64 of gzip: a tenth of its size."""
    if document is None:
        return ""
    text = json.dumps(_in_digits(document), separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _in_digits(value: Any) -> Any:
    """A document with its numbers in six digits, and whole ones without a point, which halves it."""
    if isinstance(value, float):
        short = float(f"{value:.6g}")
        return int(short) if short.is_integer() else short
    if isinstance(value, dict):
        return {key: _in_digits(item) for key, item in value.items()}
    return [_in_digits(item) for item in value] if isinstance(value, list) else value


def _sections() -> list[Section]:
    return list(extensions.every("sections").values())
