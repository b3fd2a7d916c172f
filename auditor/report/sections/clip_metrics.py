"""What each model does over the frames of a clip: how steady it is, how soon it finds, how often it alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from auditor.report.ladder_rows import Row, rows_of_result
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult, CellResult

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
        "rows": rows,
        "worst": {name: [_worst(row, name) for row in rows] for name in names},
        "clips": list(_clips(shown.result, rows).values()),
    }


def _clips(result: AuditResult, rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """What each clip is, by its data set."""
    datasets = {model.name: model.dataset for model in result.models}
    found: dict[str, dict[str, object]] = {}
    for row in rows:
        record = result.datasets.get(datasets.get(row.summary.file, ""))
        if record is not None and row.clean is not None and datasets[row.summary.file] not in found:
            found[datasets[row.summary.file]] = {
                "name": Path(str(record.about.get("path", "the clip"))).name,
                "words": _words(row.clean.images, record.about),
                "blocks": row.clean.independent,
            }
    return found


_ABOUT = {
    "size": " pixels",
    "frames_a_second": " frames a second",
    "codec": "",
    "turned": " turned",
    "tracks": " objects",
}
"""What is told of a clip, each with what follows it."""


def _words(frames: int, about: Mapping[str, object]) -> str:
    whole = about.get("frames_in_file", frames)
    first = f"{frames:,} frames" + ("" if whole == frames else f" of {whole:,} in the file")
    return ", ".join([first, *(f"{about[key]}{what}" for key, what in _ABOUT.items() if about.get(key))])


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


SECTION = Section("clip_metrics", 56, _facts, "clip_metrics.html.j2", title="Over time")
