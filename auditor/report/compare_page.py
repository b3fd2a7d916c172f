"""A comparison as one HTML page."""

from __future__ import annotations

from auditor.report.compare_text import headline, shown_difference
from auditor.report.page import page_environment, template_source
from auditor.values import Comparison

__all__ = ["render_comparison"]

_CLASSES = {"worse": "failed", "better": "passed", "same": "not-judged", "not comparable": "incomplete"}


def render_comparison(comparison: Comparison) -> str:
    """Render what got better and worse as one HTML page without scripts, fonts or pictures from elsewhere."""
    worst = next((name for name in ("worse", "better") if comparison.of(name)), "same")
    if not any(cell.outcome != "not comparable" for cell in comparison.cells):
        worst = "not comparable"
    template = page_environment().get_template("comparison.html.j2")
    return template.render(
        comparison=comparison,
        headline=headline(comparison),
        kind=_CLASSES[worst],
        classes=_CLASSES,
        difference=shown_difference,
        css=template_source("report.css"),
    )
