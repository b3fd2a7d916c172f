"""What each model does at the threshold that is held: how that was chosen, what it finds and falsely finds in each
scenario, and how its scores moved."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, rows_of_result, scenario_names, shaded
from auditor.report.section import Facts, Section, Shown
from auditor.values import BEST_F1, AuditResult, CellResult, OperatingPoint

__all__ = ["SECTION"]

_MIDDLE = 3


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    points = {point.model: point for point in result.operating_points if point.reason is None}
    rows = [row for row in rows_of_result(result) if row.summary.model in points and row.clean is not None]
    held = [row for row in rows if row.clean is not None and row.clean.moved is not None]
    if not held:
        return None
    severity = _severity(result)
    names = {
        name: about
        for model in result.models
        for name, about in model.judging.at_point.items()
        if any(row.clean is not None and name in row.clean.metrics for row in held)
    }
    return {
        "points": [{"point": point, "how": _how(point), "flatters": _flatters(point)} for point in points.values()],
        "names": names,
        "severity": severity,
        "scenarios": scenario_names(result),
        "rows": [_row(row, scenario_names(result), severity) for row in held],
        "moved": [_moved(row) for row in held],
        "cells": [_cells(row) for row in held],
    }


def _severity(result: AuditResult) -> float | None:
    """The severity that the table shows: a middle one, so that no scenario is lost wholly."""
    middle = [severity for severity in result.plan.severities if severity <= _MIDDLE]
    return max(middle, default=min(result.plan.severities, default=None))


def _how(point: OperatingPoint) -> str:
    """How the threshold was chosen, in words."""
    if point.by == "threshold":
        return "given in audit.yaml"
    if point.by == BEST_F1:
        return f"chosen by the auditor as that of the best F1, on {point.chosen_on}"
    sides = {
        "fppi": "the lowest with at most",
        "precision": "the lowest with at least",
        "recall": "the highest with at least",
    }
    sure = "" if point.confidence is None else f" with a confidence of {point.confidence:.0%}"
    return f"{sides[point.by]} a {point.by} of {point.target:g}{sure}, on {point.chosen_on}"


def _flatters(point: OperatingPoint) -> str:
    """By how much choosing on the same images flatters, in words."""
    if not point.optimism:
        return ""
    told = [f"{name} {(point.clean[name] or 0.0) - better:.3f}" for name, better in point.optimism.items()]
    return f"Cross-fitted over images, as on others: {', '.join(told)}."


def _row(row: Row, scenarios: list[str], severity: float | None) -> dict[str, object]:
    clean = row.clean
    value = clean.metrics["recall"].value if clean is not None and "recall" in clean.metrics else None
    cells = []
    for name in scenarios:
        cell = next((cell for cell in row.of(name) if cell.severity == severity and cell.status == "ok"), None)
        recall = cell.metrics.get("recall") if cell is not None else None
        fppi = cell.metrics.get("fppi") if cell is not None else None
        cells.append({"shade": shaded(recall.value if recall is not None else None, value), "fppi": fppi})
    return {"row": row, "clean": clean, "cells": cells}


def _moved(row: Row) -> dict[str, object]:
    return {"row": row, "moved": row.clean.moved if row.clean is not None else None, "clean": row.clean}


def _cells(row: Row) -> dict[str, object]:
    """All cells of a row, clean first."""
    cells: list[CellResult] = [cell for cell in row.cells if cell.moved is not None]
    return {"row": row, "cells": sorted(cells, key=lambda cell: not cell.is_clean)}


SECTION = Section("operating_points", 25, _facts, "operating_points.html.j2")
