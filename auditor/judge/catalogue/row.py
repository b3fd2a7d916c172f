"""The table that every finding stands in, and what several rows share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from auditor.judge.told import Row, Words
from auditor.values import Finding, Level, digits

__all__ = ["CATALOGUE", "Interval", "explains", "paired", "row", "shown", "together"]

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


def together(
    code: str, *scope: str
) -> Callable[[Callable[[Sequence[Finding]], str]], Callable[[Sequence[Finding]], str]]:
    """A decorator that words several findings of a code by what it marks, those that are alike in the facts of
    `scope`."""

    def add(words: Callable[[Sequence[Finding]], str]) -> Callable[[Sequence[Finding]], str]:
        CATALOGUE[code] = dataclasses.replace(CATALOGUE[code], scope=scope, together=words)
        return words

    return add


def explains(code: str, *codes: str) -> None:
    """Say which findings follow from one, of the same model or file."""
    CATALOGUE[code] = dataclasses.replace(CATALOGUE[code], explains=codes)


def paired(interval: Interval, *, also: str = "") -> str:
    """The words of a paired difference's 95 % interval; none where there is no interval."""
    return "" if interval is None else f" (95 % {interval[0]:+.3f} to {interval[1]:+.3f}, paired{also})"


def shown(value: float | None) -> str:
    """A metric as it stands in a sentence."""
    return "undefined" if value is None else digits(value)
