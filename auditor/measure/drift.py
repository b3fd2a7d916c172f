"""At which op a file on a delegate, or a quantized level, departs from its reference: tensors beside tensors, on the
same images."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.delegate import NONE, Delegate
from auditor.encoding import encode
from auditor.runtimes.anatomy.runtime import Inspected, runtime_of
from auditor.values import Drift, ModelSpec, OpDrift

__all__ = ["DriftRequest", "measure_drift"]

_WORST = 10
_LIMIT_DB = {"delegate": 20.0, "level": 10.0}
"""Rounding otherwise by one code leaves 30 dB and more of an 8-bit tensor; below 10 dB a third of its size is noise."""


@dataclass(frozen=True, eq=False)
class DriftRequest:
    """Compare `spec` on `delegate` with `reference` on the runtime's own kernels, on `images`; both are one file where
    a delegate is compared, and both on the own kernels where a level is."""

    spec: ModelSpec
    delegate: Delegate
    reference: ModelSpec
    against: str
    images: tuple[NDArray[np.uint8], ...]

    @property
    def kind(self) -> Literal["delegate", "level"]:
        """What is compared."""
        return "delegate" if self.spec.path == self.reference.path else "level"


def measure_drift(request: DriftRequest) -> Drift:
    """Compare every op's outputs, paired by name. The ratio is 10 log10(sum x² / sum (x - y)²) in dB, the cosine
    sum x y / (|x| |y|), x being the reference's values and y the other's.

    Raises:
        ModelError: a file, or a delegate, cannot be read so.
    """
    kind = request.kind
    mine = _opened(request.spec, request.delegate)
    theirs = _opened(request.reference, NONE)
    sums: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(5))
    for image in request.images:
        here = mine.invoke(encode(image, request.spec.input)[0])
        there = theirs.invoke(encode(image, request.reference.input)[0])
        for name in mine.ops.keys() & here.keys() & there.keys():
            x, y = there[name].astype(np.float64), here[name].astype(np.float64)
            if x.shape == y.shape and x.size:
                sums[name] = _added(sums[name], x.ravel(), y.ravel())
    rows = [
        _row(number, mine.ops[name], name, sums[name]) for number, name in enumerate(mine.ops, start=1) if name in sums
    ]
    limit = _LIMIT_DB[kind]
    beyond = [row for row in rows if row.nan or (row.sqnr_db is not None and row.sqnr_db < limit)]
    ranked = sorted(rows, key=lambda row: (-row.nan, np.inf if row.sqnr_db is None else row.sqnr_db, row.number))
    return Drift(
        request.spec.name,
        request.delegate.name,
        request.against,
        kind,
        images=len(request.images),
        limit_db=limit,
        compared=len(rows),
        ops=len(mine.ops),
        first=beyond[0] if beyond else None,
        worst=tuple(ranked[:_WORST]),
        reason=None if rows else "both have no tensor of one name and shape, so none could be compared",
    )


def _opened(spec: ModelSpec, delegate: Delegate) -> Inspected:
    runtime = runtime_of(Path(spec.path))
    if runtime.inspect is None or runtime.expose is None:
        raise ValueError(f"expected a file whose tensors can be read but got {spec.path}")
    return runtime.inspect(spec) if delegate == NONE else runtime.expose(spec, delegate)


def _added(sums: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of x², y², x y, the largest difference, and how many are not a number here alone."""
    broken = ~np.isfinite(y) & np.isfinite(x)
    x, y = x[np.isfinite(x) & np.isfinite(y)], y[np.isfinite(x) & np.isfinite(y)]
    largest = float(np.abs(x - y).max()) if len(x) else 0.0
    total = sums + np.array([x @ x, y @ y, x @ y, 0.0, broken.sum()])
    total[3] = max(sums[3], largest)
    return np.asarray(total)


def _row(number: int, op: str, tensor: str, sums: NDArray[np.float64]) -> OpDrift:
    signal, other, both, largest, nan = sums.tolist()
    noise = signal + other - 2 * both
    known = signal > 0 and noise > 1e-12 * signal
    return OpDrift(
        number,
        op,
        tensor,
        largest=largest,
        sqnr_db=float(10 * np.log10(signal / noise)) if known else None,
        cosine=both / float(np.sqrt(signal * other)) if signal > 0 and other > 0 else None,
        nan=int(nan),
    )
