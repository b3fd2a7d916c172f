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
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from auditor.delegate import Delegate
from auditor.encoding import encode, encode_parts
from auditor.errors import ModelError
from auditor.measure.latency import percentiles, warm_up
from auditor.measure.predict import as_one, decoded
from auditor.runtimes.anatomy.runtime import OpenedModel, open_spec, runtime_of
from auditor.values import Latency, MemoryLimit, ModelSpec, Streams, Sustained

__all__ = ["LimitRequest", "SpeedRequest", "Speeds", "fits_in_memory", "measure_speed", "trend", "usual_seconds"]

_LEAST, _LEAST_S, _MOST_S = 100, 0.5, 5.0
_STREAMS_S = 2.0
_SUSTAINED_WINDOWS = 12
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


@dataclass(frozen=True)
class Speeds:
    """What was measured of one model on one delegate: `peak_memory_mb` above the process before the model was
    opened."""

    latency_ms: Latency
    peak_memory_mb: float
    sustained: Sustained | None = None
    streams: Streams | None = None


def measure_speed(request: SpeedRequest) -> Speeds:
    """Time loading, the first invocation, warming up, then encoding, invoking and decoding with post-processing, apart
    and together; weigh the memory that it took, and run without pause and in parallel where asked.

    Warm-up ends when the medians of two windows of 10 invocations differ by less than 5 %, at 300 invocations at the
    latest.
    """
    spec = request.spec
    runtime_of(Path(spec.path)).load()  # before anything is timed or weighed
    tensors = [[tensor for tensor, _ in encode_parts(image, spec.input)] for image in request.images]
    before = _begin_peak()
    load_ms, opened = _timed(lambda: open_spec(spec, delegate=request.delegate, threads=request.threads))
    first_ms, _ = _timed(lambda: [opened.invoke(tensor) for tensor in tensors[0]])
    warmed = warm_up(lambda step: _timed_invoke(opened, tensors[step % len(tensors)]))
    parts, elapsed = _stages(request, opened)
    latency = Latency(
        load=load_ms,
        first=first_ms,
        warm_up_invocations=warmed,
        invocations=len(parts["invoke"]),
        **percentiles(parts["invoke"]),
        encode_p50=float(np.median(parts["encode"])),
        decode_p50=float(np.median(parts["decode"])),
        throughput_fps=len(parts["invoke"]) / elapsed,
    )
    peak = max(0, _resident_bytes("VmHWM") - before) / 1e6
    sustained = None
    if request.sustained_s is not None:
        sustained = sustain(
            lambda step: [opened.invoke(tensor) for tensor in tensors[step % len(tensors)]], request.sustained_s
        )
    streams = None if request.streams is None else _streams(request, tensors, latency.p99)
    return Speeds(latency, peak, sustained, streams)


def _stages(request: SpeedRequest, opened: OpenedModel) -> tuple[dict[str, list[float]], float]:
    """The milliseconds of each stage of image after image, and the seconds that all took."""
    spec = request.spec
    parts: dict[str, list[float]] = {"encode": [], "invoke": [], "decode": []}
    begin = time.perf_counter()
    while (
        len(parts["invoke"]) < _LEAST or time.perf_counter() - begin < _LEAST_S
    ) and time.perf_counter() - begin < _MOST_S:
        image = request.images[len(parts["invoke"]) % len(request.images)]
        size = (image.shape[0], image.shape[1])
        start = time.perf_counter()
        fed = encode_parts(image, spec.input)
        encoded = time.perf_counter()
        opened.reset()
        ready = time.perf_counter()
        answers = [opened.invoke(tensor) for tensor, _ in fed]
        invoked = time.perf_counter()
        told = [decoded(spec, outputs, where, size) for outputs, (_, where) in zip(answers, fed, strict=True)]
        as_one(spec, told)
        done = time.perf_counter()
        for name, seconds in (("encode", encoded - start), ("invoke", invoked - ready), ("decode", done - invoked)):
            parts[name].append(1e3 * seconds)
    return parts, time.perf_counter() - begin


def usual_seconds(once_s: float) -> float:
    """About how long measuring the latency of a model takes of which one invocation takes `once_s`."""
    return 1.0 + 40 * once_s + min(_MOST_S, max(_LEAST_S, _LEAST * once_s))


def sustain(
    invoke: Callable[[int], Any], seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> Sustained:
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
    verdict: Literal["steady", "degrading"] = "degrading" if drift < _DEGRADED and slope < 0 and p < 0.05 else "steady"
    return Sustained(seconds, tuple(throughputs), drift, p, verdict, min(throughputs))


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


def _streams(request: SpeedRequest, tensors: Sequence[Sequence[NDArray[Any]]], alone_p99: float) -> Streams:
    """Run interpreters of their own in parallel; the runtime lets go of Python's lock while it invokes."""
    count = request.streams or 1
    models = [open_spec(request.spec, delegate=request.delegate, threads=request.threads) for _ in range(count)]
    times: list[list[float]] = [[] for _ in models]
    ready = threading.Barrier(count)

    def work(opened: OpenedModel, mine: list[float]) -> None:
        opened.invoke(tensors[0][0])
        ready.wait()
        begin = time.perf_counter()
        while time.perf_counter() - begin < _STREAMS_S:
            mine.append(_timed_invoke(opened, tensors[len(mine) % len(tensors)]))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(models, times, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [value for mine in times for value in mine]
    p99 = float(np.quantile(every, 0.99))
    return Streams(count, float(np.median(every)), p99, alone_p99, len(every) / _STREAMS_S)


def _timed_invoke(opened: OpenedModel, tensors: Sequence[NDArray[Any]]) -> float:
    """The milliseconds that an image takes, in all its tiles; setting a state back is not one of its costs."""
    opened.reset()
    return _timed(lambda: [opened.invoke(tensor) for tensor in tensors])[0]


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


def fits_in_memory(request: LimitRequest) -> MemoryLimit:
    """Return whether the model loads and runs within the limit, and if not, what the runtime said.

    The process' address space is limited (RLIMIT_AS) to what it has before the model is opened, plus the limit; so this
    must run in a process that may be lost.
    """
    runtime_of(Path(request.spec.path)).load()  # its own memory does not count
    image = np.full((request.spec.input.height, request.spec.input.width, 3), 128, dtype=np.uint8)
    tensor, _ = encode(image, request.spec.input)
    bare = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = bare + int(request.limit_mb * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        open_spec(request.spec, delegate=request.delegate, threads=1).invoke(tensor)
    except (MemoryError, ModelError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return MemoryLimit(request.limit_mb, fits=False, reason=reason)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return MemoryLimit(request.limit_mb, fits=True)
