"""What a model file says of itself: inputs, outputs, ops, metadata, the likely task and decoder, and an estimate of its
arena."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor import extensions
from auditor.errors import AuditorError, ModelError
from auditor.executors import run_isolated
from auditor.heads.anatomy.head import Head
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.runtimes.anatomy.runtime import FileFacts, TensorFacts, facts_of, runtime_of
from auditor.values import Compatibility, Diagnosis, Json, Source, yaml_flow

__all__ = ["Inspection", "Likely", "as_lines", "inspect_model"]

_TIMEOUT_S = 120.0
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Likely:
    """The task and decoder that an audit would take, with the reason; or, both None, why it cannot tell."""

    task: str | None
    decoder: str | None
    reason: str
    options: dict[str, Json] = dataclasses.field(default_factory=dict)
    input: dict[str, Json] = dataclasses.field(default_factory=dict)
    input_sources: dict[str, Source] = dataclasses.field(default_factory=dict)
    diagnosis: Diagnosis = dataclasses.field(default_factory=Diagnosis)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a file says, as it is printed."""

    file: str
    sha256: str
    size_bytes: int
    quantization: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    ops: dict[str, int]
    custom_ops: tuple[str, ...]
    flex_ops: tuple[str, ...]
    arena_bytes_estimate: int
    compatibility: Compatibility
    metadata: dict[str, Any]
    labels: tuple[str | None, ...] | None
    state: tuple[str, ...]
    likely: Likely


def inspect_model(path: Path, *, labels: str | None = None) -> Inspection:
    """Return what a `.tflite` file says; its model is opened to tell task and decoder.

    Raises:
        ModelError: the file cannot be read.
    """
    if runtime_of(path).facts is None:
        raise ModelError(
            f"{path}: inspect reads .tflite files; make one with `auditor quantize {path} --levels float32 --output "
            "FOLDER`"
        )
    facts = facts_of(path)
    return Inspection(
        file=str(path),
        sha256=runtime_of(path).sha256(path),
        size_bytes=facts.size_bytes,
        quantization=facts.level,
        inputs=facts.inputs,
        outputs=facts.outputs,
        ops=dict(facts.ops),
        custom_ops=facts.compatibility.custom,
        flex_ops=facts.compatibility.flex,
        arena_bytes_estimate=facts.arena_bytes,
        compatibility=facts.compatibility,
        metadata=_metadata(facts),
        labels=facts.notes.labels,
        state=facts.state,
        likely=_likely(path, labels),
    )


def _metadata(facts: FileFacts) -> dict[str, Any]:
    notes = facts.notes
    return {
        "name": notes.name,
        "color": notes.color,
        "mean": notes.mean,
        "std": notes.std,
        "ultralytics": dict(notes.ultralytics) or None,
        "problems": list(notes.problems),
    }


def _likely(path: Path, labels: str | None) -> Likely:
    """What a file is likely to be, found out in a process that a damaged one may end."""
    (outcome,) = run_isolated(_found, [(path, labels)], timeout_s=_TIMEOUT_S)
    if outcome.died:
        return Likely(None, None, f"opening it and running it once failed: {outcome.error}")
    if outcome.error is not None:
        return Likely(None, None, outcome.error.strip().splitlines()[-1])
    found: Likely = outcome.result
    return found


def _found(given: tuple[Path, str | None]) -> Likely:
    path, labels = given
    request = ModelRequest(
        path.stem, path.stem, str(path), "default", ".", labels=labels, need_labels=False, images=_noise()
    )
    try:
        spec = resolve_model(request)
    except _NOT_UNDERSTOOD as error:
        reason = " ".join(str(error).split())
        return Likely(None, None, reason, diagnosis=_whatever_it_is(request))
    settings = spec.input.settings
    return Likely(
        task=spec.task,
        decoder=spec.decoder,
        reason=spec.sources["decoder"].note,
        options={key: value for key, value in spec.decoder_options.items() if key != "anchors"},
        input=settings,
        diagnosis=spec.diagnosis,
        input_sources={key: source for key in settings if (source := spec.sources.get(f"input.{key}")) is not None},
    )


_NOT_UNDERSTOOD = (ModelError, AuditorError, ValueError, RuntimeError, KeyError, IndexError, TypeError)


def _whatever_it_is(request: ModelRequest) -> Diagnosis:
    """What the codes of a file's outputs show where its head cannot be told: read as any head that has boxes and scores
    in one output, the first that shows that one scale serves both."""
    heads: dict[str, Head] = extensions.every("heads")
    for name, head in heads.items():
        if head.parts is None or not any(output.codes is not None for output in facts_of(Path(request.path)).outputs):
            continue
        try:
            diagnosis = resolve_model(dataclasses.replace(request, decoder=name)).diagnosis
        except _NOT_UNDERSTOOD:
            continue
        if any(output.zero_scores is not None for output in diagnosis.outputs):
            return diagnosis
    return Diagnosis()


def _noise() -> tuple[Any, ...]:
    """Images that show nothing: the structure alone decides, and what values would have to settle stays open."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    return tuple(noise)


def as_lines(found: Inspection) -> list[str]:
    """Return what a file says as lines for people."""
    lines = [
        f"{found.file}: {found.size_bytes:,} bytes, sha256 {found.sha256}",
        f"weights: {found.quantization}; arena: about {found.arena_bytes_estimate:,} bytes (an estimate from tensor "
        "lifetimes)",
    ]
    for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
        for tensor in tensors:
            codes = f", scale {_some(tensor.scales)}, zero point {_some(tensor.zero_points)}" if tensor.scales else ""
            called = f" ({tensor.called})" if tensor.called and kind == "output" else ""
            lines.append(f"{kind:<7} {tensor.name}{called}: {tensor.dtype} {tensor.shape}{codes}")
    lines.append("ops     " + ", ".join(f"{name} {count}" for name, count in found.ops.items()))
    for ops, title in (
        (found.custom_ops, "custom ops"),
        (found.flex_ops, "Flex ops (the plain runtime lacks them)"),
    ):
        if ops:
            lines.append(f"{title}: {', '.join(ops)}")
    said = {key: value for key, value in found.metadata.items() if value and key != "ultralytics"}
    lines.append("metadata " + (", ".join(f"{key} {value}" for key, value in said.items()) or "none"))
    if found.labels:
        lines.append(f"labels  {len(found.labels)}: {_some(found.labels)}")
    if found.state:
        lines.append(
            f"state   it keeps {' and '.join(found.state)} from one image to the next; an audit sets them "
            "back before each (unless `state: keep`)"
        )
    likely = found.likely
    if likely.decoder is None:
        return [*lines, f"decoder cannot be told: {likely.reason}"]
    lines.append(f"likely  {likely.task}, decoder {likely.decoder}: {likely.reason}")
    settings = [
        f"{key} {yaml_flow(value)} ({likely.input_sources.get(key, '')})" for key, value in likely.input.items()
    ]
    return [*lines, "input   " + ", ".join(settings)]


def _some(values: Sequence[Any]) -> str:
    listed = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(listed[:_SHOWN]) + (f", … ({len(listed)})" if len(listed) > _SHOWN else "")
