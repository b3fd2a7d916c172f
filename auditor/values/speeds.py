"""What a probe measured: latency, sustained load, streams, memory, and what a delegate took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "LOCAL",
    "MEASURED_METRICS",
    "DelegateOps",
    "DeviceFacts",
    "InRun",
    "Latency",
    "Measurement",
    "MemoryLimit",
    "Probed",
    "Streams",
    "Sustained",
]

LOCAL = "local"
"""The device that the audit itself runs on."""


class Probed(NamedTuple):
    """Where a metric is measured: the probe, the field of its value (None where it is the value), and in words with its
    unit what it is."""

    probe: str
    field: str | None
    about: str


MEASURED_METRICS = {
    "latency_p50_ms": Probed("latency_ms", "p50", "median of an invocation, ms"),
    "latency_p90_ms": Probed("latency_ms", "p90", "90th percentile of an invocation, ms"),
    "latency_p99_ms": Probed("latency_ms", "p99", "99th percentile of an invocation, ms"),
    "throughput_fps": Probed("latency_ms", "throughput_fps", "images a second over encoding, invocation and decoding"),
    "sustained_fps": Probed("sustained", "lowest_fps", "images a second in the slowest window of a sustained load"),
    "peak_memory_mb": Probed("peak_memory_mb", None, "peak memory above the process before the model was loaded, MB"),
    "arena_mb": Probed("arena_mb", None, "least memory that the graph's tensors need at once, MB, estimated"),
    "file_mb": Probed("file_mb", None, "size of the file, MB"),
}
"""What a gate can look at beside accuracy."""

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class Latency:
    """Milliseconds: of loading, of the first invocation, and quantiles of the invocation after warming up, with their
    95 % intervals; the medians of encoding and of decoding with post-processing, and images a second over all three.
    None is what the device did not measure."""

    __pydantic_config__ = _STRICT
    load: float
    warm_up_invocations: int
    invocations: int
    p50: float
    p90: float
    p99: float
    p50_interval: tuple[float, float] | None = None
    p90_interval: tuple[float, float] | None = None
    p99_interval: tuple[float, float] | None = None
    first: float | None = None
    encode_p50: float | None = None
    decode_p50: float | None = None
    throughput_fps: float | None = None


@dataclass(frozen=True)
class InRun:
    """The median invocation while the audit ran, all workers busy, in ms: it compares levels, and is no figure of a
    device."""

    __pydantic_config__ = _STRICT
    p50: float


@dataclass(frozen=True)
class Sustained:
    """Running without pause: images a second in each window, the drift of the last quarter against the first window,
    and Mann's p of a trend."""

    __pydantic_config__ = _STRICT
    seconds: float
    throughput_fps: tuple[float, ...]
    drift: float
    p: float
    verdict: Literal["steady", "degrading"]
    lowest_fps: float


@dataclass(frozen=True)
class Streams:
    """Several interpreters at once: quantiles of an invocation in ms, beside that of one alone."""

    __pydantic_config__ = _STRICT
    streams: int
    p50: float
    p99: float
    p99_alone: float
    throughput_fps: float


@dataclass(frozen=True)
class MemoryLimit:
    """Whether a model loads and runs in so many megabytes of address space above a bare process; why not."""

    __pydantic_config__ = _STRICT
    limit_mb: float
    fits: bool
    reason: str | None = None


@dataclass(frozen=True)
class DelegateOps:
    """How many of a graph's ops a delegate took."""

    __pydantic_config__ = _STRICT
    delegated: int
    ops: int


@dataclass(frozen=True)
class DeviceFacts:
    """What another device is."""

    __pydantic_config__ = _STRICT
    machine: str
    runtime: str
    python: str


@dataclass(frozen=True)
class Measurement:
    """One probe of one model on one delegate: a value in a unit, or an error."""

    __pydantic_config__ = _STRICT
    probe: str
    model: str
    quantization: str
    delegate: str
    value: Latency | Sustained | Streams | MemoryLimit | DelegateOps | DeviceFacts | InRun | float | None
    unit: str
    device: str = LOCAL
    threads: int = 1
    error: str | None = None
