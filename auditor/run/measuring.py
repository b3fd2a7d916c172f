"""Measure every unit of a plan that is not complete; a unit whose worker died is tried again one model at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Container, Iterator
from pathlib import Path

from auditor.executors import Executor, Outcome, run_isolated
from auditor.measure.predict import UnitMeasurement, failed_prediction, measure_unit
from auditor.plan import Plan
from auditor.run.progress import Progress
from auditor.store import ImagePrediction, has_unit, save_unit
from auditor.values import Unit

__all__ = ["UNIT_TIMEOUT_S", "measure"]

UNIT_TIMEOUT_S = 600.0
_GIVEN_UP = "not tried again: the delegate hung or ended its process on other images"


def measure(
    plan: Plan, folder: Path, runner: Executor, progress: Progress, *, fresh: bool, seconds: dict[str, float]
) -> dict[str, str]:
    """Measure every unit that is not complete; return the error of each unit that could not be. `seconds` gets the time
    that storing took."""
    seconds.setdefault("store", 0.0)
    todo = [unit for unit in plan.units if fresh or not has_unit(folder, unit.resume_key)]
    progress.start(cells=sum(1 for _ in plan.cells()), images=sum(_inferences(unit) for unit in todo))
    if len(todo) < len(plan.units):
        progress.say(
            f"{len(plan.units) - len(todo)} of {len(plan.units)} units are complete in {folder} and are not measured "
            "again"
        )
    failures: dict[str, str] = {}
    lost: set[tuple[str, str]] = set()
    foreign = any(unit.libraries or any(delegate == "gpu" for _, delegate in unit.models) for unit in todo)
    outcomes = runner.map(
        measure_unit,
        (_without(unit, lost) for unit in todo),
        affinity=lambda unit: (unit.dataset, unit.images[0].id),
        timeout_s=lambda unit: _limit(plan, unit),
        **({"ahead": runner.jobs} if foreign else {}),
    )
    whole = {unit.resume_key: unit for unit in todo}
    for outcome in outcomes:
        unit = outcome.item
        if outcome.died:
            progress.say(f"a worker ended while it measured {unit.scenario_key}; trying its models one at a time")
            outcome = _retried(plan, unit, lost)
        if outcome.error is not None:
            failures[unit.resume_key] = outcome.error
        else:
            begin = time.perf_counter()
            left_out = [model for model in whole[unit.resume_key].models if model not in unit.models]
            dropped = [
                item for model in left_out for item in _lost(dataclasses.replace(unit, models=(model,)), _GIVEN_UP)
            ]
            predictions = (*outcome.result.predictions, *dropped)
            save_unit(
                folder,
                unit.resume_key,
                predictions,
                outcome.result.times_s,
                complete=outcome.result.complete and not dropped,
            )
            seconds["store"] += time.perf_counter() - begin
        progress.measured(images=_inferences(whole[unit.resume_key]))
    return failures


def _without(unit: Unit, lost: Container[tuple[str, str]]) -> Unit:
    """The unit without models that took a worker with them on a delegate: they are not tried again in this run."""
    return dataclasses.replace(
        unit, models=tuple(model for model in unit.models if (model[0].key, model[1]) not in lost)
    )


def _limit(plan: Plan, unit: Unit) -> float | None:
    """How long a unit may take, in seconds, where a delegate that is not the runtime's own may hang: `timeout:` above
    three times what the first invocations suggest."""
    if not unit.libraries and all(delegate != "gpu" for _, delegate in unit.models):
        return None
    once = [float(plan.verified.get((spec.name, delegate), {}).get("seconds") or 0.0) for spec, delegate in unit.models]
    return plan.config.measure.timeout + 3 * sum(once) * len(unit.images) * len(unit.severities)


def _inferences(unit: Unit) -> int:
    return len(unit.images) * len(unit.severities) * len(unit.models)


def _retried(plan: Plan, unit: Unit, lost: set[tuple[str, str]]) -> Outcome:
    """Measure a unit whose worker died one model at a time, each in a process of its own: only the guilty one is lost,
    and noted in `lost` where its delegate is not the runtime's own."""
    parts = [dataclasses.replace(unit, models=(model,)) for model in unit.models]
    predictions: list[ImagePrediction] = []
    times_s: dict[str, float] = {}
    for part in parts:
        (outcome,) = run_isolated(measure_unit, [part], timeout_s=_limit(plan, part) or UNIT_TIMEOUT_S)
        if outcome.error is not None:
            ((spec, delegate),) = part.models
            predictions += _lost(part, f"{delegate}: {outcome.error}")
            if delegate not in ("none", "xnnpack", "tensorflow"):
                lost.add((spec.key, delegate))
            continue
        predictions += outcome.result.predictions
        for stage, seconds in outcome.result.times_s.items():
            times_s[stage] = times_s.get(stage, 0.0) + seconds
    incomplete = any(item.error is not None and item.scope == "model" for item in predictions)
    return Outcome(unit, result=UnitMeasurement(tuple(predictions), times_s, complete=not incomplete))


def _lost(part: Unit, error: str) -> Iterator[ImagePrediction]:
    for record in part.images:
        for severity in part.severities:
            yield failed_prediction(part.models[0], record, severity, error, "model")
