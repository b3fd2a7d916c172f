"""TensorFlow: Keras files and SavedModel folders, the parents of TFLite files; what TFLite says of them their
conversion does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from auditor.delegate import TENSORFLOW, Delegate
from auditor.runtimes.anatomy.runtime import OpenedModel, Runtime
from auditor.runtimes.tensorflow.keras import (
    CONVERTED,
    convert,
    is_parent,
    open_parent,
    paired_outputs,
    sha256_of_parent,
    size_of_parent,
)
from auditor.values import ModelSpec
from auditor.values.levels import FLOAT32

__all__ = ["RUNTIME"]


class _Parent:
    """A parent behind the interface of an opened file: its outputs by the names that the converted file gives them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._opened = open_parent(Path(spec.path), keeps_state=spec.keeps_state)
        self._positions = spec.outputs

    def invoke(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        outputs = self._opened.invoke(tensor)
        return {name: outputs[position] for name, position in self._positions.items()}

    def reset(self) -> None:
        """Return to the variables that it was loaded with."""
        self._opened.reset()

    def delegated(self) -> None:
        """TensorFlow has no delegate."""


def _open(spec: ModelSpec, delegate: Delegate, threads: int) -> OpenedModel:  # noqa: ARG001 (it has one way to run)
    return _Parent(spec)


def _pair(path: Path, tensor: NDArray[Any], converted: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    return paired_outputs(open_parent(path).invoke(tensor), converted, path)


RUNTIME = Runtime(
    name="tensorflow",
    about="Keras or SavedModel source",
    reads=is_parent,
    open=_open,
    sha256=sha256_of_parent,
    size_bytes=size_of_parent,
    delegate=TENSORFLOW,
    stand_in=lambda path, size: convert(path, FLOAT32, size=size),
    pair=_pair,
    convert=lambda path, level, inputs, io, size: convert(path, level, inputs=inputs, io=io, size=size),
    converted=CONVERTED,
    packages=("tensorflow", "keras"),
)
