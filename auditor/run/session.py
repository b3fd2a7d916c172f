"""One run: its folder, its workers, how it tells how far it is, and how long its stages took; and what is known so
far."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.config import AuditConfig, read_audit
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.versus import Run
from auditor.executors import Executor, open_executor
from auditor.plan import Plan
from auditor.provenance import same_versions
from auditor.run.progress import Progress
from auditor.store import check_writable, locked
from auditor.values import (
    Baseline,
    BreakingPoint,
    CalibrationRecord,
    Cell,
    CellResult,
    DatasetRecord,
    Decision,
    Drift,
    Measurement,
    OperatingPoint,
    Rule,
    Slice,
    Suspect,
    Unit,
)

__all__ = ["Pace", "Session", "State", "Stopwatch", "open_session"]

_LOADED = ("auditor.measure.predict", "auditor.tasks.detection", "pycocotools.cocoeval")
"""What workers load while the documents are read."""


class Stopwatch:
    """Adds up seconds by stage, over all workers."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begin

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds


class Pace:
    """Seconds that a piece of something took so far in this run."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def saw(self, what: str, pieces: int, seconds: float) -> None:
        """So many pieces took so long."""
        known, before = self._seen.get(what, (0, 0.0))
        self._seen[what] = known + pieces, before + seconds

    def of(self, what: str, usual: float) -> float:
        """Seconds a piece: as seen, or as usual where nothing was."""
        pieces, seconds = self._seen.get(what, (0, 0.0))
        return seconds / pieces if pieces else usual


@dataclass(frozen=True)
class Session:
    """What every stage works with. A unit that is complete in the `folder` is not measured again unless `fresh`."""

    config: AuditConfig
    folder: Path
    executor: Executor
    progress: Progress
    fresh: bool = False
    elsewhere: tuple[Path, ...] = ()
    expected: str | None = None
    """The fingerprint of the plan that was measured elsewhere."""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    pace: Pace = field(default_factory=Pace)


@contextlib.contextmanager
def open_session(
    audit: Path,
    folder: Path,
    *,
    jobs: int | None,
    executor: str,
    fresh: bool,
    progress: Progress,
    elsewhere: Sequence[Path] = (),
    given: Sequence[str] = (),
) -> Iterator[Session]:
    """Read the document of an audit and open its run folder, to which no other run has access, and its workers; they
    are stopped at the end, at once where something goes wrong.

    Raises:
        InputError: the document cannot be read, or the executor cannot be had.
        StoreError: the folder cannot be written, or another run writes into it.
    """
    config = read_audit(audit, given=given)
    for place in (folder, folder / "models", folder / "measurements", folder / "pictures", folder / "gallery"):
        check_writable(place)
    if executor == "serial" and any(delegate.is_foreign for delegate in config.runs_on):
        executor, jobs = "processes", 1  # such a delegate can end the process that runs it
    with locked(folder):
        workers = open_executor(executor, jobs=jobs, imports=_LOADED, versions=same_versions)
        try:
            yield Session(config, folder, workers, progress, fresh=fresh, elsewhere=tuple(elsewhere))
        except BaseException:
            workers.kill()
            raise
        finally:
            workers.close()


@dataclass(frozen=True)
class State:
    """What is known so far: the plan with all that was added to it, why units could not be measured (by resume key),
    cells and measurements, what is wrong with images that could not be read (by data set and id), descriptions of data
    sets and calibration images, and what gates were decided by early."""

    plan: Plan
    rules: tuple[Rule, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    cells: tuple[CellResult, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    unreadable: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    datasets: Mapping[str, DatasetRecord] = field(default_factory=dict)
    calibration: Mapping[str, CalibrationRecord] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    samples: Mapping[tuple[Cell, str], NDArray[np.float32]] = field(default_factory=dict)
    """Metrics of whole cells on every resample."""
    clean: Mapping[Cell, CellEvaluation] = field(default_factory=dict)
    """Clean cells of whole sets, as they were evaluated."""
    drifts: tuple[Drift, ...] = ()
    slices: tuple[Slice, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    compared_with: Run | None = None
    """The run that the document names as its baseline."""
    baseline: Baseline | None = None
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """By family its operating point."""
    breaking_points: tuple[BreakingPoint, ...] = ()
    units: Mapping[Cell, tuple[Unit, ...]] = field(default_factory=dict)
    """By cell its units, where these are not those of the plan."""
