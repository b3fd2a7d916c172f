"""The point that a detector is deployed at: how its threshold is chosen, what was chosen, and what another would
give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = [
    "BEST_F1",
    "OTHERS",
    "AtThreshold",
    "Moved",
    "OperatingPoint",
    "PointChoice",
    "ReliabilityBin",
    "Thresholds",
]

OTHERS = "others"
"""What a document calls the classes that have no threshold of their own."""
BEST_F1 = "best_f1"
"""What a document calls the threshold of the best F1."""

_STRICT = {"extra": "forbid"}

By = Literal["threshold", "best_f1", "precision", "recall", "fppi"]


@dataclass(frozen=True)
class Thresholds:
    """The lowest scores that a deployment keeps: `by_class` for the classes that have their own, `others` for the rest;
    None where the rest is not deployed."""

    __pydantic_config__ = _STRICT
    others: float | None = None
    by_class: Mapping[str, float] = field(default_factory=dict)

    def of(self, category: str) -> float | None:
        """The threshold of a class; None where it is not deployed."""
        return self.by_class.get(category, self.others)

    @property
    def single(self) -> float | None:
        """The one threshold of all classes; None where classes have their own."""
        return None if self.by_class else self.others

    def scaled(self, factor: float) -> Thresholds:
        """All thresholds times a factor, rounded to what a document would say."""
        others = None if self.others is None else round(self.others * factor, 4)
        return Thresholds(others, {name: round(value * factor, 4) for name, value in self.by_class.items()})

    @property
    def document(self) -> float | dict[str, float]:
        """What `threshold:` says in `audit.yaml`."""
        if not self.by_class and self.others is not None:
            return self.others
        return {**self.by_class, **({} if self.others is None else {OTHERS: self.others})}


@dataclass(frozen=True)
class PointChoice:
    """How the threshold is chosen: given (`threshold`, with `thresholds`), by the best F1, or as the one that reaches
    `target` (precision, recall, or false positives per image). A detection is right at `iou`. `levels` are thresholds
    of single levels in place of the family's. `confidence`, of a recall, is with which probability it must hold on
    other images. `is_given` says that the document asks for it."""

    by: By = "best_f1"
    target: float | None = None
    confidence: float | None = None
    thresholds: Thresholds | None = None
    iou: float = 0.5
    fps: float | None = None
    levels: Mapping[str, Thresholds] = field(default_factory=dict)
    is_given: bool = False


@dataclass(frozen=True)
class AtThreshold:
    """What a cell would be with all its thresholds times `factor` (`threshold`, where all classes have one)."""

    __pydantic_config__ = _STRICT
    factor: float
    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    fppi: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The detections whose scores are in one tenth of 0 to 1: how many, their mean score, and the share that is
    right."""

    __pydantic_config__ = _STRICT
    detections: int
    score: float
    precision: float


@dataclass(frozen=True)
class Moved:
    """How a cell's scores moved: the highest that its model gave (`ceiling`), the thresholds that would restore the
    clean recall or precision of the family's first level (None: none does), and that of its own best F1; the median
    difference of the scores of objects that are found in both this cell and the clean one, or the first level's;
    and how right detections of each score are."""

    __pydantic_config__ = _STRICT
    ceiling: float | None
    best_f1: AtThreshold | None
    restores_recall: AtThreshold | None = None
    restores_precision: AtThreshold | None = None
    score_shift: float | None = None
    score_shift_of_level: float | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    curve: tuple[AtThreshold, ...] = ()
    """What each of some thresholds would give, by ascending ones; of clean cells alone."""


@dataclass(frozen=True)
class OperatingPoint:
    """The thresholds that all cells of a family are held at: chosen once, on the clean cell of its first level
    (`chosen_on`), or given. `clean` are the values there; `optimism` by how much better they are than what
    cross-fitting over images gives, since the threshold was chosen on the same images (empty where it is given).
    `unreached` are the classes on which no threshold reaches the target (`others` for the rest)."""

    __pydantic_config__ = _STRICT
    model: str
    by: By
    thresholds: Thresholds
    iou: float
    target: float | None = None
    confidence: float | None = None
    fps: float | None = None
    levels: Mapping[str, Thresholds] = field(default_factory=dict)
    chosen_on: str = ""
    images: int = 0
    clean: Mapping[str, float | None] = field(default_factory=dict)
    optimism: Mapping[str, float] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    reason: str | None = None
    """Why nothing could be chosen; the cells then have no such metrics."""
    enough: int | None = None
    """Where these images do not suffice for the confidence that is asked for: about how many would."""

    @classmethod
    def given(
        cls, choice: PointChoice, model: str, *, chosen_on: str = "", reason: str | None = None
    ) -> OperatingPoint:
        """What a choice gives without looking at any detection; without a threshold there is a `reason`."""
        return cls(
            model=model,
            by=choice.by,
            thresholds=choice.thresholds or Thresholds(),
            iou=choice.iou,
            target=choice.target,
            confidence=choice.confidence,
            fps=choice.fps,
            levels=choice.levels,
            chosen_on=chosen_on,
            reason=None if choice.thresholds is not None else reason,
        )

    def at(self, level: str) -> OperatingPoint:
        """That of a level: with its own thresholds, where it has them."""
        return replace(self, thresholds=self.levels[level]) if level in self.levels else self
