"""Keras and SavedModel parents: run through TensorFlow, and converted to TFLite by TensorFlow's converter.

TensorFlow takes seconds to import and is an extra, so the functions here import it themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.provenance import digest, sha256_of
from auditor.runtimes.anatomy.chatter import dropped_output
from auditor.values.levels import DYNAMIC, FLOAT16, FLOAT32, INT8, INT16X8

__all__ = [
    "CONVERTED",
    "convert",
    "is_parent",
    "open_parent",
    "paired_outputs",
    "sha256_of_parent",
    "size_of_parent",
]

CONVERTED = (FLOAT32, FLOAT16, DYNAMIC, INT8, INT16X8)
"""The levels that TensorFlow's converter makes."""

_SIGNATURE = "serving_default"
_SHOWN = 300

Inputs = Callable[[], Iterator[NDArray[Any]]]


def is_parent(path: Path) -> bool:
    """Say whether a path is a Keras file or a SavedModel folder, not a `.tflite` file."""
    return path.suffix in (".keras", ".h5", ".hdf5") or path.is_dir()


def sha256_of_parent(path: Path) -> str:
    """Return the SHA-256 of a Keras file, or of the names and contents of a SavedModel's files."""
    if path.is_file():
        return sha256_of(path)
    return digest([[str(file.relative_to(path)), sha256_of(file)] for file in _files(path)])


def size_of_parent(path: Path) -> int:
    """Return the bytes of a Keras file, or of all files of a SavedModel."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else _files(path)))


def convert(
    path: Path, level: str, *, inputs: Inputs | None = None, io: str = "float32", size: tuple[int, int] | None = None
) -> bytes:
    """Convert a parent to the TFLite file of `level`, one of `CONVERTED`; `size` (height, width) fixes an input that
    leaves them open.

    `inputs` yields encoded images for the integer levels, whose inputs and outputs are of the type `io`: `float32`, or
    `int8` (int16 for int16x8).
    Source: https://ai.google.dev/edge/litert/models/post_training_quantization.

    Raises:
        ModelError: the parent cannot be loaded, or an op of it has no TFLite kernel at this level (they are named).
    """
    tf = _tensorflow()
    with dropped_output(), _as_model_errors(path, f"cannot be converted to {level}"):
        converter = _converter(tf, path, size)
        if level != FLOAT32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if level == FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        if level in (INT8, INT16X8):
            converter.representative_dataset = lambda: ([tensor] for tensor in inputs()) if inputs else iter(())
            kernels = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                kernels.TFLITE_BUILTINS_INT8
                if level == INT8
                else kernels.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
            if io == "int8":
                converter.inference_input_type = converter.inference_output_type = (
                    tf.int8 if level == INT8 else tf.int16
                )
        return bytes(converter.convert())


class Parent:
    """An opened parent: from the (1, h, w, c) input to its outputs, flattened in TensorFlow's order. Variables that its
    graph assigns are set back before each invocation, to the values that they were loaded with."""

    def __init__(self, tf: Any, call: Any, variables: Sequence[Any]) -> None:
        self._tf, self._call = tf, call
        self._loaded = [(variable, variable.numpy()) for variable in variables]
        self._is_fresh = True

    def reset(self) -> None:
        """Set the assigned variables back."""
        if not self._is_fresh:
            for variable, value in self._loaded:
                variable.assign(value)
            self._is_fresh = True

    def invoke(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Run it on one encoded image."""
        self.reset()
        outputs = [np.asarray(output) for output in self._tf.nest.flatten(self._call(self._tf.constant(tensor)))]
        self._is_fresh = not self._loaded
        return outputs


def open_parent(path: Path, *, keeps_state: bool = False) -> Parent:
    """Open a parent; with `keeps_state` its variables are what earlier invocations made of them.

    It runs on one thread, as the interpreters do.

    Raises:
        ModelError: it cannot be loaded.
    """
    tf = _tensorflow()
    with dropped_output(), _as_model_errors(path, "cannot be loaded"):
        if path.is_file():
            model = _keras_model(tf, path)
            held = [getattr(variable, "value", variable) for variable in model.variables]
            call = tf.function(lambda tensor: model(tensor, training=False))
            shape = tuple(model.inputs[0].shape)
            graph = call.get_concrete_function(tf.TensorSpec((1, *shape[1:]), model.inputs[0].dtype)).graph
        else:
            _, signature = _saved_model(tf, path)
            held, graph = list(signature.variables), signature.graph
            (name,) = signature.structured_input_signature[1]
            call = lambda tensor: signature(**{name: tensor})  # noqa: E731 (one of two ways to the same)
        assigned = [] if keeps_state or not _assigns(graph) else held
    return Parent(tf, call, assigned)


