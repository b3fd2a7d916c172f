"""Fill the grid of an audit: measure every unit of the plan that is not complete, and evaluate each cell as soon as its
units are there."""

from __future__ import annotations

import dataclasses
import time

from auditor.errors import InputError
from auditor.run.forecast import CELLS, INFERENCES, begin, inferences
from auditor.run.session import Session, State
from auditor.run.stages.deciding import decide_gates
from auditor.run.stages.evaluating import Evaluating
from auditor.run.stages.measuring import measure_units
from auditor.store import has_unit

__all__ = ["fill_grid"]


def fill_grid(session: Session, state: State) -> State:
    """Measure the plan's units and evaluate its cells, side by side; take each file's time from its clean cell, and
    tell what could not be measured, and what each delegate took of each file as its first invocation showed."""
    if session.expected not in (None, state.plan.fingerprint):
        raise InputError(
            f"{session.config.source.path}: what it measures here is not what the shards measured: models, images, "
            "scenarios or versions are others; run the shards again, or merge where they ran"
        )
    if session.config.decide is not None:
        videos = [spec.name for spec in state.plan.specs if spec.keeps_state]
        if videos:
            raise InputError(
                f"{session.config.source.where('decide')}: {' and '.join(videos)} keeps its state from image to image, "
                "so its images cannot be taken in random order; leave `decide` out, or `state: keep`"
            )
    units, folder = state.plan.units, session.folder
    todo = [unit for unit in units if session.fresh or not has_unit(folder, unit.resume_key)]
    if session.config.decide is not None:
        if todo:
            return decide_gates(session, state)
        session.progress.say(f"every inference is there already, in {folder}: nothing is left to decide early")
    begin(session, state, "measuring", of=sum(map(inferences, todo)), what=INFERENCES)
    if len(todo) < len(units):
        kept = sum(map(inferences, units)) - sum(map(inferences, todo))
        session.progress.say(f"{kept} inferences are there already, in {folder}, and are not done again")
    evaluating = Evaluating(session, state)
    started = time.monotonic()
    failures = measure_units(session, state.plan, units, done=session.progress.done, following=evaluating)
    spent = time.monotonic() - started
    session.pace.saw(INFERENCES, sum(map(inferences, todo)), spent)
    session.pace.saw(CELLS, evaluating.of, spent if not todo else session.stopwatch.seconds["evaluate"])
    return evaluating.concluded(dataclasses.replace(state, failures={**state.failures, **failures}))
