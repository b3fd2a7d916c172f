"""The gates that a first audit proposes: what a few images say of the model, each limit with its margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.values import CLEAN, AuditResult, CellResult, MetricValue, yaml_flow
from auditor.values.levels import FLOAT32, FLOAT_HEAD, INT8

__all__ = ["Gate", "proposed_gates"]

_MARGIN = 0.05
"""On both sides of a value of so few images that it has no interval."""
_LEAST = 0.01
"""A limit of 0 would ask for nothing."""


@dataclass(frozen=True)
class Gate:
    """A gate as it is written, and what was measured of it."""

    keys: dict[str, str | float]
    about: str
    measured: str

    def __str__(self) -> str:
        return f"- {yaml_flow(self.keys)}   # {self.about}: {self.measured}"


def proposed_gates(result: AuditResult) -> list[Gate]:
    """Limits on the clean metric, on the worst scenario, and on what int8 loses, as far as these were measured: each at
    the far end of its 95 % interval, or `_MARGIN` away where it has none, so that the model of today holds them
    unless other images say otherwise."""
    return list(_proposed(result))


def _proposed(result: AuditResult) -> Iterator[Gate]:
    declared = [cell for cell in result.cells if cell.is_declared and cell.status == "ok" and cell.value is not None]
    leader = result.models[0].name
    own = [cell for cell in declared if cell.file == leader]
    clean = next((cell for cell in own if cell.is_clean), None)
    if clean is None:
        return
    several = len({cell.file for cell in declared}) > 1
    level: dict[str, str | float] = {"quantization": clean.quantization} if several else {}
    keys = {"metric": clean.judged_by, **level, "scenario": CLEAN}
    yield Gate({**keys, "min": _floor(clean)}, f"{clean.images} clean images", _told(clean))
    worst = min((cell for cell in own if not cell.is_clean), key=lambda cell: cell.value or 0.0, default=None)
    if worst is not None:
        keys = {"metric": worst.judged_by, **level, "scenario": worst.scenario, "severity": worst.severity}
        about = f"{worst.scenario} at severity {worst.severity:g}, the worst scenario of those measured"
        yield Gate({**keys, "min": _floor(worst)}, about, _told(worst))
    for cell in declared:
        loss = cell.difference(FLOAT32)
        if cell.is_clean and cell.quantization in (INT8, FLOAT_HEAD) and loss is not None and loss.value is not None:
            keys = {"metric": cell.judged_by, "quantization": cell.quantization, "scenario": CLEAN}
            most = _most_lost(loss)
            told = f"loses {cell.judged_by} {_interval(loss, -1)}"
            drop: dict[str, str | float] = {"max_drop": most, "against": FLOAT32}
            yield Gate({**keys, **drop}, f"{cell.quantization}, made of it", told)


def _floor(cell: CellResult) -> float:
    """The lower end of a value's interval, rounded down."""
    value = cell.value or 0.0
    interval = cell.primary.interval if cell.primary is not None else None
    low = interval[0] if interval is not None else value - _MARGIN
    return max(_LEAST, math.floor(low * 100) / 100)


def _most_lost(loss: MetricValue) -> float:
    """The upper end of what is lost, rounded up."""
    most = -loss.interval[0] if loss.interval is not None else _MARGIN - (loss.value or 0.0)
    return max(_LEAST, math.ceil(most * 100) / 100)


def _told(cell: CellResult) -> str:
    return f"{cell.judged_by} {_interval(cell.primary, 1)}" if cell.primary is not None else "not measured"


def _interval(metric: MetricValue, sign: int) -> str:
    text = f"{sign * (metric.value or 0.0):.3f}"
    if metric.interval is None:
        return f"{text}, on too few images for an interval"
    low, high = sorted(sign * end for end in metric.interval)
    return f"{text} (95 % {low:.3f} to {high:.3f})"
