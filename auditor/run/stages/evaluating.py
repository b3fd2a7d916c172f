"""Evaluate every cell of a plan from its stored predictions, and compare the cells."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from auditor.evaluate.differences import with_differences
from auditor.evaluate.evaluated import CellEvaluation
from auditor.executors import run_isolated
from auditor.plan import Plan
from auditor.run.forecast import CELLS, begin
from auditor.run.session import Session, State
from auditor.run.stages.measuring import UNIT_TIMEOUT_S
from auditor.store import load_predictions
from auditor.tasks.anatomy.cells import CellTask, cell_task, evaluate_cell, task_of
from auditor.values import Cell, CellResult, DelegateOps, InRun, Measurement

__all__ = ["evaluate", "timed_evaluation"]


def evaluate(session: Session, state: State) -> State:
    """Evaluate every cell, take each file's time from its clean cell, and tell what could not be measured, and what
    each delegate took of each file as its first invocation showed."""
    plan = state.plan
    evaluations: dict[Cell, CellEvaluation] = {}
    results = [*_lost(state)]
    order = {cell: index for index, (cell, _) in enumerate(plan.cells())}
    tasks = _tasks(session, state)
    begin(session, state, "evaluating", of=len(order), what=CELLS)
    session.progress.done(len(results))
    started = time.monotonic()
    for outcome in session.executor.map(timed_evaluation, tasks, ahead=session.executor.jobs):
        if outcome.died:
            (outcome,) = run_isolated(timed_evaluation, [outcome.item], timeout_s=UNIT_TIMEOUT_S)
        if outcome.error is not None:
            results.append(_failed(plan, outcome.item.cell, f"evaluation failed: {outcome.error}"))
        else:
            evaluation, spent = outcome.result
            results.append(evaluation.result)
            evaluations[evaluation.result.key] = evaluation
            session.stopwatch.add("evaluate", spent)
        session.progress.done()
    session.pace.saw(CELLS, len(order), time.monotonic() - started)
    results.sort(key=lambda result: order[result.key])
    unreadable: dict[str, dict[int, str]] = {}
    for cell, found in evaluations.items():
        unreadable.setdefault(plan.subjects.spec(cell.file).dataset, {}).update(found.unreadable)
    cells = with_differences(results, evaluations, lambda file: task_of(plan.subjects.spec(file).task).compare)
    times = {
        cell: found.invoke_ms for cell, found in evaluations.items() if found.invoke_ms is not None and cell.is_clean
    }
    return dataclasses.replace(
        state,
        cells=(*cells, *_unmeasured(plan), *state.cells),
        unreadable=unreadable,
        measurements=(
            *(_time_of(cell, times[cell]) for cell in sorted(times, key=order.__getitem__)),
            *_delegate_ops(plan),
            *state.measurements,
        ),
    )


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
            yield _failed(state.plan, cell, lost[0])


def _failed(plan: Plan, cell: Cell, error: str) -> CellResult:
    primary = task_of(plan.subjects.spec(cell.file).task).primary
    return CellResult.of(cell, status="failed", images=0, judged_by=primary, error=error, cause="measuring")


def _unmeasured(plan: Plan) -> Iterator[CellResult]:
    """The cells of levels and delegates that cannot be had, or that fail at once."""
    by_model = {spec.model: task_of(spec.task).primary for spec in plan.specs}
    for cell, status, cause, reason in plan.unmeasured_cells():
        yield CellResult.of(cell, status=status, images=0, judged_by=by_model[cell.model], error=reason, cause=cause)


def _tasks(session: Session, state: State) -> Iterator[CellTask]:
    """What evaluating each measured cell needs; predictions are loaded one cell at a time."""
    plan = state.plan
    last: CellTask | None = None
    for cell, units in plan.cells():
        keys = [unit.resume_key for unit in units]
        if any(key in state.failures for key in keys):
            continue
        spec = plan.subjects.spec(cell.file)
        found = load_predictions(session.folder, keys, file=spec.key, delegate=cell.delegate, severity=cell.severity)
        if last is None or last.cell.file != cell.file:  # the cells of a file share its truth
            last = cell_task(cell, spec, plan.datasets[spec.dataset], plan.subjects.matches[cell.file])
        yield dataclasses.replace(
            last,
            cell=cell,
            predictions=tuple(found),
            seed=plan.subjects.seed,
            evaluation=plan.subjects.evaluation,
        )
