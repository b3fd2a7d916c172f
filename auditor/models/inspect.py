"""What a model file says of itself: inputs, outputs, ops, metadata, the likely task and decoder, and an estimate of its
arena."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor.errors import AuditorError, ModelError
from auditor.models.compatibility import compatibility
from auditor.models.graph import Graph, Tensor, load_graph, quantization_level
from auditor.models.keras import is_parent
from auditor.models.metadata import load_notes
from auditor.models.resolve import ModelRequest, resolve_model
from auditor.provenance import sha256_of

__all__ = ["arena_bytes", "inspect_model", "shown"]

_ALIGNMENT = 64
_SHOWN = 5


def inspect_model(path: Path, *, labels: str | None = None) -> dict[str, Any]:
    """Return what a `.tflite` file says, as a JSON-able mapping; its model is opened to tell task and decoder.

    Raises:
        ModelError: the file cannot be read.
    """
    if is_parent(path):
        raise ModelError(
            f"{path}: inspect reads .tflite files; make one with `auditor quantize {path} --levels float32 --output "
            "FOLDER`"
        )
    graph = load_graph(path)
    notes = load_notes(graph)
    ops = Counter(op.name for op in graph.ops)
    custom = sorted({op.name for op in graph.ops if op.custom})
    return {
        "file": str(path),
        "sha256": sha256_of(path),
        "size_bytes": graph.size_bytes,
        "quantization": quantization_level(graph),
        "inputs": [_tensor(graph.tensors[index]) for index in graph.inputs],
        "outputs": [{**_tensor(graph.tensors[index]), "signature": _called(graph, index)} for index in graph.outputs],
        "ops": dict(ops.most_common()),
        "custom_ops": [name for name in custom if not name.startswith("Flex")],
        "flex_ops": [name for name in custom if name.startswith("Flex")],
        "arena_bytes_estimate": arena_bytes(graph),
        "compatibility": compatibility(graph),
        "metadata": {
            "name": notes.name,
            "color": notes.color,
            "mean": notes.mean,
            "std": notes.std,
            "ultralytics": notes.ultralytics or None,
            "problems": list(notes.problems),
        },
        "labels": list(notes.labels) if notes.labels else None,
        "likely": _likely(path, labels),
    }


def arena_bytes(graph: Graph) -> int:
    """Estimate the memory that the runtime needs for activations: tensors placed largest first, each at the lowest
    offset that is free over its life.

    An estimate: scratch memory of ops and what a delegate packs are not in it; open dimensions count as 1.
    Source: Pisarchyk and Lee 2020, arXiv:2001.03288, greedy by size, as the runtime's arena planner places.
    """
    first: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for step, op in enumerate(graph.ops):
        for index in op.outputs:
            first.setdefault(index, step)
            last[index] = step
        for index in op.inputs:
            if index in first:
                last[index] = step
    last |= dict.fromkeys((index for index in graph.outputs if index in first), len(graph.ops))
    sizes = {index: _bytes_of(graph.tensors[index]) for index in first}
    placed: list[tuple[int, int, int, int]] = []
    for index in sorted(first, key=lambda index: (-sizes[index], first[index])):
        offset = 0
        for start, end, begin, finish in sorted(placed):
            if finish < first[index] or begin > last[index]:
                continue
            if start - offset >= sizes[index]:
                break
            offset = max(offset, end)
        placed.append((offset, offset + sizes[index], first[index], last[index]))
    return max((end for _, end, _, _ in placed), default=0)


def _bytes_of(tensor: Tensor) -> int:
    width = np.dtype(tensor.dtype).itemsize if tensor.dtype in np.sctypeDict else 1
    size = int(np.prod([max(1, side) for side in tensor.shape])) * width if tensor.shape else width
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": list(tensor.scales) or None,
        "zero_point": list(tensor.zero_points) or None,
    }


def _called(graph: Graph, index: int) -> str | None:
    return next((outputs[index] for outputs in graph.signatures.values() if index in outputs), None)


def _likely(path: Path, labels: str | None) -> dict[str, Any]:
    """The task and decoder that an audit would take, with the reason; or why it cannot tell."""
    request = ModelRequest(
        path.stem, path.stem, str(path), "default", ".", labels=labels, need_labels=False, images=_grey()
    )
    try:
        spec = resolve_model(request)
    except (ModelError, AuditorError, ValueError, RuntimeError, KeyError, IndexError, TypeError) as error:
        return {"task": None, "decoder": None, "reason": " ".join(str(error).split())}
    return {
        "task": spec.task,
        "decoder": spec.decoder,
        "reason": spec.sources["decoder"].removeprefix("graph: "),
        "options": {key: value for key, value in spec.decoder_options.items() if key != "anchors"},
        "input": {
            key: getattr(spec.input, key)
            for key in ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation")
        },
        "input_sources": {
            key.removeprefix("input."): value for key, value in spec.sources.items() if key.startswith("input.")
        },
    }


def _grey() -> tuple[Any, ...]:
    """Images that show nothing: the structure alone decides, and what values would have to settle stays open."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    return tuple(noise)


def shown(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines for people."""
    lines = [
        f"{facts['file']}: {facts['size_bytes']:,} bytes, sha256 {facts['sha256']}",
        f"weights: {facts['quantization']}; arena: about {facts['arena_bytes_estimate']:,} bytes (an estimate from "
        "tensor lifetimes)",
    ]
    for kind in ("inputs", "outputs"):
        for tensor in facts[kind]:
            codes = (
                f", scale {_some(tensor['scale'])}, zero point {_some(tensor['zero_point'])}" if tensor["scale"] else ""
            )
            called = f" ({tensor['signature']})" if tensor.get("signature") else ""
            lines.append(f"{kind[:-1]:<7} {tensor['name']}{called}: {tensor['dtype']} {tuple(tensor['shape'])}{codes}")
    lines.append("ops     " + ", ".join(f"{name} {count}" for name, count in facts["ops"].items()))
    for key, title in (("custom_ops", "custom ops"), ("flex_ops", "Flex ops (the plain runtime lacks them)")):
        if facts[key]:
            lines.append(f"{title}: {', '.join(facts[key])}")
    said = {key: value for key, value in facts["metadata"].items() if value}
    lines.append(
        "metadata " + (", ".join(f"{key} {value}" for key, value in said.items() if key != "ultralytics") or "none")
    )
    if facts["labels"]:
        lines.append(f"labels  {len(facts['labels'])}: {_some(facts['labels'])}")
    likely = facts["likely"]
    if likely["decoder"] is None:
        lines.append(f"decoder cannot be told: {likely['reason']}")
    else:
        lines.append(f"likely  {likely['task']}, decoder {likely['decoder']}: {likely['reason']}")
        lines.append(
            "input   "
            + ", ".join(
                f"{key} {_plain(value)} ({likely['input_sources'].get(key, '')})"
                for key, value in likely["input"].items()
            )
        )
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(f"{item:.6g}" for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _some(values: Sequence[Any] | None) -> str:
    listed = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values or ()]
    return ", ".join(listed[:_SHOWN]) + (f", … ({len(listed)})" if len(listed) > _SHOWN else "")
