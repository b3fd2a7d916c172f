"""LiteRT: `.tflite` files, through the interpreter of the `ai-edge-litert` wheel."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from auditor.delegate import Delegate
from auditor.errors import DelegateError
from auditor.provenance import sha256_of
from auditor.runtimes.anatomy.runtime import FileFacts, Inspected, OpenedModel, Runtime, TensorFacts
from auditor.runtimes.litert.arena import arena_bytes
from auditor.runtimes.litert.chain import head_tensors, leaves_weights, made_by
from auditor.runtimes.litert.exposed import exposed_content
from auditor.runtimes.litert.graph import Graph, Tensor, load_graph, quantization_level
from auditor.runtimes.litert.interpreter import load_runtime, open_exposed, open_inspected, open_model
from auditor.runtimes.litert.metadata import load_notes
from auditor.runtimes.litert.targets import FLEX, compatibility
from auditor.values import InputContract, ModelSpec

__all__ = ["RUNTIME"]

_EDGE_TPU = "edgetpu-custom-op"
_RUNNABLE = ("TFLite_Detection_PostProcess",)
"""Custom ops that the runtime has."""
_SLACK = 2


def _facts(path: Path) -> FileFacts:
    graph = load_graph(path)
    names = graph.output_names()
    by_index = dict(zip(graph.outputs, names, strict=True))
    return FileFacts(
        path=path,
        size_bytes=graph.size_bytes,
        level=quantization_level(graph),
        inputs=tuple(_tensor(graph, index, graph.tensors[index].name, "QUANTIZE") for index in graph.inputs),
        outputs=tuple(
            dataclasses.replace(_tensor(graph, index, name, "DEQUANTIZE"), made_by=made_by(graph, index))
            for name, index in zip(names, graph.outputs, strict=True)
        ),
        ops=dict(Counter(op.name for op in graph.ops).most_common()),
        op_outputs={op.name: tuple(by_index.get(index, "") for index in op.outputs) for op in graph.ops if op.custom},
        notes=load_notes(graph),
        compatibility=compatibility(graph),
        arena_bytes=arena_bytes(graph),
        refusal=_refusal(graph),
        state=graph.state,
    )


def _tensor(graph: Graph, index: int, name: str, after: str) -> TensorFacts:
    tensor = graph.tensors[index]
    codes = _codes(graph, index, after=after)
    return TensorFacts(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scales=tensor.scales,
        zero_points=tensor.zero_points,
        called=" ".join(outputs[index] for outputs in graph.signatures.values() if index in outputs),
        codes=None
        if codes is None
        else TensorFacts(codes.name, codes.shape, codes.dtype, codes.scales, codes.zero_points),
    )


def _codes(graph: Graph, index: int, *, after: str) -> Tensor | None:
    """The 8-bit tensor that an input or output is, or that stands one (DE)QUANTIZE away from it."""
    tensors = [graph.tensors[index]]
    for op in graph.ops:
        if op.name == after == "DEQUANTIZE" and index in op.outputs:
            tensors.append(graph.tensors[op.inputs[0]])
        if op.name == after == "QUANTIZE" and index in op.inputs:
            tensors.append(graph.tensors[op.outputs[0]])
    return next((tensor for tensor in tensors if tensor.dtype in ("int8", "uint8") and len(tensor.scales) == 1), None)


def _refusal(graph: Graph) -> str | None:
    """Why the interpreter cannot run a graph on an image."""
    if any(op.name == _EDGE_TPU for op in graph.ops):
        return (
            "this model is compiled for the Edge TPU and runs nowhere else; audit the .tflite file it was compiled from"
        )
    custom = sorted({op.name for op in graph.ops if op.custom} - set(_RUNNABLE))
    if custom:
        flex = [name for name in custom if name.startswith(FLEX)]
        hint = "convert without SELECT_TF_OPS" if flex else "export the model without it"
        return f"the runtime lacks the custom op{'s' if len(custom) > 1 else ''} {', '.join(custom)}; {hint}"
    if len(graph.signatures) > 1:
        return f"it has several signatures ({', '.join(sorted(graph.signatures))}); export one of them alone"
    if len(graph.inputs) != 1:
        names = ", ".join(graph.tensors[index].name for index in graph.inputs)
        return f"it has {len(graph.inputs)} inputs ({names}); expected one image"
    return None


def _input_shape(facts: FileFacts, contract: InputContract) -> tuple[int, ...] | None:
    """The shape to resize the input to, where the file leaves a dimension open or has a batch above 1."""
    size = (contract.height, contract.width)
    shapes = {"nchw": (1, contract.channels, *size), "nhw": (1, *size)}
    shape = shapes.get(contract.layout, (1, *size, contract.channels))
    return None if facts.inputs[0].shape == shape else shape


def _open(spec: ModelSpec, delegate: Delegate, threads: int) -> OpenedModel:
    facts = _facts(Path(spec.path))
    return open_model(
        Path(spec.path),
        delegate=delegate,
        threads=threads,
        input_shape=_input_shape(facts, spec.input),
        output_names=facts.output_names,
        state=() if spec.keeps_state else facts.state,
    )


def _inspect(spec: ModelSpec) -> Inspected:
    path = Path(spec.path)
    graph, facts = load_graph(path), _facts(path)
    limits = {}
    for tensor in graph.tensors:
        if tensor.dtype in ("int8", "uint8", "int16") and len(tensor.scales) == 1 and not tensor.constant:
            limits[tensor.name] = _limits(tensor)
    return Inspected(
        invoke=open_inspected(path, input_shape=_input_shape(facts, spec.input), state=facts.state),
        ops={graph.tensors[index].name: op.name for op in graph.ops for index in op.outputs},
        limits=limits,
    )


def _expose(spec: ModelSpec, delegate: Delegate) -> Inspected:
    inspected, facts = _inspect(spec), _facts(Path(spec.path))
    if delegate.kind == "gpu":
        raise DelegateError("gpu: its tensors cannot be read")
    content = exposed_content(Path(spec.path))
    shape = _input_shape(facts, spec.input)
    opened = open_exposed(content, delegate=delegate, input_shape=shape, state=facts.state)
    return dataclasses.replace(inspected, invoke=opened)


def _limits(tensor: Tensor) -> tuple[float, float]:
    """What the codes of a tensor can hold, and two codes more at either end: a sigmoid's codes end at 255/256 by
    design, which is no lack of calibration."""
    info: Any = np.iinfo(tensor.dtype)
    scale, zero_point = tensor.scales[0], tensor.zero_points[0]
    return (info.min - zero_point - _SLACK) * scale, (info.max - zero_point + _SLACK) * scale


def _is_tflite(path: Path) -> bool:
    return path.suffix == ".tflite" and not path.is_dir()


def _chain(path: Path, weighted: int) -> tuple[list[str], bool]:
    """Name the tensors between a file's outputs and its first weighted ops (so many more passed on each path), and say
    whether any weighted op lies behind them."""
    graph = load_graph(path)
    return head_tensors(graph, weighted=weighted), leaves_weights(graph, weighted=weighted)


def _signature(path: Path) -> tuple[str, str]:
    """What a file's signature is called, and what it calls the input."""
    graph = load_graph(path)
    return next(iter(graph.signatures), "serving_default"), graph.signature_input or graph.tensors[graph.inputs[0]].name


RUNTIME = Runtime(
    name="litert",
    about=".tflite file",
    reads=_is_tflite,
    open=_open,
    sha256=sha256_of,
    size_bytes=lambda path: path.stat().st_size,
    facts=_facts,
    inspect=_inspect,
    expose=_expose,
    input_shape=_input_shape,
    chain=_chain,
    signature=_signature,
    load=load_runtime,
)
