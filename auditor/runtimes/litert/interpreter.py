"""The door to the LiteRT interpreter: the only place that opens one."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.delegate import Delegate
from auditor.encoding import dequantize
from auditor.errors import DelegateError, ModelError
from auditor.runtimes.anatomy.chatter import captured_stderr, dropped_stderr
from auditor.runtimes.anatomy.runtime import OpenedModel
from auditor.runtimes.litert.graph import RANDOM, RESOURCES, VARIABLES

__all__ = ["load_runtime", "open_exposed", "open_inspected", "open_model"]


class _Fresh:
    """An interpreter that has the state it was opened in before each invocation.

    Variable tensors are set back; resource variables and generators of random numbers, which the runtime cannot set
    back, need an interpreter opened anew. `state` is what the file keeps between invocations, empty where it may.
    """

    def __init__(self, build: Callable[[], Any], state: tuple[str, ...]) -> None:
        self._build, self._anew = build, bool({RESOURCES, RANDOM} & set(state))
        self._variables = VARIABLES in state
        self._is_fresh = True
        self.interpreter = build()
        self._watched = _of_input(self.interpreter)

    def reset(self) -> None:
        if self._is_fresh:
            return
        if self._anew:
            self.interpreter = self._build()
        elif self._variables:
            self.interpreter.reset_all_variables()
        self._is_fresh = True

    def invoke(self, tensor: NDArray[Any]) -> None:
        self.reset()
        marked = [index for index in self._watched if _is_marked(self.interpreter, index)]
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], tensor)
        self.interpreter.invoke()
        self._is_fresh = False
        for index in marked:
            if _is_canary(self.interpreter.get_tensor(index)):
                raise ModelError(UNWRITTEN.format(self._watched[index]))


UNWRITTEN = "the runtime came back without having written the output {}"
_LEAST_BYTES = 8
"""Shorter outputs could be a canary by chance."""
_CANARY = np.tile(np.array([0xA5, 0x5A, 0xC3, 0x7F, 0x13, 0x37, 0xE9, 0xFF], dtype=np.uint8), 512)
"""The first bytes of an output before it is computed, which no model gives: of every type not all alike, and as floats
of no use."""


def _is_canary(values: NDArray[Any]) -> bool:
    found = values.reshape(-1).view(np.uint8)[: len(_CANARY)]
    return bool(np.array_equal(found, _CANARY[: len(found)]))


def _of_input(interpreter: Any) -> dict[int, str]:
    """The names of the outputs that an invocation must write, by their index: those that depend on the input. Others
    may be constants of the file, which nobody may write."""
    try:
        reached = {int(details["index"]) for details in interpreter.get_input_details()}
        inputs = set(reached)
        for node in interpreter._get_ops_details():
            if reached & {int(index) for index in node["inputs"]}:
                reached |= {int(index) for index in node["outputs"]}
        outputs = interpreter.get_output_details()
    except UnicodeDecodeError:  # a name in the file is no text
        return {}
    return {int(item["index"]): item["name"] for item in outputs if int(item["index"]) in reached - inputs}


def _mark(output: NDArray[Any]) -> None:
    start = output.reshape(-1).view(np.uint8)[: len(_CANARY)]
    start[:] = _CANARY[: len(start)]


def _is_marked(interpreter: Any, index: int) -> bool:
    """Begin an output with a canary before it is computed; not one whose memory is only made then."""
    try:
        view = interpreter.tensor(index)()
    except (ValueError, RuntimeError):
        return False
    if view.dtype.kind not in "fiub" or view.nbytes < _LEAST_BYTES:
        return False
    _mark(view)
    return True


class _LiteRtModel:
    def __init__(self, opened: _Fresh, output_names: tuple[str, ...]) -> None:
        self._opened = opened
        self._outputs = list(zip(output_names, opened.interpreter.get_output_details(), strict=True))

    @property
    def _interpreter(self) -> Any:
        return self._opened.interpreter

    def reset(self) -> None:
        """Return to the state that the model was opened in."""
        self._opened.reset()

    def invoke(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        self._opened.invoke(tensor)
        return {name: _real(self._interpreter.get_tensor(details["index"]), details) for name, details in self._outputs}

    def delegated(self) -> tuple[int, int]:
        """Count the ops between the inputs and the outputs of each DELEGATE node: the runtime keeps the original nodes
        in its list and appends these, without a name or a count."""
        nodes = self._interpreter._get_ops_details()
        original = [node for node in nodes if node["op_name"] != "DELEGATE"]
        producers = {int(index): number for number, node in enumerate(original) for index in node["outputs"]}
        taken: set[int] = set()
        for node in nodes[len(original) :]:
            fed = {int(index) for index in node["inputs"]}
            pending = [int(index) for index in node["outputs"]]
            while pending:
                index = pending.pop()
                number = producers.get(index)
                if index in fed or number is None or number in taken:
                    continue
                taken.add(number)
                pending += [int(source) for source in original[number]["inputs"] if source >= 0]
        return len(taken), len(original)


class _CompiledModel:
    """LiteRT's CompiledModel on a GPU, which takes the whole model or raises."""

    def __init__(self, path: Path, graph_outputs: tuple[str, ...]) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        self._model = CompiledModel.from_file(str(path), HardwareAccelerator.GPU)
        self._names = graph_outputs
        signature = self._model.get_signature_by_index(0)
        self._key = next(iter(self._model.get_signature_list()))
        self._details = self._model.get_output_tensor_details(self._key)
        self._called = signature["outputs"]
        self._inputs, self._outputs = self._model.create_input_buffers(0), self._model.create_output_buffers(0)

    def invoke(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        shapes = [[max(1, int(side)) for side in self._details[called]["shape"]] for called in self._called]
        for shape, buffer in zip(shapes, self._outputs, strict=True):
            marked = np.zeros(int(np.prod(shape)), dtype=np.float32)
            _mark(marked)
            buffer.write(marked)
        self._inputs[0].write(np.ascontiguousarray(tensor))
        self._model.run_by_index(0, self._inputs, self._outputs)
        values = {}
        for name, shape, buffer in zip(self._names, shapes, self._outputs, strict=True):
            values[name] = np.asarray(buffer.read(int(np.prod(shape)), np.float32)).reshape(shape)
            if _is_canary(values[name]):
                raise ModelError(UNWRITTEN.format(name))
        return values

    def reset(self) -> None:
        """A model with state is not opened on a GPU."""

    def delegated(self) -> None:
        """CompiledModel does not say which ops an accelerator took."""


def _open_gpu(path: Path, output_names: tuple[str, ...]) -> OpenedModel:
    said: list[str] = []
    try:
        with captured_stderr() as said:
            return _CompiledModel(path, output_names)
    except (RuntimeError, ValueError, ImportError, KeyError) as error:
        lines = [*str(error).splitlines(), *said]
        told = [
            line.split("] ", 1)[-1]
            for line in lines
            if re.search("fail|cannot|couldn't|no adapter|not found", line, re.IGNORECASE)
        ]
        raise DelegateError(
            f"gpu: the runtime has none here: {told[-1].strip() if told else _first_lines(error)}"
        ) from error


def _library(delegate: Delegate) -> Any:
    from ai_edge_litert.interpreter import load_delegate

    try:
        return load_delegate(delegate.library, dict(delegate.options))
    except (ValueError, OSError, RuntimeError, AttributeError) as error:
        raise DelegateError(
            f"{delegate.name}: {delegate.library} cannot be loaded: {_first_lines(error) or 'it gave no reason'}"
        ) from error


def load_runtime() -> None:
    """Import the runtime, so that what is timed or weighed afterwards is the model alone."""
    importlib.import_module("ai_edge_litert.interpreter")


def open_model(
    path: Path,
    *,
    delegate: Delegate,
    threads: int,
    input_shape: tuple[int, ...] | None,
    output_names: tuple[str, ...],
    state: tuple[str, ...],
) -> OpenedModel:
    """Open a model file on `delegate` with `threads` threads; beside a library the built-in kernels run without
    XNNPACK, and a GPU is used through LiteRT's CompiledModel.

    `input_shape` is given where the file leaves a dimension of its input open or has a batch above 1; `state` is what
    is set back before each invocation.

    Raises:
        DelegateError: the delegate cannot be had here.
        ModelError: the runtime refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    if delegate.kind == "gpu":
        if state:
            raise DelegateError(f"gpu: the model keeps {' and '.join(state)} between images, which it cannot set back")
        return _open_gpu(path, output_names)
    kernels = _kernels(delegate)

    def build() -> Any:
        return _allocated(Interpreter(str(path), num_threads=threads, **kernels), input_shape)

    try:
        with dropped_stderr():
            opened = _Fresh(build, state)
    except (RuntimeError, ValueError) as error:
        if delegate.library is not None:
            raise DelegateError(f"{delegate.name} does not take the model: {_first_lines(error)}") from error
        raise ModelError(f"{path}: the LiteRT runtime refuses the model: {_first_lines(error)}") from error
    return _LiteRtModel(opened, output_names)


def _kernels(delegate: Delegate) -> dict[str, Any]:
    """What an interpreter is opened with, so that a delegate's kernels run."""
    from ai_edge_litert.interpreter import OpResolverType

    with_xnnpack = delegate.kind == "xnnpack"
    kernels = OpResolverType.BUILTIN if with_xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    libraries = [_library(delegate)] if delegate.library is not None else None
    return {"experimental_op_resolver_type": kernels, "experimental_delegates": libraries}


def _allocated(interpreter: Any, input_shape: tuple[int, ...] | None) -> Any:
    if input_shape is not None:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape, strict=False)
    interpreter.allocate_tensors()
    return interpreter


