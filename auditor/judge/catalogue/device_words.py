"""What is said of delegates, speed, memory and the targets that refuse a graph."""

from __future__ import annotations

from auditor.judge.catalogue.row import Interval, paired, row
from auditor.judge.told import Words

__all__: list[str] = []


@row("delegate.unavailable", "delegate_parity", "warning", "delegates", "A delegate cannot be had.")
def _unavailable(file: str, delegate: str, reason: str) -> Words:
    return Words(
        f"{file} was not measured on {delegate}: {reason}",
        "Run the audit where the delegate can be had, or take it out of `delegates`; nothing else ran in its place.",
    )


@row("delegate.took_nothing", "delegate_parity", "warning", "delegates", "A delegate took no op of a model.")
def _took_nothing(file: str, delegate: str, ops: int) -> Words:
    return Words(
        f"{delegate} took none of the {ops} ops of {file}: what ran are the built-in kernels",
        "See which ops and types the delegate supports; its cells say nothing of it.",
    )


@row("delegate.differs", "delegate_parity", "info", "delegates", "Two delegates give different detections.")
def _differs(
    file: str,
    device: str | None,
    delegate: str,
    against: str,
    matched: float,
    score: float,
    corner_px: float,
    image: int | None,
    metric: str,
    change: float | None,
    interval: Interval,
    noise: bool | None,
) -> Words:
    told = ""
    if change is not None:
        why = {True: "which may be noise on these images", False: "which is more than noise"}
        unsure = "and whether that is noise these few images cannot tell"
        told = f"; {metric} changes by {change:+.3f}{paired(interval)}, {unsure if noise is None else why[noise]}"
    more = " Integer kernels round differently: other boxes are not worse ones." if noise else ""
    return Words(
        f"{file}{'' if device is None else f' on {device}'}: {delegate} and {against} are not interchangeable: "
        f"{matched:.1%} of the detections match (same class, IoU 0.9); the largest difference of a score is "
        f"{score:.3f}, "
        f"of a corner {corner_px:.1f} px, worst on image {image}{told}",
        f"Judge the model on the delegate that it is deployed with, and set its gates there.{more}",
    )


@row("latency.failed", "latency", "error", "delegates", "A model could not be timed.")
def _not_timed(file: str, delegate: str, reason: str) -> Words:
    return Words(
        f"{file} on {delegate} could not be timed: {reason}",
        "It ran before: see whether the delegate survives many invocations, or give it more time with "
        "`measure: {timeout: …}`.",
    )


@row("latency.sustained", "latency", "info", "delegates", "Whether a model keeps its pace without pause.")
def _sustained(
    file: str, delegate: str, verdict: str, seconds: float, drift: float, p: float, lowest_fps: float, degrading: bool
) -> Words:
    steady = "Nothing: it keeps its pace on this machine."
    return Words(
        f"{file} on {delegate} is {verdict} over {seconds:g} s: throughput drifts by {drift:+.1%} against the first "
        f"window (Mann's trend test p = {p:.3g}), lowest window {lowest_fps:.1f} images a second",
        "Plan with the lowest window, cool the device, or leave pauses." if degrading else steady,
    )


@row("latency.streams", "latency", "info", "delegates", "How latency grows with streams at once.")
def _streams(file: str, delegate: str, streams: int, p99: float, grown: float, throughput_fps: float) -> Words:
    return Words(
        f"{file} on {delegate}: with {streams} streams at once p99 is {p99:.1f} ms, {grown:.1f} times that of one, and "
        f"{throughput_fps:.1f} images a second in all",
        "Run as many streams as there are cores to spare, or feed one interpreter from a queue.",
    )


@row("memory.limit", "memory", "info", "delegates", "Whether a model fits the memory limit.")
def _memory(file: str, delegate: str, fits: bool, limit_mb: float, reason: str) -> Words:
    smaller = "Take a smaller input or model, an integer level, or a delegate that packs no weights (`none`)."
    return Words(
        f"{file} on {delegate} {'fits' if fits else 'does not fit'} in {limit_mb:g} MB of address space above a bare "
        f"process{'' if fits or not reason else f': {reason}'}",
        "Nothing." if fits else smaller,
    )


@row("compatibility.custom_ops", "compatibility", "info", "delegates", "Ops that a runtime must be built with.")
def _custom_ops(file: str, ops: list[str]) -> Words:
    return Words(
        f"{file} has the custom ops {', '.join(ops)}, which a runtime must be built with",
        "Check that the target's interpreter registers them (LiteRT and TFLite Micro have "
        "TFLite_Detection_PostProcess), "
        "or export without them.",
    )


@row("compatibility.open_size", "compatibility", "warning", "delegates", "A graph leaves its input size open.")
def _open_size(file: str) -> Words:
    return Words(
        f"{file} leaves its input size open: delegates that plan ahead (GPU, NPUs, microcontrollers) refuse such "
        "graphs",
        "Export it with the size that it is deployed at.",
    )


@row("compatibility.targets", "compatibility", "info", "delegates", "What runtime a graph needs, and targets refuse.")
def _targets(
    file: str, version: str, op: str | None, op_version: int | None, refused: list[str], remedies: str
) -> Words:
    by = f" ({op} version {op_version})" if op else ""
    told = "".join(f"; {text}" for text in refused)
    return Words(
        f"{file} needs a runtime of version {version} or newer{by}{told}",
        f"Compare with the runtime on the target. {remedies}".strip(),
    )


@row("compatibility.state", "compatibility", "info", "input", "A model keeps state between images; it is set back.")
def _state(file: str, state: list[str]) -> Words:
    return Words(
        f"{file} keeps {' and '.join(state)} from one image to the next; here it is set back before each image",
        "Set it back on the device too (`reset_all_variables()`, or an interpreter opened anew), or its answers depend "
        "on the images before; write `state: keep` if the images are a video that it is meant to remember.",
    )


@row("compatibility.state_kept", "compatibility", "warning", "input", "A model's state is kept from image to image.")
def _state_kept(file: str, state: list[str]) -> Words:
    return Words(
        f"{file} keeps {' and '.join(state)} from image to image (`state: keep`): its numbers hold for these images in "
        "this order alone",
        "Leave `state` out where the images are no sequence.",
    )


@row("compatibility.per_cent", "compatibility", "warning", "heads", "A model's scores are in per cent.")
def _per_cent(file: str, line: str) -> Words:
    return Words(
        f"the scores of {file} go from 0 to 100 on the first images; they are read as per cent",
        f"Write it in its entry of audit.yaml: {line}. Thresholds on the device are in per cent too.",
    )
