"""The composition: an audit from its document to its report, stage by stage, each arrow ending in a durable
artefact."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from auditor.config import read_audit, text_of
from auditor.executors import open_executor
from auditor.report import charts
from auditor.run.forecast import begin
from auditor.run.judging import judged, render
from auditor.run.progress import Progress, SilentProgress
from auditor.run.session import Session
from auditor.run.stages import STAGES
from auditor.run.stages.picturing import draw_pictures
from auditor.run.stages.planning import planned
from auditor.run.stages.recording import record
from auditor.store import check_writable, save_text
from auditor.values import AuditResult

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
) -> AuditResult:
    """Run the audit that the file `audit` describes and write its run folder; return the judged result.

    `output` defaults to `reports/<name of the file>`. A unit that is complete in that folder is not measured again
    unless `fresh`. `elsewhere` are the measurements of another device, to be judged beside those made here; `given` are
    values (`KEY=VALUE`) in place of the document's.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
        StoreError: the run folder cannot be written.
    """
    started = datetime.now(UTC)
    config = read_audit(audit, given=given)
    folder = output or Path("reports") / audit.stem
    for place in (folder, folder / "models", folder / "measurements", folder / "pictures"):
        check_writable(place)
    if executor == "serial" and any(delegate.is_foreign for delegate in config.runs_on):
        executor, jobs = "processes", 1  # such a delegate can end the process that runs it
    workers = open_executor(executor, jobs=jobs, imports=("auditor.measure.predict", "auditor.tasks.detection"))
    session = Session(config, folder, workers, progress or SilentProgress(), fresh=fresh, elsewhere=tuple(elsewhere))
    try:
        state = planned(session)
        threading.Thread(target=charts.prepare, daemon=True).start()  # while the workers measure
        for stage in STAGES:
            state = stage(session, state)
        begin(session, state, "writing the report", of=0, what="")
        result = record(session, state, command=command or f"auditor run {audit}", started=started)
        save_text(folder / "audit.yaml", text_of(audit, given))
        result = judged(result, folder)
        draw_pictures(session, state.plan, result)
        render(result, folder)
        return result
    except BaseException:
        workers.kill()
        raise
    finally:
        workers.close()
