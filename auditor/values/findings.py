"""What a judgement says: gates as rules, findings as codes with facts, and the outcome of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from auditor.values.specs import Json, Patch

__all__ = [
    "CheckOutcome",
    "Decision",
    "Finding",
    "FindingGroup",
    "GateOutcome",
    "Level",
    "Met",
    "Place",
    "Rule",
    "Unjudged",
]

Level = Literal["error", "warning", "info"]

Place = Mapping[str, str | int | float]
"""Which cells something is about: some fields of a cell, by name."""

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class Rule:
    """A gate: `metric` of every cell (or summary) that `selectors` match, compared with one limit.

    With a `confidence` a value must lie on one side of the limit with that probability, else the gate is undecided.
    `kind` is `min`, `max` or `max_drop`, or, of a breaking point, `at_least`: at least so hard. `against` names what
    `max_drop` is a drop from. `line` is the gate's line in its YAML file.
    """

    __pydantic_config__ = _STRICT
    metric: str
    kind: Literal["min", "max", "max_drop", "at_least"]
    limit: float
    selectors: Mapping[str, str | int | float] = field(default_factory=dict)
    against: str | None = None
    level: Level = "error"
    line: int | None = None
    confidence: float | None = None

    def is_same(self, other: Rule) -> bool:
        """Whether another asks the same, wherever it stands."""
        return replace(self, line=other.line) == other

    def __str__(self) -> str:
        shown = {key: f"{value:g}" if isinstance(value, float) else value for key, value in self.selectors.items()}
        where = ", ".join(f"{key} {value}" for key, value in shown.items()) or "every one"
        limit = f"{self.limit:g}"
        text = {
            "min": f"at least {limit}",
            "max": f"at most {limit}",
            "max_drop": f"at most {limit} below {self.against}",
            "at_least": f"at least {limit}",
        }
        sure = "" if self.confidence is None else f" with {self.confidence:.0%} confidence"
        return f"{self.metric} {text[self.kind]}{sure} ({where})"


@dataclass(frozen=True)
class Finding:
    """Something a reader should know or act on. `code` is its row in the catalogue and `facts` what fills it; `check`
    is the check that found it. `message` and `remedy` are the catalogue's words of them; `fix` is what to write in
    `audit.yaml`."""

    __pydantic_config__ = _STRICT
    code: str
    check: str
    level: Level
    message: str
    remedy: str
    cell: Place = field(default_factory=dict)
    observed: float | None = None
    limit: float | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)
    fix: Patch | None = None


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one code and one cause as one: `message` is of all of them, `findings` are their positions in the
    result's, the worst first. `follow` are the groups that this one explains, by their position among the groups;
    `cause` is the group that explains this one. `page` is that of the manual."""

    __pydantic_config__ = _STRICT
    code: str
    check: str
    level: Level
    message: str
    remedy: str
    page: str
    findings: tuple[int, ...]
    cause: int | None = None
    follow: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckOutcome:
    """What became of a check: it `found` something, `passed` without a warning or an error, was `left out` by the
    audit, or had nothing to look at (`not run`), each `reason` naming what."""

    __pydantic_config__ = _STRICT
    check: str
    status: Literal["found", "passed", "left out", "not run"]
    findings: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a gate was decided by before all images were measured: of what (`where`), whether it holds, the value and
    the limit it was held against, the interval that the whole set's value lies in, and on how many images of how
    many."""

    __pydantic_config__ = _STRICT
    rule: Rule
    where: str
    holds: bool
    value: float
    limit: float
    interval: tuple[float, float]
    images: int
    of: int


@dataclass(frozen=True)
class Met:
    """A value that a gate met: of what, and how far it is from its `limit`; a negative `margin` lies beyond it."""

    __pydantic_config__ = _STRICT
    where: str
    value: float
    limit: float
    margin: float
    cell: Place = field(default_factory=dict)
    undecided: bool = False
    """Whether it may lie on either side of the limit, with the gate's confidence."""
    enough: int | None = None
    """About how many images would decide then."""


@dataclass(frozen=True)
class Unjudged:
    """A value that a gate selects and could not judge: of what, and why."""

    __pydantic_config__ = _STRICT
    where: str
    reason: str


@dataclass(frozen=True)
class GateOutcome:
    """What one rule met: of `measured` values the one `nearest` to the limit, or farthest beyond it (None where nothing
    was measured), how many lie `beyond` it, and how many could not be judged. `messages` are its findings' own, the
    farthest first."""

    __pydantic_config__ = _STRICT
    rule: Rule
    status: Literal["passed", "failed", "incomplete", "undecided"]
    measured: int
    nearest: Met | None = None
    beyond: int = 0
    unjudged: int = 0
    undecided: int = 0
    messages: tuple[str, ...] = ()
    met: tuple[Met, ...] = ()
    """Every value that it met."""
    lost: tuple[Unjudged, ...] = ()
