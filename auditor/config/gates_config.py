"""What documents say of gates: limits on metrics, and from which level on findings count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictFloat, model_validator

from auditor.config.yaml_file import Document
from auditor.values import CLEAN, MEASURED_METRICS, Rule
from auditor.values.levels import ALIASES

__all__ = ["FailOn", "GateConfig", "GatesConfig", "plain_level", "rule_of"]

FailOn = Literal["warning", "error"]


def plain_level(level: str) -> str:
    """A level by our name, however exporters call it."""
    return ALIASES.get(level, level)


class GateConfig(Document):
    """One limit on one metric of the cells (or summaries) that its selectors match."""

    metric: str
    model: str | None = None
    quantization: Annotated[str, AfterValidator(plain_level)] | None = None
    delegate: str | None = None
    device: str | None = None
    scenario: str | None = None
    severity: Annotated[float, Field(strict=True, ge=0, le=5)] | None = None
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    max_drop: Annotated[float, Field(strict=True, ge=0)] | None = None
    against: Annotated[str, AfterValidator(plain_level)] | None = None
    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1)] | None = None
    """Hold, or fail, only where images of this kind would with this probability; else the gate is undecided."""

    @model_validator(mode="after")
    def _one_limit(self) -> GateConfig:
        given = [kind for kind in ("min", "max", "max_drop") if getattr(self, kind) is not None]
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


_KINDS: tuple[Literal["min", "max", "max_drop"], ...] = ("min", "max", "max_drop")


def rule_of(gate: GateConfig, *, line: int | None) -> Rule:
    """Turn a gate into the rule that the judge applies."""
    kind = next(kind for kind in _KINDS if getattr(gate, kind) is not None)
    selectors = {
        key: getattr(gate, key) for key in ("model", "quantization", "delegate", "device", "scenario", "severity")
    }
    return Rule(
        metric=gate.metric,
        kind=kind,
        limit=getattr(gate, kind),
        selectors={key: value for key, value in selectors.items() if value is not None},
        against=gate.against,
        confidence=gate.confidence,
        line=line,
    )
