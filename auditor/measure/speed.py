"""How fast a model answers and how much memory it takes, on one delegate with so many threads; alone in a fresh
process."""

from __future__ import annotations

import math
import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.errors import ModelError
from auditor.models.contract import encode
from auditor.models.interpreter import Delegate, Runner, load_runtime
from auditor.models.resolve import open_spec
from auditor.values import ModelSpec

__all__ = ["LimitRequest", "SpeedRequest", "fits_in_memory", "measure_speed", "trend", "warm_up"]

_WINDOW = 10
_STEADY = 0.05
_MOST_WARM_UP = 300
_LEAST, _LEAST_S, _MOST_S = 100, 0.5, 5.0
_STREAMS_S = 2.0
_SUSTAINED_WINDOWS = 12
_RESAMPLES = 1000
_DEGRADED = -0.05


@dataclass(frozen=True, eq=False)
class SpeedRequest:
    """Measure `spec` on `delegate` with `threads` threads on `images`, over and over; `sustained_s` and `streams` where
    asked."""

    spec: ModelSpec
    delegate: Delegate
    threads: int
    images: tuple[NDArray[np.uint8], ...]
    sustained_s: float | None = None
    streams: int | None = None


def measure_speed(request: SpeedRequest) -> dict[str, Any]:
    """Return `latency_ms` (load, first invocation, warm-up, then p50, p90 and p99 of the invocation with 95 %
    intervals, the medians of encode and decode, and images a second over all three), `peak_memory_mb` above the process
    before the model was opened, and `sustained` and `streams` where asked.

    Warm-up ends when the medians of two windows of 10 invocations differ by less than 5 %, at 300 invocations at the
    latest.
    """
    load_runtime()  # before anything is timed or weighed
    spec, decode = request.spec, extensions.resolve("decoders", request.spec.decoder)
    tensors = [encode(image, spec.input)[0] for image in request.images]
    before = _begin_peak()
    load_ms, runner = _timed(lambda: open_spec(spec, delegate=request.delegate, threads=request.threads))
    first_ms, outputs = _timed(lambda: runner.invoke(tensors[0]))
    warmed = warm_up(lambda step: _timed(lambda: runner.invoke(tensors[step % len(tensors)]))[0])
    parts: dict[str, list[float]] = {"encode": [], "invoke": [], "decode": []}
    begin = time.perf_counter()
    while (
        len(parts["invoke"]) < _LEAST or time.perf_counter() - begin < _LEAST_S
    ) and time.perf_counter() - begin < _MOST_S:
        image = request.images[len(parts["invoke"]) % len(request.images)]
        encode_ms, (tensor, _) = _timed(lambda image=image: encode(image, spec.input))  # type: ignore[misc]
        invoke_ms, outputs = _timed(lambda tensor=tensor: runner.invoke(tensor))  # type: ignore[misc]
        decode_ms, _ = _timed(lambda outputs=outputs: decode(outputs, spec))  # type: ignore[misc]
        for name, value in (("encode", encode_ms), ("invoke", invoke_ms), ("decode", decode_ms)):
            parts[name].append(value)
    elapsed = time.perf_counter() - begin
    measured: dict[str, Any] = {
        "latency_ms": {
            "load": load_ms,
            "first": first_ms,
            "warm_up_invocations": warmed,
            "invocations": len(parts["invoke"]),
            **_percentiles(parts["invoke"]),
            "encode_p50": float(np.median(parts["encode"])),
            "decode_p50": float(np.median(parts["decode"])),
            "throughput_fps": len(parts["invoke"]) / elapsed,
        },
        "peak_memory_mb": max(0, _resident_bytes("VmHWM") - before) / 1e6,
    }
    if request.sustained_s is not None:
        measured["sustained"] = sustain(lambda step: runner.invoke(tensors[step % len(tensors)]), request.sustained_s)
    if request.streams is not None:
        measured["streams"] = _streams(request, tensors, measured["latency_ms"]["p99"])
    return measured


def warm_up(invoke: Callable[[int], float]) -> int:
    """Invoke until the medians of two windows of 10 differ by less than 5 %; return how often that was. `invoke` gives
    the milliseconds of an invocation."""
    last = None
    for start in range(0, _MOST_WARM_UP, _WINDOW):
        median = float(np.median([invoke(start + step) for step in range(_WINDOW)]))
        if last is not None and abs(median - last) < _STEADY * last:
            return start + _WINDOW
        last = median
    return _MOST_WARM_UP


