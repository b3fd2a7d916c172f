"""The condition that costs a model most, and where in that condition's own unit it breaks."""

from __future__ import annotations

from auditor.report.ladder_rows import Row, at_knob, scenario_names
from auditor.values import AuditResult

__all__ = ["weakest_condition"]

_HALF = 0.5


def weakest_condition(result: AuditResult, row: Row) -> tuple[str, str] | None:
    """The scenario over whose severities least is kept of clean, and in words how much: from which of its values on
    less than half is left, or what is left at the last. None where nothing was measured."""
    clean = row.summary.clean.value
    if not clean or row.is_broken(result):
        return None
    kept: dict[str, list[tuple[float, float]]] = {}
    for name in scenario_names(result):
        cells = [cell for cell in row.of(name) if cell.status == "ok" and cell.value is not None]
        if cells:
            kept[name] = [(cell.severity, (cell.value or 0.0) / clean) for cell in cells]
    if not kept:
        return None
    worst = min(kept, key=lambda name: sum(share for _, share in kept[name]) / len(kept[name]))
    record = next((scenario for scenario in result.plan.scenarios if scenario.key == worst), None)
    below = [(severity, share) for severity, share in kept[worst] if share < _HALF]
    severity, share = below[0] if below else kept[worst][-1]
    where = at_knob(record, severity)
    where = where if where.startswith("severity") else f"{where} (severity {severity:g})"
    return worst, f"below half from {where}" if below else f"keeps {share:.0%} at {where}"
