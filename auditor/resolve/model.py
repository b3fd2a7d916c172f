"""From what `audit.yaml` says of a model, and what its file says, to a complete `ModelSpec`.

The file is opened and invoked once here, so that whatever cannot run is known before anything is written.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.delegate import XNNPACK
from auditor.encoding import encode
from auditor.errors import ModelError
from auditor.heads.anatomy.head import Head, Outputs, Seen, Settling
from auditor.heads.anatomy.recognition import recognise
from auditor.heads.anatomy.settling import BACKGROUNDS
from auditor.resolve.diagnose import diagnose
from auditor.resolve.feeding import contract_of, fixed_input
from auditor.resolve.labels import load_labels
from auditor.runtimes.anatomy.runtime import FileFacts, OpenedModel, facts_of, open_spec, runtime_of
from auditor.values import InputContract, Json, Made, ModelSpec, Postprocess, Source
from auditor.values.levels import GRAPH_LEVELS, PARENT

__all__ = ["DATASET_LABELS", "ModelRequest", "derived_spec", "resolve_model"]

DATASET_LABELS = "dataset"
"""In place of a label list: the data set's classes, in their order."""

_FIRST = 4
"""Images that settle what a head leaves open; the others of a request are used only where these show nothing."""

_OUTPUT_OPTIONS = ("outputs", "slots", "boxes", "scores")
"""Decoder options that name outputs."""


@dataclass(frozen=True)
class ModelRequest:
    """What `audit.yaml` says of one model, paths made absolute. `images` are the first readable images of its data set.
    Labels may be missing where nothing is judged (`need_labels` false). `categories` are the data set's classes."""

    name: str
    model: str
    path: str
    dataset: str
    folder: str
    quantization: str | None = None
    decoder: str | None = None
    decoder_options: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[NDArray[np.uint8], ...] = ()
    need_labels: bool = True
    task: str | None = None
    categories: tuple[str, ...] = ()
    keeps_state: bool = False
    family: InputContract | None = None


def resolve_model(request: ModelRequest) -> ModelSpec:
    """Read, open and invoke one model and settle everything that measuring needs.

    Raises:
        ModelError: the file cannot be read, opened, invoked or understood, or the request contradicts it.
    """
    path = Path(request.path)
    runtime = runtime_of(path)
    if runtime.stand_in is not None:
        return _resolve_parent(request)
    facts = facts_of(path)
    if facts.refusal is not None:
        raise ModelError(f"{path}: {facts.refusal}")
    sources: dict[str, Source] = {}
    labels, sources["labels"] = _labels(request, facts)
    fixed, found = fixed_input(facts, request.input)
    sources |= found
    quantization, sources["quantization"] = _quantization(request, facts)
    draft = _draft(request, facts, fixed, labels, quantization)
    opened = open_spec(draft, delegate=XNNPACK, threads=1)
    arrays = _invoke(opened, fixed, path)
    samples_for = functools.partial(_samples_for, request, facts, fixed, opened)
    head, options, why = _head(
        request,
        _seen(facts, arrays, fixed, labels),
        samples_for,
        without_first=bool(labels) and labels[0] in BACKGROUNDS,
    )
    contract, found = contract_of(fixed, facts.notes, head, request.input, request.family)
    sources |= found
    sources |= _sources(request, options, why)
    spec = dataclasses.replace(draft, task=head.task, input=contract, decoder=head.name, decoder_options=options)
    first, rest = request.images[:_FIRST], request.images[_FIRST:]
    samples = _invoked(opened, contract, first) or [arrays]
    more = functools.partial(_invoked, opened, contract, rest)
    settled = head.settle(
        Settling(head, spec, samples, request.decoder_options, more=more, named=request.decoder is not None)
    )
    sources |= {f"decoder.{name}": source for name, source in settled.sources.items()}
    if request.keeps_state and not facts.state:
        raise ModelError("`state: keep`, but the file keeps nothing from image to image; leave it out", field="state")
    spec = dataclasses.replace(
        spec, decoder_options=dict(settled.options), sources=sources, keeps_state=request.keeps_state
    )
    return dataclasses.replace(spec, diagnosis=diagnose(spec, head, facts, samples, first))


def _draft(
    request: ModelRequest,
    facts: FileFacts,
    fixed: InputContract,
    labels: tuple[str | None, ...],
    quantization: str,
) -> ModelSpec:
    """What a file and the document fix, before its head is known."""
    return ModelSpec(
        name=request.name,
        model=request.model,
        path=request.path,
        sha256=runtime_of(Path(request.path)).sha256(Path(request.path)),
        task="",
        quantization=quantization,
        input=fixed,
        decoder="",
        decoder_options={},
        labels=labels,
        postprocess=Postprocess(**request.postprocess),
        size_bytes=facts.size_bytes,
        output_dtypes=tuple(output.dtype for output in facts.outputs),
        dataset=request.dataset,
        state=facts.state,
    )


