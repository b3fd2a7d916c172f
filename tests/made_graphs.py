"""Write small models of a few ops, without TensorFlow: such as keep something from one image to the next."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from tiny_models import _code, _op, _tensor

OPS = schema.BuiltinOperator
OPTIONS = schema.BuiltinOptions


class Builder:
    """A graph with an image, (1, 2, 2, 3), also flattened to (1, 12)."""

    def __init__(self, *shape: int) -> None:
        shape = shape or (1, 2, 2, 3)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], b"main"
        self.image = self.tensor("image", shape)
        self.graph.inputs = [self.image]
        size = int(np.prod(shape))
        self.flat = self.tensor("flat", (1, size))
        self.add(OPS.RESHAPE, [self.image, self.constant("shape", np.array([1, size], np.int32))], [self.flat])

    def tensor(self, name, shape, dtype="float32"):
        return _tensor(self.model, self.graph, name, dtype, shape)

    def constant(self, name, values):
        return _tensor(self.model, self.graph, name, values.dtype.name, values.shape, values)

    def add(self, op, inputs, outputs, kind=0, options=None):
        self.model.operatorCodes.append(_code(op))
        added = _op(len(self.model.operatorCodes) - 1, inputs, outputs)
        added.builtinOptionsType, added.builtinOptions = kind, options
        self.graph.operators.append(added)

    def write(self, path: Path, output: int) -> Path:
        self.graph.outputs = [output]
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def svdf(path: Path) -> Path:
    """An SVDF, whose memory of the last three inputs is a variable tensor."""
    made = Builder()
    state = made.tensor("state", (1, 12))
    made.graph.tensors[state].isVariable = True
    out = made.tensor("scores", (1, 4))
    options = schema.SVDFOptionsT()
    options.rank, options.fusedActivationFunction = 1, 0
    inputs = [made.flat, made.constant("feature", _weights(4, 12)), made.constant("time", _weights(4, 3)), -1, state]
    made.add(OPS.SVDF, inputs, [out], OPTIONS.SVDFOptions, options)
    return made.write(path, out)


def sequence_rnn(path: Path) -> Path:
    """A recurrent layer over the image as a sequence of one step, whose hidden state is a variable tensor."""
    made = Builder()
    sequence = made.tensor("sequence", (1, 1, 12))
    made.add(OPS.RESHAPE, [made.flat, made.constant("steps", np.array([1, 1, 12], np.int32))], [sequence])
    state = made.tensor("hidden", (1, 4))
    made.graph.tensors[state].isVariable = True
    out, flat = made.tensor("steps_out", (1, 1, 4)), made.tensor("scores", (1, 4))
    options = schema.SequenceRNNOptionsT()
    options.timeMajor, options.fusedActivationFunction = False, schema.ActivationFunctionType.TANH
    weights = [made.constant("w", _weights(4, 12) / 12), made.constant("r", _weights(4, 4) / 4)]
    inputs = [sequence, *weights, made.constant("b", np.zeros(4, np.float32)), state]
    made.add(OPS.UNIDIRECTIONAL_SEQUENCE_RNN, inputs, [out], OPTIONS.SequenceRNNOptions, options)
    made.add(OPS.RESHAPE, [out, made.constant("last", np.array([1, 4], np.int32))], [flat])
    return made.write(path, flat)


def resource(path: Path) -> Path:
    """A resource variable that every image is added to."""
    made = Builder()
    handle = made.tensor("handle", (1,))
    made.graph.tensors[handle].type = schema.TensorType.RESOURCE
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = b"", b"sum"
    made.add(OPS.VAR_HANDLE, [], [handle], OPTIONS.VarHandleOptions, options)
    before, after, out = (made.tensor(name, (1, 12)) for name in ("before", "after", "all"))
    # What was never assigned cannot be read: a constant is assigned at the beginning of a graph that is run once
    # and the sum at its end.
    made.add(OPS.READ_VARIABLE, [handle], [before], OPTIONS.ReadVariableOptions, schema.ReadVariableOptionsT())
    made.add(OPS.ADD, [made.flat, before], [after], OPTIONS.AddOptions, schema.AddOptionsT())
    made.add(OPS.ASSIGN_VARIABLE, [handle, after], [], OPTIONS.AssignVariableOptions, schema.AssignVariableOptionsT())
    del out
    return _with_beginning(made, path, after)


def _with_beginning(made: Builder, path: Path, output: int) -> Path:
    """Assign zeros in a subgraph that CALL_ONCE runs at the first invocation."""
    first = schema.SubGraphT()
    main = made.graph
    first.tensors, first.operators, first.inputs, first.outputs, first.name = [], [], [], [], b"begin"
    made.graph = first
    handle = made.tensor("handle", (1,))
    first.tensors[handle].type = schema.TensorType.RESOURCE
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = b"", b"sum"
    made.add(OPS.VAR_HANDLE, [], [handle], OPTIONS.VarHandleOptions, options)
    zeros = made.constant("zeros", np.zeros((1, 12), np.float32))
    made.add(OPS.ASSIGN_VARIABLE, [handle, zeros], [], OPTIONS.AssignVariableOptions, schema.AssignVariableOptionsT())
    made.graph = main
    once = schema.CallOnceOptionsT()
    once.initSubgraphIndex = 1
    made.add(OPS.CALL_ONCE, [], [], OPTIONS.CallOnceOptions, once)
    main.operators.insert(0, main.operators.pop())
    main.outputs = [output]
    made.model.subgraphs = [main, first]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def random_numbers(path: Path) -> Path:
    """Seeded random numbers, which go on from image to image, added to the image."""
    made = Builder()
    noise, out = made.tensor("noise", (1, 12)), made.tensor("noisy", (1, 12))
    options = schema.RandomOptionsT()
    options.seed, options.seed2 = 7, 7
    shape = made.constant("noise_shape", np.array([1, 12], np.int32))
    made.add(OPS.RANDOM_UNIFORM, [shape], [noise], OPTIONS.RandomOptions, options)
    made.add(OPS.ADD, [made.flat, noise], [out], OPTIONS.AddOptions, schema.AddOptionsT())
    return made.write(path, out)


def constant_resource(path: Path) -> Path:
    """A resource variable that is assigned once, at the beginning: no state."""
    made = Builder()
    handle = made.tensor("handle", (1,))
    made.graph.tensors[handle].type = schema.TensorType.RESOURCE
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = b"", b"sum"
    made.add(OPS.VAR_HANDLE, [], [handle], OPTIONS.VarHandleOptions, options)
    before, after = (made.tensor(name, (1, 12)) for name in ("before", "after"))
    made.add(OPS.READ_VARIABLE, [handle], [before], OPTIONS.ReadVariableOptions, schema.ReadVariableOptionsT())
    made.add(OPS.ADD, [made.flat, before], [after], OPTIONS.AddOptions, schema.AddOptionsT())
    return _with_beginning(made, path, after)


def postprocess(path: Path, boxes: np.ndarray, scores: np.ndarray, anchors: np.ndarray, *, regular: bool) -> Path:
    """A detector that ends in the real TFLite_Detection_PostProcess: constant encodings (N, 4) ty, tx, th, tw, scores
    (N, C + 1) with a background and anchors (N, 4) y, x, h, w, with fast or regular NMS."""
    made = Builder(1, 128, 128, 3)
    sources = []
    for name, values in (("raw_boxes", boxes[np.newaxis]), ("raw_scores", scores[np.newaxis])):
        constant = made.constant(f"{name}/constant", values)
        shape = made.constant(f"{name}/shape", np.array(values.shape, np.int32))
        sources.append(made.tensor(name, values.shape))
        made.add(OPS.RESHAPE, [constant, shape], [sources[-1]])
    sources.append(made.constant("anchors", anchors))
    outputs = [
        made.tensor(name, shape)
        for name, shape in (("boxes", (1, 10, 4)), ("classes", (1, 10)), ("scores", (1, 10)), ("count", (1,)))
    ]
    given = flexbuffers.Builder()
    with given.Map():
        for key, value in (
            ("max_detections", 10),
            ("max_classes_per_detection", 1),
            ("detections_per_class", 10),
            ("num_classes", scores.shape[1] - 1),
        ):
            given.Int(key, value)
        given.Bool("use_regular_nms", regular)
        for key, value in (("nms_score_threshold", 0.1), ("nms_iou_threshold", 0.5)):
            given.Float(key, value)
        for key in ("y_scale", "x_scale"):
            given.Float(key, 10.0)
        for key in ("h_scale", "w_scale"):
            given.Float(key, 5.0)
    made.add(OPS.CUSTOM, sources, outputs)
    made.model.operatorCodes[-1].customCode = b"TFLite_Detection_PostProcess"
    made.graph.operators[-1].customOptions = np.frombuffer(bytes(given.Finish()), np.uint8)
    made.write(path, outputs[0])
    made.graph.outputs = [outputs[index] for index in (1, 3, 2, 0)]  # as converters may store them
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def hangs_on_bright(path: Path) -> Path:
    """A classifier of four classes that never ends on an image that has a value above 0.9."""
    made = Builder()
    brightest, looped, out = made.tensor("brightest", (1,)), made.tensor("looped", (1,)), made.tensor("scores", (1, 4))
    reducing = schema.ReducerOptionsT()
    made.add(OPS.REDUCE_MAX, [made.flat, made.constant("axis", np.array([1], np.int32))], [brightest], 27, reducing)
    looping = schema.WhileOptionsT()
    looping.condSubgraphIndex, looping.bodySubgraphIndex = 1, 2
    made.add(OPS.WHILE, [brightest], [looped], OPTIONS.WhileOptions, looping)
    zero, added = made.constant("zero", np.zeros(1, np.float32)), made.tensor("added", (1,))
    made.add(OPS.MUL, [looped, zero], [added], OPTIONS.MulOptions, schema.MulOptionsT())
    scores = made.tensor("plain", (1, 4))
    full = schema.FullyConnectedOptionsT()
    made.add(OPS.FULLY_CONNECTED, [made.flat, made.constant("weights", _weights(4, 12)), -1], [scores], 8, full)
    made.add(OPS.ADD, [scores, added], [out], OPTIONS.AddOptions, schema.AddOptionsT())
    main = made.graph
    subgraphs = []
    for name in (b"cond", b"body"):
        made.graph = schema.SubGraphT()
        made.graph.tensors, made.graph.operators, made.graph.name = [], [], name
        value = made.tensor("value", (1,))
        made.graph.inputs = [value]
        if name == b"cond":
            result = made.tensor("again", (1,), "bool")
            limit = made.constant("limit", np.array([0.9], np.float32))
            made.add(OPS.GREATER, [value, limit], [result], OPTIONS.GreaterOptions, schema.GreaterOptionsT())
        else:
            result = made.tensor("same", (1,))
            made.add(OPS.RESHAPE, [value, made.constant("one", np.array([1], np.int32))], [result])
        made.graph.outputs = [result]
        subgraphs.append(made.graph)
    made.graph = main
    made.write(path, out)
    made.model.subgraphs = [main, *subgraphs]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
