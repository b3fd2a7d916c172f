"""Evaluate every cell of a plan from its stored predictions."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from auditor.evaluate.cells import CellEvaluation, CellTask, evaluate_cell, restrict_truth
from auditor.evaluate.differences import with_differences
from auditor.executors import Executor, run_isolated
from auditor.plan import Plan
from auditor.run.measuring import UNIT_TIMEOUT_S
from auditor.run.pictures import with_pictures
from auditor.run.progress import Progress
from auditor.store import load_predictions
from auditor.values import CLEAN, Cell, CellResult, Measurement

__all__ = ["cell_task", "delegate_ops", "evaluate", "timed_evaluation"]


def evaluate(
    plan: Plan,
    folder: Path,
    runner: Executor,
    progress: Progress,
    failures: dict[str, str],
    *,
    seconds: dict[str, float],
) -> tuple[list[CellResult], list[Measurement]]:
    """Evaluate every cell, and take each file's time from its clean cell; `seconds` gets the time that evaluating took,
    summed over the workers."""
    seconds["evaluate"] = 0.0
    evaluations: dict[Cell, CellEvaluation] = {}
    times: dict[Cell, float] = {}
    order = {cell: index for index, (cell, _) in enumerate(plan.cells())}
    results: list[CellResult] = []
    for outcome in runner.map(timed_evaluation, _tasks(plan, folder, failures, results), ahead=runner.jobs):
        if outcome.died:
            (outcome,) = run_isolated(timed_evaluation, [outcome.item], timeout_s=UNIT_TIMEOUT_S)
        if outcome.error is not None:
            results.append(
                CellResult(outcome.item.cell, "failed", images=0, error=f"evaluation failed: {outcome.error}")
            )
        else:
            evaluation, spent = outcome.result
            results.append(evaluation.result)
            evaluations[evaluation.result.cell] = evaluation
            if evaluation.invoke_ms is not None and evaluation.result.cell.scenario == CLEAN:
                times[evaluation.result.cell] = evaluation.invoke_ms
            seconds["evaluate"] += spent
        progress.evaluated(cells=1)
    cells = with_differences(sorted(results, key=lambda result: order[result.cell]), evaluations)
    cells = with_pictures(plan, cells, evaluations)
    return cells, [_time_of(cell, times[cell]) for cell in sorted(times, key=order.__getitem__)]


def _time_of(cell: Cell, invoke_ms: float) -> Measurement:
    """The median invocation while the audit ran, all workers busy: good for comparing levels, no figure of a device."""
    return Measurement("invoke_ms_in_run", cell.file, cell.quantization, cell.delegate, {"p50": invoke_ms}, "ms")


def cell_task(plan: Plan, cell: Cell) -> CellTask:
    """What evaluating a cell needs, but for its predictions."""
    spec = next(spec for spec in plan.specs if spec.name == cell.file)
    dataset, match = plan.datasets[spec.dataset], plan.matches[cell.file]
    judged = {dataset.categories.index(category): index for index, category in enumerate(match.judged)}
    return CellTask(
        cell=cell,
        truth=restrict_truth(dataset.truth, judged),
        judged=match.judged,
        to_judged=tuple(None if category is None else judged[category] for category in match.to_category),
        label_offset=int(spec.decoder_options.get("label_offset", 0)),
        predictions=(),
        seed=plan.config.seed,
        task=spec.task,
    )


def delegate_ops(plan: Plan) -> list[Measurement]:
    """What each delegate took of each file, as its first invocation showed."""
    specs = {spec.name: spec for spec in plan.specs}
    return [
        Measurement(
            "delegate_ops",
            file,
            specs[file].quantization,
            delegate,
            {"delegated": facts["delegated"], "ops": facts["ops"]},
            "ops",
        )
        for (file, delegate), facts in plan.verified.items()
        if facts.get("ops") is not None
    ]


def timed_evaluation(task: CellTask) -> tuple[CellEvaluation, float]:
    """Evaluate a cell, and say how many seconds it took."""
    begin = time.perf_counter()
    return evaluate_cell(task), time.perf_counter() - begin


def _tasks(plan: Plan, folder: Path, failures: dict[str, str], results: list[CellResult]) -> Iterator[CellTask]:
    specs = {spec.name: spec for spec in plan.specs}
    truths: dict[str, CellTask] = {}
    for cell, units in plan.cells():
        lost = [failures[unit.resume_key] for unit in units if unit.resume_key in failures]
        if lost:
            results.append(CellResult(cell, "failed", images=0, error=lost[0]))
            continue
        spec = specs[cell.file]
        if cell.file not in truths:
            truths = {cell.file: cell_task(plan, cell)}
        yield dataclasses.replace(
            truths[cell.file],
            cell=cell,
            predictions=tuple(
                load_predictions(
                    folder,
                    [unit.resume_key for unit in units],
                    file=spec.key,
                    delegate=cell.delegate,
                    severity=cell.severity,
                )
            ),
        )
