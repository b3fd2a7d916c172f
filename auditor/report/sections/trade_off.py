"""What each quantization level of a family costs in accuracy, and brings in time and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from auditor.report.charts import trade_off_chart
from auditor.report.section import Facts, Section, Shown
from auditor.values import LOCAL, AuditResult, CellResult, InRun, Latency, MetricValue
from auditor.values.levels import FLOAT32, PARENT

__all__ = ["SECTION"]

_SAME_TIME = 1.1
"""Times differ by some percent from run to run for nothing: less than this ratio is no difference."""


@dataclass(frozen=True)
class Point:
    """One level of a family on one delegate."""

    level: str
    metric: str
    value: float
    low: float
    high: float
    ms: float | None
    bytes: int
    alone_ms: float | None = None
    p: float | None = None
    loss: MetricValue | None = None
    conversion: MetricValue | None = None
    dominated: bool = False

    def dominates(self, other: Point) -> bool:
        """Whether it is at least as good in accuracy, size and time, and better in one of them."""
        mine, theirs = self.ms or 0.0, other.ms or 0.0
        no_worse = self.value >= other.value and self.bytes <= other.bytes and mine <= theirs * _SAME_TIME
        better = self.value > other.value or self.bytes < other.bytes or mine * _SAME_TIME < theirs
        return no_worse and better


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    deployable = {found.name for found in result.plan.delegates if found.is_deployable}
    groups = _groups(result)
    parents = {name: points for (name, delegate), points in groups.items() if delegate not in deployable}
    families = []
    for (name, delegate), points in groups.items():
        if delegate not in deployable:
            continue
        timed, alone = _timed(points)
        levels = [replace(point, dominated=any(other.dominates(point) for other in timed)) for point in timed]
        parent = [replace(point, ms=None) if alone else point for point in parents.get(name, [])[:1]]
        if len(levels) + len(parent) > 1:
            svg = trade_off_chart(name, [_drawn(point) for point in levels], alone=alone)
            tested = any(point.p is not None for point in levels)
            families.append(
                {
                    "name": name,
                    "delegate": delegate,
                    "levels": parent + levels,
                    "metric": levels[0].metric,
                    "has_parent": bool(parent),
                    "tested": tested,
                    "alone": alone,
                    "svg": svg,
                }
            )
    return {"families": families} if families else None


def _timed(points: Sequence[Point]) -> tuple[list[Point], bool]:
    """The levels that have a time, all of one kind: what was measured with nothing else running (True), as the table of
    speeds shows it, where every one has it; else what each took while the audit ran."""
    if all(point.alone_ms is not None for point in points):
        return [replace(point, ms=point.alone_ms) for point in points], True
    return [point for point in points if point.ms is not None], False


def _drawn(point: Point) -> dict[str, str | float | bool | None]:
    kept = ("level", "metric", "value", "low", "high", "ms", "dominated")
    return {**{key: value for key, value in asdict(point).items() if key in kept}, "megabytes": point.bytes / 1e6}


def _groups(result: AuditResult) -> dict[tuple[str, str], list[Point]]:
    """The levels of each family on each delegate that were measured here."""
    sizes = {model.name: model.size_bytes for model in result.models if model.role != "evidence"}
    times: dict[tuple[str, str], float] = {}
    alone: dict[tuple[str, str], float] = {}
    for found in result.measurements:
        key = found.model, found.delegate
        if isinstance(found.value, InRun):
            times[key] = found.value.p50
        elif isinstance(found.value, Latency) and found.device == LOCAL:
            alone.setdefault(key, found.value.p50)  # at the first number of threads that the audit asks for
    groups: dict[tuple[str, str], list[Point]] = {}
    for cell in result.cells:
        key = cell.file, cell.delegate
        measured = cell.is_clean and cell.is_declared and cell.is_local and cell.value is not None
        if measured and key in {*times, *alone} and cell.file in sizes:
            point = replace(_point(cell, times.get(key), sizes[cell.file]), alone_ms=alone.get(key))
            groups.setdefault((cell.model, cell.delegate), []).append(point)
    return groups


def _point(cell: CellResult, ms: float | None, size: int) -> Point:
    value = cell.value or 0.0
    interval = cell.primary.interval if cell.primary is not None else None
    low, high = interval or (value, value)
    return Point(
        level=cell.quantization,
        metric=cell.judged_by,
        value=value,
        low=low,
        high=high,
        ms=ms,
        bytes=size,
        p=cell.level_test.p if cell.level_test is not None else None,
        loss=cell.difference(FLOAT32),
        conversion=cell.difference(PARENT),
    )


SECTION = Section("trade_off", 30, _facts, "trade_off.html.j2")
