"""Speed and memory of each file on each delegate."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown
from auditor.values import LOCAL, AuditResult, DelegateOps, Latency, Measurement, MemoryLimit, Streams, Sustained

__all__ = ["SECTION"]

_WEIGHED = ("peak_memory_mb", "arena_mb")


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    rows = [_row(result, found) for found in result.measurements if found.probe == "latency_ms"]
    loaded = [row for row in rows if any(row[name] for name in ("sustained", "streams", "limit"))]
    return {"rows": rows, "loaded": loaded, "machine": result.provenance.machine} if rows else None


def _row(result: AuditResult, found: Measurement) -> dict[str, object]:
    """One file, delegate and number of threads: latency, memory and what the delegate took."""
    key = found.model, found.delegate, found.device
    mine = [other for other in result.measurements if (other.model, other.delegate, other.device) == key]
    kernels = {delegate.name for delegate in result.plan.delegates if not delegate.takes_ops}
    weights = {name: next((other.value for other in mine if other.probe == name), None) for name in _WEIGHED}
    ops = next((other.value for other in mine if isinstance(other.value, DelegateOps)), None)
    return {
        "found": found,
        "here": found.device == LOCAL,
        "latency": found.value if isinstance(found.value, Latency) else None,
        "ops": ops if found.delegate not in kernels else None,
        "sustained": next((other.value for other in mine if isinstance(other.value, Sustained)), None),
        "streams": next((other.value for other in mine if isinstance(other.value, Streams)), None),
        "limit": next((other.value for other in mine if isinstance(other.value, MemoryLimit)), None),
        **weights,
    }


SECTION = Section("pace", 60, _facts, "pace.html.j2", title="Speed")
