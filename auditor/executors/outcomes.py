"""What an executor is, what it yields, and the plainest one: everything in this process, in order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["AHEAD", "Executor", "Outcome", "SerialExecutor", "Shipping", "alike", "attempt", "unlimited"]

AHEAD = 1024
"""How many small items may wait in memory."""


@dataclass(frozen=True)
class Outcome:
    """What became of `item`: a `result`, or an `error` text; `died` when the worker did not survive it."""

    item: Any
    result: Any = None
    error: str | None = None
    died: bool = False


@dataclass(frozen=True)
class Shipping:
    """How an item takes its files along where workers cannot see them: which they are, and the item with each where it
    lies there."""

    files: Callable[[Any], Sequence[Path]]
    moved: Callable[[Any, Mapping[Path, Path]], Any]


def alike(_: Any) -> None:
    """The affinity of items that share nothing."""


def unlimited(_: Any) -> float | None:
    """The time limit of items that have none."""
    return None


class Executor(Protocol):
    """Runs a picklable function over picklable items."""

    @property
    def jobs(self) -> int:
        """How many items run at once."""

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = ...,
        ahead: int = ...,
        timeout_s: Callable[[Any], float | None] = ...,
        shipping: Shipping | None = ...,
    ) -> Iterator[Outcome]:
        """Yield the outcome of every item in the order of completion; items of one `affinity` share a worker while
        others are left for the rest, so that a worker's caches are of use. At most `ahead` items are taken from
        `items` before they run, so that large ones need not all be in memory. A worker that takes longer over an item
        than `timeout_s` of it is stopped; that is an outcome that `died`.

        `items` may be an iterator that has nothing for now, and more once an outcome was seen: it is asked again after
        each one, and has ended when it has nothing while nothing runs."""

    def sees(self, paths: Sequence[Path]) -> bool:
        """Whether its workers can read these files and folders where they are."""

    def close(self, *, wait: bool = True) -> None:
        """Stop the workers, and wait until they ended; without `wait` they end on their own."""

    def kill(self) -> None:
        """End the workers at once, whatever they do."""


class SerialExecutor:
    """Everything in this process, in order."""

    jobs = 1

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = alike,
        ahead: int = AHEAD,
        timeout_s: Callable[[Any], float | None] = unlimited,
        shipping: Shipping | None = None,
    ) -> Iterator[Outcome]:
        for item in items:
            yield attempt(function, item)

    def sees(self, paths: Sequence[Path]) -> bool:
        """They are this process's own."""
        return True

    def close(self, *, wait: bool = True) -> None:
        """Nothing to stop."""

    def kill(self) -> None:
        """Nothing to end."""


def attempt(function: Callable[[Any], Any], item: Any) -> Outcome:
    """Run a function over an item; whatever that raises is the outcome."""
    try:
        return Outcome(item, result=function(item))
    except Exception:  # noqa: BLE001 (whatever an item raises is its outcome)
        return Outcome(item, error=traceback.format_exc())
