"""Where a model breaks: the value of a scenario's knob at which a metric has got worse by so much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["BREAKING_POINT", "BreakingPoint", "BreakingSearch", "Tried"]

_STRICT = {"extra": "forbid"}

BREAKING_POINT = "breaking_point"
"""What gates call it."""


@dataclass(frozen=True)
class BreakingSearch:
    """What an audit searches for: the knob's value at which `metric` is worse than on clean images by `max_drop`, in
    these `scenarios`, by their keys."""

    __pydantic_config__ = _STRICT
    metric: str
    max_drop: float
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class Tried:
    """The metric at one severity: the knob's value there, by how much it is worse than clean (None where it is
    undefined), and whether it was measured for the search alone, not as a cell of the grid."""

    __pydantic_config__ = _STRICT
    severity: float
    knob: float
    value: float | None
    drop: float | None
    images: int
    searched: bool


@dataclass(frozen=True)
class BreakingPoint:
    """Where one file on one delegate breaks in one scenario.

    `outcome` is `reached` at the `severity` whose knob (the scenario's first, in its unit) has the value `at`; `never`
    within the scenario's range; `already` at its mildest severity; `unknown` for a `reason`. `interval` holds the
    knob's values of the milder and the harder end (95 %), None where that end lies outside of the range.

    Not `monotone` is one whose metric gets better again with higher severity, beyond chance, first at `better_again`;
    None where that could not be tested.
    """

    __pydantic_config__ = _STRICT
    model: str
    file: str
    quantization: str
    delegate: str
    scenario: str
    metric: str
    max_drop: float
    outcome: Literal["reached", "never", "already", "unknown"]
    knob: str
    unit: str
    range: tuple[float, float]
    """The knob's values at severities 1 and 5."""
    clean: float | None = None
    severity: float | None = None
    at: float | None = None
    interval: tuple[float | None, float | None] | None = None
    severities: tuple[float | None, float | None] | None = None
    """The severities of the interval's ends."""
    monotone: bool | None = None
    better_again: float | None = None
    images: int = 0
    tried: tuple[Tried, ...] = ()
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.file} ({self.quantization}, {self.delegate}) on {self.scenario}"

    @property
    def place(self) -> Mapping[str, str]:
        """What it is of, by the fields of a cell."""
        names = ("model", "file", "quantization", "delegate", "scenario")
        return {name: getattr(self, name) for name in names}

    @property
    def rises(self) -> bool:
        """Whether the knob's value rises with severity."""
        return self.range[1] > self.range[0]

    @property
    def evaluations(self) -> int:
        """How many cells were measured for it alone."""
        return sum(item.searched for item in self.tried)
