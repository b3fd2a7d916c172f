"""Whether a model keeps its pace under load, and fits the memory that it is given."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import NotRun, Told
from auditor.values import AuditResult, Measurement, MemoryLimit, Streams, Sustained

__all__ = ["check_latency", "check_memory"]

_CROWDED = 2.0
"""Streams whose p99 grows by more than this many times their number stand in each other's way."""


def check_latency(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name what could not be timed, what slows down under load, and streams that stand in each other's way."""
    if not any(found.probe == "latency_ms" for found in result.measurements):
        yield NotRun("nothing was timed: `measure: {threads: [1]}` times each model")
    elif not any(isinstance(found.value, Sustained | Streams) for found in result.measurements):
        yield NotRun("nothing was held under load: `measure:` with `sustained` or `streams` does that")
    for found in result.measurements:
        who, value = {"file": found.model, "delegate": found.delegate}, found.value
        if found.probe == "latency_ms" and found.error is not None:
            yield Told("latency.failed", {**who, "reason": found.error}, _where(found))
        if isinstance(value, Sustained):
            degrading = value.verdict == "degrading"
            yield Told(
                "latency.sustained",
                facts={
                    **who,
                    "verdict": value.verdict,
                    "seconds": value.seconds,
                    "drift": value.drift,
                    "p": value.p,
                    "lowest_fps": value.lowest_fps,
                    "degrading": degrading,
                },
                cell=_where(found),
                observed=value.drift,
                level="warning" if degrading else None,
            )
        if isinstance(value, Streams) and value.p99_alone > 0:
            grown = value.p99 / value.p99_alone
            yield Told(
                "latency.streams",
                facts={
                    **who,
                    "streams": value.streams,
                    "p99": value.p99,
                    "grown": grown,
                    "throughput_fps": value.throughput_fps,
                },
                cell=_where(found),
                observed=grown,
                level="warning" if grown > _CROWDED * value.streams else None,
            )


def check_memory(result: AuditResult) -> Iterator[Told | NotRun]:
    """Say whether each model fits the memory limit."""
    if not any(isinstance(found.value, MemoryLimit) for found in result.measurements):
        yield NotRun("no limit was set: `measure:` with `memory_limit` holds each model against one")
    for found in result.measurements:
        value = found.value
        if isinstance(value, MemoryLimit):
            yield Told(
                "memory.limit",
                facts={
                    "file": found.model,
                    "delegate": found.delegate,
                    "fits": value.fits,
                    "limit_mb": value.limit_mb,
                    "reason": value.reason or "",
                },
                cell=_where(found),
                limit=value.limit_mb,
                level=None if value.fits else "error",
            )


def _where(found: Measurement) -> dict[str, str | int | float]:
    return {"file": found.model, "quantization": found.quantization, "delegate": found.delegate}
