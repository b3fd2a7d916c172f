"""The levels of a family by what they cost in accuracy and bring in time and size, and which of them to deploy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.values import LOCAL, WORTH, AuditResult, CellResult, InRun, Latency, MetricValue
from auditor.values.levels import FLOAT32, PARENT

__all__ = ["Choice", "Family", "Point", "choices", "families_of"]

_SAME_TIME = 1.1
"""Times differ by some percent from run to run for nothing: less than this ratio is no difference."""
_UNSURE = 0.03
"""A loss of this much is not taken for chance, however few images there are."""


@dataclass(frozen=True)
class Point:
    """One level of a family on one delegate."""

    file: str
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

    @property
    def is_surely_worse(self) -> bool:
        """Whether it is worse than its family's float32 level beyond chance."""
        return self.loss is not None and self.loss.interval is not None and self.loss.interval[1] < 0


@dataclass(frozen=True)
class Family:
    """The levels of a family on one delegate, dominated ones marked; `parent` is its Keras or SavedModel source, where
    that was measured. `alone` says that nothing else ran while they were timed."""

    name: str
    delegate: str
    levels: tuple[Point, ...]
    parent: tuple[Point, ...] = ()
    alone: bool = False


@dataclass(frozen=True)
class Choice:
    """Which level of a family to deploy on a delegate, and why; `holds` says whether it violates no gate."""

    point: Point
    why: str
    holds: bool


def families_of(result: AuditResult) -> list[Family]:
    """The families on each delegate that a device can have, with what was measured of them here."""
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
        families.append(Family(name, delegate, tuple(levels), tuple(parent), alone))
    return families


def choices(result: AuditResult) -> dict[tuple[str, str], Choice]:
    """Which level of each family to deploy on each delegate: of those that violate no gate (of all, where every one
    does) and are less than a point (three, where chance may explain them) below the best, the fastest; of those that
    are as fast the smallest."""
    violated = [finding.cell for finding in result.findings if finding.code == "gate.violated"]
    found = {}
    for family in families_of(result):
        beyond = {cell.get("file") for cell in violated if cell.get("delegate") in (None, family.delegate)}
        holding = [point for point in family.levels if point.file not in beyond]
        among = holding or list(family.levels)
        if among:
            point = _best(among)
            found[family.name, family.delegate] = Choice(point, _why(point, family, among), bool(holding))
    return found


def _best(among: Sequence[Point]) -> Point:
    most = max(point.value for point in among)
    equal = [point for point in among if most - point.value < (WORTH if point.is_surely_worse else _UNSURE)]
    fastest = min(point.ms or 0.0 for point in equal)
    fast = [point for point in equal if (point.ms or 0.0) <= fastest * _SAME_TIME]
    return min(fast, key=lambda point: point.bytes)


def _why(point: Point, family: Family, among: Sequence[Point]) -> str:
    """Why a level, against the first of the family."""
    if len(family.levels) == 1:
        return "the only level that was measured"
    first = family.levels[0]
    if point.level == first.level:
        others = "no other level" if len(among) == len(family.levels) else "no other level that holds the gates"
        return f"{others} is faster or smaller without losing {point.metric}"
    parts = list(_gains(point, first))
    lost = point.value - first.value
    sure = "" if point.is_surely_worse else ", no worse beyond chance"
    return f"{' and '.join(parts) or 'as fast and as large'}; {point.metric} {lost:+.3f}{sure}"


def _gains(point: Point, first: Point) -> Iterator[str]:
    if point.ms and first.ms and first.ms > point.ms * _SAME_TIME:
        yield f"{first.ms / point.ms:.1f} × faster than {first.level}"
    if first.bytes > point.bytes:
        yield f"{first.bytes / point.bytes:.1f} × smaller"


def _timed(points: Sequence[Point]) -> tuple[list[Point], bool]:
    """The levels that have a time, all of one kind: what was measured with nothing else running (True), as the table of
    speeds shows it, where every one has it; else what each took while the audit ran."""
    if all(point.alone_ms is not None for point in points):
        return [replace(point, ms=point.alone_ms) for point in points], True
    return [point for point in points if point.ms is not None], False


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
        file=cell.file,
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
