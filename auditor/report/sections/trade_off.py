"""What each quantization level of a family costs in accuracy, and brings in time and size."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from auditor.report.charts import trade_off_chart
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult, CellResult, InRun, MetricValue
from auditor.values.levels import FLOAT32, PARENT

__all__ = ["SECTION"]

_SAME_TIME = 1.1
"""Times measured while other workers ran differ by some percent for nothing: less than this ratio is no difference."""


@dataclass(frozen=True)
class Point:
    """One level of a family on one delegate."""

    level: str
    metric: str
    value: float
    low: float
    high: float
    ms: float
    bytes: int
    p: float | None = None
    loss: MetricValue | None = None
    conversion: MetricValue | None = None
    dominated: bool = False

    def dominates(self, other: Point) -> bool:
        """Whether it is at least as good in accuracy, size and time, and better in one of them."""
        no_worse = self.value >= other.value and self.bytes <= other.bytes and self.ms <= other.ms * _SAME_TIME
        better = self.value > other.value or self.bytes < other.bytes or self.ms * _SAME_TIME < other.ms
        return no_worse and better


def _facts(shown: Shown) -> Facts | None:
    result = shown.judgement.result
    deployable = {found.name for found in result.plan.delegates if found.is_deployable}
    groups = _groups(result)
    parents = {name: points for (name, delegate), points in groups.items() if delegate not in deployable}
    families = []
    for (name, delegate), points in groups.items():
        if delegate not in deployable:
            continue
        levels = [replace(point, dominated=any(other.dominates(point) for other in points)) for point in points]
        parent = parents.get(name, [])[:1]
        if len(levels) + len(parent) > 1:
            svg = trade_off_chart(name, [_drawn(point) for point in levels])
            tested = any(point.p is not None for point in levels)
            families.append(
                {
                    "name": name,
                    "delegate": delegate,
                    "levels": parent + levels,
                    "metric": levels[0].metric,
                    "has_parent": bool(parent),
                    "tested": tested,
                    "svg": svg,
                }
            )
    return {"families": families} if families else None


def _drawn(point: Point) -> dict[str, str | float | bool]:
    kept = ("level", "metric", "value", "low", "high", "ms", "dominated")
    return {**{key: value for key, value in asdict(point).items() if key in kept}, "megabytes": point.bytes / 1e6}


def _groups(result: AuditResult) -> dict[tuple[str, str], list[Point]]:
    """The levels of each family on each delegate that were measured here."""
    sizes = {model.name: model.size_bytes for model in result.models}
    times = {
        (found.model, found.delegate): found.value.p50
        for found in result.measurements
        if isinstance(found.value, InRun)
    }
    groups: dict[tuple[str, str], list[Point]] = {}
    for cell in result.cells:
        key = cell.file, cell.delegate
        if cell.is_clean and cell.is_declared and cell.is_local and cell.value is not None and key in times:
            point = _point(cell, times[key], sizes[cell.file])
            groups.setdefault((cell.model, cell.delegate), []).append(point)
    return groups


def _point(cell: CellResult, ms: float, size: int) -> Point:
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
