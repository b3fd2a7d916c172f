"""Measure units that are not complete, and evaluate each cell as soon as all its units are there; a unit whose worker
died is tried again one model at a time."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from auditor.delegate import Delegate
from auditor.errors import InputError
from auditor.executors import Outcome, Shipping, run_isolated
from auditor.measure.predict import UnitPredictions, failed_prediction, predict_unit
from auditor.plan import Plan
from auditor.run.forecast import inferences
from auditor.run.session import Session
from auditor.store import ImagePrediction, has_unit, save_unit
from auditor.values import ModelSpec, Unit

__all__ = ["UNIT_TIMEOUT_S", "Following", "Job", "Waiting", "carry_out", "measure_units"]

K = TypeVar("K")

UNIT_TIMEOUT_S = 600.0
_GIVEN_UP = "not tried again: it hung or ended its process on other images"
_DEATHS = 3
"""So often a model may end its process on the runtime's own kernels before it is given up."""


@dataclass(frozen=True)
class Job:
    """A function and what it is called with: work of several kinds goes through one executor."""

    function: Callable[[Any], Any]
    argument: Any


def carry_out(job: Job) -> Any:
    """Do a job."""
    return job.function(job.argument)


class Following(Protocol):
    """Work that follows from measured units."""

    def ready(self) -> Job | None:
        """What can be done now, None for now."""

    def measured(self, resume_key: str, *, failed: bool) -> None:
        """A unit is in the store, or could not be measured."""

    def took(self, outcome: Outcome) -> None:
        """A job that was ready is done."""

    def alone(self) -> None:
        """All units are measured."""


class Waiting(Generic[K]):
    """What waits for units, by a key of its own: each is ready when the last of its units is in the store, and never
    where one could not be measured."""

    def __init__(self, waits: Mapping[K, Collection[str]]) -> None:
        self._left = {key: len(set(units)) for key, units in waits.items()}
        self._by_unit: dict[str, list[K]] = {}
        for key, units in waits.items():
            for unit in set(units):
                self._by_unit.setdefault(unit, []).append(key)
        self._ready = deque(key for key, left in self._left.items() if not left)

    def pop(self) -> K | None:
        """The next that is ready."""
        return self._ready.popleft() if self._ready else None

    def measured(self, resume_key: str, *, failed: bool) -> None:
        """A unit is in the store, or could not be measured."""
        for key in self._by_unit.pop(resume_key, ()):
            self._left[key] -= not failed
            if not self._left[key]:
                self._ready.append(key)


class _Nothing:
    """Nothing follows."""

    def ready(self) -> Job | None:
        return None

    def measured(self, resume_key: str, *, failed: bool) -> None: ...

    def took(self, outcome: Outcome) -> None: ...

    def alone(self) -> None: ...


@dataclass
class _Lost:
    """Models that hung, or that ended their process too often, on a delegate; and how often each did."""

    given_up: set[tuple[str, str]] = field(default_factory=set)
    scenarios: set[str] = field(default_factory=set)
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)

    def has(self, model: tuple[ModelSpec, Delegate], scenario: str) -> bool:
        """Whether a model, or a scenario for all models, is not to be tried again."""
        return _named(model) in self.given_up or scenario in self.scenarios

    def saw(self, model: tuple[ModelSpec, Delegate], *, hung: bool) -> None:
        """It took a worker with it."""
        self.deaths[_named(model)] += 1
        if hung or model[1].is_foreign or self.deaths[_named(model)] >= _DEATHS:
            self.given_up.add(_named(model))


def _named(model: tuple[ModelSpec, Delegate]) -> tuple[str, str]:
    return model[0].key, model[1].name


class _Work:
    """What is left to do: units, and whatever follows from them first. It may have nothing for now, and more later."""

    def __init__(self, units: Sequence[Unit], lost: _Lost, following: Following) -> None:
        self._units, self._lost, self._following = iter(units), lost, following

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        job = self._following.ready()
        if job is not None:
            return job
        unit = next(self._units)
        models = tuple(model for model in unit.models if not self._lost.has(model, unit.scenario_key))
        return Job(predict_unit, dataclasses.replace(unit, models=models))


def measure_units(
    session: Session,
    plan: Plan,
    units: Sequence[Unit],
    *,
    done: Callable[[int], None] = lambda _: None,
    following: Following | None = None,
    there: Collection[str] = (),
) -> dict[str, str]:
    """Measure units that are not complete; return the error of each that could not be, by its resume key. Tells how
    many more inferences are `done`. What follows may wait for units that are `there` already, too."""
    follow = following or _Nothing()
    todo = [unit for unit in units if session.fresh or not has_unit(session.folder, unit.resume_key, whole=True)]
    for key in ({unit.resume_key for unit in units} | set(there)) - {unit.resume_key for unit in todo}:
        follow.measured(key, failed=False)
    failures: dict[str, str] = {}
    lost, left = _Lost(), len(todo)
    foreign = any(delegate.is_foreign for unit in todo for _, delegate in unit.models)
    outcomes = session.executor.map(
        carry_out,
        _Work(todo, lost, follow),
        affinity=_affinity,
        timeout_s=lambda job: _limit(session, plan, job.argument) if job.function is predict_unit else None,
        shipping=_shipping(session, plan),
        **({"ahead": session.executor.jobs} if foreign else {}),
    )
    whole = {unit.resume_key: unit for unit in todo}
    if not left:
        follow.alone()
    for outcome in outcomes:
        if outcome.item.function is not predict_unit:
            follow.took(outcome)
            continue
        unit = whole[outcome.item.argument.resume_key]
        error = _keep(session, plan, unit, outcome, lost)
        if error is not None:
            failures[unit.resume_key] = error
        follow.measured(unit.resume_key, failed=error is not None)
        done(inferences(unit))
        left -= 1
        if not left:
            follow.alone()
    return failures


