"""Measure every unit of a plan that is not complete; a unit whose worker died is tried again one model at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from auditor.executors import Executor, Outcome, run_isolated
from auditor.measure.predict import UnitMeasurement, failed_prediction, measure_unit
from auditor.plan import Plan
from auditor.run.progress import Progress
from auditor.store import ImagePrediction, has_unit, save_unit
from auditor.values import Unit

__all__ = ["UNIT_TIMEOUT_S", "measure"]

UNIT_TIMEOUT_S = 600.0


def measure(plan: Plan, folder: Path, runner: Executor, progress: Progress, *, fresh: bool, seconds: dict[str, float]) -> dict[str, str]:
    """Measure every unit that is not complete; return the error of each unit that could not be. `seconds` gets the time
    that storing took."""
    seconds.setdefault("store", 0.0)
    todo = [unit for unit in plan.units if fresh or not has_unit(folder, unit.resume_key)]
    progress.start(cells=sum(1 for _ in plan.cells()), images=sum(_inferences(unit) for unit in todo))
    if len(todo) < len(plan.units):
        progress.say(f"{len(plan.units) - len(todo)} of {len(plan.units)} units are complete in {folder} and are not measured again")
    failures: dict[str, str] = {}
    for outcome in runner.map(measure_unit, todo, affinity=lambda unit: (unit.dataset, unit.images[0].id)):
        unit = outcome.item
        if outcome.died:
            progress.say(f"a worker ended while it measured {unit.scenario_key}; trying its models one at a time")
            outcome = _retried(unit)
        if outcome.error is not None:
            failures[unit.resume_key] = outcome.error
        else:
            begin = time.perf_counter()
            save_unit(folder, unit.resume_key, outcome.result.predictions, outcome.result.times_s, complete=outcome.result.complete)
            seconds["store"] += time.perf_counter() - begin
        progress.measured(images=_inferences(unit))
    return failures


def _inferences(unit: Unit) -> int:
    return len(unit.images) * len(unit.severities) * len(unit.models)


def _retried(unit: Unit) -> Outcome:
    """Measure a unit whose worker died one model at a time, each in a process of its own: only the guilty one is lost."""
    parts = [dataclasses.replace(unit, models=(model,)) for model in unit.models]
    predictions: list[ImagePrediction] = []
    times_s: dict[str, float] = {}
    for part, outcome in zip(parts, run_isolated(measure_unit, parts, timeout_s=UNIT_TIMEOUT_S), strict=True):
        if outcome.error is not None:
            predictions += _lost(part, outcome.error)
            continue
        predictions += outcome.result.predictions
        for stage, seconds in outcome.result.times_s.items():
            times_s[stage] = times_s.get(stage, 0.0) + seconds
    lost = any(item.error is not None and item.scope == "model" for item in predictions)
    return Outcome(unit, result=UnitMeasurement(tuple(predictions), times_s, complete=not lost))


def _lost(part: Unit, error: str) -> Iterator[ImagePrediction]:
    for record in part.images:
        for severity in part.severities:
            yield failed_prediction(part.models[0], record, severity, error, "model")
