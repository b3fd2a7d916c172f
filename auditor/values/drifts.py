"""How far files are from their references, op by op."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Drift", "OpDrift"]

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class OpDrift:
    """What an op gives beside a reference, on the same images: the op's `number` in the order of execution, the largest
    difference, the signal-to-noise ratio in dB (None: no noise, or no signal), the cosine of the angle between both,
    and how many values are not a number."""

    __pydantic_config__ = _STRICT
    number: int
    op: str
    tensor: str
    largest: float
    sqnr_db: float | None
    cosine: float | None
    nan: int


@dataclass(frozen=True)
class Drift:
    """How a file on a delegate departs from a reference (`against`), op by op, on so many `images`: of `compared`
    tensors the `worst`, and the `first` in the order of execution whose ratio is below `limit_db` or that is not a
    number; None where none is. `reason` says why nothing was compared."""

    __pydantic_config__ = _STRICT
    file: str
    delegate: str
    against: str
    kind: Literal["delegate", "level"]
    images: int
    limit_db: float
    compared: int = 0
    ops: int = 0
    first: OpDrift | None = None
    worst: tuple[OpDrift, ...] = ()
    reason: str | None = None
