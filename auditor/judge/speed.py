"""Whether a model keeps its pace under load, and fits the memory that it is given."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.values import AuditResult, Finding, Measurement

__all__ = ["check_latency", "check_memory"]

_CROWDED = 2.0
"""Streams whose p99 grows by more than this many times their number stand in each other's way."""


def check_latency(result: AuditResult) -> Iterator[Finding]:
    """Name what could not be timed, what slows down under load, and streams that stand in each other's way."""
    for found in result.measurements:
        where = _where(found)
        if found.probe == "latency_ms" and found.error is not None:
            yield Finding(
                check="latency",
                level="error",
                message=f"{found.model} on {found.delegate} could not be timed: {found.error}",
                remedy="It ran before: see whether the delegate survives many invocations, or give it more time with "
                "`measure: {timeout: …}`.",
                cell=where,
            )
        if found.probe == "sustained" and found.value is not None:
            degrading = found.value["verdict"] == "degrading"
            yield Finding(
                check="latency",
                level="warning" if degrading else "info",
                message=(
                    f"{found.model} on {found.delegate} is {found.value['verdict']} over {found.value['seconds']:g} "
                    f"s: throughput drifts by {found.value['drift']:+.1%} "
                    f"against the first window (Mann's trend test p = {found.value['p']:.3g}), lowest window "
                    f"{found.value['lowest_fps']:.1f} images a second"
                ),
                remedy="Plan with the lowest window, cool the device, or leave pauses."
                if degrading
                else "Nothing: it keeps its pace on this machine.",
                cell=where,
                observed=found.value["drift"],
            )
        if found.probe == "streams" and found.value is not None and found.value["p99_alone"] > 0:
            grown = found.value["p99"] / found.value["p99_alone"]
            yield Finding(
                check="latency",
                level="warning" if grown > _CROWDED * found.value["streams"] else "info",
                message=f"{found.model} on {found.delegate}: with {found.value['streams']} streams at once p99 is "
                f"{found.value['p99']:.1f} ms, {grown:.1f} times that of one, and "
                f"{found.value['throughput_fps']:.1f} images a second in all",
                remedy="Run as many streams as there are cores to spare, or feed one interpreter from a queue.",
                cell=where,
                observed=grown,
            )


def check_memory(result: AuditResult) -> Iterator[Finding]:
    """Say whether each model fits the memory limit."""
    for found in result.measurements:
        if found.probe != "memory_limit" or found.value is None:
            continue
        fits = found.value["fits"]
        reason = f": {found.value['reason']}" if found.value["reason"] else ""
        yield Finding(
            check="memory",
            level="info" if fits else "error",
            message=f"{found.model} on {found.delegate} {'fits' if fits else 'does not fit'} in "
            f"{found.value['limit_mb']:g} MB of address space above a bare process{'' if fits else reason}",
            remedy="Nothing."
            if fits
            else "Take a smaller input or model, an integer level, or a delegate that packs no weights (`none`).",
            cell=_where(found),
            limit=found.value["limit_mb"],
        )


def _where(found: Measurement) -> dict[str, str]:
    return {"file": found.model, "quantization": found.quantization, "delegate": found.delegate}
