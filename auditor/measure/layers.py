"""Where the error of a quantized level arises: its tensors beside the float model's, on the same images."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.models.contract import encode
from auditor.models.graph import Graph, load_graph
from auditor.models.interpreter import open_inspected
from auditor.models.resolve import input_shape_of
from auditor.values import ModelSpec

__all__ = ["LayersRequest", "measure_layers"]

_SHOWN = 10
_SLACK = 2
_SATURATED = 0.01


@dataclass(frozen=True, eq=False)
class LayersRequest:
    """Compare `spec`, a quantized level, with `reference`, the float model it was made of, on `images`."""

    spec: ModelSpec
    reference: ModelSpec
    images: tuple[NDArray[np.uint8], ...]


def measure_layers(request: LayersRequest) -> dict[str, Any]:
    """Return `layers`, the ten tensors of the lowest signal-to-quantization-noise ratio, and `saturating`, those of
    which the most values lie outside of what their codes can hold; each with its op, both measures and the images they
    are of.

    The ratio is 10 log10(sum x² / sum (x - y)²) in dB, x being the float model's values and y the level's. Tensors are
    paired by name, which litert-quantizer keeps; where no name is shared, both lists are empty.
    """
    quantized = load_graph(Path(request.spec.path))
    ops = {quantized.tensors[index].name: op.name for op in quantized.ops for index in op.outputs}
    limits = _limits(quantized)
    sums: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    inspected = [
        open_inspected(Path(spec.path), input_shape=input_shape_of(load_graph(Path(spec.path)), spec.input))
        for spec in (request.spec, request.reference)
    ]
    for image in request.images:
        values = inspected[0](encode(image, request.spec.input)[0])
        expected = inspected[1](encode(image, request.reference.input)[0])
        for name in values.keys() & expected.keys() & limits.keys():
            x, y = expected[name].astype(np.float64), values[name].astype(np.float64)
            if x.shape == y.shape and name in ops:
                low, high = limits[name]
                outside = (x < low) | (x > high)
                sums[name] += [np.square(x).sum(), np.square(x - y).sum(), outside.sum(), x.size]
    rows: list[dict[str, Any]] = [
        {
            "tensor": name,
            "op": ops[name],
            "sqnr_db": float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None,
            "saturated": float(outside / count),
        }
        for name, (signal, noise, outside, count) in sums.items()
    ]
    ranked = sorted(
        (row for row in rows if row["sqnr_db"] is not None), key=lambda row: (row["sqnr_db"], row["tensor"])
    )
    saturating = sorted(
        (row for row in rows if row["saturated"] > 0), key=lambda row: (-row["saturated"], row["tensor"])
    )
    many = sum(row["saturated"] > _SATURATED for row in rows)
    return {
        "layers": ranked[:_SHOWN],
        "saturating": saturating[:_SHOWN],
        "saturating_tensors": many,
        "layer_images": len(request.images),
    }


def _limits(graph: Graph) -> dict[str, tuple[float, float]]:
    """What the codes of each per-tensor quantized activation can hold, and two codes more at either end: a sigmoid's
    codes end at 255/256 by design, which is no lack of calibration."""
    limits = {}
    for tensor in graph.tensors:
        if tensor.dtype in ("int8", "uint8", "int16") and len(tensor.scales) == 1 and not tensor.constant:
            info, scale = np.iinfo(tensor.dtype), tensor.scales[0]
            limits[tensor.name] = (
                (info.min - tensor.zero_points[0] - _SLACK) * scale,
                (info.max - tensor.zero_points[0] + _SLACK) * scale,
            )
    return limits
