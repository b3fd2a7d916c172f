"""Which of many alternatives is surely better, and worth what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.values.results import WORTH, MetricValue

__all__ = ["Gain", "surest"]


@dataclass(frozen=True)
class Gain:
    """What an alternative gains, the lower end of its simultaneous interval (None where it has none), and how many
    factors it changes."""

    value: float
    low: float | None
    changes: int

    @classmethod
    def of(cls, difference: MetricValue, *, changes: int) -> Gain:
        """The gain that a difference is; an undefined one gains nothing."""
        low = difference.interval[0] if difference.interval is not None else None
        return cls(difference.value or 0.0, low, changes)

    @property
    def is_sure(self) -> bool:
        """Whether it is worth having and is not chance."""
        return self.low is not None and self.low > 0 and self.value >= WORTH


def surest(gains: Sequence[Gain]) -> int | None:
    """The index, of those that are sure, of the one of fewest changes, unless another is worth more; None: none is.

    >>> surest([Gain(0.30, 0.1, 2), Gain(0.295, 0.1, 1), Gain(0.9, -0.1, 1)])
    1
    """
    sure = [index for index, gain in enumerate(gains) if gain.is_sure]
    most = max((gains[index].value for index in sure), default=0.0)
    near = [index for index in sure if gains[index].value > most - WORTH]
    return min(near, key=lambda index: (gains[index].changes, -gains[index].value), default=None)
