"""A comparison as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.report.compare_text import headline, shown_difference
from auditor.report.frame import render_page
from auditor.values import CLEAN, ComparedCells, Comparison, Difference, Outcome

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
    nav = [("where", "Where")] if comparison.cells else []
    nav += [
        ("lost" if name == "not comparable" else name, title) for name, title in _TITLES.items() if comparison.of(name)
    ]
    if comparison.latency_ms or comparison.file_bytes:
        nav.append(("pace", "Speed and size"))
    scenarios, rows = _matrix(comparison)
    return render_page(
        "comparison.html.j2",
        nav=nav,
        chip=_TITLES[worst],
        comparison=comparison,
        headline=headline(comparison),
        kind=_CLASSES[worst],
        classes=_CLASSES,
        difference=shown_difference,
        scenarios=scenarios,
        rows=rows,
    )


@dataclass(frozen=True)
class _Spot:
    """What became of a model in one scenario: the worst outcome over its severities, of how many of these, and the
    difference that decides it."""

    outcome: Outcome
    count: int
    of: int
    text: str


def _matrix(comparison: Comparison) -> tuple[list[str], list[tuple[str, list[_Spot | None]]]]:
    """Models × scenarios, clean first."""
    grouped: dict[tuple[str, str], dict[str, list[ComparedCells]]] = {}
    for item in comparison.cells:
        grouped.setdefault((item.cell.file, item.cell.delegate), {}).setdefault(item.cell.scenario, []).append(item)
    scenarios = list(dict.fromkeys(item.cell.scenario for item in comparison.cells))
    scenarios.sort(key=lambda name: name != CLEAN)
    rows = [
        (f"{file} · {delegate}", [_spot(found.get(name, [])) for name in scenarios])
        for (file, delegate), found in grouped.items()
    ]
    return scenarios, rows


def _spot(cells: list[ComparedCells]) -> _Spot | None:
    for outcome in _TITLES:
        mine = [cell for cell in cells if cell.outcome == outcome]
        if mine:
            most = max((d for cell in mine for d in cell.deciding if d.value is not None), key=_size, default=None)
            text = "" if most is None else f"{most.metric} {most.value:+.3f}"
            return _Spot(outcome, len(mine), len(cells), text)
    return None


def _size(difference: Difference) -> float:
    return abs(difference.value or 0.0)
