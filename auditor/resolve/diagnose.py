"""What a quantized file's own numbers say about it: its output's and input's codes, beside what they must hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.encoding import encode
from auditor.heads.anatomy.head import Head, Outputs
from auditor.runtimes.anatomy.runtime import FileFacts, TensorFacts
from auditor.values import ClassScores, Diagnosis, InputCodes, InputContract, ModelSpec, OutputCodes

__all__ = ["diagnose"]


def diagnose(
    spec: ModelSpec, head: Head, facts: FileFacts, samples: Sequence[Outputs], images: Sequence[NDArray[np.uint8]]
) -> Diagnosis:
    """Gather what each quantized output holds and rounds to 0, and which codes of a quantized input the contract uses
    and clips. `samples` are outputs on a few images and `images` those images."""
    outputs = tuple(
        _output(spec, head, tensor, tensor.codes, samples) for tensor in facts.outputs if tensor.codes is not None
    )
    codes = facts.inputs[0].codes
    return Diagnosis(outputs=outputs, input=None if codes is None else _input(spec.input, codes, images))


def _held(tensor: TensorFacts) -> tuple[float, float]:
    """The lowest and the highest real value that a tensor's codes hold."""
    limits: Any = np.iinfo(tensor.dtype)
    scale, zero_point = tensor.scales[0], tensor.zero_points[0]
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale


def _output(
    spec: ModelSpec, head: Head, tensor: TensorFacts, codes: TensorFacts, samples: Sequence[Outputs]
) -> OutputCodes:
    low, high = _held(codes)
    facts = OutputCodes(tensor.name, codes.dtype, codes.scales[0], codes.zero_points[0], low, high)
    tables = [sample[tensor.name] for sample in samples if sample[tensor.name].ndim >= 2]
    if not tables or not tables[0].size:
        return facts
    joined: Any = spec.decoder_options.get("outputs", [tensor.name])
    if head.parts is not None and len(joined) == 1:
        parts = [head.parts(table, spec) for table in tables]
        boxes, scores = (np.concatenate(found) for found in zip(*parts, strict=True))
        return dataclasses.replace(
            facts,
            box_values=(float(boxes.min()), float(boxes.max())),
            score_values=(float(scores.min()), float(scores.max())),
            zero_scores=float((scores == 0).mean()),
            distinct_scores=len(np.unique(scores)),
            constant_classes=_columns(_constant(scores) & (scores[0] > 0)),
            silent_classes=_columns(_constant(scores) & (scores[0] <= 0)) if (scores > 0).any() else (),
        )
    if isinstance(head.decode(samples[0], spec), ClassScores):
        low, high = (float(limit) for limit in (min(map(np.min, tables)), max(map(np.max, tables))))
        return dataclasses.replace(facts, score_values=(low, high))
    return facts


def _constant(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the columns of (N, C) scores have one value throughout."""
    same: NDArray[np.bool_] = (scores == scores[:1]).all(axis=0) & (len(scores) > 1)
    return same


def _columns(chosen: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(column) for column in np.nonzero(chosen)[0])


def _input(contract: InputContract, tensor: TensorFacts, images: Sequence[NDArray[np.uint8]]) -> InputCodes:
    """Which part of the 256 codes the contract's values use, and how many of them the codes cannot hold."""
    scale = tensor.scales[0]
    low, high = _held(tensor)
    real = dataclasses.replace(contract, dtype="float32", scale=0.0, zero_point=0)
    ends = [(level - np.array(contract.mean)) / np.array(contract.std) for level in (0.0, 255.0)]
    fed_low, fed_high = float(np.min(ends)), float(np.max(ends))
    held_low, held_high = max(fed_low, low), min(fed_high, high)
    values = [encode(image, real)[0] for image in images]
    slack = scale  # rounding reaches half a code beyond the ends
    clipped = [float(((value < low - slack) | (value > high + slack)).mean()) for value in values]
    return InputCodes(
        dtype=tensor.dtype,
        scale=scale,
        zero_point=tensor.zero_points[0],
        low=low,
        high=high,
        fed_low=fed_low,
        fed_high=fed_high,
        codes_used=max(0, min(256, round((held_high - held_low) / scale) + 1)),
        clipped=float(np.mean(clipped)) if clipped else 0.0,
    )
