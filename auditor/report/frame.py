"""An HTML page that stands alone: its style and scripts inside, each allowed by its digest and nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from typing import Any

import jinja2
import markupsafe

from auditor.report.markup import breakable, in_words, number, swatch
from auditor.values import MetricValue

__all__ = ["page_environment", "render_page"]

_STYLES = ("page.css", "table.css", "chart.css", "gallery.css", "narrow.css", "print.css")
_SCRIPTS = ("view.js", "page.js")
"""What every page has."""


def render_page(template: str, *, scripts: Sequence[str] = (), pictures_from: str = "", **facts: object) -> str:
    """Render a template that extends `frame.html.j2`, with the scripts of every page and its own.

    The Content-Security-Policy names the digest of each script and of the style, so that nothing that a file brought
    in can run; `pictures_from` are further places of pictures than the page itself.
    Source: https://www.w3.org/TR/CSP3/#grammardef-hash-source.
    """
    environment = page_environment()
    css = "".join(_static(name) for name in _STYLES)
    modules = [markupsafe.Markup(_static(name)) for name in (*_SCRIPTS, *scripts)]
    allowed = {
        "default-src": "'none'",
        "style-src": _digest(css),
        "script-src": " ".join(map(_digest, modules)),
        "img-src": f"data: {pictures_from}".strip(),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{what} {where}" for what, where in allowed.items())
    page = environment.get_template(template)
    return page.render(css=markupsafe.Markup(css), scripts=modules, policy=policy, **facts)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _static(name: str) -> str:
    """The text of a style or script; it must not be able to end the element that it stands in."""
    text = importlib.resources.files("auditor.report").joinpath("static", name).read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError(f"expected no '</' in {name}, which would end its element")
    return text


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
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    environment.filters |= {
        "number": lambda metric: number(_value(metric)),
        "percent": lambda value: "–" if value is None else f"{value:.0%}",
        "short": lambda text: str(text)[:12],
        "signed": lambda value: f"{value:+.3f}",
        "fixed": lambda value, digits: "–" if value is None else f"{value:.{digits}f}",
        "count": lambda value: f"{value:,}",
        "words": in_words,
        "breakable": breakable,
        "swatch": swatch,
    }
    return environment


def _value(metric: Any) -> float | None:
    value: float | None = metric.value if isinstance(metric, MetricValue) else metric
    return value
