"""What a quantized file's own numbers say about it: its output's and input's codes, beside what they must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.models.contract import encode
from auditor.models.graph import Graph, Tensor
from auditor.values import InputContract, ModelSpec

__all__ = ["diagnose"]

_ONE_TENSOR_HEADS = {"yolox": 4, "yolov5": 4, "yolov8": 4, "end2end": 4}
"""Heads whose single output holds boxes and, from this column on, scores."""


def diagnose(
    spec: ModelSpec, graph: Graph, samples: Sequence[Mapping[str, NDArray[Any]]], images: Sequence[NDArray[np.uint8]]
) -> dict[str, Any]:
    """Gather the facts: `outputs`, each with its codes and the share of scores that they round to 0, and `input`, the
    codes that the contract uses and the share of values that it clips. A part that is not quantized is left out.

    `samples` are outputs on a few images and `images` those images.
    """
    facts: dict[str, Any] = {}
    outputs = [
        {"name": name, **_codes(tensor), **_output_facts(spec, name, samples)}
        for name, index in zip(graph.output_names(), graph.outputs, strict=True)
        if (tensor := _quantized(graph, index, after="DEQUANTIZE")) is not None
    ]
    if outputs:
        facts["outputs"] = outputs
    tensor = _quantized(graph, graph.inputs[0], after="QUANTIZE")
    if tensor is not None:
        facts["input"] = {**_codes(tensor), **_input_facts(spec.input, tensor, images)}
    return facts


def _quantized(graph: Graph, index: int, *, after: str) -> Tensor | None:
    """The 8-bit tensor that an input or output is, or that stands one (DE)QUANTIZE away from it."""
    tensors = [graph.tensors[index]]
    for op in graph.ops:
        if op.name == after == "DEQUANTIZE" and index in op.outputs:
            tensors.append(graph.tensors[op.inputs[0]])
        if op.name == after == "QUANTIZE" and index in op.inputs:
            tensors.append(graph.tensors[op.outputs[0]])
    return next((tensor for tensor in tensors if tensor.dtype in ("int8", "uint8") and len(tensor.scales) == 1), None)


def _codes(tensor: Tensor) -> dict[str, Any]:
    limits = np.iinfo(tensor.dtype)
    scale, zero_point = tensor.scales[0], tensor.zero_points[0]
    return {
        "dtype": tensor.dtype,
        "scale": scale,
        "zero_point": zero_point,
        "low": (limits.min - zero_point) * scale,
        "high": (limits.max - zero_point) * scale,
    }


def _output_facts(spec: ModelSpec, name: str, samples: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Any]:
    values = np.concatenate(
        [sample[name].reshape(-1, *sample[name].shape[-2:]) for sample in samples if sample[name].ndim >= 2]
        or [np.zeros((0, 0, 0))]
    )
    facts: dict[str, Any] = {}
    if spec.task == "classification" and values.size:
        facts["score_values"] = [float(values.min()), float(values.max())]
    if spec.decoder in _ONE_TENSOR_HEADS and values.size and len(spec.decoder_options.get("outputs", [name])) == 1:
        rows = values.transpose(0, 2, 1) if spec.decoder_options.get("channels_first") else values
        boxes, scores = rows[..., :4], rows[..., _ONE_TENSOR_HEADS[spec.decoder] :]
        facts["box_values"] = [float(boxes.min()), float(boxes.max())]
        facts["score_values"] = [float(scores.min()), float(scores.max())]
        facts["zero_scores"] = float((scores == 0).mean())
        facts["distinct_scores"] = len(np.unique(scores))
    return facts


def _input_facts(contract: InputContract, tensor: Tensor, images: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    """Which part of the 256 codes the contract's values use, and how many of them the codes cannot hold."""
    scale = tensor.scales[0]
    codes = _codes(tensor)
    real = InputContract(**{**vars(contract), "dtype": "float32", "scale": 0.0, "zero_point": 0})
    ends = [(level - np.array(contract.mean)) / np.array(contract.std) for level in (0.0, 255.0)]
    fed_low, fed_high = float(np.min(ends)), float(np.max(ends))
    held_low, held_high = max(fed_low, codes["low"]), min(fed_high, codes["high"])
    values = [encode(image, real)[0] for image in images]
    slack = scale  # rounding reaches half a code beyond the ends
    clipped = [float(((value < codes["low"] - slack) | (value > codes["high"] + slack)).mean()) for value in values]
    return {
        "fed_low": fed_low,
        "fed_high": fed_high,
        "codes_used": max(0, min(256, round((held_high - held_low) / scale) + 1)),
        "clipped": float(np.mean(clipped)) if clipped else 0.0,
    }
