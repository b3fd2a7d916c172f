"""What documents say of gates: limits on metrics, and from which level on findings count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictFloat, Tag, field_validator, model_validator

from auditor.config.yaml_file import Document
from auditor.values import BREAKING_POINT, CLEAN, MEASURED_METRICS, Rule
from auditor.values.levels import ALIASES

__all__ = ["BreakingGateConfig", "FailOn", "Gate", "GateConfig", "GatesConfig", "plain_level", "rule_of"]

FailOn = Literal["warning", "error"]

_KINDS: tuple[Literal["min", "max", "max_drop"], ...] = ("min", "max", "max_drop")


def plain_level(level: str) -> str:
    """A level by our name, however exporters call it."""
    return ALIASES.get(level, level)


class _Selecting(Document):
    """What a gate is about: of what is left out, every one."""

    model: str | None = None
    quantization: Annotated[str, AfterValidator(plain_level)] | None = None
    delegate: str | None = None
    device: str | None = None
    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1)] | None = None
    """Hold, or fail, only where images of this kind would with this probability; else the gate is undecided."""


class GateConfig(_Selecting):
    """One limit on one metric of the cells (or summaries) that its selectors match."""

    metric: str
    scenario: str | None = None
    severity: Annotated[float, Field(strict=True, ge=0, le=5)] | None = None
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    max_drop: Annotated[float, Field(strict=True, ge=0)] | None = None
    against: Annotated[str, AfterValidator(plain_level)] | None = None

    @field_validator("metric")
    @classmethod
    def _of_cells(cls, metric: str) -> str:
        if metric == BREAKING_POINT:
            raise ValueError("write `breaking_point:` with a scenario, such as lighting/low_light, and `at_least:`")
        return metric

    @model_validator(mode="after")
    def _one_limit(self) -> GateConfig:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of min, max and max_drop but got {', '.join(given) or 'none'}")
        if given == ["max_drop"] and self.against is None:
            raise ValueError(f"max_drop needs `against: {CLEAN}` or `against:` a quantization level such as float32")
        if given != ["max_drop"] and self.against is not None:
            raise ValueError("`against` goes only with max_drop")
        if self.metric in MEASURED_METRICS and (
            self.scenario is not None or self.severity is not None or self.max_drop is not None
        ):
            raise ValueError(
                f"{self.metric} is measured once for a model and delegate: give `min` or `max`, and no `scenario` or "
                "`severity`"
            )
        return self


class BreakingGateConfig(_Selecting):
    """How far models hold in one scenario: to a value of its knob, or a harder one."""

    breaking_point: str
    """The scenario, as pack/scenario."""
    at_least: StrictFloat


def _sort_of(gate: object) -> str:
    of_limits = isinstance(gate, BreakingGateConfig) or (isinstance(gate, dict) and BREAKING_POINT in gate)
    return "BreakingGateConfig" if of_limits else "GateConfig"


Gate = Annotated[
    Annotated[GateConfig, Tag("GateConfig")] | Annotated[BreakingGateConfig, Tag("BreakingGateConfig")],
    Discriminator(_sort_of),
]


class GatesConfig(Document):
    """A gates file: `gates:` and the list, and `fail_on:`, as in `audit.yaml`."""

    gates: tuple[Gate, ...] | None = None
    fail_on: FailOn | None = None
    undecided: Literal["pass"] | None = None

    @model_validator(mode="after")
    def _something(self) -> GatesConfig:
        if self.gates is None and self.fail_on is None and self.undecided is None:
            raise ValueError("expected `gates:` with a list of gates, or `fail_on:`, or both")
        return self


def rule_of(gate: GateConfig | BreakingGateConfig, *, line: int | None) -> Rule:
    """Turn a gate into the rule that the judge applies."""
    selectors: dict[str, str | int | float | None] = {
        key: getattr(gate, key) for key in ("model", "quantization", "delegate", "device")
    }
    if isinstance(gate, BreakingGateConfig):
        selectors["scenario"] = gate.breaking_point
        return Rule(BREAKING_POINT, "at_least", gate.at_least, _given(selectors), line=line, confidence=gate.confidence)
    selectors |= {"scenario": gate.scenario, "severity": gate.severity}
    kind = next(kind for kind in _KINDS if getattr(gate, kind) is not None)
    limit, against = getattr(gate, kind), gate.against
    return Rule(gate.metric, kind, limit, _given(selectors), against=against, line=line, confidence=gate.confidence)


def _given(selectors: Mapping[str, str | int | float | None]) -> dict[str, str | int | float]:
    return {key: value for key, value in selectors.items() if value is not None}
