"""The composition: an audit from its document to its report, stage by stage, each arrow ending in a durable
artefact."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.config import text_of
from auditor.report import charts
from auditor.run.forecast import begin
from auditor.run.judging import judged, render
from auditor.run.progress import Progress, SilentProgress
from auditor.run.revisiting import note_document
from auditor.run.session import open_session
from auditor.run.stages import STAGES
from auditor.run.stages.picturing import draw_pictures
from auditor.run.stages.planning import planned
from auditor.run.stages.recording import record
from auditor.run.stages.showing import show_gallery
from auditor.store import save_samples, save_text
from auditor.values import AuditResult, Cell

__all__ = ["run_audit"]


def run_audit(
    audit: Path,
    *,
    output: Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    fresh: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
    elsewhere: Sequence[Path] = (),
    given: Sequence[str] = (),
    expected: str | None = None,
) -> AuditResult:
    """Run the audit that the file `audit` describes and write its run folder; return the judged result.

    `output` defaults to `reports/<name of the file>`. A unit that is complete in that folder is not measured again
    unless `fresh`. `elsewhere` are the measurements of another device, to be judged beside those made here; `given` are
    values (`KEY=VALUE`) in place of the document's; `expected` is the fingerprint of the plan that was measured before.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
        StoreError: the run folder cannot be written.
    """
    started = datetime.now(UTC)
    folder = output or Path("reports") / audit.stem
    told = progress or SilentProgress()
    with open_session(
        audit,
        folder,
        jobs=jobs,
        executor=executor,
        fresh=fresh,
        progress=told,
        elsewhere=elsewhere,
        given=given,
    ) as session:
        threading.Thread(target=charts.prepare, daemon=True).start()  # while workers open the models
        state = planned(session)
        session = dataclasses.replace(session, expected=expected)
        for stage in STAGES:
            state = stage(session, state)
        begin(session, state, "writing the report", of=0, what="")
        result = record(session, state, command=command or f"auditor run {audit}", started=started)
        save_text(folder / "audit.yaml", text_of(audit, given))
        note_document(folder, audit, given)
        save_samples(folder, _named(state.samples))
        result = judged(result, folder)
        draw_pictures(session, state, result)
        show_gallery(session, state, result)
        render(result, folder)
        return result


def _named(
    samples: Mapping[tuple[Cell, str], NDArray[np.float32]],
) -> Iterator[tuple[tuple[str | float, ...], NDArray[np.float32]]]:
    for (cell, metric), values in samples.items():
        yield (cell.file, cell.delegate, cell.device, cell.scenario, cell.severity, metric), values
