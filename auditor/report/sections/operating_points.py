"""What each model does at the threshold that is held: how that was chosen, what it finds and falsely finds in each
scenario, and how its scores moved."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, rows_of_result, scenario_names
from auditor.report.line_chart import Line, Tick, draw_lines, ticks_of
from auditor.report.section import Facts, Section, Shown
from auditor.values import BEST_F1, CellResult, OperatingPoint

__all__ = ["SECTION"]

_FEW = 3
"""A curve of fewer points shows nothing."""


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    points = {point.model: point for point in result.operating_points if point.reason is None}
    rows = [row for row in rows_of_result(result) if row.summary.model in points and row.clean is not None]
    held = [row for row in rows if row.clean is not None and row.clean.moved is not None]
    if not held:
        return None
    severity = result.plan.middle_severity
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
        "shown": [name for name in _SHOWN if name in names],
        "held": held,
        "moved": [_moved(row) for row in held],
        "cells": [_cells(row) for row in held],
        "charts": [chart for row in held if (chart := _chart(row, points[row.summary.model])) is not None],
    }


_SHOWN = ("recall", "precision", "F1", "fppi")
_CURVES = (("precision", "c0"), ("recall", "c1"), ("f1", "c2"))


def _chart(row: Row, point: OperatingPoint) -> dict[str, object] | None:
    """What each threshold gives on clean images; the held one is marked."""
    moved = row.clean.moved if row.clean is not None else None
    if moved is None or len(moved.curve) < _FEW:
        return None
    single = point.at(row.summary.quantization).thresholds.single
    ats = [(at.factor if at.threshold is None else at.threshold, at) for at in moved.curve]
    lines = [
        Line(
            "F1" if name == "f1" else name,
            hue,
            [(x, value) for x, at in ats if (value := getattr(at, name)) is not None],
        )
        for name, hue in _CURVES
    ]
    ends = ticks_of(max(x for x, _ in ats))
    svg = draw_lines(
        f"precision, recall and F1 of {row.label} over the threshold",
        lines,
        ticks=[Tick(x, f"{x:.3g}") for x in [*ends, *([max(x for x, _ in ats)] if ats[-1][0] > ends[-1] else [])]],
        top=1.0,
        titles=("threshold" if single is not None else "thresholds of the classes times", "", ""),
        marked=[Tick(1.0 if single is None else single, "held")],
    )
    return {"row": row, "svg": svg}


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


def _moved(row: Row) -> dict[str, object]:
    return {"row": row, "moved": row.clean.moved if row.clean is not None else None, "clean": row.clean}


def _cells(row: Row) -> dict[str, object]:
    """All cells of a row, clean first."""
    cells: list[CellResult] = [cell for cell in row.cells if cell.moved is not None]
    return {"row": row, "cells": sorted(cells, key=lambda cell: not cell.is_clean)}


SECTION = Section("operating_points", 55, _facts, "operating_points.html.j2", title="Threshold")
