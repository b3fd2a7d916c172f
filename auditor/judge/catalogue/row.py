"""The table that every finding stands in, and what several rows share."""

from __future__ import annotations

from collections.abc import Callable

from auditor.judge.told import Row, Words
from auditor.values import Level

__all__ = ["CATALOGUE", "Interval", "paired", "row", "shown"]

CATALOGUE: dict[str, Row] = {}

Interval = list[float] | None


def row(
    code: str, check: str, level: Level, page: str, about: str
) -> Callable[[Callable[..., Words]], Callable[..., Words]]:
    """A decorator that puts what it marks, facts to words, into the table under `code`."""

    def add(words: Callable[..., Words]) -> Callable[..., Words]:
        CATALOGUE[code] = Row(check, level, about, page, words)
        return words

    return add


def paired(interval: Interval, *, also: str = "") -> str:
    """The words of a paired difference's 95 % interval; none where there is no interval."""
    """The words of a paired difference's 95 % interval; none where there is no interval."""
    return "" if interval is None else f" (95 % {interval[0]:+.3f} to {interval[1]:+.3f}, paired{also})"


def shown(value: float | None) -> str:
    """A metric as it stands in a sentence."""
    """A metric as it stands in a sentence."""
    return "undefined" if value is None else f"{value:.3f}"
