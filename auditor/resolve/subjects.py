"""From the document of an audit to its subjects: data sets loaded, scenarios tried, every model opened once, gates
checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auditor import extensions
from auditor.config import AuditConfig, ModelConfig
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch, match_classes
from auditor.errors import AuditorError, InputError, ModelError
from auditor.executors import run_isolated
from auditor.plan import Entry, Subjects
from auditor.provenance import PIXEL_PACKAGES, auditor_version, sha256_of, versions_of
from auditor.resolve.image_sets import first_images, load_calibration, load_datasets
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.resolve.scenarios import hashes_of, try_scenarios
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.store import MEASUREMENT_FORMAT
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ModelSpec, some

__all__ = ["resolve_audit"]

_OPEN_TIMEOUT_S = 120.0
_OPEN_SOURCE_TIMEOUT_S = 1200.0
"""Of a source that is converted before it is understood."""


def resolve_audit(config: AuditConfig) -> Subjects:
    """Load the data sets, try the scenarios and open every model once.

    Raises:
        InputError: with every problem of all of these at once.
    """
    problems: list[str] = []
    datasets = load_datasets(config, problems)
    severities = tuple(int(value) if value == int(value) else value for value in sorted(config.severities))
    scenarios = try_scenarios(config, severities, problems)
    calibration, unreadable = load_calibration(config, datasets, problems)
    specs = _specs(config, datasets, problems)
    delegates = config.runs_on
    problems += [
        f"{config.source.where('delegates', index)}: {delegate.library}: no such file; expected the shared library of "
        "a "
        "delegate"
        for index, delegate in enumerate(delegates)
        if delegate.library is not None and not Path(delegate.library).is_file()
    ]
    matches = _matches(config, datasets, specs, problems)
    if problems:
        raise InputError(problems)
    hashes = {delegate.name: sha256_of(Path(delegate.library)) for delegate in delegates if delegate.library}
    return Subjects(
        seed=config.seed,
        datasets=datasets,
        entries=tuple(_entry(model) for model in config.models),
        specs=tuple(specs),
        matches=matches,
        scenarios=scenarios,
        severities=severities,
        asked_delegates=delegates,
        delegates={spec.name: tuple(runtime_of(Path(spec.path)).delegates(delegates)) for spec in specs},
        calibration=calibration,
        unreadable=unreadable,
        versions=_versions(specs),
        hashes={**hashes, **hashes_of(scenarios)},
    )


def _entry(model: ModelConfig) -> Entry:
    asked = model.quantize
    return Entry(
        name=model.name,
        leads=model.variant_of is None,
        quantizes=asked is not None,
        asked=tuple(asked.levels) if asked is not None else (),
        io=asked.io if asked is not None else "float32",
    )


def _versions(specs: Sequence[ModelSpec]) -> dict[str, str]:
    packages = [*PIXEL_PACKAGES]
    for spec in specs:
        packages += [package for package in runtime_of(Path(spec.path)).packages if package not in packages]
    return {"auditor": auditor_version(), "format": str(MEASUREMENT_FORMAT), **versions_of(packages)}


def _matches(
    config: AuditConfig, datasets: Mapping[str, Dataset], specs: Sequence[ModelSpec], problems: list[str]
) -> dict[str, ClassMatch]:
    """Which classes each model shares with its data set; a model whose task that set cannot judge is a problem."""
    matches = {}
    for spec in specs:
        if spec.dataset not in datasets:
            continue
        judged, where = datasets[spec.dataset].task, _where(config, spec.name)
        if judged not in task_of(spec.task).truths:
            problems.append(
                f"{where}: {spec.name} is a model for {spec.task} ({spec.sources['decoder']}), but its data set is for "
                f"{judged}: give it a data set of its own with `datasets:` and `dataset:`, or write `decoder:` if the "
                "model is taken for another"
            )
            continue
        match = match_classes(spec.labels, datasets[spec.dataset].categories)
        matches[spec.name] = match
        if not match.judged:
            problems.append(
                f"{where}: {spec.name} and its data set have no class in common, so nothing can be judged; the model "
                "has "
                f"{some(match.only_model)}, the data set {some(match.only_truth)}: check `labels`"
            )
    return matches


def _specs(config: AuditConfig, datasets: Mapping[str, Dataset], problems: list[str]) -> list[ModelSpec]:
    """Resolve every model in a process of its own: a damaged file can hang or end the process that opens it."""
    tasks = extensions.names("tasks")
    for model in config.models:
        if model.task is not None and model.task not in tasks:
            where = _where(config, model.name, "task")
            problems.append(f"{where}: unknown task {model.task!r}; known are: {', '.join(tasks)}")
    requests = [_request(config, model, datasets) for model in config.models if model.task in (None, *tasks)]
    converted = any(runtime_of(Path(request.path)).stand_in is not None for request in requests)
    timeout_s = _OPEN_SOURCE_TIMEOUT_S if converted else _OPEN_TIMEOUT_S
    specs = []
    for request, outcome in zip(requests, run_isolated(_resolve, requests, timeout_s=timeout_s), strict=True):
        where = _where(config, request.name)
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
            where = _where(config, request.name, *([field] if field else []))
            problems.append(f"{where}: {text}" if request.path in text else f"{where}: {request.path}: {text}")
    return specs


def _resolve(request: ModelRequest) -> ModelSpec | tuple[str, str | None]:
    """Resolve a model; what is wrong comes back as text and field, so that all problems can be told at once."""
    try:
        return resolve_model(request)
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


def _request(config: AuditConfig, model: ModelConfig, datasets: Mapping[str, Dataset]) -> ModelRequest:
    leader = next((entry for entry in config.models if entry.name == model.variant_of), model)
    inherited = model.variant_of is not None
    dataset = config.dataset_of(model)
    images = first_images(datasets[dataset]) if dataset in datasets else ()
    own_options = not inherited or model.decoder is not None
    return ModelRequest(
        name=model.name,
        model=leader.name,
        task=model.task or (leader.task if inherited else None),
        categories=datasets[dataset].categories if dataset in datasets else (),
        path=str(config.path(model.path)),
        dataset=dataset,
        folder=str(config.source.path.parent.absolute()),
        quantization=model.quantization,
        decoder=model.decoder_name or (leader.decoder_name if inherited else None),
        decoder_options=model.decoder_options if own_options else leader.decoder_options,
        labels=model.labels or (leader.labels if inherited else None),
        input={**(_given(leader.input) if inherited else {}), **_given(model.input)},
        postprocess={**(_given(leader.postprocess) if inherited else {}), **_given(model.postprocess)},
        images=images,
    )


def _given(part: Any) -> dict[str, Any]:
    return {key: value for key, value in part.model_dump().items() if value is not None}


def _where(config: AuditConfig, name: str, *field: str) -> str:
    index = next(index for index, model in enumerate(config.models) if model.name == name)
    return config.source.where("models", index, *field)
