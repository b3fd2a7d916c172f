"""Measure every unit of a plan that is not complete; a unit whose worker died is tried again one model at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Container, Iterator, Sequence

from auditor.delegate import Delegate
from auditor.executors import Outcome, run_isolated
from auditor.measure.predict import UnitPredictions, failed_prediction, predict_unit
from auditor.plan import Plan
from auditor.run.forecast import INFERENCES, begin, inferences
from auditor.run.session import Session, State
from auditor.store import ImagePrediction, has_unit, save_unit
from auditor.values import ModelSpec, Unit

__all__ = ["UNIT_TIMEOUT_S", "measure", "measure_units"]

UNIT_TIMEOUT_S = 600.0
_GIVEN_UP = "not tried again: the delegate hung or ended its process on other images"


def measure(session: Session, state: State) -> State:
    """Measure every unit of the plan that is not complete, and was not tried before."""
    units = [unit for unit in state.plan.units if unit.resume_key not in state.tried]
    if not units:
        return state
    folder = session.folder
    todo = [unit for unit in units if session.fresh or not has_unit(folder, unit.resume_key)]
    begin(session, state, "measuring", of=sum(map(inferences, todo)), what=INFERENCES)
    if len(todo) < len(units):
        kept = sum(map(inferences, units)) - sum(map(inferences, todo))
        session.progress.say(f"{kept} inferences are there already, in {folder}, and are not done again")
    started = time.monotonic()
    failures = measure_units(session, state.plan, units, done=session.progress.done)
    session.pace.saw(INFERENCES, sum(map(inferences, todo)), time.monotonic() - started)
    tried = state.tried | {unit.resume_key for unit in units}
    return dataclasses.replace(state, failures={**state.failures, **failures}, tried=tried)


def measure_units(
    session: Session, plan: Plan, units: Sequence[Unit], *, done: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    """Measure units that are not complete; return the error of each that could not be, by its resume key. Tells how
    many more inferences are `done`."""
    folder, progress = session.folder, session.progress
    todo = [unit for unit in units if session.fresh or not has_unit(folder, unit.resume_key)]
    failures: dict[str, str] = {}
    lost: set[tuple[str, str]] = set()
    foreign = any(delegate.is_foreign for unit in todo for _, delegate in unit.models)
    outcomes = session.executor.map(
        predict_unit,
        (_without(unit, lost) for unit in todo),
        affinity=lambda unit: (unit.dataset, unit.images[0].id),
        timeout_s=lambda unit: _limit(session, plan, unit),
        **({"ahead": session.executor.jobs} if foreign else {}),
    )
    whole = {unit.resume_key: unit for unit in todo}
    for outcome in outcomes:
        unit = outcome.item
        if outcome.died:
            progress.say(f"a worker ended while it measured {unit.scenario_key}; trying its models one at a time")
            outcome = _retried(session, plan, unit, lost)
        if outcome.error is not None:
            failures[unit.resume_key] = outcome.error
        else:
            left_out = [model for model in whole[unit.resume_key].models if model not in unit.models]
            dropped = [
                item for model in left_out for item in _lost(dataclasses.replace(unit, models=(model,)), _GIVEN_UP)
            ]
            with session.stopwatch.of("store"):
                save_unit(
                    folder,
                    unit.resume_key,
                    (*outcome.result.predictions, *dropped),
                    outcome.result.times_s,
                    complete=outcome.result.complete and not dropped,
                )
        done(inferences(whole[unit.resume_key]))
    return failures


def _without(unit: Unit, lost: Container[tuple[str, str]]) -> Unit:
    """The unit without models that took a worker with them on a delegate: they are not tried again in this run."""
    return dataclasses.replace(unit, models=tuple(model for model in unit.models if not _is_lost(model, lost)))


def _is_lost(model: tuple[ModelSpec, Delegate], lost: Container[tuple[str, str]]) -> bool:
    return (model[0].key, model[1].name) in lost


def _limit(session: Session, plan: Plan, unit: Unit) -> float | None:
    """How long a unit may take, in seconds, where a foreign delegate may hang: `timeout:` above three times what the
    first invocations suggest."""
    if not any(delegate.is_foreign for _, delegate in unit.models):
        return None
    known = [plan.verified.get((spec.name, delegate.name)) for spec, delegate in unit.models]
    once = sum(facts.seconds for facts in known if facts is not None)
    return session.config.measure.timeout + 3 * once * len(unit.images) * len(unit.severities)


def _retried(session: Session, plan: Plan, unit: Unit, lost: set[tuple[str, str]]) -> Outcome:
    """Measure a unit whose worker died one model at a time, each in a process of its own: only the guilty one is lost,
    and noted in `lost` where its delegate is foreign."""
    predictions: list[ImagePrediction] = []
    times_s: dict[str, float] = {}
    for model in unit.models:
        part = dataclasses.replace(unit, models=(model,))
        (outcome,) = run_isolated(predict_unit, [part], timeout_s=_limit(session, plan, part) or UNIT_TIMEOUT_S)
        if outcome.error is not None:
            spec, delegate = model
            predictions += _lost(part, f"{delegate.name}: {outcome.error}")
            if delegate.is_foreign:
                lost.add((spec.key, delegate.name))
            continue
        predictions += outcome.result.predictions
        for stage, seconds in outcome.result.times_s.items():
            times_s[stage] = times_s.get(stage, 0.0) + seconds
    incomplete = any(item.error is not None and item.scope == "model" for item in predictions)
    return Outcome(unit, result=UnitPredictions(tuple(predictions), times_s, complete=not incomplete))


def _lost(part: Unit, error: str) -> Iterator[ImagePrediction]:
    for record in part.images:
        for severity in part.severities:
            yield failed_prediction(part.models[0], record, severity, error, "model")
