"""From a source model to its quantization ladder, every made file with its provenance beside it: a float32 `.tflite`
model by litert-quantizer, a Keras or SavedModel source by TensorFlow's converter."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from auditor.datasets.image_files import read_record
from auditor.encoding import encode
from auditor.errors import DataError, ModelError, StoreError
from auditor.executors import each_isolated
from auditor.provenance import digest, sha256_of, versions_of
from auditor.runtimes.anatomy.chatter import dropped_stderr
from auditor.runtimes.anatomy.runtime import facts_of, runtime_of
from auditor.store import load_json, save_bytes, save_json
from auditor.values import ImageRecord, Made, ModelSpec
from auditor.values.levels import (
    CALIBRATED,
    DYNAMIC,
    FLOAT16,
    FLOAT32,
    FLOAT_MORE,
    INT16X8,
    REMEDIES,
    WEIGHT_ONLY,
)

__all__ = ["LevelRequest", "MadeLevel", "can_read", "leaves_integers", "make_levels"]

_MORE = 4
"""How many more weighted ops of each path `FLOAT_MORE` keeps in float."""

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
        """Whether the source is converted by its own runtime, and is no `.tflite` file."""
        return runtime_of(Path(self.spec.path)).convert is not None

    @property
    def _tools(self) -> tuple[str, ...]:
        return runtime_of(Path(self.spec.path)).packages if self.from_parent else ("litert-quantizer",)

    @property
    def made(self) -> Made:
        """By what the level is made, and on how many images it is calibrated."""
        ((tool, version),) = versions_of(self._tools[:1]).items()
        images = len(self.calibration) if self.level in CALIBRATED else None
        return Made(tool, version, parent=self.spec.name, images=images)

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
    """What became of a request: a file is at its path, or there is a `reason` why there is none."""

    request: LevelRequest
    reason: str | None = None


def make_levels(requests: Sequence[LevelRequest], *, say: Callable[[str], None]) -> list[MadeLevel]:
    """Make each level in a process of its own, unless its file is there and nothing that made it changed."""
    todo = [request for request in requests if not _is_made(request)]
    reasons: dict[tuple[str, str], str | None] = {}
    for outcome in each_isolated(_make, _told(todo, say), timeout_s=_TIMEOUT_S):
        key = outcome.item.spec.name, outcome.item.level
        failed = f"making it failed unexpectedly: {(outcome.error or 'no reason was told').strip().splitlines()[-1]}"
        reasons[key] = outcome.result if outcome.error is None else failed
    return [MadeLevel(request, reasons.get((request.spec.name, request.level))) for request in requests]


def _told(requests: Iterable[LevelRequest], say: Callable[[str], None]) -> Iterator[LevelRequest]:
    """The requests, each told when its turn comes."""
    for request in requests:
        images = f", calibrated on {len(request.calibration)} images" if request.level in CALIBRATED else ""
        say(f"making {request.level} of {request.spec.name}{images} …")
        yield request


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
    if request.level not in (FLOAT32, FLOAT_MORE) and facts_of(request.path).level == FLOAT32:
        made_by = request.made
        return f"nothing was quantized: none of its weights is large enough for {made_by.tool} {made_by.version}"
    return None


def _converted(request: LevelRequest) -> bytes | str:
    """Convert a Keras or SavedModel source; the file's content, or the reason why it cannot be had."""
    runtime = runtime_of(Path(request.spec.path))
    if runtime.convert is None or request.level not in runtime.converted:
        return f"TensorFlow's converter does not make {request.level}; it makes {', '.join(runtime.converted)}"
    if request.spec.state and request.level in CALIBRATED:
        return (
            f"TensorFlow's calibration keeps {' and '.join(request.spec.state)} from image to image, so its "
            "ranges would be of states that no image meets; audit the float32 .tflite file with `quantize:` instead"
        )
    try:
        inputs = _Inputs(request).tensors if request.level in CALIBRATED else None
        size = (request.spec.input.height, request.spec.input.width)
        return runtime.convert(Path(request.spec.path), request.level, inputs, request.io, size)
    except (ModelError, DataError) as error:
        return str(error)


