"""From a source model to its quantization ladder, every made file with its provenance beside it: a float32 `.tflite`
model by litert-quantizer, a Keras or SavedModel source by TensorFlow's converter."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.images import folder_images, read_record
from auditor.errors import DataError, InputError, ModelError, StoreError
from auditor.executors import run_isolated
from auditor.models import keras
from auditor.models.chatter import dropped_stderr
from auditor.models.contract import encode
from auditor.models.graph import WEIGHTED_OPS, Graph, load_graph, quantization_level
from auditor.models.resolve import ModelRequest, derived_spec, resolve_model
from auditor.provenance import digest, sha256_of, versions_of
from auditor.store import load_json, save_bytes, save_json
from auditor.values import ImageRecord, ModelSpec

__all__ = [
    "CALIBRATED",
    "FLOAT_HEAD",
    "FLOAT_MORE",
    "LEVELS",
    "LevelRequest",
    "MadeLevel",
    "head_tensors",
    "leaves_integers",
    "make_levels",
    "quantize_file",
]

LEVELS = ("float32", "float16", "dynamic", "weight_only", "int8", "int16x8")
"""The levels that can be asked for. Of a `.tflite` source `float32` is the source itself."""

FLOAT_HEAD = "int8_float_head"
"""The remedy: int8 but for the chain of ops from the outputs back to the first weighted ops, which stays in float."""

FLOAT_MORE = "int8_float_more"
"""As `FLOAT_HEAD`, with the ops behind `_MORE` more weighted ops in float too: whether more float would help."""
_MORE = 4

CALIBRATED = ("int8", "int16x8", FLOAT_HEAD, FLOAT_MORE)

_TIMEOUT_S = 3600.0
_RECIPE = 2
"""Raised with every change of how a level is made here, so that no older file is taken for it."""


@dataclass(frozen=True)
class LevelRequest:
    """One level to make of `spec`, into `folder`. `calibration` is run through the spec's own input contract; `io` is
    the type of the made model's input and outputs, `float32` or `int8` (integer levels only)."""

    spec: ModelSpec
    level: str
    folder: str
    calibration: tuple[ImageRecord, ...] = ()
    io: str = "float32"

    @property
    def path(self) -> Path:
        return Path(self.folder) / f"{self.spec.name}_{self.level}.tflite"

    @property
    def from_parent(self) -> bool:
        """Whether the source is a Keras file or a SavedModel."""
        return keras.is_parent(Path(self.spec.path))

    @property
    def _tools(self) -> tuple[str, ...]:
        return ("tensorflow", "keras") if self.from_parent else ("litert-quantizer",)

    @property
    def made_with(self) -> str:
        """The program that makes the level, and on how many images it is calibrated."""
        tools = " and ".join(f"{name} {version}" for name, version in versions_of(self._tools[:1]).items())
        return f"{tools}, calibrated on {len(self.calibration)} images" if self.level in CALIBRATED else tools

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything that made the file: it is made again when any of it changed."""
        calibrated = self.level in CALIBRATED
        return {
            "source": self.spec.sha256,
            "level": self.level,
            "io": self.io,
            "input": repr(self.spec.input) if calibrated else None,
            "calibration": digest([image.sha256 for image in self.calibration]) if calibrated else None,
            "calibration_images": len(self.calibration) if calibrated else 0,
            "recipe": _RECIPE,
            "versions": versions_of([*self._tools, "ai-edge-litert", "numpy", "opencv-python-headless"]),
        }


@dataclass(frozen=True)
class MadeLevel:
    """What became of a request: a `spec` to audit, or the `reason` why there is none."""

    request: LevelRequest
    spec: ModelSpec | None = None
    reason: str | None = None


def make_levels(
    requests: Sequence[LevelRequest], *, images: Mapping[str, Sequence[NDArray[np.uint8]]], say: Callable[[str], None]
) -> list[MadeLevel]:
    """Make each level in a process of its own, unless its file is there and nothing that made it changed.

    `images` are, by data set, the first images to diagnose the made models on.
    """
    todo = [request for request in requests if not _is_made(request)]
    for request in todo:
        say(f"making {request.level} of {request.spec.name} …")
    reasons: dict[tuple[str, str], str | None] = {}
    for outcome in run_isolated(_make, todo, timeout_s=_TIMEOUT_S):
        key = outcome.item.spec.name, outcome.item.level
        failed = f"making it failed unexpectedly: {(outcome.error or 'no reason was told').strip().splitlines()[-1]}"
        reasons[key] = outcome.result if outcome.error is None else failed
    made = []
    for request in requests:
        reason = reasons.get((request.spec.name, request.level))
        if reason is not None:
            made.append(MadeLevel(request, reason=reason))
            continue
        try:
            first = images.get(request.spec.dataset, ())
            spec = derived_spec(request.spec, request.path, level=request.level, made=request.made_with, images=first)
            made.append(MadeLevel(request, spec=spec))
        except ModelError as error:
            made.append(MadeLevel(request, reason=f"the made model does not run: {error}"))
    return made


def quantize_file(
    model: Path,
    *,
    levels: Sequence[str],
    calibration: Path | None,
    folder: Path,
    io: str,
    labels: str | None = None,
    say: Callable[[str], None],
) -> list[MadeLevel]:
    """Make levels of a model file outside of an audit; what its input contract is, the file and its head tell.

    Raises:
        InputError: a level is unknown or needs calibration images that are not given, or there are none.
        ModelError: the file cannot be read, run or understood.
    """
    known = LEVELS if keras.is_parent(model) else LEVELS[1:]
    problems = [
        f"--levels: {level!r} is unknown; known are {', '.join(known)}" for level in levels if level not in known
    ]
    if calibration is None and any(level in CALIBRATED for level in levels):
        problems.append(
            f"--calibration: {', '.join(level for level in levels if level in CALIBRATED)} need a folder of "
            "calibration images"
        )
    if not levels:
        problems.append(f"--levels: it names none; known are {', '.join(known)}")
    foreign = [
        path
        for level in levels
        if (path := folder / f"{model.stem}_{level}.tflite").exists() and not path.with_suffix(".json").exists()
    ]
    problems += [
        f"{path}: this file is there already and was not made here; name another folder with --output"
        for path in foreign
    ]
    if problems:
        raise InputError(problems)
    images = () if calibration is None else folder_images(calibration, limit=None)
    first = tuple(read_record(record) for record in images if _can_read(record))[:4]
    request = ModelRequest(
        model.stem, model.stem, str(model), "default", ".", labels=labels, images=first, need_labels=False
    )
    spec = resolve_model(request)
    return make_levels(
        [LevelRequest(spec, level, str(folder), images, io) for level in dict.fromkeys(levels)],
        images={"default": first},
        say=say,
    )


def _is_made(request: LevelRequest) -> bool:
    """Whether the file is there, whole (its hash is the recorded one), and was made by exactly this request."""
    try:
        noted = load_json(_note(request))
    except StoreError:
        return False
    return bool(request.path.is_file() and noted == {**request.provenance, "sha256": sha256_of(request.path)})


def _note(request: LevelRequest) -> Path:
    return request.path.with_suffix(".json")


def _make(request: LevelRequest) -> str | None:
    """Make one level; None, or the reason why it cannot be had. The note, written first, holds the hash of the whole
    file: no run trusts another, nor a file without a note."""
    made = _converted(request) if request.from_parent else _quantized(request)
    if isinstance(made, str):
        return made
    try:
        save_json(_note(request), {**request.provenance, "sha256": hashlib.sha256(made).hexdigest()})
        save_bytes(request.path, made)
    except (StoreError, OSError) as error:
        return str(error)
    if request.level not in ("float32", FLOAT_MORE) and quantization_level(load_graph(request.path)) == "float32":
        return f"nothing was quantized: none of its weights is large enough for {request.made_with.split(',')[0]}"
    return None


def _converted(request: LevelRequest) -> bytes | str:
    """Convert a Keras or SavedModel source; the file's content, or the reason why it cannot be had."""
    if request.level not in keras.CONVERTED:
        return f"TensorFlow's converter does not make {request.level}; it makes {', '.join(keras.CONVERTED)}"
    try:
        inputs = _Inputs(request) if request.level in CALIBRATED else None
        return keras.convert(
            Path(request.spec.path),
            request.level,
            inputs=inputs.tensors if inputs else None,
            io=request.io,
            size=(request.spec.input.height, request.spec.input.width),
        )
    except (ModelError, DataError) as error:
        return str(error)


