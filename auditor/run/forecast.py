"""How long the stages of a run will take: from what was seen of its pace so far, before that from what is usual."""

from __future__ import annotations

from collections.abc import Callable

from auditor.judge.quantization import breaks_in_head
from auditor.measure.speed import usual_seconds
from auditor.plan import Plan
from auditor.run.kept import comparison_key
from auditor.run.session import Session, State
from auditor.store import has_unit, load_cached
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ModelSpec, Unit
from auditor.values.levels import FLOAT_HEAD, INT8

__all__ = ["ALTERNATIVES", "CELLS", "INFERENCES", "begin", "by_stage", "everything", "inferences", "searches"]

INFERENCES, CELLS = "inferences", "cells"
"""What pace is kept of."""

_FIRST = 4
"""Opening a model and its first invocation take about so many times an invocation."""
_AROUND_MS = 2.5
"""What encoding, decoding and corrupting cost beside an invocation, each time."""
ALTERNATIVES = 18
"""About so many other inputs and readings are compared with each declared one."""
_FED = 10
"""So many of them are fed otherwise, and measured."""
_SCREENED = 0.5
"""Of the images that a comparison begins with, so many are looked at of each alternative: most are soon given up."""
_OF_A_SEARCH = 4
"""Cells that a breaking point takes beside the grid, more or less."""
_MAKING_S = 35.0
"""Making two levels, and comparing tensors with the source's."""
_WRITING_S = 2.5


def inferences(unit: Unit) -> int:
    """How many images a unit feeds to models."""
    return len(unit.images) * len(unit.severities) * len(unit.models)


def begin(session: Session, state: State, name: str, *, of: int, what: str, share: float = 1.0) -> None:
    """Tell that a stage begins, or such a `share` of it, how long that is expected to take, and how long all that
    follows."""
    names = list(_STAGES)
    later = sum(_STAGES[after](session, state) for after in names[names.index(name) + 1 :])
    session.progress.stage(name, of=of, what=what, seconds=share * _STAGES[name](session, state), later=later)


def everything(session: Session, state: State) -> float:
    """How long all stages take that are still to come before the first of them."""
    return sum(by_stage(session, state).values())


def by_stage(session: Session, state: State) -> dict[str, float]:
    """How long each stage is expected to take, before the first of them."""
    return {name: expected(session, state) for name, expected in _STAGES.items()}


def _seconds_of_inference(session: Session, state: State) -> float:
    """How long an inference takes, all workers together."""
    plan = state.plan
    known = [facts.seconds / _FIRST for facts in plan.verified.values() if facts.runs]
    usual = (sum(known) / len(known) if known else 0.02) + _AROUND_MS / 1e3
    return session.pace.of(INFERENCES, usual / session.executor.jobs)


def _measuring(session: Session, state: State) -> float:
    fresh, folder = session.fresh, session.folder
    left = [unit for unit in state.plan.units if fresh or not has_unit(folder, unit.resume_key)]
    return sum(map(inferences, left)) * _seconds_of_inference(session, state)


def _remedies(session: Session, state: State) -> float:
    """Of int8 levels that break in their head: making, measuring and evaluating what would mend them,
    and comparing tensors."""
    plan, total = state.plan, 0.0
    for entry in plan.subjects.entries if session.config.checks.quantization else ():
        broken = entry.levels.get(INT8)
        if broken is None or FLOAT_HEAD in entry.levels or not breaks_in_head(plan.subjects.spec(broken).diagnosis):
            continue
        spec = plan.subjects.spec(broken)
        units = [unit for unit in plan.units for model, _ in unit.models if model.name == broken]
        again = sum(len(unit.images) * len(unit.severities) for unit in units)
        cells = sum(cell.file == broken for cell, _ in plan.cells())
        images = len(plan.datasets[spec.dataset].images)
        total += again * _seconds_of_inference(session, state) + _MAKING_S
        total += cells * _seconds_of_cell(spec, images) / session.executor.jobs
    return total


def _evaluating(session: Session, state: State) -> float:
    plan, usual = state.plan, 0.0
    for cell, _ in plan.cells():
        spec = plan.subjects.spec(cell.file)
        usual += _seconds_of_cell(spec, len(plan.datasets[spec.dataset].images)) / session.executor.jobs
    count = sum(1 for _ in plan.cells())
    return count * session.pace.of(CELLS, usual / max(count, 1))


def _seconds_of_cell(spec: ModelSpec, images: int) -> float:
    return 0.05 + images * task_of(spec.task).evaluation_ms / 1e3


def searches(plan: Plan) -> int:
    """About how many cells are measured to find breaking points."""
    wanted = plan.subjects.breaking
    if wanted is None:
        return 0
    pairs = sum(
        plan.runs(spec.name, delegate)
        for spec in plan.specs
        if spec.role != "evidence"
        for delegate in plan.subjects.delegates[spec.name]
    )
    return _OF_A_SEARCH * pairs * len(wanted.scenarios)


def _searching(session: Session, state: State) -> float:
    plan = state.plan
    images = max((len(dataset.images) for dataset in plan.datasets.values()), default=0)
    cells = searches(plan)
    usual = sum(_seconds_of_cell(spec, images) for spec in plan.specs) / max(1, len(plan.specs))
    evaluating = session.pace.of(CELLS, usual / session.executor.jobs)
    return cells * (images * _seconds_of_inference(session, state) + evaluating)


def _comparing(session: Session, state: State) -> float:
    options, total = session.config.checks.input_contract, 0.0
    for entry in state.plan.subjects.entries if options else ():
        if entry.leads and options:
            spec = state.plan.subjects.float_level(entry)
            if not session.fresh and _is_kept(state, spec, options.images):
                continue
            images = min(options.images, len(state.plan.datasets[spec.dataset].images))
            seen = _SCREENED * images
            total += _FED * seen * _seconds_of_inference(session, state)
            total += ALTERNATIVES * _seconds_of_cell(spec, round(seen)) / session.executor.jobs / 2  # AP alone
    return total


def _is_kept(state: State, spec: ModelSpec, first: int) -> bool:
    """Whether an earlier audit compared a model's inputs on these images."""
    subjects = state.plan.subjects
    images = subjects.datasets[spec.dataset].images
    key = comparison_key(subjects, spec, subjects.delegates[spec.name][0], images, first)
    return load_cached(key) is not None


def _timing(session: Session, state: State) -> float:
    wanted = session.config.measure
    others = (wanted.sustained or 0.0) + (2.0 if wanted.streams else 0.0) + (1.0 if wanted.memory_limit else 0.0)
    total = 0.0
    for spec, delegate in state.plan.timed():
        once_s = state.plan.verified[spec.name, delegate.name].seconds / _FIRST
        total += len(wanted.threads) * usual_seconds(once_s) + others
    return total


_STAGES: dict[str, Callable[[Session, State], float]] = {
    "remedies": _remedies,
    "measuring": _measuring,
    "evaluating": _evaluating,
    "finding breaking points": _searching,
    "comparing inputs": _comparing,
    "timing": _timing,
    "writing the report": lambda *_: _WRITING_S,
}
"""The stages that take time, in their order."""
