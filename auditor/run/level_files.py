"""Quantization levels of one model, made outside of an audit, and what their files show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.image_files import folder_images, read_record
from auditor.datasets.named_files import no_folder
from auditor.errors import AuditorError, InputError, ModelError
from auditor.executors import run_isolated
from auditor.judge.quantization import of_outputs
from auditor.judge.told import as_finding
from auditor.quantize import LevelRequest, MadeLevel, can_read, make_levels
from auditor.resolve.model import ModelRequest, derived_spec, resolve_model
from auditor.run.judging import catalogue
from auditor.run.progress import Progress
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.values import Diagnosis, Finding, ModelSpec
from auditor.values.label_lists import BUILT_IN_LABELS
from auditor.values.levels import ASKABLE, ASKED, CALIBRATED, FLOAT32, FLOAT_HEAD

__all__ = ["Tried", "file_findings", "quantize_file"]

_FIRST = 4
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Tried:
    """A level that was asked for: its file, and what that shows against it, or the reason why there is none."""

    path: Path
    level: str
    reason: str | None = None
    findings: tuple[Finding, ...] = ()


def quantize_file(
    model: Path,
    *,
    levels: Sequence[str],
    calibration: Path | None,
    folder: Path,
    io: str,
    labels: str | None = None,
    progress: Progress,
) -> list[Tried]:
    """Make levels of a model file outside of an audit, and look at what their files show; what the input contract is,
    the file and its head tell.

    Raises:
        InputError: a level is unknown or needs calibration images that are not given, or there are none.
        ModelError: the file cannot be read, run or understood.
    """
    is_source = runtime_of(model).convert is not None
    known = ASKED if is_source else [level for level in ASKABLE if level != FLOAT32]
    problems = [
        f"--levels: {level!r} is unknown; known are {', '.join(known)}" for level in levels if level not in known
    ]
    needing = [level for level in levels if level in CALIBRATED]
    if calibration is None and needing:
        problems.append(f"--calibration: {' and '.join(needing)} cannot be made without a folder of calibration images")
    if calibration is not None and not calibration.is_dir():
        problems.append(f"--calibration: {calibration}: {no_folder(calibration)}; expected a folder of images")
    if not model.exists():
        problems.append(
            f"{model}: no such file or folder; expected a .tflite file, a .keras file or a SavedModel folder"
        )
    if labels is not None and labels not in BUILT_IN_LABELS and not Path(labels).is_file():
        problems.append(f"--labels: {labels}: no such file, and not one of {', '.join(BUILT_IN_LABELS)}")
    if not levels:
        problems.append(f"--levels: it names none; known are {', '.join(known)}")
    paths = [folder / f"{model.stem}_{level}.tflite" for level in levels]
    problems += [
        f"{path}: this file is there already and was not made here; name another folder with --output"
        for path in paths
        if path.exists() and not path.with_suffix(".json").exists()
    ]
    if problems:
        raise InputError(problems)
    progress.stage("reading images, and opening the model")
    images = () if calibration is None else folder_images(calibration, limit=None)
    first = tuple(read_record(record) for record in images if can_read(record))[:_FIRST]
    request = ModelRequest(
        model.stem, model.stem, str(model), "default", ".", labels=labels, images=first, need_labels=False
    )
    (opened,) = run_isolated(_opened, [request], timeout_s=_TIMEOUT_S)
    if opened.error is not None:
        raise ModelError(f"{model}: opening it and running it once failed: {opened.error.strip().splitlines()[-1]}")
    if isinstance(opened.result, AuditorError):
        raise opened.result
    spec: ModelSpec = opened.result
    progress.stage("making levels")
    requests = [LevelRequest(spec, level, str(folder), images, io) for level in dict.fromkeys(levels)]
    again = f"auditor quantize {model} --levels {FLOAT_HEAD} --calibration {calibration or 'FOLDER'} --output {folder}"
    again += f" --labels {labels}" if labels else ""
    return [_tried(made, first, again) for made in make_levels(requests, say=progress.say)]


def _opened(request: ModelRequest) -> ModelSpec | AuditorError:
    """A model, opened and run once in a process that a damaged one may end; or what is wrong with it."""
    try:
        return resolve_model(request)
    except AuditorError as error:
        return error


def _tried(made: MadeLevel, images: Sequence[NDArray[np.uint8]], again: str) -> Tried:
    """A made level whose file runs, with what it shows, or the reason why it does not."""
    request = made.request
    if made.reason is not None:
        return Tried(request.path, request.level, reason=made.reason)
    try:
        spec = derived_spec(request.spec, request.path, level=request.level, made=request.made, images=images)
    except ModelError as error:
        return Tried(request.path, request.level, reason=f"the made model does not run: {error}")
    found = file_findings(
        request.path.name, spec.diagnosis, remedy=f"Make the level that keeps the head in float: {again}"
    )
    return Tried(request.path, request.level, findings=tuple(found))


def file_findings(file: str, diagnosis: Diagnosis, *, remedy: str) -> list[Finding]:
    """What a quantized file's own numbers say against it; `remedy` is the way out where one scale serves boxes and
    scores."""
    known = catalogue()
    return [as_finding(told, known) for told in of_outputs(file, diagnosis, {}, remedy=lambda: remedy)]