def _sources(request: ModelRequest, options: Mapping[str, Json], why: str) -> dict[str, Source]:
    """Where the decoder, its options and the post-processing come from, before values settle more."""
    sources = {"decoder": Source("audit.yaml") if request.decoder else Source("graph", why)}
    sources |= {f"decoder.{name}": Source("graph") for name in options if name not in request.decoder_options}
    sources |= {f"decoder.{name}": Source("audit.yaml") for name in request.decoder_options}
    for setting in dataclasses.fields(Postprocess):
        given = setting.name in request.postprocess
        sources[f"postprocess.{setting.name}"] = Source("audit.yaml" if given else "default")
    return sources


def _invoked(opened: OpenedModel, contract: InputContract, images: Sequence[NDArray[np.uint8]]) -> list[Outputs]:
    return [opened.invoke(encode(image, contract)[0]) for image in images]


def _quantization(request: ModelRequest, facts: FileFacts) -> tuple[str, Source]:
    """The level of a file: by the document, else by its graph.

    Raises:
        ModelError: the document names a level that the graph contradicts.
    """
    if request.quantization in GRAPH_LEVELS and request.quantization != facts.level:
        raise ModelError(
            f"`quantization` says {request.quantization}, but the graph's weighted ops are {facts.level}; leave it "
            "out, "
            "or give the level a name of its own",
            field="quantization",
        )
    if request.quantization in (None, facts.level):
        return facts.level, Source("graph")
    return str(request.quantization), Source("audit.yaml", f"the graph says {facts.level}")


def _seen(facts: FileFacts, arrays: Outputs, contract: InputContract, labels: Sequence[str | None]) -> Seen:
    return Seen(
        arrays=arrays,
        contract=contract,
        classes=len(labels) or None,
        called={output.name: output.called for output in facts.outputs},
        made_by={output.name: output.made_by for output in facts.outputs},
        op_outputs=facts.op_outputs,
        notes=facts.notes.ultralytics,
    )


