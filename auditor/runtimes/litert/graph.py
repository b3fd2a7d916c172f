"""What a `.tflite` file's graph says: tensors, ops, signatures, metadata buffers and the quantization level.

Source of the format: https://github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs, through the reader
that the `ai-edge-litert` wheel ships.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.files import whole_bytes
from auditor.values.levels import DYNAMIC, FLOAT16, FLOAT32, INT8, INT16X8, WEIGHT_ONLY

__all__ = [
    "RANDOM",
    "RESOURCES",
    "VARIABLES",
    "WEIGHTED_OPS",
    "Graph",
    "Op",
    "Tensor",
    "load_graph",
    "quantization_level",
]

_POINTER = b"version https://git-lfs"
_OP_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
VARIABLES, RESOURCES, RANDOM = "variable tensors", "resource variables", "random numbers"
"""What a file may keep between invocations."""
_RANDOM_OPS = ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL")
WEIGHTED_OPS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
_MOST_ELEMENTS = 2**30
"""A tensor of more would fill the memory of any device, and of this machine."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: `shape` has -1 for a dimension left open; `scales` is empty where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    constant: bool


@dataclass(frozen=True)
class Op:
    """One op: `name` is the built-in's, or the custom code; inputs and outputs are tensor indices (-1: left out)."""

    name: str
    custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a file. `signatures` maps a key to the names of its outputs by tensor index;
    `signature_input` is what the first of them calls the input. `state` says what it keeps from one invocation to the
    next."""

    path: Path
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: Mapping[str, Mapping[int, str]]
    signature_input: str | None
    metadata: Mapping[str, bytes]
    size_bytes: int
    state: tuple[str, ...] = ()

    def output_names(self) -> tuple[str, ...]:
        """Name the outputs in order, as everything outside calls them: by tensor name, numbered where that repeats."""
        names: list[str] = []
        for position, index in enumerate(self.outputs):
            name = self.tensors[index].name or f"output_{position}"
            names.append(name if name not in names else f"{name}#{position}")
        return tuple(names)


def load_graph(path: Path) -> Graph:
    """Read the graph of a `.tflite` file.

    Raises:
        ModelError: the file is missing, is not a TFLite flatbuffer (a Git LFS pointer, empty, truncated) or has none.
    """
    try:
        content = whole_bytes(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    _check_header(path, content)
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        graph = _graph(path, model, len(content), content)
        quantization_level(graph)
        return graph
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        KeyError,
        UnicodeDecodeError,
        OverflowError,
    ) as error:
        raise ModelError(
            f"{path}: the flatbuffer is damaged or truncated ({type(error).__name__}: {error}); get the file again"
        ) from error


def quantization_level(graph: Graph) -> str:
    """Name the quantization of a graph: `float32`, `float16`, `dynamic`, `weight_only`, `int8` or `int16x8`.

    Read from the weighted ops (convolution, dense, …) alone, whatever the file is called: `int8` means 8-bit integer
    weights and activations (uint8 included), `int16x8` int16 activations, `dynamic` integer weights that the op itself
    takes beside float activations, `weight_only` integer weights behind a DEQUANTIZE, `float16` half-precision weights.
    The level that most of the weighted ops have is named; input and output types do not count.
    """
    behind = {op.outputs[0]: op.inputs[0] for op in graph.ops if op.name == "DEQUANTIZE" and op.outputs and op.inputs}
    levels = [_op_level(graph, op, behind) for op in graph.ops if op.name in WEIGHTED_OPS and len(op.inputs) > 1]
    if not levels:
        integer = any(tensor.scales and tensor.dtype in ("int8", "uint8") for tensor in graph.tensors)
        return INT8 if integer else FLOAT32
    return max(sorted(set(levels)), key=levels.count)


def _op_level(graph: Graph, op: Op, behind: Mapping[int, int]) -> str:
    activation = graph.tensors[op.inputs[0]].dtype
    weights = graph.tensors[op.inputs[1]]
    source = graph.tensors[behind[op.inputs[1]]] if op.inputs[1] in behind else None
    if activation == "int16":
        return INT16X8
    if activation in ("int8", "uint8"):
        return INT8
    if source is not None:
        return FLOAT16 if source.dtype == "float16" else WEIGHT_ONLY
    if weights.dtype == "float16":
        return FLOAT16
    return DYNAMIC if weights.dtype in ("int8", "uint8", "int4") else FLOAT32


def _check_header(path: Path, content: bytes) -> None:
    if content.startswith(_POINTER):
        raise ModelError(f"{path}: this is a Git LFS pointer, not the model; fetch it with `git lfs pull`")
    if not content:
        raise ModelError(f"{path}: the file is empty; get it again")
    if content[:4] == b"PK\x03\x04":
        raise ModelError(f"{path}: this is a zip archive, not a .tflite file; unpack it first")
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: not a TFLite model (expected the identifier TFL3 at byte 4, found {content[4:8]!r})")


def _graph(path: Path, model: Any, size_bytes: int, content: bytes) -> Graph:
    if not model.subgraphs:
        raise ModelError(f"{path}: the model has no subgraph, so nothing to run")
    main = model.subgraphs[0]
    codes = [_op_code(code) for code in model.operatorCodes or []]
    ops = tuple(
        Op(name, custom, version, _ints(op.inputs), _ints(op.outputs))
        for op in main.operators or []
        for name, custom, version in [codes[op.opcodeIndex]]
    )
    produced = {index for op in ops for index in op.outputs}
    inputs = _ints(main.inputs)
    tensors = tuple(
        _tensor(tensor, constant=index not in produced and index not in inputs)
        for index, tensor in enumerate(main.tensors)
    )
    signatures = {
        _text(signature.signatureKey): {item.tensorIndex: _text(item.name) for item in signature.outputs or []}
        for signature in model.signatureDefs or []
    }
    used = [*inputs, *_ints(main.outputs), *(index for op in ops for index in (*op.inputs, *op.outputs) if index != -1)]
    if any(not 0 <= index < len(tensors) for index in used):
        raise ModelError(
            f"{path}: the graph refers to tensors that it does not have: the file is damaged; get it again"
        )
    largest = max((math.prod(side for side in tensor.shape if side > 0) for tensor in tensors), default=0)
    if largest > _MOST_ELEMENTS:
        raise ModelError(
            f"{path}: a tensor of {largest:,} numbers, more than {_MOST_ELEMENTS:,}: the file is damaged; get it again"
        )
    buffers = {_text(item.name): _buffer(model.buffers[item.buffer], content) for item in model.metadata or []}
    called = [_text(item.name) for signature in model.signatureDefs or [] for item in signature.inputs or []]
    return Graph(
        path,
        tensors,
        ops,
        inputs,
        _ints(main.outputs),
        signatures,
        next(iter(called), None),
        buffers,
        size_bytes,
        _state(model, codes),
    )


def _state(model: Any, codes: list[tuple[str, bool, int]]) -> tuple[str, ...]:
    """What a file keeps between invocations: tensors that are variables (an LSTM's, an SVDF's), resources that are
    assigned other than once at the beginning, generators of random numbers; in any of its subgraphs.

    Source: schema.fbs (Tensor.is_variable, CallOnceOptions.init_subgraph_index).
    """
    ops = [
        (number, codes[op.opcodeIndex][0], op)
        for number, part in enumerate(model.subgraphs)
        for op in part.operators or []
    ]
    once = {op.builtinOptions.initSubgraphIndex for _, name, op in ops if name == "CALL_ONCE" and op.builtinOptions}
    found = []
    if any(tensor.isVariable for part in model.subgraphs for tensor in part.tensors or []):
        found.append(VARIABLES)
    if any(name == "ASSIGN_VARIABLE" and number not in once for number, name, _ in ops):
        found.append(RESOURCES)
    if any(name in _RANDOM_OPS for _, name, _ in ops):
        found.append(RANDOM)
    return tuple(found)


def _op_code(code: Any) -> tuple[str, bool, int]:
    # Files from before 2020 keep the code in the deprecated byte, newer ones in the wider field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _OP_NAMES.get(number, f"BUILTIN_{number}")
    if name == "CUSTOM":
        return _text(code.customCode), True, code.version
    return name, False, code.version


def _tensor(tensor: Any, *, constant: bool) -> Tensor:
    shape = tensor.shapeSignature if tensor.shapeSignature is not None and len(tensor.shapeSignature) else tensor.shape
    quantization = tensor.quantization
    has = quantization is not None and quantization.scale is not None
    return Tensor(
        name=_text(tensor.name),
        shape=_ints(shape),
        dtype=_DTYPES.get(tensor.type, f"type_{tensor.type}"),
        scales=tuple(float(scale) for scale in quantization.scale) if has else (),
        zero_points=_ints(quantization.zeroPoint) if has else (),
        constant=constant,
    )


def _buffer(buffer: Any, content: bytes) -> bytes:
    if buffer.data is not None and len(buffer.data):
        return np.asarray(buffer.data, dtype=np.uint8).tobytes()
    return content[buffer.offset : buffer.offset + buffer.size] if buffer.offset > 1 else b""


def _ints(values: NDArray[Any] | list[int] | None) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