def _quantized(request: LevelRequest) -> bytes | str:
    """Quantize a float32 `.tflite` file; the made file's content, or the reason why it cannot be had."""
    try:
        from litert_quantizer import quantizer
    except ImportError:
        return 'making levels needs the extra: pip install "tflite-auditor[quantize]"'
    path = Path(request.spec.path)
    level = facts_of(path).level
    if level != FLOAT32:
        return f"{request.spec.name} is already {level}; levels are made of a float32 model"
    try:
        key, name = _signature(path)
        inputs = _Inputs(request, name=name) if request.level in CALIBRATED else None
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
            tool = quantizer.Quantizer(request.spec.path, _recipe(request))
            calibrated = None
            # A model with state is calibrated image by image, since the tool sets it back only at the end of a call.
            for images in [inputs] if inputs and not request.spec.state else ([image] for image in inputs or ()):
                calibrated = tool.calibrate({key: images}, calibrated, num_threads=1)
            return bytes(tool.quantize(calibrated, enable_progress_report=False).quantized_model)
    except (ValueError, RuntimeError) as error:  # what it raises of a model that it cannot do
        return f"litert-quantizer cannot make {request.level}: {' '.join(str(error).split())[:300]}"


class _Inputs:
    """Calibration inputs in the order of the request, encoded one at a time; a quantizer may go over them more than
    once."""

    def __init__(self, request: LevelRequest, *, name: str = "") -> None:
        self._request = request
        self._name = name
        self._readable = [record for record in request.calibration if can_read(record)]
        if not self._readable:
            raise DataError(f"none of the {len(request.calibration)} calibration images can be read")

    def __len__(self) -> int:
        return len(self._readable)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return ({self._name: tensor} for tensor in self.tensors())

    def tensors(self) -> Iterator[NDArray[Any]]:
        for record in self._readable:
            yield encode(read_record(record), self._request.spec.input)[0]


def can_read(record: ImageRecord) -> bool:
    """Say whether an image can be read."""
    try:
        read_record(record)
    except DataError:
        return False
    return True


def _signature(path: Path) -> tuple[str, str]:
    signature = runtime_of(path).signature
    return signature(path) if signature is not None else ("serving_default", "")


def _chain(path: Path, *, weighted: int) -> tuple[list[str], bool]:
    chain = runtime_of(path).chain
    return chain(path, weighted) if chain is not None else ([], False)


def _recipe(request: LevelRequest) -> Any:
    """litert-quantizer's recipe of a level. Its patterns are searched in the names of an op's output tensors."""
    from litert_quantizer import qtyping, recipe, recipe_manager
    from litert_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    recipes = recipe_manager.RecipeManager()
    if request.level == DYNAMIC:
        return recipe.dynamic_wi8_afp32()
    if request.level == WEIGHT_ONLY:
        return recipe.weight_only_wi8_afp32()
    if request.level == FLOAT16:
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
        activation_num_bits=16 if request.level == INT16X8 else 8,
        weight_num_bits=8,
        algorithm_key=AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    )
    if request.io == "float32":
        for name in ("INPUT", "OUTPUT"):
            recipes.add_quantization_config(
                ".*", getattr(qtyping.TFLOperationName, name), algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    if request.level in REMEDIES:
        names, _ = _chain(Path(request.spec.path), weighted=_MORE if request.level == FLOAT_MORE else 0)
        for name in names:
            recipes.add_quantization_config(
                f"(^|;){re.escape(name)}(;|$)", every, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    return recipes.get_quantization_recipe()


def leaves_integers(path: Path) -> bool:
    """Whether `FLOAT_MORE` leaves any weighted op of a file to quantize."""
    return _chain(path, weighted=_MORE)[1]
