"""An audit packed for another device."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from auditor.bundle.write import write_parts
from auditor.config import read_audit
from auditor.errors import InputError
from auditor.executors import SerialExecutor
from auditor.plan import make_plan
from auditor.run.progress import Progress
from auditor.run.session import Session, State
from auditor.run.stages.making import make_asked
from auditor.run.stages.planning import resolved
from auditor.store import check_writable

__all__ = ["write_bundle"]


def write_bundle(audit: Path, bundle: Path, *, limit_mb: float, progress: Progress) -> list[Path]:
    """Pack everything that another device needs for an audit into one zipapp, or several where they would be larger
    than `limit_mb`; return their paths.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
    """
    progress.stage("reading the documents and images, and opening every model once")
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
        session = Session(config, Path(folder), SerialExecutor(), progress)
        plan = make_asked(session, State(plan, ())).plan
        if left_out:
            progress.say(f"left out, since a bundle runs none and xnnpack alone: {', '.join(left_out)}")
        progress.stage("packing the models and corrupted inputs")
        return write_parts(plan, bundle, limit_mb=limit_mb, say=progress.say)
