"""The quantization levels of an audit: those that it asks for, the remedies, and where a losing level's error
arises."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from auditor.errors import ModelError
from auditor.executors import each_isolated
from auditor.judge.quantization import breaks_in_head, loses
from auditor.measure.layers import LayersRequest, measure_layers
from auditor.quantize import LevelRequest, leaves_integers, make_levels
from auditor.resolve.image_sets import first_images
from auditor.resolve.model import derived_spec
from auditor.run.forecast import everything
from auditor.run.session import Session, State
from auditor.run.stages.verifying import verified
from auditor.values import ModelSpec
from auditor.values.levels import FLOAT32, FLOAT_HEAD, FLOAT_MORE, INT8, PARENT

__all__ = ["locate_errors", "make_asked", "make_remedies"]

_TIMEOUT_S = 600.0

Role = Literal["level", "remedy", "evidence"]


def make_asked(session: Session, state: State) -> State:
    """Make the quantization levels that the audit asks for, and plan them beside their sources."""
    subjects = state.plan.subjects
    requests = []
    for entry in subjects.entries:
        spec = subjects.spec(entry.name)
        # What is deployed of a parent begins with its conversion, and losses are told from it.
        wanted = (FLOAT32, *entry.asked) if spec.quantization == PARENT else entry.asked
        calibration = subjects.calibration.get(entry.name, ())
        requests += [
            LevelRequest(spec, level, str(session.folder / "models"), calibration, entry.io)
            for level in dict.fromkeys(wanted)
            if level != spec.quantization
        ]
    return _planned(session, state, requests, "level")


def make_remedies(session: Session, state: State) -> State:
    """Where an int8 level that was made here breaks in its output head, make the level that keeps the head in float;
    and to tell whether more float would help, one that keeps more, measured on clean images alone."""
    subjects = state.plan.subjects
    if not session.config.checks.quantization:
        return state
    heads, more = [], []
    for entry in subjects.entries:
        broken = entry.levels.get(INT8)
        if not entry.quantizes or broken is None or not breaks_in_head(subjects.spec(broken).diagnosis):
            continue
        source = dataclasses.replace(subjects.float_level(entry), name=entry.name)
        folder, calibration = str(session.folder / "models"), subjects.calibration[entry.name]
        if FLOAT_HEAD not in entry.levels:
            heads.append(LevelRequest(source, FLOAT_HEAD, folder, calibration, entry.io))
        if leaves_integers(Path(source.path)):
            more.append(LevelRequest(source, FLOAT_MORE, folder, calibration, entry.io))
    state = _planned(session, state, heads, "remedy")
    return _planned(session, state, more, "evidence")


def _planned(session: Session, state: State, requests: Sequence[LevelRequest], role: Role) -> State:
    """Make levels and plan them; what cannot be had is skipped with its reason, but for evidence, which nobody asked
    for."""
    if not requests:
        return state
    session.progress.stage("making levels", seconds=10.0 * len(requests), later=everything(session, state))
    images = {name: first_images(dataset) for name, dataset in state.plan.datasets.items()}
    specs: list[ModelSpec] = []
    skipped = []
    for made in make_levels(requests, say=session.progress.say):
        request, reason = made.request, made.reason
        if reason is None:
            try:
                spec = derived_spec(
                    request.spec,
                    request.path,
                    level=request.level,
                    made=request.made,
                    images=images.get(request.spec.dataset, ()),
                )
                specs.append(dataclasses.replace(spec, role=role))
            except ModelError as error:
                reason = f"the made model does not run: {error}"
        if reason is not None and role != "evidence":
            skipped.append((request.spec, request.level, reason))
    delegates = {spec.name: state.plan.subjects.asked_delegates for spec in specs}
    facts = verified(specs, delegates, timeout_s=session.config.measure.timeout)
    plan = state.plan.extended(specs, facts, skipped=skipped, on_clean_alone=role == "evidence")
    return dataclasses.replace(state, plan=plan)


def locate_errors(session: Session, state: State) -> State:
    """Compare the tensors of each made level that loses too much with its source's, to say where the error arises."""
    subjects, limit = state.plan.subjects, session.config.checks.quantization
    losing = {cell.file for cell in state.cells if limit and loses(cell, limit.max_loss)}
    requests = []
    for entry in subjects.entries:
        source = subjects.float_level(entry) if entry.quantizes else None
        for file in entry.levels.values() if source is not None else ():
            spec = subjects.spec(file)
            if source is not None and file in losing and spec.path != source.path:
                requests.append(LayersRequest(spec, source, first_images(subjects.datasets[spec.dataset])))
    changed = {}
    if requests:
        session.progress.stage(
            "finding where levels lose", of=len(requests), what="levels", seconds=6.0 * len(requests)
        )
    for outcome in each_isolated(measure_layers, requests, timeout_s=_TIMEOUT_S):
        spec = outcome.item.spec
        session.progress.done()
        if outcome.error is not None:
            reason = outcome.error.strip().splitlines()[-1]
            session.progress.say(f"the tensors of {spec.name} could not be compared: {reason}")
        else:
            known = spec.diagnosis
            diagnosis = dataclasses.replace(outcome.result, outputs=known.outputs, input=known.input)
            changed[spec.name] = dataclasses.replace(spec, diagnosis=diagnosis)
    return dataclasses.replace(state, plan=state.plan.with_specs(changed))