def _keep(session: Session, plan: Plan, whole: Unit, outcome: Outcome, lost: _Lost) -> str | None:
    """Save what was measured of a unit; return why it could not be measured, if so."""
    unit = outcome.item.argument
    if outcome.died:
        session.progress.say(f"a worker ended while it measured {unit.scenario_key}; trying its models one at a time")
        outcome = _retried(session, plan, unit, lost)
    if outcome.error is not None:
        return outcome.error
    left_out = [model for model in whole.models if model not in unit.models]
    dropped = [item for model in left_out for item in _lost(dataclasses.replace(whole, models=(model,)), _GIVEN_UP)]
    with session.stopwatch.of("store"):
        save_unit(
            session.folder,
            unit.resume_key,
            (*outcome.result.predictions, *dropped),
            outcome.result.times_s,
            complete=outcome.result.complete and not dropped,
        )
    return None


def _affinity(job: Job) -> Any:
    """Units of the same images belong together, since a worker keeps these; evaluations of one truth too."""
    if isinstance(job.argument, Unit):
        return job.argument.dataset, job.argument.images[0].id
    return "evaluation"


def _shipping(session: Session, plan: Plan) -> Shipping | None:
    """How units take models and images along, where workers cannot see them.

    Raises:
        InputError: what cannot be sent is not seen.
    """
    models = [Path(spec.path) for spec in plan.specs]
    libraries = [Path(on.library) for delegates in plan.subjects.delegates.values() for on in delegates if on.library]
    images = [dataset.images[0].path for dataset in plan.datasets.values() if dataset.images]
    if session.executor.sees([*models, *libraries, *images]):
        return None
    stuck = [path for path in (*models, *libraries) if path.is_dir() or path in libraries]
    if stuck and not session.executor.sees(stuck):
        raise InputError(
            f"{path}: the workers cannot see it, and it cannot be sent; put it on a path that all of them share"
            for path in dict.fromkeys(stuck)
        )
    return Shipping(_files, _moved)


def _files(job: Job) -> list[Path]:
    if not isinstance(job.argument, Unit):
        return []
    unit = job.argument
    found = [*(Path(spec.path) for spec, _ in unit.models), *(record.path for record in unit.images)]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _moved(job: Job, where: Mapping[Path, Path]) -> Job:
    if not isinstance(job.argument, Unit):
        return job
    unit = job.argument
    images = tuple(dataclasses.replace(image, path=where.get(image.path, image.path)) for image in unit.images)
    models = tuple(
        (dataclasses.replace(spec, path=str(where.get(Path(spec.path), Path(spec.path)))), on)
        for spec, on in unit.models
    )
    return Job(job.function, dataclasses.replace(unit, images=images, models=models))


def _limit(session: Session, plan: Plan, unit: Unit) -> float | None:
    """How long a unit may take, in seconds, where a foreign delegate may hang in whatever it does: `timeout:` above
    three times what the first invocations suggest. Elsewhere each invocation has the limit `timeout:`."""
    if not any(delegate.is_foreign for _, delegate in unit.models):
        return None
    known = [plan.verified.get((spec.name, delegate.name)) for spec, delegate in unit.models]
    once = sum(facts.seconds for facts in known if facts is not None)
    return session.config.measure.timeout + 3 * once * len(unit.images) * len(unit.severities)


def _retried(session: Session, plan: Plan, unit: Unit, lost: _Lost) -> Outcome:
    """Measure a unit whose worker died one model at a time, each in a process of its own: only the guilty one is
    lost."""
    predictions: list[ImagePrediction] = []
    times_s: dict[str, float] = {}
    most = session.config.measure.timeout
    alone = Outcome(unit)
    if unit.scenario is not None and any(step.kind == "function" for step in unit.scenario.transforms):
        (alone,) = run_isolated(predict_unit, [dataclasses.replace(unit, models=())], timeout_s=UNIT_TIMEOUT_S + most)
    if alone.died:  # its code ended or hung the process: no model did
        lost.scenarios.add(unit.scenario_key)
        for model in unit.models:
            predictions += _lost(dataclasses.replace(unit, models=(model,)), str(alone.error), "scenario")
        return Outcome(Job(predict_unit, unit), result=UnitPredictions(tuple(predictions), {}, complete=False))
    for model in unit.models:
        part = dataclasses.replace(unit, models=(model,))
        limit = _limit(session, plan, part)
        begin = time.monotonic()
        (outcome,) = run_isolated(predict_unit, [part], timeout_s=limit or max(UNIT_TIMEOUT_S, 2 * most))
        if outcome.error is not None:
            hung = outcome.died and time.monotonic() - begin >= min(most, limit or most)
            late = f"nothing came back within the {most:g} s that `timeout:` allows an invocation, and it was stopped"
            error = late if hung else outcome.error
            predictions += _lost(part, f"{model[1].name}: {error}")
            if outcome.died:
                lost.saw(model, hung=hung)
            continue
        predictions += outcome.result.predictions
        for stage, seconds in outcome.result.times_s.items():
            times_s[stage] = times_s.get(stage, 0.0) + seconds
    incomplete = any(item.error is not None and item.scope == "model" for item in predictions)
    return Outcome(
        Job(predict_unit, unit), result=UnitPredictions(tuple(predictions), times_s, complete=not incomplete)
    )


def _lost(part: Unit, error: str, scope: str = "model") -> Iterator[ImagePrediction]:
    for record in part.images:
        for severity in part.severities:
            yield failed_prediction(part.models[0], record, severity, error, scope)
