"""The door to the LiteRT interpreter: the only place that opens one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DelegateError, ModelError
from auditor.models.chatter import dropped_stderr
from auditor.models.contract import dequantize

__all__ = ["DELEGATES", "Runner", "open_inspected", "open_model"]

DELEGATES = ("none", "xnnpack")


class Runner(Protocol):
    """An opened model: one input tensor in, every output by name out, integers dequantized."""

    def invoke(self, tensor: NDArray[Any]) -> Mapping[str, NDArray[Any]]: ...


class _LiteRtRunner:
    def __init__(self, interpreter: Any, output_names: tuple[str, ...]) -> None:
        self._interpreter = interpreter
        self._input = interpreter.get_input_details()[0]["index"]
        self._outputs = list(zip(output_names, interpreter.get_output_details(), strict=True))

    def invoke(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        return {name: _real(self._interpreter.get_tensor(details["index"]), details) for name, details in self._outputs}


def open_model(path: Path, *, delegate: str, threads: int, input_shape: tuple[int, ...] | None, output_names: tuple[str, ...]) -> Runner:
    """Open a model file on `delegate` (`none`: the built-in kernels alone, `xnnpack`) with `threads` threads.

    `input_shape` is given where the file leaves a dimension of its input open or has a batch above 1.

    Raises:
        DelegateError: the delegate is not one of `DELEGATES`.
        ModelError: the runtime refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if delegate not in DELEGATES:
        raise DelegateError(f"{delegate}: expected a delegate of {', '.join(DELEGATES)}")
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if delegate == "none" else OpResolverType.BUILTIN
    try:
        with dropped_stderr():
            interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=kernels)
            if input_shape is not None:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape, strict=False)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the LiteRT runtime refuses the model: {_first_lines(error)}") from error
    return _LiteRtRunner(interpreter, output_names)


def open_inspected(path: Path, *, input_shape: tuple[int, ...] | None) -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
    """Open a model so that every tensor can be read after an invocation: a function from the input to real values by name.

    Runs on the built-in kernels with one thread, since a delegate keeps its tensors to itself.

    Raises:
        ModelError: the runtime refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        with dropped_stderr():
            interpreter = Interpreter(
                str(path),
                num_threads=1,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            if input_shape is not None:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape, strict=False)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the LiteRT runtime refuses the model: {_first_lines(error)}") from error

    def invoke(tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
        interpreter.invoke()
        values = {}
        for details in interpreter.get_tensor_details():
            try:
                values[details["name"]] = _real(interpreter.get_tensor(details["index"]), details)
            except ValueError:
                continue  # scratch memory of an op, which holds no value
        return values

    return invoke


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
