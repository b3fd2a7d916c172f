"""What documents say of gates: limits on metrics, and from which level on findings count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictFloat, model_validator

from auditor.config.yaml_file import Document
from auditor.values import BREAKING_POINT, CLEAN, MEASURED_METRICS, Rule
from auditor.values.levels import ALIASES

__all__ = ["FailOn", "GateConfig", "GatesConfig", "plain_level", "rule_of"]

FailOn = Literal["warning", "error"]

_KINDS: tuple[Literal["min", "max", "max_drop"], ...] = ("min", "max", "max_drop")


def plain_level(level: str) -> str:
    """A level by our name, however exporters call it."""
    return ALIASES.get(level, level)


class GateConfig(Document):
    """One limit on one metric of the cells (or summaries) that its selectors match, or on where models break."""

    metric: str | None = None
    breaking_point: str | None = None
    """A scenario (pack/scenario), in place of a metric: models hold in it at least to a value of its knob."""
    model: str | None = None
    quantization: Annotated[str, AfterValidator(plain_level)] | None = None
    delegate: str | None = None
    device: str | None = None
    scenario: str | None = None
    severity: Annotated[float, Field(strict=True, ge=0, le=5)] | None = None
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    max_drop: Annotated[float, Field(strict=True, ge=0)] | None = None
    at_least: StrictFloat | None = None
    """The knob's value that models hold to: that or a harder one."""
    against: Annotated[str, AfterValidator(plain_level)] | None = None
    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1)] | None = None
    """Hold, or fail, only where images of this kind would with this probability; else the gate is undecided."""

    @model_validator(mode="after")
    def _one_limit(self) -> GateConfig:
        if self.breaking_point is not None:
            return self._of_breaking_point()
        if self.metric is None:
            raise ValueError("expected `metric:` and a limit, or `breaking_point:` with a scenario and `at_least:`")
        if self.metric == BREAKING_POINT:
            raise ValueError("write `breaking_point:` with a scenario, such as lighting/low_light, and `at_least:`")
        given = [kind for kind in (*_KINDS, "at_least") if getattr(self, kind) is not None]
        if given == ["at_least"]:
            raise ValueError("`at_least` goes with `breaking_point:`; give `min`, `max` or `max_drop`")
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

    def _of_breaking_point(self) -> GateConfig:
        others = ("metric", "scenario", "severity", "min", "max", "max_drop", "against")
        given = [key for key in others if getattr(self, key) is not None]
        if given:
            raise ValueError(f"`breaking_point` takes `at_least` alone, and no {', '.join(given)}")
        if self.at_least is None:
            raise ValueError("`breaking_point` needs `at_least:`, the knob's value that models must hold to")
        return self


class GatesConfig(Document):
    """A gates file: `gates:` and the list, and `fail_on:`, as in `audit.yaml`."""

    gates: tuple[GateConfig, ...] | None = None
    fail_on: FailOn | None = None
    undecided: Literal["pass"] | None = None

    @model_validator(mode="after")
    def _something(self) -> GatesConfig:
        if self.gates is None and self.fail_on is None and self.undecided is None:
            raise ValueError("expected `gates:` with a list of gates, or `fail_on:`, or both")
        return self


def rule_of(gate: GateConfig, *, line: int | None) -> Rule:
    """Turn a gate into the rule that the judge applies."""
    kind: Literal["min", "max", "max_drop", "at_least"] = next(
        (kind for kind in _KINDS if getattr(gate, kind) is not None), "at_least"
    )
    selectors = {
        key: getattr(gate, key) for key in ("model", "quantization", "delegate", "device", "scenario", "severity")
    }
    if gate.breaking_point is not None:
        selectors["scenario"] = gate.breaking_point
    return Rule(
        metric=gate.metric or BREAKING_POINT,
        kind=kind,
        limit=getattr(gate, kind),
        selectors={key: value for key, value in selectors.items() if value is not None},
        against=gate.against,
        confidence=gate.confidence,
        line=line,
    )
