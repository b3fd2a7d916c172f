"""What is done with models outside of an audit: pack them for another device, make levels of one."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.bundle.write import write_parts
from auditor.config import read_audit
from auditor.datasets.images import folder_images, read_record
from auditor.errors import InputError, ModelError
from auditor.executors import SerialExecutor
from auditor.plan import make_plan
from auditor.quantize import LevelRequest, MadeLevel, can_read, make_levels
from auditor.resolve.model import ModelRequest, derived_spec, resolve_model
from auditor.run.progress import SilentProgress
from auditor.run.session import Session, State
from auditor.run.stages.making import make_asked
from auditor.run.stages.planning import resolved
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.store import check_writable
from auditor.values.levels import ASKED, CALIBRATED, FLOAT32

__all__ = ["quantize_file", "write_bundle"]

_FIRST = 4


class _Sayer(SilentProgress):
    """A progress that says, and draws nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def say(self, text: str) -> None:
        self._say(text)


def write_bundle(audit: Path, bundle: Path, *, limit_mb: float, say: Callable[[str], None]) -> list[Path]:
    """Pack everything that another device needs for an audit into one zipapp, or several where they would be larger
    than `limit_mb`; return their paths.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
    """
    config = read_audit(audit)
    check_writable(bundle.parent)
    if bundle.suffix != ".pyz" or (bundle.exists() and not zipfile.is_zipfile(bundle)):
        raise InputError(
            f"--output {bundle}: expected the name of a .pyz file that is to be written, or of an earlier bundle"
        )
    left_out = [delegate.name for delegate in config.runs_on if not delegate.travels]
    if len(left_out) == len(config.runs_on):
        raise InputError(
            f"{config.source.where('delegates')}: a bundle runs none and xnnpack, which any interpreter has; "
            f"{', '.join(left_out)} must be audited on the device itself"
        )
    subjects, _ = resolved(config, devices=None)
    plan = make_plan(subjects, {})
    with tempfile.TemporaryDirectory() as folder:
        session = Session(config, Path(folder), SerialExecutor(), _Sayer(say))
        plan = make_asked(session, State(plan, ())).plan
        if left_out:
            say(f"left out, since a bundle runs none and xnnpack alone: {', '.join(left_out)}")
        return write_parts(plan, bundle, limit_mb=limit_mb, say=say)


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
    is_source = runtime_of(model).convert is not None
    known = ASKED if is_source else [level for level in ASKED if level != FLOAT32]
    problems = [
        f"--levels: {level!r} is unknown; known are {', '.join(known)}" for level in levels if level not in known
    ]
    needing = [level for level in levels if level in CALIBRATED]
    if calibration is None and needing:
        problems.append(f"--calibration: {', '.join(needing)} need a folder of calibration images")
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
    images = () if calibration is None else folder_images(calibration, limit=None)
    first = tuple(read_record(record) for record in images if can_read(record))[:_FIRST]
    request = ModelRequest(
        model.stem, model.stem, str(model), "default", ".", labels=labels, images=first, need_labels=False
    )
    spec = resolve_model(request)
    requests = [LevelRequest(spec, level, str(folder), images, io) for level in dict.fromkeys(levels)]
    return [_tried(made, first) for made in make_levels(requests, say=say)]


def _tried(made: MadeLevel, images: Sequence[NDArray[np.uint8]]) -> MadeLevel:
    """A made level whose file runs, or the reason why it does not."""
    if made.reason is not None:
        return made
    request = made.request
    try:
        derived_spec(request.spec, request.path, level=request.level, made=request.made, images=images)
    except ModelError as error:
        return MadeLevel(request, f"the made model does not run: {error}")
    return made
