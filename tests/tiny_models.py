"""Write small `.tflite` files without TensorFlow: an image input, and outputs that are constants (or copy the
input)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}


def write_model(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    *,
    input_shape: Sequence[int] = (1, 32, 32, 3),
    input_dtype: str = "float32",
    input_quantization: tuple[float, int] | None = None,
    output_quantization: Mapping[str, tuple[float, int]] | None = None,
    signature: Mapping[str, str] | None = None,
    signatures: int = 1,
    inputs: int = 1,
    custom_op: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a model whose `outputs` are the given constants, whatever image it gets.

    `signature` maps output names to the names a signature calls them; `files` are appended as a zip.
    """
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
    graph.name = b"main"
    for index in range(inputs):
        graph.inputs.append(
            _tensor(model, graph, f"image{index or ''}", input_dtype, input_shape, quantization=input_quantization)
        )
    codes = [_code(schema.BuiltinOperator.RESHAPE)]
    for name, values in outputs.items():
        quantization = (output_quantization or {}).get(name)
        constant = _tensor(model, graph, f"{name}/constant", values.dtype.name, values.shape, values, quantization)
        shape = np.array(values.shape, dtype=np.int32)
        shape_index = _tensor(model, graph, f"{name}/shape", "int32", shape.shape, shape)
        output = _tensor(model, graph, name, values.dtype.name, values.shape, quantization=quantization)
        graph.operators.append(_op(0, [constant, shape_index], [output]))
        graph.outputs.append(output)
    if custom_op is not None:
        code = _code(schema.BuiltinOperator.CUSTOM)
        code.customCode = custom_op.encode()
        codes.append(code)
        graph.operators.append(_op(1, [graph.inputs[0]], [_tensor(model, graph, "custom", "float32", (1,))]))
    model.operatorCodes = codes
    model.subgraphs = [graph]
    if signature is not None or signatures > 1:
        model.signatureDefs = [
            _signature(f"serving{index}", graph, list(outputs), signature or {}) for index in range(signatures)
        ]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(builder.Output()))
    if files:
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    return path


def _tensor(model, graph, name, dtype, shape, values=None, quantization=None) -> int:
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.type = _TYPES[dtype]
    tensor.shape = [max(1, size) for size in shape]
    if any(size < 0 for size in shape):
        tensor.shapeSignature = list(shape)
    tensor.buffer = 0
    if values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), dtype=np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    if quantization is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = [quantization[0]]
        tensor.quantization.zeroPoint = [quantization[1]]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(builtin: int):
    code = schema.OperatorCodeT()
    code.builtinCode = builtin
    code.deprecatedBuiltinCode = min(builtin, 127)
    code.version = 1
    return code


def _op(code: int, inputs: list[int], outputs: list[int]):
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = code, inputs, outputs
    return op


def _signature(key: str, graph, outputs: Sequence[str], called: Mapping[str, str]):
    signature = schema.SignatureDefT()
    signature.signatureKey = key.encode()
    signature.inputs = [_map("image", graph.inputs[0])]
    signature.outputs = [
        _map(called.get(name, name), index) for name, index in zip(outputs, graph.outputs, strict=True)
    ]
    signature.subgraphIndex = 0
    return signature


def _map(name: str, index: int):
    item = schema.TensorMapT()
    item.name, item.tensorIndex = name.encode(), index
    return item
