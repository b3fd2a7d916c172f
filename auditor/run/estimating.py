"""What an audit will take, from a few images that are timed: nothing is kept of them."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.executors import SerialExecutor
from auditor.measure.predict import UnitPredictions, predict_unit
from auditor.plan import Plan, lay_out, share_of
from auditor.run.forecast import CELLS, INFERENCES, by_stage, inferences
from auditor.run.progress import Progress, SilentProgress
from auditor.run.session import Session, State, open_session
from auditor.run.stages.evaluating import timed_evaluation
from auditor.run.stages.measuring import Job, carry_out
from auditor.run.stages.planning import planned
from auditor.store import ImagePrediction, check_writable, has_unit, locked, save_unit, unit_path
from auditor.tasks.anatomy.cells import CellTask, cell_task, judged_truth
from auditor.values import DECLARED, Cell, Unit

__all__ = ["Estimate", "estimate_run"]

_IMAGES = 4
"""Of each data set are timed, under each scenario at one severity."""
_MOST = 500
"""Images of a cell whose evaluation is timed; more take in proportion."""
_REPORT_BYTES = 2_000_000
_IMAGE_BYTES = 6_000
"""What every process holds of an image: where it is, and its truth."""
_DETECTION_BYTES, _HELD = 500, 300_000
"""What a worker takes for each detection of the cell that it evaluates, as far as so many are held at once (`MOST` of
tasks/detection/columns.py; a larger class is held whole)."""
_LEVEL_S = 10.0
_OF_A_SHARD = ("starting", "making levels", "measuring")
_WITH_STORE = 1.04
"""Beside what a unit takes in a worker, keeping it takes a few per cent."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take: how many cells and inferences, of which so many are there already, bytes on disk and in
    memory (over `processes`), and seconds by stage."""

    cells: int
    inferences: int
    there: int
    disk_bytes: int
    memory_bytes: int
    processes: int
    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """How long it takes in all."""
        return sum(self.seconds.values())


def estimate_run(
    audit: Path,
    *,
    output: Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    fresh: bool = False,
    progress: Progress | None = None,
    given: Sequence[str] = (),
    shard: tuple[int, int] | None = None,
) -> Estimate:
    """Plan an audit, or a shard of one, and time a few images of each data set under each scenario; write nothing that
    stays.

    Raises:
        InputError: with every problem of the document and of all that it names.
        StoreError: the folder `output` cannot be written, or another run writes into it.
    """
    folder = output or Path("reports") / audit.stem
    check_writable(folder)
    if folder.exists():
        with locked(folder):
            pass  # no other run has it
    told = progress or SilentProgress()
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="auditor-") as place,
        open_session(
            audit, Path(place), jobs=jobs, executor=executor, fresh=fresh, progress=told, given=given
        ) as session,
    ):
        state = planned(session)
        starting = time.monotonic() - begin
        told.stage("timing a few images")
        sampled = _sampled(session, state.plan)
        _time_cells(session, state.plan, sampled.said)
        return _estimate(dataclasses.replace(session, folder=folder), state, sampled, starting, shard)


@dataclass(frozen=True)
class _Sampled:
    """What the timed images showed: predictions of clean ones by file and delegate, bytes of an inference in the store,
    and the most memory that a worker took."""

    said: Mapping[tuple[str, str], tuple[ImagePrediction, ...]]
    bytes_each: float
    worker_bytes: int


def _sampled(session: Session, plan: Plan) -> _Sampled:
    """Time the images, every worker at work as in a run; the first time that a worker opens a model does not count."""
    subjects = plan.subjects
    severities = subjects.severities[len(subjects.severities) // 2 :][:1]
    few = {name: dataset.images[:_IMAGES] for name, dataset in subjects.datasets.items()}
    running = {
        spec.name: [on for on in subjects.delegates[spec.name] if plan.runs(spec.name, on)] for spec in plan.specs
    }
    at_one = dataclasses.replace(subjects, severities=severities)
    units = list(lay_out(at_one, subjects.specs, subjects.scenarios, running, few))
    starters = [next((unit for unit in units if (unit.scenario is None) == clean), None) for clean in (True, False)]
    opened = [Job(_sample, unit) for unit in starters if unit is not None for _ in range(session.executor.jobs)]
    for _ in session.executor.map(carry_out, opened):
        pass
    best: dict[str, tuple[UnitPredictions, int]] = {}
    for outcome in session.executor.map(carry_out, [Job(_sample, unit) for unit in units] * 2):
        key = outcome.item.argument.resume_key
        if outcome.error is None and (key not in best or _spent(outcome.result) < _spent(best[key])):
            best[key] = outcome.result
    said: dict[tuple[str, str], tuple[ImagePrediction, ...]] = {}
    spent = stored = size = peak = 0.0
    for unit in (unit for unit in units if unit.resume_key in best):
        found, memory = best[unit.resume_key]
        weight = len(subjects.severities) if unit.scenario is not None else 1
        spent += weight * _spent(best[unit.resume_key])
        stored += weight * inferences(unit)
        peak = max(peak, memory)
        save_unit(session.folder, unit.resume_key, found.predictions, {}, complete=True)
        size += weight * unit_path(session.folder, unit.resume_key).stat().st_size
        for spec, on in unit.models if unit.scenario is None else ():
            mine = (item for item in found.predictions if (item.file, item.delegate) == (spec.key, on.name))
            said[spec.name, on.name] = tuple(mine)
    if stored:
        session.pace.saw(INFERENCES, int(stored), spent / session.executor.jobs)
    return _Sampled(said, size / max(1.0, stored), int(peak))


def _spent(sample: tuple[UnitPredictions, int]) -> float:
    """The seconds that a unit took, writing what it found included, in proportion."""
    return sum(sample[0].times_s.values()) * _WITH_STORE


def _sample(unit: Unit) -> tuple[UnitPredictions, int]:
    """Run a unit; its predictions, and how much memory this process took at most, in bytes."""
    found = predict_unit(unit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found, peak * (1 if sys.platform == "darwin" else 1024)


def _time_cells(session: Session, plan: Plan, said: Mapping[tuple[str, str], Sequence[ImagePrediction]]) -> None:
    """Time the evaluation of a cell of each model, as of as many images as its data set has, like the sample's."""
    few = [Job(timed_evaluation, task) for task, _ in _tasks(plan, said, most=_IMAGES)]
    tied: dict[tuple[str, str], bool] = {}
    for outcome in session.executor.map(carry_out, few * session.executor.jobs):
        if outcome.error is None:
            found = outcome.result[0].result
            tied[found.key.file, found.key.delegate] = found.ties is not None and found.ties.orders > 0
    many = {task.cell: (task, scale) for task, scale in _tasks(plan, said, most=_MOST, tied=tied)}
    spent: dict[Cell, float] = {}
    for outcome in session.executor.map(carry_out, [Job(timed_evaluation, task) for task, _ in many.values()] * 2):
        if outcome.error is None:
            cell = outcome.item.argument.cell
            spent[cell] = min(spent.get(cell, math.inf), outcome.result[1] * many[cell][1])
    if spent:
        session.pace.saw(CELLS, len(spent), sum(spent.values()) / session.executor.jobs)