def sustain(
    invoke: Callable[[int], Any], seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Invoke without pause for `seconds`, in 12 windows; return their throughputs, the drift of the last quarter
    against the first window, and a verdict: `degrading` where the drift is below -5 % and the windows have a falling
    trend (p < 0.05), else `steady`."""
    throughputs = []
    step = 0
    for _ in range(_SUSTAINED_WINDOWS):
        begin, count = clock(), 0
        while (elapsed := clock() - begin) < seconds / _SUSTAINED_WINDOWS or not count:
            invoke(step)
            step, count = step + 1, count + 1
        throughputs.append(count / (clock() - begin) if clock() > begin else count / max(elapsed, 1e-9))
    drift = float(np.mean(throughputs[-_SUSTAINED_WINDOWS // 4 :])) / throughputs[0] - 1
    slope, p = trend(throughputs)
    verdict = "degrading" if drift < _DEGRADED and slope < 0 and p < 0.05 else "steady"
    return {
        "seconds": seconds,
        "throughput_fps": throughputs,
        "drift": drift,
        "p": p,
        "verdict": verdict,
        "lowest_fps": min(throughputs),
    }


def trend(values: Sequence[float]) -> tuple[int, float]:
    """Return the sum of signs of all later-minus-earlier pairs and its two-sided p-value under no trend.

    Source: Mann 1945, https://doi.org/10.2307/1907187, with the normal approximation and its continuity correction.

    >>> trend([9, 8, 7, 6, 5, 4, 3, 2])[0]
    -28
    """
    count = len(values)
    score = sum((b > a) - (b < a) for index, a in enumerate(values) for b in values[index + 1 :])
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    z = max(0, abs(score) - 1) / spread
    return score, math.erfc(z / math.sqrt(2))


def _streams(request: SpeedRequest, tensors: Sequence[NDArray[Any]], alone_p99: float) -> dict[str, Any]:
    """Run interpreters of their own in parallel; the runtime lets go of Python's lock while it invokes."""
    count = request.streams or 1
    runners = [open_spec(request.spec, delegate=request.delegate, threads=request.threads) for _ in range(count)]
    times: list[list[float]] = [[] for _ in runners]
    ready = threading.Barrier(count)

    def work(runner: Runner, mine: list[float]) -> None:
        runner.invoke(tensors[0])
        ready.wait()
        begin = time.perf_counter()
        while time.perf_counter() - begin < _STREAMS_S:
            mine.append(_timed(lambda: runner.invoke(tensors[len(mine) % len(tensors)]))[0])

    threads = [threading.Thread(target=work, args=pair) for pair in zip(runners, times, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [value for mine in times for value in mine]
    p99 = float(np.quantile(every, 0.99))
    return {
        "streams": count,
        "p50": float(np.median(every)),
        "p99": p99,
        "p99_alone": alone_p99,
        "throughput_fps": len(every) / _STREAMS_S,
    }


def _percentiles(values: Sequence[float]) -> dict[str, Any]:
    """p50, p90 and p99, each with the 95 % percentile interval of resampled invocations."""
    array = np.array(values)
    rng = np.random.default_rng(0)
    samples = array[rng.integers(0, len(array), (_RESAMPLES, len(array)))]
    found: dict[str, Any] = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        low, high = np.quantile(np.quantile(samples, share, axis=1), [0.025, 0.975])
        found[name] = float(np.quantile(array, share))
        found[f"{name}_interval"] = [float(low), float(high)]
    return found


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return 1e3 * (time.perf_counter() - begin), result


def _resident_bytes(which: str) -> int:
    """The kernel's count of this process: `VmRSS` now, `VmHWM` the most so far (getrusage's begins with the
    parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) * 1024


def _begin_peak() -> int:
    """Let the count of the most memory begin anew; return what is resident now. Source: proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")
    return _resident_bytes("VmRSS")


# --------------------------------------------------------------------------------------------------------------- memory


@dataclass(frozen=True)
class LimitRequest:
    """Load and invoke `spec` on `delegate` with at most `limit_mb` megabytes of address space above the bare
    process."""

    spec: ModelSpec
    delegate: Delegate
    limit_mb: float


def fits_in_memory(request: LimitRequest) -> dict[str, Any]:
    """Return whether the model loads and runs within the limit, and if not, what the runtime said.

    The process' address space is limited (RLIMIT_AS) to what it has before the model is opened, plus the limit; so this
    must run in a process that may be lost.
    """
    load_runtime()  # its own memory does not count
    image = np.full((request.spec.input.height, request.spec.input.width, 3), 128, dtype=np.uint8)
    tensor, _ = encode(image, request.spec.input)
    bare = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = bare + int(request.limit_mb * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        open_spec(request.spec, delegate=request.delegate, threads=1).invoke(tensor)
    except (MemoryError, ModelError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return {"limit_mb": request.limit_mb, "fits": False, "reason": reason}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return {"limit_mb": request.limit_mb, "fits": True, "reason": None}
