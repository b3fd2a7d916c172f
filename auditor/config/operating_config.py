"""What documents say of the point that a detector is deployed at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from auditor.config.gates_config import plain_level
from auditor.config.yaml_file import Document
from auditor.values import BEST_F1, OTHERS, PointChoice, Thresholds

__all__ = ["OperatingPoint", "OperatingPointConfig"]

_TARGETS = ("precision", "recall", "fppi")
_KEYS = ("threshold", *_TARGETS, "iou", "fps", "levels")

Score = Annotated[float, Field(strict=True, ge=0, le=1)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Rate = Annotated[float, Field(strict=True, ge=0, le=1e6)]
ByClass = Annotated[dict[str, Score], Field(min_length=1)]
LevelName = Annotated[str, AfterValidator(plain_level)]


class Guaranteed(Document):
    """A recall that other images of the same kind have too, with a probability."""

    at_least: Annotated[float, Field(strict=True, gt=0, lt=1)]
    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1)] = 0.95


class OperatingPointConfig(Document):
    """The threshold that a model is deployed at, or what it is chosen by on clean images of the family's first level;
    left out: by the best F1."""

    threshold: Score | ByClass | Literal["best_f1"] | None = None
    """A score, or one by class (`others` are those that are not named; left out, these are not deployed)."""
    precision: Share | None = None
    """The lowest threshold of at least this precision."""
    recall: Share | Guaranteed | None = None
    """The highest threshold of at least this recall."""
    fppi: Rate | None = None
    """The lowest threshold of at most so many false positives per image, of all classes."""
    iou: Share = 0.5
    """From which overlap on a detection is right."""
    fps: Annotated[float, Field(strict=True, gt=0, le=1e5)] | None = None
    """Frames a second, for false alarms an hour."""
    levels: dict[LevelName, Score | ByClass] = Field(default={})
    """Thresholds of single quantization levels, in place of the family's."""

    @field_validator("threshold", mode="before")
    @classmethod
    def _some_class(cls, given: Any) -> Any:
        if given == {}:
            raise ValueError("expected a score, or a score for each class, but it names no class")
        return given

    @model_validator(mode="after")
    def _one_way(self) -> OperatingPointConfig:
        given = [name for name in ("threshold", *_TARGETS) if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of threshold, {', '.join(_TARGETS)} but got {' and '.join(given)}")
        return self

    @property
    def value(self) -> PointChoice:
        """How the threshold is chosen."""
        levels = {level: _thresholds(given) for level, given in self.levels.items()}
        common: dict[str, Any] = {"iou": self.iou, "fps": self.fps, "levels": levels, "is_given": True}
        if self.threshold is not None and self.threshold != BEST_F1:
            return PointChoice("threshold", thresholds=_thresholds(self.threshold), **common)
        if isinstance(self.recall, Guaranteed):
            return PointChoice("recall", self.recall.at_least, self.recall.confidence, **common)
        for by in ("precision", "recall", "fppi"):
            if getattr(self, by) is not None:
                return PointChoice(by, getattr(self, by), **common)
        return PointChoice(**common)


def _thresholds(given: float | Mapping[str, float] | str) -> Thresholds:
    if isinstance(given, Mapping):
        own = {name: value for name, value in given.items() if name != OTHERS}
        return Thresholds(given.get(OTHERS), own)
    return Thresholds(float(given))


def _written_out(given: Any) -> Any:
    """A number, `best_f1` or thresholds by class as the key `threshold`."""
    if isinstance(given, Mapping):
        own = bool(given) and not any(key in _KEYS for key in given)
        return {"threshold": dict(given)} if own else given
    if given == BEST_F1 or (isinstance(given, int | float) and not isinstance(given, bool)):
        return {"threshold": given}
    if given is None or isinstance(given, OperatingPointConfig):
        return given
    raise ValueError(
        f"expected `threshold:` (a score, or one by class), `precision:`, `recall:` or `fppi:` with a number, or "
        f"{BEST_F1}, but got {given!r}"
    )


OperatingPoint = Annotated[
    OperatingPointConfig,
    BeforeValidator(
        _written_out, json_schema_input_type=OperatingPointConfig | Literal["best_f1"] | float | dict[str, float]
    ),
]