def _assigns(graph: Any) -> bool:
    """Whether a graph, or a function that it calls, assigns a variable."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return any(node.op.startswith("Assign") for node in nodes)


def paired_outputs(mine: list[NDArray[Any]], converted: Mapping[str, NDArray[Any]], path: Path) -> dict[str, int]:
    """Pair the outputs of a converted file with the parent's, both of one image: by shape, then by the nearest values.

    Returns the position in `mine` of each output of the file, in the file's order.

    Raises:
        ModelError: an output of the file has no counterpart.
    """
    positions: dict[str, int] = {}
    for name, array in converted.items():
        left = [
            index
            for index, output in enumerate(mine)
            if output.shape == array.shape and index not in positions.values()
        ]
        if not left:
            shapes = ", ".join(str(output.shape) for output in mine)
            raise ModelError(
                f"{path}: the converted output {name} {array.shape} has no counterpart among the parent's ({shapes})"
            )
        apart = [float(np.abs(mine[index].astype(np.float64) - array).mean()) for index in left]
        positions[name] = left[int(np.argmin(apart))]
    return positions


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        with dropped_output():  # which GPU it did not find, from C++ and before any level of logging holds
            import tensorflow as tf

            tf.config.list_logical_devices()
    except ImportError as error:
        raise ModelError(
            'Keras and SavedModel sources need the extra: pip install "tflite-auditor[tensorflow]"', field="path"
        ) from error
    tf.get_logger().setLevel("ERROR")
    return tf


def _converter(tf: Any, path: Path, size: tuple[int, int] | None) -> Any:
    if path.is_file():
        model = _keras_model(tf, path)
        shape = tuple(model.inputs[0].shape)
        if size is None or None not in shape[1:3]:
            return tf.lite.TFLiteConverter.from_keras_model(model)
        return _fixed(
            tf, lambda tensor: model(tensor, training=False), model, (1, *size, *shape[3:]), model.inputs[0].dtype
        )
    key, signature = _saved_model(tf, path)
    ((name, spec),) = signature.structured_input_signature[1].items()
    if size is None or spec.shape.rank is None or None not in tuple(spec.shape)[1:3]:
        return tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=[key])
    return _fixed(
        tf,
        lambda tensor: signature(**{name: tensor}),
        signature.keeps_alive,
        (1, *size, *tuple(spec.shape)[3:]),
        spec.dtype,
    )


def _fixed(tf: Any, call: Callable[[Any], Any], holder: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A converter of a function whose input is of one shape; `holder` owns its variables."""
    concrete = tf.function(call).get_concrete_function(tf.TensorSpec(shape, dtype))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)


def _keras_model(tf: Any, path: Path) -> Any:
    model = tf.keras.models.load_model(path, compile=False)
    if len(model.inputs) != 1:
        raise ModelError(f"{path}: it has {len(model.inputs)} inputs; expected one image")
    return model


def _saved_model(tf: Any, path: Path) -> tuple[str, Any]:
    """The key and function of the signature to serve: `serving_default`, else the only one."""
    if not (path / "saved_model.pb").is_file():
        raise ModelError(
            f"{path}: this folder holds no saved_model.pb; give a SavedModel folder, a .keras file or a .tflite file"
        )
    loaded = tf.saved_model.load(str(path))
    keys = list(loaded.signatures)
    if _SIGNATURE not in keys and len(keys) != 1:
        found = f"its signatures are {', '.join(sorted(keys))}" if keys else "it has no signature at all"
        raise ModelError(
            f"{path}: a SavedModel without the signature {_SIGNATURE} ({found}); export it with `signatures=`, or "
            "with `model.export()`"
        )
    key = _SIGNATURE if _SIGNATURE in keys else keys[0]
    signature = loaded.signatures[key]
    signature.keeps_alive = loaded  # a signature's variables die with the object that it was loaded from
    names = list(signature.structured_input_signature[1])
    if len(names) != 1:
        raise ModelError(
            f"{path}: the signature {key} has {len(names)} inputs ({', '.join(names)}); expected one image"
        )
    return key, signature


@contextlib.contextmanager
def _as_model_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        text = str(error)
        custom = re.search(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object)):? '?(\w+)'?", text)
        if custom:
            text = (
                f"it has the custom layer {custom[1]}, whose code is not in the file; export it as a SavedModel with "
                "`model.export()`"
            )
        lacking = sorted(set(re.findall(r"\b(?:Flex|tf\.)([A-Z]\w+)", text)))
        if lacking and ("Select" in text or "custom" in text.lower()):
            them = "it" if len(lacking) == 1 else "them"
            text = (
                f"TFLite has no kernel for {', '.join(lacking)}, which would need Flex ops; replace {them} in the model"
            )
        raise ModelError(f"{path}: {what}: {' '.join(text.split())[:_SHOWN]}", field="path") from error