def _quantized(request: LevelRequest) -> bytes | str:
    """Quantize a float32 `.tflite` file; the made file's content, or the reason why it cannot be had."""
    try:
        from litert_quantizer import quantizer
    except ImportError:
        return 'making levels needs the extra: pip install "tflite-auditor[quantize]"'
    graph = load_graph(Path(request.spec.path))
    level = quantization_level(graph)
    if level != "float32":
        return f"{request.spec.name} is already {level}; levels are made of a float32 model"
    try:
        inputs = _Inputs(request, name=_input_name(graph)) if request.level in CALIBRATED else None
    except DataError as error:
        return str(error)
    chatter = io.StringIO()
    try:
        with (
            dropped_stderr(),
            contextlib.redirect_stdout(chatter),
            contextlib.redirect_stderr(chatter),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            tool = quantizer.Quantizer(request.spec.path, _recipe(request, graph))
            key = next(iter(graph.signatures), "serving_default")
            calibrated = None if inputs is None else tool.calibrate({key: inputs}, num_threads=1)
            return bytes(tool.quantize(calibrated, enable_progress_report=False).quantized_model)
    except (ValueError, RuntimeError, NotImplementedError) as error:  # what it raises of a model that it cannot do
        return f"litert-quantizer cannot make {request.level}: {' '.join(str(error).split())[:300]}"


class _Inputs:
    """Calibration inputs in the order of the request, encoded one at a time; a quantizer may go over them more than
    once."""

    def __init__(self, request: LevelRequest, *, name: str = "") -> None:
        self._request = request
        self._name = name
        self._readable = [record for record in request.calibration if _can_read(record)]
        if not self._readable:
            raise DataError(f"none of the {len(request.calibration)} calibration images can be read")

    def __len__(self) -> int:
        return len(self._readable)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return ({self._name: tensor} for tensor in self.tensors())

    def tensors(self) -> Iterator[NDArray[Any]]:
        for record in self._readable:
            yield encode(read_record(record), self._request.spec.input)[0]


def _can_read(record: ImageRecord) -> bool:
    try:
        read_record(record)
    except DataError:
        return False
    return True


def _input_name(graph: Graph) -> str:
    return graph.signature_input or graph.tensors[graph.inputs[0]].name


def _recipe(request: LevelRequest, graph: Graph) -> Any:
    """litert-quantizer's recipe of a level. Its patterns are searched in the names of an op's output tensors."""
    from litert_quantizer import qtyping, recipe, recipe_manager
    from litert_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    recipes = recipe_manager.RecipeManager()
    if request.level == "dynamic":
        return recipe.dynamic_wi8_afp32()
    if request.level == "weight_only":
        return recipe.weight_only_wi8_afp32()
    if request.level == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        )
        for name in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE"):
            recipes.add_quantization_config(
                ".*", getattr(qtyping.TFLOperationName, name), config, AlgorithmName.FLOAT_CASTING
            )
        return recipes.get_quantization_recipe()
    recipes.add_static_config(
        regex=".*",
        operation_name=every,
        activation_num_bits=16 if request.level == "int16x8" else 8,
        weight_num_bits=8,
        algorithm_key=AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    )
    if request.io == "float32":
        for name in ("INPUT", "OUTPUT"):
            recipes.add_quantization_config(
                ".*", getattr(qtyping.TFLOperationName, name), algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    if request.level in (FLOAT_HEAD, FLOAT_MORE):
        for name in head_tensors(graph, weighted=_MORE if request.level == FLOAT_MORE else 0):
            recipes.add_quantization_config(
                f"(^|;){re.escape(name)}(;|$)", every, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    return recipes.get_quantization_recipe()


def leaves_integers(graph: Graph) -> bool:
    """Whether `FLOAT_MORE` leaves any weighted op to quantize."""
    kept = set(head_tensors(graph, weighted=_MORE))
    return any(
        op.name in WEIGHTED_OPS and not kept & {graph.tensors[index].name for index in op.outputs} for op in graph.ops
    )


def head_tensors(graph: Graph, *, weighted: int = 0) -> list[str]:
    """Name the outputs of every op between the model's outputs and the first weighted ops behind them, these left out:
    the decoding of boxes and scores. With `weighted`, so many weighted ops of each path are passed."""
    producers = {index: op for op in graph.ops for index in op.outputs}
    names: dict[str, None] = {}
    passed: dict[int, int] = {}
    pending = [(index, 0) for index in graph.outputs]
    while pending:
        index, count = pending.pop()
        op = producers.get(index)
        count += op is not None and op.name in WEIGHTED_OPS
        if op is None or count > weighted or passed.get(index, weighted + 1) <= count:
            continue
        passed[index] = count
        names.update(dict.fromkeys(graph.tensors[output].name for output in op.outputs))
        pending += [(source, count) for source in op.inputs if source >= 0]
    return list(names)
