"""Models by scenarios: what is kept of clean, for each metric, at each severity or over them."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, is_judged, judged_metrics, rows_of_result, scenario_names
from auditor.report.matrix_values import MatrixMetric, matrix_metrics, mean_of
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult

__all__ = ["SECTION"]

_TOGETHER = 5
"""Columns that a table has room for on a phone and on paper."""


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    metrics = matrix_metrics(result)
    if not metrics or not scenario_names(result):
        return None
    scenarios = scenario_names(result)
    packs: dict[str, list[tuple[int, str]]] = {}
    for column, scenario in enumerate(scenarios):
        pack, _, name = scenario.partition("/")
        packs.setdefault(pack, []).append((column, name))
    rows = [_row(result, row, scenarios, metrics) for row in rows_of_result(result)]
    families: dict[str, list[dict[str, object]]] = {}
    for item in rows:
        families.setdefault(str(item["family"]), []).append(item)
    return {
        "families": families,
        "chunks": [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)],
        "packs": packs,
        "scenarios": scenarios,
        "metrics": metrics,
        "severities": result.plan.severities,
        "judged": judged_metrics(result) if is_judged(result) else [],
        "tall": len(rows) > _TOGETHER * 2,
        "means": any(summary.metrics["mPC"].value is not None for summary in result.summaries),
    }


def _row(result: AuditResult, row: Row, scenarios: list[str], metrics: list[MatrixMetric]) -> dict[str, object]:
    """A row's means of the metric that its model is judged by, or of the first that it has."""
    names = {metric.name: metric for metric in metrics}
    metric = names.get(row.summary.judged_by, metrics[0])
    clean = row.clean.metrics.get(metric.name) if row.clean is not None else None
    return {
        "row": row,
        "family": row.summary.model,
        "clean": clean,
        "of": row.clean,
        "metric": metric,
        "broken": row.is_broken(result),
        "cells": [_lost(row, name) or mean_of(row, name, metric, result.plan.severities) for name in scenarios],
    }


def _lost(row: Row, scenario: str) -> str | None:
    """Why a scenario has no mean: failed, skipped, or not measured."""
    cells = row.of(scenario)
    if not cells:
        return "not measured"
    return next((cell.status for cell in cells if cell.status != "ok"), None)


SECTION = Section("matrix", 20, _facts, "matrix.html.j2", title="Matrix")
