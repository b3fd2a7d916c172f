"""Find the op where a delegate, or a level, departs from its reference, of those whose detections do or that lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from auditor.delegate import NONE
from auditor.executors import each_isolated
from auditor.judge.quantization import loses
from auditor.measure.drift import DriftRequest, measure_drift
from auditor.resolve.image_sets import first_images
from auditor.run.session import Session, State
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.values import PARITY, Drift

__all__ = ["find_departures"]

_TIMEOUT_S = 600.0
_IMAGES = 4
"""Every tensor of both is read on so many images, by the slow kernels: enough to see where they part."""


def find_departures(session: Session, state: State) -> State:
    """Compare tensors beside tensors, each in a process of its own; what cannot be compared says why."""
    found_for = {(item.spec.name, item.delegate.name, item.kind): item for item in _requests(session, state)}
    requests = list(found_for.values())
    if not requests:
        return state
    session.progress.stage("finding where files depart", of=len(requests), what="files", seconds=6.0 * len(requests))
    found = []
    for outcome in each_isolated(measure_drift, requests, timeout_s=_TIMEOUT_S):
        session.progress.done()
        if outcome.error is None:
            found.append(outcome.result)
            continue
        request: DriftRequest = outcome.item
        reason = outcome.error.strip().splitlines()[-1]
        named = request.spec.name, request.delegate.name, request.against, request.kind
        found.append(Drift(*named, images=0, limit_db=0.0, reason=reason))
    return dataclasses.replace(state, drifts=tuple(found))


def _requests(session: Session, state: State) -> Iterator[DriftRequest]:
    """Delegates that give other detections, and levels that lose too much against the family's first file; a level is
    read on the own kernels, so once, on whichever delegates it loses."""
    subjects, limit = state.plan.subjects, session.config.checks.quantization
    leaders = {spec.model: spec for spec in reversed(state.plan.specs)}
    for cell in state.cells:
        if not cell.is_clean or not cell.is_declared or not cell.is_local or cell.status != "ok":
            continue
        spec = subjects.spec(cell.file)
        named = {delegate.name: delegate for delegate in subjects.delegates[spec.name]}
        delegate = named.get(cell.delegate)
        if delegate is None or runtime_of(Path(spec.path)).expose is None:
            continue
        images = first_images(subjects.datasets[spec.dataset])[:_IMAGES]
        parity = cell.parity
        if parity is not None and parity.matched is not None and parity.matched < PARITY:
            # Either of the two may be the own kernels, which are what the other is compared with.
            taking = named.get(parity.against, delegate) if delegate == NONE else delegate
            yield DriftRequest(spec, taking, spec, f"{spec.name} on the runtime's own kernels", images)
        leader = leaders[spec.model]
        readable = spec.path != leader.path and runtime_of(Path(leader.path)).expose is not None
        if readable and limit and loses(cell, limit.max_loss):
            yield DriftRequest(spec, NONE, leader, leader.name, images)
