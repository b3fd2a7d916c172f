"""Measure speed and memory of every model on every delegate: after predicting, one at a time, each in a fresh
process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from auditor.delegate import Delegate
from auditor.executors import run_isolated
from auditor.measure.speed import LimitRequest, SpeedRequest, Speeds, fits_in_memory, measure_speed
from auditor.plan import Plan
from auditor.resolve.image_sets import first_images
from auditor.run.forecast import begin
from auditor.run.session import Session, State
from auditor.runtimes.anatomy.runtime import facts_of
from auditor.values import Measurement, MemoryLimit, ModelSpec

__all__ = ["measure_speeds"]

_IMAGES = 8
_STARTING_S = 30.0
"""What a fresh process and a few hundred invocations may take beside the delegate's own time limit."""
_UNITS = {
    "latency_ms": "ms",
    "peak_memory_mb": "MB",
    "sustained": "images/s",
    "streams": "ms",
    "memory_limit": "MB",
    "file_mb": "MB",
    "arena_mb": "MB",
}


def measure_speeds(session: Session, state: State) -> State:
    """Measure what `measure:` asks for, with nothing else running. What dies or takes too long becomes the
    measurement's error."""
    wanted, found = session.config.measure, list[Measurement]()
    session.executor.close(wait=bool(wanted.threads) or wanted.memory_limit is not None)
    pairs = list(state.plan.timed())
    begin(session, state, "timing", of=len(pairs), what="speeds")
    for spec, delegate in pairs:
        found += _of_pair(session, state.plan, spec, delegate)
        session.progress.done()
    return dataclasses.replace(state, measurements=(*state.measurements, *found))


def _of_pair(session: Session, plan: Plan, spec: ModelSpec, delegate: Delegate) -> Iterator[Measurement]:
    wanted = session.config.measure
    facts = facts_of(Path(spec.path))
    here = Measurement("", spec.name, spec.quantization, delegate.name, None, "")

    def measured(probe: str, value: object, *, threads: int = 1, error: str | None = None) -> Measurement:
        return dataclasses.replace(
            here,
            probe=probe,
            value=value,  # type: ignore[arg-type]
            unit=_UNITS[probe],
            threads=threads,
            error=error,
        )

    yield measured("file_mb", facts.size_bytes / 1e6)
    yield measured("arena_mb", facts.arena_bytes / 1e6)
    images = first_images(plan.datasets[spec.dataset])[:_IMAGES]
    for threads in wanted.threads:
        once = threads == wanted.threads[0]
        request = SpeedRequest(
            spec,
            delegate,
            threads,
            images,
            sustained_s=wanted.sustained if once else None,
            streams=wanted.streams if once else None,
        )
        timeout_s = wanted.timeout + _STARTING_S + (wanted.sustained or 0)
        (outcome,) = run_isolated(measure_speed, [request], timeout_s=timeout_s)
        if outcome.error is not None:
            reason = outcome.error.strip().splitlines()[-1]
            yield measured("latency_ms", None, threads=threads, error=reason)
            continue
        speeds: Speeds = outcome.result
        for part in dataclasses.fields(speeds):
            value = getattr(speeds, part.name)
            if value is not None:
                yield measured(part.name, value, threads=threads)
    if wanted.memory_limit is not None:
        (outcome,) = run_isolated(
            fits_in_memory, [LimitRequest(spec, delegate, wanted.memory_limit)], timeout_s=wanted.timeout
        )
        reason = (outcome.error or "nothing was told").strip().splitlines()[-1]
        lost = MemoryLimit(wanted.memory_limit, fits=False, reason=reason)
        yield measured("memory_limit", outcome.result if outcome.error is None else lost)
