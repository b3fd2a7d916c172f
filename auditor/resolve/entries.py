"""The models of a document, each resolved in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import AuditConfig, ModelConfig, load_audit, nearest
from auditor.datasets.dataset import Dataset
from auditor.errors import AuditorError, InputError, ModelError
from auditor.executors import Lane, run_isolated
from auditor.provenance import PIXEL_PACKAGES, auditor_version, versions_of
from auditor.resolve.image_sets import first_images
from auditor.resolve.model import DATASET_LABELS, ModelRequest, resolve_model
from auditor.resolve.places import place
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.store import MEASUREMENT_FORMAT
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ModelSpec
from auditor.values.label_lists import BUILT_IN_LABELS

__all__ = ["resolve_models", "resolve_shown", "versions_of_models", "where_is"]

_OPEN_TIMEOUT_S = 120.0
_OPEN_SOURCE_TIMEOUT_S = 1200.0
"""Of a source that is converted before it is understood."""


def resolve_models(
    config: AuditConfig, datasets: Mapping[str, Dataset], problems: list[str], lanes: Sequence[Lane] = ()
) -> list[ModelSpec]:
    """Resolve every model in a process beside this one: a damaged file can hang or end the process that opens it. Adds
    what is wrong to `problems`."""
    tasks = extensions.names("tasks")
    for model in config.models:
        if model.task is not None and model.task not in tasks:
            where = where_is(config, model.name, "task")
            problems.append(f"{where}: unknown task {model.task!r}; known are: {', '.join(tasks)}")
    whole = list(_whole(config))
    for index, model in enumerate(config.models):
        problems += _files_missing(config, index, model)
    first = {name: first_images(dataset) for name, dataset in datasets.items()}
    requests = [_request(config, model, datasets, first) for model in whole if model.task in (None, *tasks)]
    converted = any(runtime_of(Path(request.path)).stand_in is not None for request in requests)
    timeout_s = _OPEN_SOURCE_TIMEOUT_S if converted else _OPEN_TIMEOUT_S
    # Leaders first: a variant is fed the real values that its family is.
    leaders = [request for request in requests if request.model == request.name]
    outcomes = {
        outcome.item.name: outcome for outcome in run_isolated(_resolve, leaders, timeout_s=timeout_s, lanes=lanes)
    }
    led = [
        dataclasses.replace(request, family=found.input)
        if isinstance(found := outcomes[request.model].result, ModelSpec)
        else request
        for request in requests
        if request.name not in outcomes and request.model in outcomes
    ]
    outcomes |= {
        outcome.item.name: outcome for outcome in run_isolated(_resolve, led, timeout_s=timeout_s, lanes=lanes)
    }
    specs = []
    for request in (request for request in requests if request.name in outcomes):
        outcome, where = outcomes[request.name], where_is(config, request.name)
        if outcome.died:
            problems.append(
                f"{where}: {request.path}: opening the model failed: {outcome.error}; the file is probably damaged"
            )
        elif outcome.error is not None:
            raise RuntimeError(f"resolving {request.name} failed unexpectedly:\n{outcome.error}")
        elif isinstance(outcome.result, ModelSpec):
            specs.append(outcome.result)
        else:
            text, field = outcome.result
            where = where_is(config, request.name, *([field] if field else []))
            problems.append(f"{where}: {text}" if request.path in text else f"{where}: {request.path}: {text}")
    return specs


def resolve_shown(model: str, images: tuple[NDArray[np.uint8], ...]) -> ModelSpec:
    """Resolve a model to show what it finds: the file of one, or an entry of a document as `audit.yaml#name` (its first
    one without `#name`).

    Raises:
        InputError: it cannot be read, opened or understood.
    """
    file, _, name = model.partition("#")
    if not file.endswith((".yaml", ".yml")):
        plain = ModelRequest(
            Path(model).stem, Path(model).stem, model, "", str(Path.cwd()), images=images, need_labels=False
        )
        return _opened(plain, f"--model {model}", "say how it is fed in an audit.yaml, and give that: audit.yaml#name")
    config = load_audit(Path(file))
    entries = {entry.name: entry for entry in config.models}
    if name and name not in entries:
        raise InputError(f"{file}: it has no model {name!r}; {nearest(name, entries)}")
    entry = entries[name] if name else config.models[0]
    leader = entries.get(entry.variant_of or entry.name, entry)
    family = None
    for wanted in (leader, entry) if leader is not entry else (entry,):
        request = _request(config, wanted, {}, {config.dataset_of(wanted): images})
        request = dataclasses.replace(
            request,
            labels=None if request.labels == DATASET_LABELS else request.labels,
            need_labels=False,
            family=family.input if family is not None else None,
        )
        family = _opened(request, where_is(config, wanted.name), "mend this entry")
    assert family is not None
    return family


def _opened(request: ModelRequest, where: str, remedy: str) -> ModelSpec:
    """A model that is resolved in a process of its own."""
    (outcome,) = run_isolated(_resolve, [request], timeout_s=_OPEN_TIMEOUT_S)
    if isinstance(outcome.result, ModelSpec):
        return outcome.result
    text = str(outcome.error).strip().splitlines()[-1] if outcome.error is not None else outcome.result[0]
    raise InputError(f"{where}: {text if request.path in text else f'{request.path}: {text}'}; {remedy}")


def _files_missing(config: AuditConfig, index: int, model: ModelConfig) -> Iterator[str]:
    """The files of an entry that are not there, whatever else is wrong with it."""
    path = place(config, model.path)
    if not path.exists():
        where = config.source.where("models", index, "path")
        yield f"{where}: {path}: no such file or folder; expected a .tflite file, a .keras file or a SavedModel folder"
    elif path.is_dir() and not (path / "saved_model.pb").is_file():
        where = config.source.where("models", index, "path")
        wanted = "a SavedModel folder, a .keras file or a .tflite file"
        yield f"{where}: {path}: this folder holds no saved_model.pb; give {wanted}"
    labels = model.labels
    if labels is not None and labels not in (*BUILT_IN_LABELS, DATASET_LABELS) and not place(config, labels).is_file():
        what = "is a folder; expected a file" if place(config, labels).is_dir() else "no such file; expected one"
        known = ", ".join((*BUILT_IN_LABELS, DATASET_LABELS))
        where = config.source.where("models", index, "labels")
        yield f"{where}: {place(config, labels)}: {what} with one label a line, or one of {known}"


def _whole(config: AuditConfig) -> Iterator[ModelConfig]:
    """The entries that can be opened: those that lack nothing that was wrong and no file, and of one name the first."""
    names: set[str] = set()
    for index, model in enumerate(config.models):
        there = not any(_files_missing(config, index, model))
        if config.is_whole("models", index) and model.name not in names and there:
            yield model
        names.add(model.name)


def _resolve(request: ModelRequest) -> ModelSpec | tuple[str, str | None]:
    """Resolve a model; what is wrong comes back as text and field, so that all problems can be told at once."""
    try:
        spec = resolve_model(request)
        if spec.input.tiles is not None and task_of(spec.task).merged is None:
            return f"{spec.name} is a model for {spec.task}, which cannot be fed in tiles", "input"
        return spec
    except ModelError as error:
        return str(error), error.field
    except (
        AuditorError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        OverflowError,
        MemoryError,
        RuntimeError,
    ) as error:
        kind = "" if isinstance(error, AuditorError) else f"{type(error).__name__}: "
        text = " ".join(str(error).split())[:300]
        return f"its outputs cannot be decoded with these settings ({kind}{text})", "decoder"


def _request(
    config: AuditConfig,
    model: ModelConfig,
    datasets: Mapping[str, Dataset],
    first: Mapping[str, tuple[NDArray[np.uint8], ...]],
) -> ModelRequest:
    leader = next((entry for entry in config.models if entry.name == model.variant_of), model)
    inherited = model.variant_of is not None
    dataset = config.dataset_of(model)
    own_options = not inherited or model.decoder is not None
    return ModelRequest(
        name=model.name,
        model=leader.name,
        task=model.task or (leader.task if inherited else None),
        categories=datasets[dataset].categories if dataset in datasets else (),
        path=str(place(config, model.path)),
        dataset=dataset,
        folder=str(config.source.path.parent.absolute()),
        quantization=model.quantization,
        decoder=model.decoder_name or (leader.decoder_name if inherited else None),
        decoder_options=model.decoder_options if own_options else leader.decoder_options,
        labels=_labels(config, model.labels or (leader.labels if inherited else None)),
        input={**(_given(leader.input) if inherited else {}), **_given(model.input)},
        postprocess={**(_given(leader.postprocess) if inherited else {}), **_given(model.postprocess)},
        images=first.get(dataset, ()),
        keeps_state=(model.state or (leader.state if inherited else None)) == "keep",
    )


def _given(part: Any) -> dict[str, Any]:
    return {key: value for key, value in part.model_dump().items() if value is not None}


def versions_of_models(specs: Sequence[ModelSpec]) -> dict[str, str]:
    """The versions of everything that could change a pixel or a score of these models, by package."""
    packages = [*PIXEL_PACKAGES]
    for spec in specs:
        packages += [package for package in runtime_of(Path(spec.path)).packages if package not in packages]
    return {"auditor": auditor_version(), "format": str(MEASUREMENT_FORMAT), **versions_of(packages)}


def where_is(config: AuditConfig, name: str, *field: str) -> str:
    """The line of a model's entry in its document, or of a field there."""
    index = next(index for index, model in enumerate(config.models) if model.name == name)
    return config.source.where("models", index, *field)


def _labels(config: AuditConfig, labels: str | None) -> str | None:
    """A list's name or a file, as the document has it; what an address leads to."""
    return str(place(config, labels)) if labels is not None and "://" in labels else labels