def _resolve_parent(request: ModelRequest) -> ModelSpec:
    """Settle a source that is not TFLite yet by its stand-in, which has the same head, input and outputs."""
    path = Path(request.path)
    runtime = runtime_of(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder; expected a .keras file or a SavedModel folder", field="path")
    if request.quantization not in (None, PARENT):
        raise ModelError(
            f"a Keras or SavedModel source is the level `{PARENT}`; leave `quantization` out", field="quantization"
        )
    assert runtime.stand_in is not None
    assert runtime.pair is not None
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / f"{path.stem}.tflite"
        converted.write_bytes(runtime.stand_in(path, request.input.get("size")))
        try:
            spec = resolve_model(dataclasses.replace(request, path=str(converted), quantization=PARENT))
            tensor, _ = encode(_sample(request, spec.input), spec.input)
            outputs = runtime.pair(path, tensor, open_spec(spec, delegate=XNNPACK, threads=1).invoke(tensor))
        except ModelError as error:
            raise ModelError(str(error).replace(str(converted), str(path)), field=error.field) from error
    return dataclasses.replace(
        spec,
        path=str(path),
        sha256=runtime.sha256(path),
        size_bytes=runtime.size_bytes(path),
        outputs=outputs,
        sources={**spec.sources, "quantization": Source("parent", "the source is not TFLite")},
        diagnosis=type(spec.diagnosis)(),
    )


def _sample(request: ModelRequest, contract: InputContract) -> NDArray[np.uint8]:
    """An image on which outputs of one shape differ."""
    if request.images:
        return request.images[0]
    return np.random.default_rng(0).integers(0, 256, (contract.height, contract.width, 3), dtype=np.uint8)


def derived_spec(
    spec: ModelSpec, path: Path, *, level: str, made: Made, images: Sequence[NDArray[np.uint8]]
) -> ModelSpec:
    """The spec of a file that was made of the model of `spec`: everything is inherited but what its graph fixes.

    The file is opened and invoked, and diagnosed on `images`.

    Raises:
        ModelError: it cannot be opened or invoked, or has other outputs than its source.
    """
    facts = facts_of(path)
    source_names = tuple(spec.outputs) or facts_of(Path(spec.path)).output_names
    if len(source_names) != len(facts.outputs):
        raise ModelError(f"{path}: it has {len(facts.outputs)} outputs, its source {len(source_names)}")
    tensor = facts.inputs[0]
    contract = dataclasses.replace(
        spec.input,
        dtype=tensor.dtype,
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )
    renamed = dict(zip(source_names, facts.output_names, strict=True))
    derived = dataclasses.replace(
        spec,
        name=f"{spec.name}_{level}",
        path=str(path),
        sha256=runtime_of(path).sha256(path),
        quantization=level,
        input=contract,
        decoder_options={key: _renamed(value, renamed) for key, value in spec.decoder_options.items()},
        size_bytes=facts.size_bytes,
        state=facts.state,
        output_dtypes=tuple(output.dtype for output in facts.outputs),
        outputs={},
        made=made,
        role="level",
        sources={**spec.sources, "quantization": Source("made", str(made))},
    )
    opened = open_spec(derived, delegate=XNNPACK, threads=1)
    first = images[:_FIRST]
    samples = [opened.invoke(encode(image, contract)[0]) for image in first] or [_invoke(opened, contract, path)]
    head: Head = extensions.resolve("heads", spec.decoder)
    return dataclasses.replace(derived, diagnosis=diagnose(derived, head, facts, samples, first))


def _renamed(value: Json, names: Mapping[str, str]) -> Json:
    """Decoder options with the outputs' new names."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def _labels(request: ModelRequest, facts: FileFacts) -> tuple[tuple[str | None, ...], Source]:
    if request.labels is not None:
        if request.labels == DATASET_LABELS:
            return request.categories, Source("dataset", "its classes, in their order")
        try:
            return load_labels(request.labels, Path(request.folder) / request.labels), Source("audit.yaml")
        except ModelError as error:
            raise ModelError(str(error), field="labels") from error
    if facts.notes.labels:
        return facts.notes.labels, Source("metadata")
    if not request.need_labels:
        return (), Source("default")
    raise ModelError(
        "the file names no labels; write `labels:` with a built-in list (coco80, coco90, coco91), a file with one "
        f"label a line, or `{DATASET_LABELS}` where the model's classes stand in the order of the data set's",
        field="labels",
    )


def _samples_for(
    request: ModelRequest, facts: FileFacts, fixed: InputContract, opened: OpenedModel, head: Head
) -> list[Outputs]:
    """Outputs on a few images, or on noise where there are none, the model being fed as one with this head."""
    given = {**(head.input or {}), **request.input} if head.input is not None else request.input
    try:
        contract, _ = contract_of(fixed, facts.notes, head, given, request.family)
    except ModelError:
        contract = dataclasses.replace(fixed, std=(255.0,))
    noise = np.random.default_rng(0).integers(0, 256, (2, contract.height, contract.width, 3), dtype=np.uint8)
    return _invoked(opened, contract, request.images[:_FIRST] or list(noise))


def _head(
    request: ModelRequest, seen: Seen, samples_for: Callable[[Head], Sequence[Outputs]], *, without_first: bool
) -> tuple[Head, dict[str, Json], str]:
    """The head by name or by its outputs, its options as far as shapes and the document fix them, and why it is that
    one. The labels may hold a first line `without_first` of which the head has as many classes: a background."""
    heads: dict[str, Head] = extensions.every("heads")
    given = _own_names(request.decoder_options, seen)
    folder = Path(request.folder)
    fitting = {name: head for name, head in heads.items() if request.task in (None, head.task)}
    named = request.decoder
    if named is None and request.task is not None and len(fitting) == 1:
        named = next(iter(fitting))
    if named is None:
        judged = " and ".join(dict.fromkeys(head.task for head in heads.values()))
        try:
            head, why = recognise(seen, heads, tasks=judged, samples_for=samples_for)
        except ModelError:
            if not without_first or seen.classes is None:
                raise
            fewer = dataclasses.replace(seen, classes=seen.classes - 1)
            head, why = recognise(fewer, heads, tasks=judged, samples_for=samples_for)
    elif named not in heads:
        raise ModelError(f"decoder {named!r} is not known; known are: {', '.join(sorted(heads))}", field="decoder")
    else:
        head, why = heads[named], "audit.yaml"
    if request.task is not None and head.task != request.task:
        raise ModelError(f"`task` is {request.task}, but its decoder is {head.name} ({why})", field="task")
    checked = head.checked_options(given, folder=folder)
    return head, {**head.structure(_narrowed(seen, given)), **checked}, why


def _narrowed(seen: Seen, given: Mapping[str, Any]) -> Seen:
    """What a head is shown where the document names outputs: those alone, which then need not be told apart.

    Raises:
        ModelError: it names an output that the model does not have.
    """
    named = list(given["slots"].values()) if "slots" in given else list(given.get("outputs", ()))
    for role in ("boxes", "scores", "sizes", "offsets"):
        said = given.get(role, [])
        named += said if isinstance(said, list) else [said]
    absent = [name for name in named if name not in seen.arrays]
    if absent:
        raise ModelError(
            f"the model has no output {', '.join(map(repr, absent))}; it has {', '.join(seen.arrays)}", field="decoder"
        )
    seen = dataclasses.replace(seen, given=given)
    if "outputs" not in given:
        return seen
    chosen = {name: seen.arrays[name] for name in given["outputs"]}
    return dataclasses.replace(seen, arrays=chosen, ordered=True)


def _own_names(options: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    """Decoder options with outputs by the file's own names, where they are given as a signature calls them."""
    renamed = {called: name for name, called in seen.called.items() if called and called not in seen.arrays}
    return {key: _renamed(value, renamed) if key in _OUTPUT_OPTIONS else value for key, value in options.items()}


def _invoke(opened: OpenedModel, contract: InputContract, path: Path) -> Outputs:
    """Run the model once on grey, to learn the shapes of its outputs."""
    grey = np.full((contract.height, contract.width, 3), 128, dtype=np.uint8)
    color = "gray" if contract.color == "gray" else "rgb"
    tensor, _ = encode(grey, dataclasses.replace(contract, color=color, std=(255.0,)))
    try:
        return opened.invoke(tensor)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: opens but cannot be invoked: {' '.join(str(error).split())[:300]}") from error
