"""What each model does over the frames of a clip: how steady it is, how soon it finds, how often it alarms."""

from __future__ import annotations

import math

from auditor.report.ladder_rows import Row, rows_of_result
from auditor.report.section import Facts, Section, Shown
from auditor.values import CellResult

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    judgings = [model.judging for model in shown.result.models]
    names = {name: judging.at_point[name] for judging in judgings for name in judging.over_frames}
    rows = [
        row
        for row in rows_of_result(shown.result)
        if row.clean is not None and any(name in row.clean.metrics for name in names)
    ]
    if not rows:
        return None
    return {
        "names": names,
        "rows": [{"row": row, "worst": {name: _worst(row, name) for name in names}} for row in rows],
        "clips": sorted({(row.clean.images, row.clean.independent) for row in rows if row.clean is not None}),
    }


def _worst(row: Row, name: str) -> dict[str, object] | None:
    """The cell of a scenario in which a metric is worst, where that is worse than on clean frames."""
    clean = None if row.clean is None else row.clean.metrics.get(name)
    if clean is None or clean.value is None:
        return None
    sign = -1 if clean.higher_is_better else 1

    def value(cell: CellResult) -> float:
        found = cell.metrics.get(name)
        return -math.inf if found is None or found.value is None else sign * found.value

    cell = max((cell for cell in row.cells if not cell.is_clean), key=value, default=None)
    return (
        {"cell": cell, "value": sign * value(cell)} if cell is not None and value(cell) > sign * clean.value else None
    )


SECTION = Section("over_frames", 56, _facts, "over_frames.html.j2", title="Over time")