def _tasks(
    plan: Plan,
    said: Mapping[tuple[str, str], Sequence[ImagePrediction]],
    *,
    most: int,
    tied: Mapping[tuple[str, str], bool] | None = None,
) -> Iterator[tuple[CellTask, float]]:
    """A cell of each model of at most so many copies of the sample's images, and how many times larger a whole one is.
    Copies tie, so where the sample itself did not (`tied`), other orders of equal scores are not asked for."""
    for (file, delegate), found in said.items():
        spec = plan.subjects.spec(file)
        dataset, match = plan.datasets[spec.dataset], plan.subjects.matches[file]
        usable = [item for item in found if item.error is None]
        if not usable:
            continue
        images = len(dataset.images)
        copies = [usable[index % len(usable)] for index in range(min(images, most))]
        seen = dataclasses.replace(dataset, truth=dict(enumerate(dataset.truth[item.image_id] for item in copies)))
        asks = tied is None or tied.get((file, delegate), False)
        fed = DECLARED if asks else "sample"
        cell = Cell(spec.model, spec.name, spec.quantization, delegate, "sample", 1, fed)
        truth = judged_truth(spec.task, seen, match.judged)
        task = cell_task(cell, spec, dataset, match, truth)
        predictions = tuple(dataclasses.replace(item, image_id=index) for index, item in enumerate(copies))
        yield dataclasses.replace(task, predictions=predictions), images / len(copies)


def _estimate(
    session: Session, state: State, sampled: _Sampled, starting: float, shard: tuple[int, int] | None
) -> Estimate:
    plan = state.plan
    if shard is not None:
        plan = dataclasses.replace(plan, units=tuple(share_of(plan, *shard)))
        state = dataclasses.replace(state, plan=plan)
    there = [unit for unit in plan.units if not session.fresh and has_unit(session.folder, unit.resume_key)]
    asked = {
        entry.name: len({*entry.asked} - {plan.subjects.spec(entry.name).quantization})
        for entry in plan.subjects.entries
    }
    # A level that is still to be made has as many cells as the model that it is made of.
    more = {spec.name: asked.get(spec.name, 0) for spec in plan.specs}
    cells = sum(1 + more[cell.file] for cell, _ in plan.cells())
    whole = sum(map(inferences, plan.units))
    added = sum(
        len(unit.images) * len(unit.severities) * more[spec.name] for unit in plan.units for spec, _ in unit.models
    )
    seconds = {"starting": starting, **by_stage(session, state)}
    if whole and added:
        todo = whole + added - sum(map(inferences, there)) if not _made(session) else 0
        seconds["measuring"] = max(seconds["measuring"], todo * session.pace.of(INFERENCES, 0.0))
        seconds["making levels"] = _LEVEL_S * max(0, sum(more.values()) - _made(session))
    if shard is not None:
        seconds = {name: spent for name, spent in seconds.items() if name in _OF_A_SHARD}
    parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    workers = 0 if isinstance(session.executor, SerialExecutor) else session.executor.jobs
    return Estimate(
        cells=cells,
        inferences=whole + added,
        there=sum(map(inferences, there)),
        disk_bytes=int(sampled.bytes_each * (whole + added)) + _REPORT_BYTES,
        memory_bytes=parent + workers * sampled.worker_bytes + _growing(plan, sampled, workers),
        processes=workers + 1,
        seconds=seconds,
    )


def _growing(plan: Plan, sampled: _Sampled, workers: int) -> int:
    """The bytes that all processes take beside what a few images showed, as measured in tests/benchmarks."""
    images = sum(len(dataset.images) for dataset in plan.datasets.values())
    every = [item.values.values() for items in sampled.said.values() for item in items]
    found = [max((len(array) for array in arrays if array.ndim == 2), default=0) for arrays in every]  # boxes
    detections = images * sum(found) / max(1, len(found))
    return int((1 + workers) * images * _IMAGE_BYTES + workers * min(detections, _HELD) * _DETECTION_BYTES)


def _made(session: Session) -> int:
    """How many levels are in the run folder already."""
    folder = session.folder / "models"
    return len(list(folder.glob("*.tflite"))) if folder.is_dir() else 0