def open_inspected(
    path: Path, *, input_shape: tuple[int, ...] | None, state: tuple[str, ...]
) -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
    """Open a model so that every tensor can be read after an invocation: a function from the input to real values by
    name.

    Runs on the built-in kernels with one thread, since a delegate keeps its tensors to itself.

    Raises:
        ModelError: the runtime refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def build() -> Any:
        interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        return _allocated(interpreter, input_shape)

    try:
        with dropped_stderr():
            opened = _Fresh(build, state)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the LiteRT runtime refuses the model: {_first_lines(error)}") from error

    return functools.partial(_every_tensor, opened)


def open_exposed(
    content: bytes, *, delegate: Delegate, input_shape: tuple[int, ...] | None, state: tuple[str, ...]
) -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
    """As `open_inspected`, on a delegate, of a model whose activations are outputs.

    Raises:
        ModelError: the runtime, or the delegate, refuses it.
    """
    from ai_edge_litert.interpreter import Interpreter

    kernels = _kernels(delegate)

    def build() -> Any:
        return _allocated(Interpreter(model_content=content, num_threads=1, **kernels), input_shape)

    try:
        with dropped_stderr():
            opened = _Fresh(build, state)
    except (RuntimeError, ValueError) as error:
        told = f"{delegate.name} refuses the model with every activation as an output: {_first_lines(error)}"
        raise ModelError(told) from error
    return functools.partial(_every_tensor, opened)


def _every_tensor(opened: _Fresh, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The real values of every tensor that can be read after an invocation, by name."""
    opened.invoke(tensor)
    interpreter = opened.interpreter
    values = {}
    for details in interpreter.get_tensor_details():
        try:
            values[details["name"]] = _real(interpreter.get_tensor(details["index"]), details)
        except ValueError:
            continue  # scratch memory of an op, which holds no value
    return values


def _real(codes: NDArray[Any], details: Mapping[str, Any]) -> NDArray[Any]:
    parameters = details["quantization_parameters"]
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    if not len(scales) or not np.issubdtype(codes.dtype, np.integer):
        return codes
    if len(scales) == 1:
        return dequantize(codes, scale=float(scales[0]), zero_point=int(zero_points[0]))
    shape = [1] * codes.ndim
    shape[parameters["quantized_dimension"]] = -1
    return dequantize(codes, scale=scales.reshape(shape), zero_point=zero_points.reshape(shape))


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
