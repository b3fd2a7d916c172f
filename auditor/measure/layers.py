"""Where the error of a quantized level arises: its tensors beside the float model's, on the same images."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.encoding import encode
from auditor.runtimes.anatomy.runtime import Inspected, runtime_of
from auditor.values import Diagnosis, LayerError, ModelSpec

__all__ = ["LayersRequest", "measure_layers"]

_SHOWN = 10
_SATURATED = 0.01


@dataclass(frozen=True, eq=False)
class LayersRequest:
    """Compare `spec`, a quantized level, with `reference`, the float model it was made of, on `images`."""

    spec: ModelSpec
    reference: ModelSpec
    images: tuple[NDArray[np.uint8], ...]


def measure_layers(request: LayersRequest) -> Diagnosis:
    """Return `layers`, the ten tensors of the lowest signal-to-quantization-noise ratio, and `saturating`, those of
    which the most values lie outside of what their codes can hold; each with its op, both measures and the images they
    are of.

    The ratio is 10 log10(sum x² / sum (x - y)²) in dB, x being the float model's values and y the level's. Tensors are
    paired by name, which litert-quantizer keeps; where no name is shared, both lists are empty.
    """
    quantized, reference = (_inspected(spec) for spec in (request.spec, request.reference))
    sums: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    for image in request.images:
        values = quantized.invoke(encode(image, request.spec.input)[0])
        expected = reference.invoke(encode(image, request.reference.input)[0])
        for name in values.keys() & expected.keys() & quantized.limits.keys():
            x, y = expected[name].astype(np.float64), values[name].astype(np.float64)
            if x.shape == y.shape and name in quantized.ops:
                low, high = quantized.limits[name]
                outside = (x < low) | (x > high)
                sums[name] += [np.square(x).sum(), np.square(x - y).sum(), outside.sum(), x.size]
    rows = [
        LayerError(
            tensor=name,
            op=quantized.ops[name],
            sqnr_db=float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None,
            saturated=float(outside / count),
        )
        for name, (signal, noise, outside, count) in sums.items()
    ]
    ranked = sorted((row for row in rows if row.sqnr_db is not None), key=lambda row: (row.sqnr_db, row.tensor))
    saturating = sorted((row for row in rows if row.saturated > 0), key=lambda row: (-row.saturated, row.tensor))
    return Diagnosis(
        layers=tuple(ranked[:_SHOWN]),
        saturating=tuple(saturating[:_SHOWN]),
        saturating_tensors=sum(row.saturated > _SATURATED for row in rows),
        layer_images=len(request.images),
    )


def _inspected(spec: ModelSpec) -> Inspected:
    inspect = runtime_of(Path(spec.path)).inspect
    if inspect is None:
        raise ValueError(f"expected a file whose tensors can be read but got {spec.path}")
    return inspect(spec)
