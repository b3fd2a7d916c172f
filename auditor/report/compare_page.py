"""A comparison as one HTML page."""

from __future__ import annotations

from auditor.report.compare_text import headline, shown_difference
from auditor.report.frame import render_page
from auditor.values import Comparison, Outcome

__all__ = ["render_comparison"]

_CLASSES = {"worse": "failed", "better": "passed", "same": "not-judged", "not comparable": "incomplete"}
_TITLES: dict[Outcome, str] = {
    "worse": "Worse",
    "better": "Better",
    "same": "No difference",
    "not comparable": "Not comparable",
}


def render_comparison(comparison: Comparison) -> str:
    """Render what got better and worse as one HTML page that fetches nothing."""
    told = [name for name in _TITLES if comparison.of(name) and name in ("worse", "better")]
    worst: Outcome = told[0] if told else "same"
    if not any(cell.outcome != "not comparable" for cell in comparison.cells):
        worst = "not comparable"
    nav = [
        ("lost" if name == "not comparable" else name, title) for name, title in _TITLES.items() if comparison.of(name)
    ]
    return render_page(
        "comparison.html.j2",
        nav=nav + ([("pace", "Speed and size")] if comparison.latency_ms or comparison.file_bytes else []),
        chip=_TITLES[worst],
        comparison=comparison,
        headline=headline(comparison),
        kind=_CLASSES[worst],
        classes=_CLASSES,
        difference=shown_difference,
    )
