"""report.html: one file that opens from disk, from a judged result alone: its sections one after the other."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from typing import Any

import jinja2

from auditor import extensions
from auditor.report.section import Section, Shown
from auditor.values import AuditResult, MetricValue

__all__ = ["page_environment", "render_report", "template_source"]


def render_report(result: AuditResult, pictures: Mapping[str, str]) -> str:
    """Render the report as one HTML page without scripts, fonts or pictures from elsewhere; `pictures` are data URIs by
    the cell's name."""
    shown = Shown(result, pictures)
    environment = page_environment()
    parts = []
    for section in sorted(_sections(), key=lambda section: section.rank):
        facts = section.facts(shown)
        if facts is not None:
            own = environment.from_string(section.source) if section.source else None
            template = own or environment.get_template(section.template)
            parts.append(template.render(result=result, **facts))
    page = environment.get_template("page.html.j2")
    return page.render(result=result, sections=parts, css=template_source("report.css"))


def _sections() -> list[Section]:
    return list(extensions.every("sections").values())


@functools.cache
def page_environment() -> jinja2.Environment:
    """Return the jinja2 environment of the package's pages, with their filters."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("auditor.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": lambda value: "–" if value is None else f"{value:.0%}",
        "short": lambda text: str(text)[:12],
        "signed": lambda value: f"{value:+.3f}",
        "fixed": lambda value, digits: "–" if value is None else f"{value:.{digits}f}",
        "count": lambda value: f"{value:,}",
    }
    return environment


def template_source(name: str) -> str:
    """Return the text of a file beside the templates."""
    return importlib.resources.files("auditor.report").joinpath("templates", name).read_text(encoding="utf-8")


def _number(metric: Any) -> str:
    value = metric.value if isinstance(metric, MetricValue) else metric
    return "–" if value is None else f"{value:.3f}"
