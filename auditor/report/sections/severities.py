"""Each model at every severity, and its clean cell more closely."""

from __future__ import annotations

from collections.abc import Collection

from auditor.report.ladder_rows import Row, is_judged, judged_metrics, rows_of_result, scenario_names, shaded
from auditor.report.section import Facts, Section, Shown
from auditor.values import CellResult

__all__ = ["SECTION"]

_TOLD = {
    "truth_boxes": "true boxes",
    "detections": "detections",
    "dropped_predictions": "predictions of classes that are not judged were dropped",
    "images_of_classes_not_judged": "images of classes that the model does not know were left out",
    "failed_images": "images could not be read",
}


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    if not is_judged(result):
        return None
    scenarios = scenario_names(result)
    at_point = {name for model in result.models for name in model.judging.at_point}
    rows = [
        {
            "row": row,
            "scenarios": [{"name": name, "cells": _cells(row, name)} for name in scenarios],
            "clean": _closely(row.clean, at_point) if row.clean is not None and row.clean.status == "ok" else None,
        }
        for row in rows_of_result(result)
    ]
    return {"rows": rows, "metrics": judged_metrics(result), "severities": result.plan.severities}


def _cells(row: Row, scenario: str) -> list[dict[str, object]]:
    clean = row.summary.clean.value
    return [
        {
            "cell": cell,
            "shade": shaded(cell.value if cell.status == "ok" else None, clean, worse=_is_worse(cell)),
            "against": _against_clean(cell),
        }
        for cell in row.of(scenario)
    ]


def _is_worse(cell: CellResult) -> bool:
    """Whether it is worse than clean beyond chance."""
    difference = cell.difference("clean")
    return difference is not None and difference.interval is not None and difference.interval[1] < 0


def _against_clean(cell: CellResult) -> str:
    """What a cell lost against clean, with its paired interval, in words."""
    metric = cell.difference("clean")
    if metric is None or metric.value is None:
        return ""
    interval = ""
    if metric.interval is not None:
        interval = f" (95 %: {metric.interval[0]:+.3f} to {metric.interval[1]:+.3f}, paired)"
    return f"{metric.value:+.3f} against clean{interval}"


def _closely(cell: CellResult, at_point: Collection[str]) -> dict[str, object]:
    """A clean cell's metrics; those at the operating point stand in a section of their own, but for single classes."""
    columns = dict.fromkeys(name.partition("/")[0] for name in cell.metrics if "/" in name and "_minus_" not in name)
    classes = [name.partition("/")[2] for name in cell.metrics if name.startswith(f"{cell.judged_by}/")]
    return {
        "cell": cell,
        "metrics": [
            metric
            for name, metric in cell.metrics.items()
            if "/" not in name and name.partition("_minus_")[0] not in at_point
        ],
        "columns": list(columns),
        "by_class": {name: [cell.metrics.get(f"{column}/{name}") for column in columns] for name in classes},
        "counts": [f"{cell.counts[name]} {words}" for name, words in _TOLD.items() if name in cell.counts],
    }


SECTION = Section("severities", 70, _facts, "severities.html.j2", title="Numbers")
