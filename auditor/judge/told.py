"""What a check says: a code with its facts; the catalogue has the words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from auditor.values import AuditResult, Cell, Finding, Json, Level, Patch, Place

__all__ = ["Check", "NotRun", "Row", "Told", "Words", "as_finding", "place_of"]


@dataclass(frozen=True)
class Told:
    """One finding before it is worded: `facts` fill the catalogue's row of `code`; `level` is the row's own where it is
    None."""

    code: str
    facts: Mapping[str, Json] = field(default_factory=dict)
    cell: Place = field(default_factory=dict)
    observed: float | None = None
    limit: float | None = None
    level: Level | None = None
    fix: Patch | None = None


@dataclass(frozen=True)
class NotRun:
    """That a check, or a part of it, had nothing to look at: what is missing, and how to have it."""

    reason: str


class Check(Protocol):
    """The extension point `auditor.checks`."""

    def __call__(self, result: AuditResult) -> Iterable[Told | NotRun]:
        """Look at a whole result and say what a reader should know or do, or that there is nothing to look at."""


@dataclass(frozen=True)
class Words:
    """A finding in words: what is, and what to do."""

    message: str
    remedy: str


@dataclass(frozen=True)
class Row:
    """One row of the catalogue, the extension point `auditor.catalogues` (each a mapping of such rows by code): the
    check that finds it, its usual level, what it means, the page of the manual that says more, and the words for its
    facts.

    Several findings of the code are one where the facts named by `scope` are alike; `together` words them, the worst
    first. `explains` are the codes that follow from this one, of the same model or file."""

    check: str
    level: Level
    about: str
    page: str
    words: Callable[..., Words]
    scope: tuple[str, ...] = ()
    together: Callable[[Sequence[Finding]], str] | None = None
    explains: tuple[str, ...] = ()


def as_finding(told: Told, catalogue: Mapping[str, Row]) -> Finding:
    """Word what a check told.

    Raises:
        ValueError: the catalogue has no such code, or the facts do not fill its row.
    """
    row = catalogue.get(told.code)
    if row is None:
        raise ValueError(f"expected a code of the catalogue but got {told.code!r}")
    facts = dict(told.facts)
    try:
        words = row.words(**facts)
    except TypeError as error:
        raise ValueError(f"expected the facts of {told.code} but got {sorted(facts)} ({error})") from error
    return Finding(
        code=told.code,
        check=row.check,
        level=told.level or row.level,
        message=words.message,
        remedy=words.remedy,
        cell=dict(told.cell),
        observed=told.observed,
        limit=told.limit,
        facts=facts,
        fix=told.fix,
    )


def place_of(cell: Cell, *fields: str) -> dict[str, str | int | float]:
    """Some fields of a cell, all where none are named."""
    names = fields or ("model", "file", "quantization", "delegate", "scenario", "severity", "input", "device")
    return {name: getattr(cell, name) for name in names}
