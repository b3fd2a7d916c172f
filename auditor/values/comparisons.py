"""Two runs beside each other: what got better, what got worse, and which differences are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.values.results import Cell, RunLabel

__all__ = ["BASELINE", "ComparedCells", "Comparison", "Difference", "Outcome"]

_STRICT = {"extra": "forbid"}

BASELINE = "baseline"
"""What a gate calls another run that it compares with."""

Outcome = Literal["better", "worse", "same", "not comparable"]
"""`same` is a difference that chance explains."""


@dataclass(frozen=True)
class Difference:
    """One metric of two cells: its values, the second less the first with a 95 % interval, and the p-value of no
    difference; `paired` where both are of the same images and resamples. `reason` says why it is not comparable."""

    __pydantic_config__ = _STRICT
    metric: str
    before: float | None
    after: float | None
    outcome: Outcome
    value: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    paired: bool = False
    higher_is_better: bool = True
    reason: str | None = None

    @property
    def gain(self) -> float:
        """By how much it is better; negative is a loss."""
        return (self.value or 0.0) * (1.0 if self.higher_is_better else -1.0)


@dataclass(frozen=True)
class ComparedCells:
    """A cell of the later run beside that of the earlier one: the metrics that decide, and the others."""

    __pydantic_config__ = _STRICT
    cell: Cell
    before: Cell
    outcome: Outcome
    deciding: tuple[Difference, ...] = ()
    others: tuple[Difference, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A run beside its baseline: `notes` are what is not alike in both, `only_before` and `only_after` cells that one
    alone has; `latency_ms` and `file_bytes` are by model file (before, after). Of all cells that are called better or
    worse at most a share of `discovery` is so by chance."""

    __pydantic_config__ = _STRICT
    baseline: RunLabel
    run: RunLabel
    cells: tuple[ComparedCells, ...]
    discovery: float
    notes: tuple[str, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    latency_ms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    file_bytes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def of(self, outcome: Outcome) -> tuple[ComparedCells, ...]:
        """The cells of an outcome."""
        return tuple(cell for cell in self.cells if cell.outcome == outcome)
