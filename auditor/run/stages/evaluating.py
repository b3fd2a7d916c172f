"""Evaluate every cell of a plan from its stored predictions as soon as they are there, and compare the cells."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.differences import with_differences
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import FIXED
from auditor.executors import Outcome, run_isolated
from auditor.plan import Plan
from auditor.run.forecast import CELLS, begin
from auditor.run.session import Session, State
from auditor.run.stages.holding import Points
from auditor.run.stages.measuring import UNIT_TIMEOUT_S, Job, Waiting, carry_out
from auditor.run.stages.partial import Part
from auditor.run.stages.truths import Truths
from auditor.store import Stored
from auditor.tasks.anatomy.cells import CellTask, Said, cell_task, evaluate_cell, evaluation_at, task_of
from auditor.values import Cell, CellResult, DelegateOps, InRun, Measurement

__all__ = ["Evaluating", "failed_cell", "samples_of", "timed_evaluation"]


class Evaluating:
    """The evaluation of a plan's cells: each is ready when the last of its units was measured."""

    def __init__(self, session: Session, state: State, parts: Mapping[Cell, Part] | None = None) -> None:
        """`parts` are the cells that are evaluated on a part of their images; None: all of the plan, on all."""
        self._session, self._state, self._parts = session, state, parts
        every = dict(state.plan.cells())
        self._cells = every if parts is None else {cell: part.units for cell, part in parts.items()}
        self._points = Points(state.plan, whole=parts is None)
        self._waiting = Waiting({cell: [unit.resume_key for unit in units] for cell, units in self._cells.items()})
        self._results: list[CellResult] = []
        self._evaluations: dict[Cell, CellEvaluation] = {}
        self._truths = Truths(state.plan)
        self._at_hand = session.executor.sees([session.folder])
        self._alone = False

    @property
    def found(self) -> Mapping[Cell, CellEvaluation]:
        """What was evaluated, failed cells included."""
        failed = {result.key: CellEvaluation(result) for result in self._results if result.key not in self._evaluations}
        return {**self._evaluations, **failed}

    @property
    def of(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def ready(self) -> Job | None:
        """The evaluation of a cell whose units are all there."""
        cell = self._points.pop() or self._waiting.pop()
        while cell is not None and self._points.waits(cell):
            cell = self._waiting.pop()
        return None if cell is None else Job(timed_evaluation, self._task(cell))

    def measured(self, resume_key: str, *, failed: bool) -> None:
        """A unit is there; where it failed, its cells fail with it."""
        self._waiting.measured(resume_key, failed=failed)
        for cell in self._points.references if failed else ():
            if any(unit.resume_key == resume_key for unit in self._cells.get(cell, ())):
                self._points.saw(cell, None)

    def took(self, outcome: Outcome) -> None:
        """Keep the evaluation of a cell; one whose worker died is tried again in a process of its own."""
        if outcome.died:
            (outcome,) = run_isolated(carry_out, [outcome.item], timeout_s=UNIT_TIMEOUT_S)
        task: CellTask = outcome.item.argument
        if outcome.error is not None:
            self._results.append(failed_cell(self._state.plan, task.cell, f"evaluation failed: {outcome.error}"))
            self._points.saw(task.cell, None)
        else:
            evaluation, spent = outcome.result
            self._points.saw(task.cell, evaluation)
            self._results.append(evaluation.result)
            self._evaluations[task.cell] = self._kept(task, evaluation)
            self._session.stopwatch.add("evaluate", spent)
        if self._alone:
            self._session.progress.done()

    def _kept(self, task: CellTask, evaluation: CellEvaluation) -> CellEvaluation:
        """What is needed of an evaluation later; what was said is read from the run folder where two are compared."""
        if self._parts is None:  # the values of single images are for deciding early
            evaluation = dataclasses.replace(evaluation, means={}, images=())
        if not (task.cell.is_clean and task.cell.is_declared and evaluation.result.status == "ok"):
            return evaluation
        said = Said.of(dataclasses.replace(task, predictions=self._stored(task.cell)))
        return dataclasses.replace(evaluation, said=said)

    def _stored(self, cell: Cell) -> Stored:
        """Where the predictions of a cell are."""
        keys = tuple(unit.resume_key for unit in self._cells[cell])
        spec = self._state.plan.subjects.spec(cell.file)
        return Stored(self._session.folder, keys, spec.key, cell.delegate, cell.severity)

    def alone(self) -> None:
        """All units are there: what is left to do is told."""
        self._alone = True
        left = len(self._cells) - len(self._results)
        begin(self._session, self._state, "evaluating", of=left, what=CELLS, share=left / max(1, len(self._cells)))

    def _task(self, cell: Cell) -> CellTask:
        """What evaluating a cell needs; its predictions are read where it is evaluated, if they can be seen there."""
        plan = self._state.plan
        spec = plan.subjects.spec(cell.file)
        dataset, match = plan.datasets[spec.dataset], plan.subjects.matches[cell.file]
        images = None if self._parts is None else self._parts[cell].images
        task = dataclasses.replace(
            cell_task(cell, spec, dataset, match, self._truths.of(cell, images)),
            predictions=self._stored(cell),
            seed=plan.subjects.seed,
            evaluation=evaluation_at(plan.subjects.evaluation, plan.subjects.points.get(cell.model)),
            point=self._points.of(cell),
        )
        return task if self._at_hand else task.with_predictions()

    def concluded(self, state: State) -> State:
        """All that is known of the cells, compared with each other, those that could not be measured among them."""
        return self.concluded_from(state, [*self._results, *_lost(state)], self._evaluations)

    def concluded_from(
        self, state: State, results: Sequence[CellResult], evaluations: Mapping[Cell, CellEvaluation]
    ) -> State:
        """As `concluded`, from these results."""
        plan = state.plan
        order = {cell: index for index, (cell, _) in enumerate(plan.cells())}
        ordered = sorted(results, key=lambda result: order[result.key])
        unreadable: dict[str, dict[int, str]] = {}
        for cell in sorted(evaluations, key=order.__getitem__):
            found = evaluations[cell].unreadable
            unreadable.setdefault(plan.subjects.spec(cell.file).dataset, {}).update(found)
        cells = with_differences(ordered, evaluations, lambda file: task_of(plan.subjects.spec(file).task).compare)
        times = {cell: found.invoke_ms for cell, found in evaluations.items() if found.invoke_ms is not None}
        clean = sorted((cell for cell in times if cell.is_clean), key=order.__getitem__)
        return dataclasses.replace(
            state,
            cells=(*cells, *_unmeasured(plan), *state.cells),
            unreadable=unreadable,
            points=dict(self._points.found),
            samples=dict(_samples(evaluations)),
            clean={
                cell: found
                for cell, found in evaluations.items()
                if cell.is_clean and cell.is_declared and found.result.of_images is None
            },
            measurements=(
                *(_time_of(cell, times[cell]) for cell in clean),
                *_delegate_ops(plan),
                *state.measurements,
            ),
        )


def _samples(evaluations: Mapping[Cell, CellEvaluation]) -> Iterator[tuple[tuple[Cell, str], NDArray[np.float32]]]:
    """Every metric of a whole cell that is compared between cells, on every resample; not those of single classes."""
    for cell, found in evaluations.items():
        if found.result.of_images is not None or not cell.is_declared:
            continue
        for name, values in samples_of(found).items():
            yield (cell, name), values


def samples_of(found: CellEvaluation) -> dict[str, NDArray[np.float32]]:
    """By name the metrics of a cell that are compared between cells, on every resample."""
    fixed = {f"{name}{FIXED}": values for name, values in found.fixed.items()}
    samples = {**found.samples, **found.stored, **fixed}
    if found.counted is not None:
        counted = found.counted.forgotten()
        named = enumerate(counted.metrics)
        samples |= {item.name: counted.samples[:, index] for index, item in named if not item.of_class}
    return {name: values.astype(np.float32) for name, values in samples.items()}


def _time_of(cell: Cell, invoke_ms: float) -> Measurement:
    return Measurement("invoke_ms_in_run", cell.file, cell.quantization, cell.delegate, InRun(invoke_ms), "ms")


def _delegate_ops(plan: Plan) -> Iterator[Measurement]:
    for (file, delegate), facts in plan.verified.items():
        if facts.ops is not None and facts.delegated is not None:
            value = DelegateOps(facts.delegated, facts.ops)
            level = plan.subjects.spec(file).quantization
            yield Measurement("delegate_ops", file, level, delegate, value, "ops")


def timed_evaluation(task: CellTask) -> tuple[CellEvaluation, float]:
    """Evaluate a cell, and say how many seconds it took."""
    begin = time.perf_counter()
    return evaluate_cell(task), time.perf_counter() - begin


def _lost(state: State) -> Iterator[CellResult]:
    """The cells of units that could not be measured."""
    for cell, units in state.plan.cells():
        lost = [state.failures[unit.resume_key] for unit in units if unit.resume_key in state.failures]
        if lost:
            yield failed_cell(state.plan, cell, lost[0])


def failed_cell(plan: Plan, cell: Cell, error: str) -> CellResult:
    """A cell that could not be measured."""
    primary = task_of(plan.subjects.spec(cell.file).task).primary
    return CellResult.of(cell, status="failed", images=0, judged_by=primary, error=error, cause="measuring")


def _unmeasured(plan: Plan) -> Iterator[CellResult]:
    """The cells of levels and delegates that cannot be had, or that fail at once."""
    by_model = {spec.model: task_of(spec.task).primary for spec in plan.specs}
    for cell, status, cause, reason in plan.unmeasured_cells():
        yield CellResult.of(cell, status=status, images=0, judged_by=by_model[cell.model], error=reason, cause=cause)
