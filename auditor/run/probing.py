"""Measure speed and memory of every model on every delegate: after predicting, one at a time, each in a fresh
process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.executors import run_isolated
from auditor.measure.speed import LimitRequest, SpeedRequest, fits_in_memory, measure_speed
from auditor.models.graph import load_graph
from auditor.models.inspect import arena_bytes
from auditor.models.keras import PARENT
from auditor.plan import Plan, delegate_by_name, delegates_of, first_images
from auditor.run.progress import Progress
from auditor.values import EVIDENCE_LEVELS, Measurement, ModelSpec

__all__ = ["probe"]

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


def probe(plan: Plan, progress: Progress) -> list[Measurement]:
    """Measure what `measure:` asks for. What dies or takes too long becomes the measurement's error."""
    wanted = plan.config.measure
    found: list[Measurement] = []
    for spec, delegate in _pairs(plan):
        graph = load_graph(Path(spec.path))
        found += [
            _measurement(spec, delegate, "file_mb", graph.size_bytes / 1e6),
            _measurement(spec, delegate, "arena_mb", arena_bytes(graph) / 1e6),
        ]
        images = first_images(plan.datasets[spec.dataset])[:_IMAGES]
        for threads in wanted.threads:
            progress.say(
                f"measuring the speed of {spec.name} on {delegate}, {threads} thread{'s' if threads > 1 else ''} …"
            )
            once = threads == wanted.threads[0]
            request = SpeedRequest(
                spec,
                delegate_by_name(plan.config, delegate),
                threads,
                images,
                sustained_s=wanted.sustained if once else None,
                streams=wanted.streams if once else None,
            )
            timeout_s = wanted.timeout + _STARTING_S + (wanted.sustained or 0)
            (outcome,) = run_isolated(measure_speed, [request], timeout_s=timeout_s)
            values: dict[str, Any] = outcome.result if outcome.error is None else {"latency_ms": None}
            error = outcome.error and outcome.error.strip().splitlines()[-1]
            found += [
                _measurement(spec, delegate, name, value, threads=threads, error=error)
                for name, value in values.items()
            ]
        if wanted.memory_limit is not None:
            limit = LimitRequest(spec, delegate_by_name(plan.config, delegate), wanted.memory_limit)
            (outcome,) = run_isolated(fits_in_memory, [limit], timeout_s=wanted.timeout)
            reason = (outcome.error or "nothing was told").strip().splitlines()[-1]
            lost = {"limit_mb": wanted.memory_limit, "fits": False, "reason": reason}
            found.append(
                _measurement(spec, delegate, "memory_limit", outcome.result if outcome.error is None else lost)
            )
    return found


def _pairs(plan: Plan) -> Iterator[tuple[ModelSpec, str]]:
    for spec in plan.specs:
        if spec.quantization == PARENT or spec.quantization in EVIDENCE_LEVELS:
            continue
        for delegate in delegates_of(plan.config, spec):
            facts = plan.verified.get((spec.name, delegate), {})
            if "skipped" not in facts and "failed" not in facts:
                yield spec, delegate


def _measurement(
    spec: ModelSpec, delegate: str, name: str, value: Any, *, threads: int = 1, error: str | None = None
) -> Measurement:
    return Measurement(name, spec.name, spec.quantization, delegate, value, _UNITS[name], threads=threads, error=error)
