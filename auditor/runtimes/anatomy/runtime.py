"""A runtime as one value, what an opened model can do, and what a file's graph says, in words of no runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from auditor import extensions
from auditor.delegate import Delegate
from auditor.errors import ModelError
from auditor.values import Compatibility, InputContract, ModelSpec

__all__ = [
    "FileFacts",
    "FileNotes",
    "Inspected",
    "OpenedModel",
    "Runtime",
    "TensorFacts",
    "facts_of",
    "open_spec",
    "runtime_of",
]


class OpenedModel(Protocol):
    """An opened model: one input tensor in, every output by name out, integers dequantized."""

    def invoke(self, tensor: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run the model from the state that it was opened in, whatever was invoked before, unless it keeps that."""

    def reset(self) -> None:
        """Return to the state that it was opened in now, so that the next `invoke` need not: for what is timed."""

    def delegated(self) -> tuple[int, int] | None:
        """How many of the graph's ops the delegate took, and how many there are; None where that cannot be told."""


@dataclass(frozen=True)
class TensorFacts:
    """One tensor: `shape` has -1 for a dimension left open; `scales` is empty where it is not quantized. `codes` is the
    8-bit tensor that an input or output is, or that stands one (DE)QUANTIZE away from it, where there is one."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    called: str = ""
    """What signatures call it."""
    made_by: tuple[str, ...] = ()
    """Of an output, the ops behind it, the last first, as far back as each has one input that is no constant."""
    codes: TensorFacts | None = None


@dataclass(frozen=True)
class FileNotes:
    """What a file says of itself beside its graph; None or empty where it is silent. `problems` names notes that could
    not be read."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    color: str | None = None
    labels: tuple[str | None, ...] | None = None
    name: str | None = None
    ultralytics: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileFacts:
    """What a model file says: `level` is its quantization, `op_outputs` are the outputs of each custom op in its own
    order, `refusal` is why it cannot run here, `arena_bytes` an estimate of its activations' memory."""

    path: Path
    size_bytes: int
    level: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    ops: Mapping[str, int]
    op_outputs: Mapping[str, tuple[str, ...]]
    notes: FileNotes
    compatibility: Compatibility
    arena_bytes: int
    refusal: str | None = None
    state: tuple[str, ...] = ()
    """What it keeps from one invocation to the next, in words."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs in order, as everything outside calls them."""
        return tuple(output.name for output in self.outputs)


@dataclass(frozen=True)
class Inspected:
    """A model opened so that every tensor can be read: real values by name (`invoke`), the op that makes each, and the
    lowest and highest value that the codes of each quantized activation hold, two codes more at either end."""

    invoke: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
    ops: Mapping[str, str]
    limits: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Runtime:
    """What runs the files that it `reads`.

    `facts` tells what a file says, `open` opens it on a delegate with so many threads, `inspect` opens it so that its
    tensors can be read. `delegate` is what its models run on, None where that is the audit's choice. A runtime whose
    files another one stands in for (a source that is converted before it is understood) has `stand_in`: the content of
    that file, for an input of (height, width) where the source leaves it open; `pair` then tells which of its outputs
    is which of the stand-in's. `input_shape` is the shape that the input is resized to, None where the file fixes it.
    """

    name: str
    about: str
    reads: Callable[[Path], bool]
    open: Callable[[ModelSpec, Delegate, int], OpenedModel]
    sha256: Callable[[Path], str]
    size_bytes: Callable[[Path], int]
    facts: Callable[[Path], FileFacts] | None = None
    inspect: Callable[[ModelSpec], Inspected] | None = None
    expose: Callable[[ModelSpec, Delegate], Inspected] | None = None
    """As `inspect`, on a delegate: of a copy of the file whose every activation is an output, since a delegate keeps
    its tensors to itself."""
    input_shape: Callable[[FileFacts, InputContract], tuple[int, ...] | None] | None = None
    delegate: Delegate | None = None
    stand_in: Callable[[Path, tuple[int, int] | None], bytes] | None = None
    pair: Callable[[Path, NDArray[Any], Mapping[str, NDArray[Any]]], dict[str, int]] | None = None
    chain: Callable[[Path, int], tuple[list[str], bool]] | None = None
    """The tensors between a file's outputs and its first weighted ops, so many more passed on each path, and whether
    any weighted op lies behind them."""
    signature: Callable[[Path], tuple[str, str]] | None = None
    """What a file's signature is called, and what it calls the input."""
    convert: Callable[[Path, str, Callable[[], Iterator[NDArray[Any]]] | None, str, tuple[int, int]], bytes] | None = (
        None
    )
    """Make the file of a level: (source, level, calibration inputs, type of the input and outputs, (height, width))."""
    converted: tuple[str, ...] = ()
    """The levels that `convert` makes."""
    packages: tuple[str, ...] = ()
    """Packages beside the auditor's own whose version could change a score."""
    load: Callable[[], None] = lambda: None
    """Import what it needs, so that what is timed or weighed afterwards is the model alone."""

    def delegates(self, asked: Sequence[Delegate]) -> Iterator[Delegate]:
        """What its models run on, where the audit asks for some delegates."""
        yield from (self.delegate,) if self.delegate is not None else asked


def runtime_of(path: Path) -> Runtime:
    """Return the runtime of a model file or folder, told by its name; LiteRT's reads whatever no other does."""
    found: dict[str, Runtime] = extensions.every("runtimes")
    return next((runtime for runtime in found.values() if runtime.reads(path)), found["litert"])


def facts_of(path: Path) -> FileFacts:
    """Read what a model file says.

    Raises:
        ModelError: it cannot be read, or is a source that says nothing before it is converted.
    """
    runtime = runtime_of(path)
    if runtime.facts is None:
        raise ModelError(f"{path}: a {runtime.about} must be converted before it can be read", field="path")
    return runtime.facts(path)


def open_spec(spec: ModelSpec, *, delegate: Delegate, threads: int) -> OpenedModel:
    """Open the model of a resolved spec on a delegate.

    Raises:
        DelegateError: the delegate cannot be had here.
        ModelError: the runtime refuses the file.
    """
    return runtime_of(Path(spec.path)).open(spec, delegate, threads)
