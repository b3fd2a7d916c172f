"""A copy of a `.tflite` file whose every activation is an output, so that a delegate must hand it out."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from auditor.files import whole_bytes

__all__ = ["exposed_content"]

_READABLE = {
    schema.TensorType.FLOAT32,
    schema.TensorType.INT8,
    schema.TensorType.UINT8,
    schema.TensorType.INT16,
    schema.TensorType.INT32,
}


def exposed_content(path: Path) -> bytes:
    """The copy's content; its outputs are the file's own, then what each op gives. It has no signatures, so that
    tensors go by their own names."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(whole_bytes(path)))
    graph = model.subgraphs[0]
    given = [int(index) for index in graph.outputs]
    made = (int(index) for op in graph.operators for index in op.outputs)
    others = (index for index in dict.fromkeys(made) if index not in given)
    graph.outputs = [*given, *(index for index in others if graph.tensors[index].type in _READABLE)]
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
