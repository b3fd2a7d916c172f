"""What AP is lost to in each scenario, by kind of error, and what became of what is found on clean images."""

from __future__ import annotations

from auditor.report.bar_chart import Bar, draw_bars
from auditor.report.ladder_rows import Row, rows_of_result
from auditor.report.section import Facts, Section, Shown
from auditor.values import CellResult

__all__ = ["SECTION"]

_FLIPS = ("flips", "flips_lost", "flips_relabelled", "flips_moved", "flips_new")


def _facts(shown: Shown) -> Facts | None:
    measured = [row for row in rows_of_result(shown.result) if row.clean is not None and row.clean.status == "ok"]
    rows = [row for row in measured if any(map(_is_told, row.cells))]
    first: dict[str, CellResult] = {}
    for row in rows:
        if row.clean is not None:
            first.setdefault(row.summary.model, row.clean)
    told = [_row(row, first[row.summary.model]) for row in rows]
    flips = [name for name in _FLIPS if any(name in cell.metrics for row in rows for cell in row.cells)]
    costs = any(cell.errors is not None for row in rows for cell in row.cells)
    charts = [chart for row in rows if (chart := _chart(row, shown.result.plan.middle_severity)) is not None]
    kinds = next((item["kinds"] for item in told if item["kinds"]), [])
    return {"rows": told, "flips": flips, "costs": costs, "charts": charts, "kinds": kinds} if told else None


def _chart(row: Row, severity: float | None) -> dict[str, object] | None:
    """What each kind of error costs more than on clean images, in each scenario at a middle severity."""
    if row.clean is None or row.clean.errors is None:
        return None
    kinds = [cost.kind for cost in row.clean.errors.costs]
    clean = row.clean.errors
    cells = [cell for cell in row.cells if cell.severity == severity and cell.errors is not None]
    bars = [
        Bar(cell.scenario, [cell.errors.cost(kind) - clean.cost(kind) for kind in kinds])
        for cell in cells
        if cell.errors is not None
    ]
    if not bars:
        return None
    about = f"what each kind of error costs {row.label} more than on clean images, by scenario"
    svg = draw_bars(about, kinds, bars, title=f"AP50 lost beside clean, severity {severity:g}")
    return {"row": row, "svg": svg}


def _is_told(cell: CellResult) -> bool:
    return cell.errors is not None or _FLIPS[0] in cell.metrics


def _row(row: Row, first: CellResult) -> dict[str, object]:
    """The cells of a row, clean first; that is compared with the first level's, the others with it."""
    cells = sorted((cell for cell in row.cells if cell.status == "ok"), key=lambda cell: not cell.is_clean)
    clean = cells[0]
    kinds = [cost.kind for cost in clean.errors.costs] if clean.errors is not None else []
    beside = [clean if cell is not clean else first for cell in cells]
    return {
        "row": row,
        "kinds": kinds,
        "clean": clean,
        "cells": [
            {"cell": cell, "grew": _grew(cell, other), "alone": cell is other}
            for cell, other in zip(cells, beside, strict=True)
        ],
    }


def _grew(cell: CellResult, other: CellResult) -> list[tuple[float, float]]:
    """What each kind of error costs, and by how much that is more than in another cell."""
    if cell.errors is None or other.errors is None:
        return []
    return [(cost.cost, cost.cost - other.errors.cost(cost.kind)) for cost in cell.errors.costs]


SECTION = Section("error_costs", 56, _facts, "error_costs.html.j2", title="Errors")
