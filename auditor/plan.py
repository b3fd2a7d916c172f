"""From a config to everything that measuring needs: data sets, specs, cells, ordered units with resume keys."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import (
    AuditConfig,
    CalibrationConfig,
    DatasetConfig,
    ExternalDelegateConfig,
    ModelConfig,
    delegate_name,
    nearest,
)
from auditor.corruptions.corrupt import build, function_sha256
from auditor.corruptions.packs import scenario_names, select_scenarios
from auditor.datasets.classes import ClassMatch, match_classes, normal_name
from auditor.datasets.dataset import Dataset, DatasetRequest
from auditor.datasets.images import folder_images, read_record, sizes_of
from auditor.errors import AuditorError, DataError, InputError, ModelError, ScenarioError
from auditor.executors import run_isolated
from auditor.models.graph import LEVEL_NAMES
from auditor.models.interpreter import Delegate
from auditor.models.keras import PARENT, is_parent
from auditor.models.resolve import ModelRequest, resolve_model
from auditor.models.verify import VerifyRequest, verify
from auditor.provenance import PIXEL_PACKAGES, auditor_version, digest, sha256_of, versions_of
from auditor.store import MEASUREMENT_FORMAT
from auditor.values import CLEAN, EVIDENCE_LEVELS, Cell, ExternalDelegate, ImageRecord, ModelSpec, ScenarioSpec, Unit

__all__ = ["Plan", "first_images", "make_plan", "units_of"]

SHARD = 8
"""Images of a unit: few enough that a unit takes seconds, enough that its models stay warm."""

TENSORFLOW = "tensorflow"
"""What stands in the place of a delegate for a parent."""

_FIRST_IMAGES = 12
_OPEN_TIMEOUT_S = 120.0
_OPEN_PARENT_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Plan:
    """What an audit will do: `specs` in the order of the document, `scenarios` without clean. `verified` says for each
    model file and delegate how many ops the delegate takes, or why it is not measured (`skipped`, `failed`)."""

    config: AuditConfig
    datasets: Mapping[str, Dataset]
    specs: tuple[ModelSpec, ...]
    matches: Mapping[str, ClassMatch]
    scenarios: tuple[ScenarioSpec, ...]
    severities: tuple[float, ...]
    units: tuple[Unit, ...]
    calibration: Mapping[str, tuple[ImageRecord, ...]]
    unreadable: Mapping[str, int]
    verified: Mapping[tuple[str, str], Mapping[str, Any]]
    skipped: tuple[tuple[ModelSpec, str, str], ...] = ()

    def extended(
        self,
        specs: Sequence[ModelSpec],
        skipped: Sequence[tuple[ModelSpec, str, str]],
        *,
        scenarios: tuple[ScenarioSpec, ...] | None = None,
    ) -> Plan:
        """Return a plan that measures `specs` beside the others, in units of their own, so that no unit changes its
        key.

        `skipped` are levels that cannot be had: (the model they are of, level, reason). `scenarios` are the audit's
        where they are not given; clean is always there.
        """
        matches = {**self.matches, **{spec.name: self.matches[spec.model] for spec in specs}}
        scenarios = self.scenarios if scenarios is None else scenarios
        verified = _verified(self.config, specs)
        lay_out = units_of(
            self.config, self.datasets, specs, scenarios, self.severities, unavailable=_unavailable(verified)
        )
        units = tuple(lay_out) if specs else ()
        return dataclasses.replace(
            self,
            specs=(*self.specs, *specs),
            matches=matches,
            units=(*self.units, *units),
            verified={**self.verified, **verified},
            skipped=(*self.skipped, *skipped),
        )

    def unmeasured_cells(self) -> Iterator[tuple[Cell, str, str]]:
        """Yield the cells of levels and delegates that cannot be had or that fail, each with `skipped` or `failed` and
        the reason."""
        for spec, level, reason in self.skipped:
            for delegate in map(delegate_name, self.config.delegates):
                for scenario, severity in self._places():
                    yield (
                        Cell(spec.model, f"{spec.name}_{level}", level, delegate, scenario, severity),
                        "skipped",
                        reason,
                    )
        for spec in self.specs:
            for delegate in delegates_of(self.config, spec):
                facts = self.verified.get((spec.name, delegate), {})
                for status in ("skipped", "failed"):
                    for scenario, severity in self._places() if status in facts else ():
                        yield (
                            Cell(spec.model, spec.name, spec.quantization, delegate, scenario, severity),
                            status,
                            str(facts[status]),
                        )

    def _places(self) -> Iterator[tuple[str, float]]:
        yield CLEAN, 0
        yield from ((scenario.key, severity) for scenario in self.scenarios for severity in self.severities)

    def cells(self) -> Iterator[tuple[Cell, tuple[Unit, ...]]]:
        """Yield every cell with the units that measure it: models, then clean, then scenarios × severities."""
        by_scenario: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.units:
            for name in dict.fromkeys(spec.name for spec, _ in unit.models):
                by_scenario.setdefault((name, unit.scenario_key), []).append(unit)
        for spec in self.specs:
            for delegate in delegates_of(self.config, spec):
                if (spec.name, delegate) in _unavailable(self.verified):
                    continue
                for (name, scenario), units in by_scenario.items():
                    if name != spec.name:
                        continue
                    for severity in units[0].severities:
                        cell = Cell(spec.model, spec.name, spec.quantization, delegate, scenario, severity)
                        yield cell, tuple(units)


def make_plan(config: AuditConfig) -> Plan:
    """Load the data sets, resolve scenarios, open every model once, and lay out the units.

    Raises:
        InputError: with every problem of all of these at once.
    """
    problems: list[str] = []
    datasets = _datasets(config, problems)
    severities = tuple(int(value) if value == int(value) else value for value in sorted(config.severities))
    scenarios: tuple[ScenarioSpec, ...] = ()
    try:
        scenarios = select_scenarios(
            config.scenarios,
            folder=config.source.path.parent,
            allow_code=config.allow_code,
            where=[config.source.where("scenarios", index) for index in range(len(config.scenarios))],
        )
    except InputError as error:
        problems += error.problems
    for scenario in scenarios:
        problems += _severity_problems(config, scenario, severities)
    problems += _gate_problems(config, scenarios)
    known = extensions.names("checks")
    problems += [
        f"{config.source.where('checks', name)}: unknown check {name!r}; {nearest(name, known)}"
        for name in config.checks.by_name
        if name not in known
    ]
    calibration, unreadable = _calibration(config, datasets, problems)
    specs = _specs(config, datasets, problems)
    problems += _level_problems(config, specs)
    problems += [
        f"{config.source.where('delegates', index)}: {config.path(delegate.path)}: no such file; expected the shared "
        "library of a delegate"
        for index, delegate in enumerate(config.delegates)
        if not isinstance(delegate, str) and not config.path(delegate.path).is_file()
    ]
    matches = {}
    for spec in specs:
        if spec.dataset not in datasets:
            continue
        judged = datasets[spec.dataset].task
        if spec.task != judged:
            problems.append(
                f"{_where(config, spec.name)}: {spec.name} is a model for {spec.task} ({spec.sources['decoder']}), "
                f"but its data set is for {judged}: "
                "give it a data set of its own with `datasets:` and `dataset:`, or write `decoder:` if the model is "
                "taken for another"
            )
            continue
        match = match_classes(spec.labels, datasets[spec.dataset].categories)
        matches[spec.name] = match
        if not match.judged:
            problems.append(
                f"{_where(config, spec.name)}: {spec.name} and its data set have no class in common, so nothing can "
                "be judged; the model has "
                f"{_some(match.only_model)}, the data set {_some(match.only_truth)}: check `labels`"
            )
    if problems:
        raise InputError(problems)
    verified = _verified(config, specs)
    units = tuple(units_of(config, datasets, specs, scenarios, severities, unavailable=_unavailable(verified)))
    return Plan(
        config, datasets, tuple(specs), matches, scenarios, severities, units, calibration, unreadable, verified
    )


def units_of(
    config: AuditConfig,
    datasets: Mapping[str, Dataset],
    specs: Sequence[ModelSpec],
    scenarios: Sequence[ScenarioSpec],
    severities: tuple[float, ...],
    *,
    unavailable: Container[tuple[str, str]] = (),
) -> Iterator[Unit]:
    """Lay out the units shard by shard, clean first, so that an image is read once for all its scenarios; `unavailable`
    are pairs of a model file and a delegate that are left out."""
    libraries = tuple(_external(config, delegate) for delegate in config.delegates if not isinstance(delegate, str))
    versions = {"auditor": auditor_version(), "format": MEASUREMENT_FORMAT, **versions_of(PIXEL_PACKAGES)}
    for name, dataset in datasets.items():
        models = tuple(
            (spec, delegate)
            for spec in specs
            if spec.dataset == name
            for delegate in delegates_of(config, spec)
            if (spec.name, delegate) not in unavailable
        )
        if not models:
            continue
        used = tuple(library for library in libraries if any(delegate == library.name for _, delegate in models))
        for start in range(0, len(dataset.images), SHARD):
            images = dataset.images[start : start + SHARD]
            for scenario in (None, *scenarios):
                levels = (0,) if scenario is None else severities
                content = {
                    "images": [(image.id, image.sha256, image.size) for image in images],
                    "scenario": scenario and _without_folder(scenario),
                    "function": scenario and function_sha256(scenario),
                    "severities": levels,
                    "models": [(_measured(spec), delegate) for spec, delegate in models],
                    "libraries": [(library.name, sha256_of(Path(library.path)), library.options) for library in used],
                    "seed": config.seed,
                    "versions": versions
                    | (versions_of(["tensorflow", "keras"]) if any(on == TENSORFLOW for _, on in models) else {}),
                }
                yield Unit(name, images, scenario, levels, models, config.seed, digest(content)[:32], used)


def delegates_of(config: AuditConfig, spec: ModelSpec) -> tuple[str, ...]:
    """What a model is run on: the audit's delegates, but TensorFlow for a parent that is not TFLite yet."""
    return (TENSORFLOW,) if is_parent(Path(spec.path)) else tuple(map(delegate_name, config.delegates))


def delegate_by_name(config: AuditConfig, name: str) -> Delegate:
    """What the interpreter's door takes for a delegate of the audit."""
    found = next((delegate for delegate in config.delegates if delegate_name(delegate) == name), name)
    return found if isinstance(found, str) else _external(config, found)


def _external(config: AuditConfig, delegate: ExternalDelegateConfig) -> ExternalDelegate:
    options = tuple((key, str(value)) for key, value in delegate.options.items())
    return ExternalDelegate(delegate_name(delegate), str(config.path(delegate.path)), options)


def _verified(config: AuditConfig, specs: Sequence[ModelSpec]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Run each model once on each delegate. The runtime's own kernels share a process; any other delegate, which can
    hang or end the process that loads it, has one of its own each time."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    pairs = [(spec, name) for spec in specs for name in delegates_of(config, spec) if name != TENSORFLOW]
    own = [
        [VerifyRequest(spec, delegate_by_name(config, name))] for spec, name in pairs if name not in ("none", "xnnpack")
    ]
    shared = [VerifyRequest(spec, name) for spec, name in pairs if name in ("none", "xnnpack")]
    for requests in [shared, *own]:
        for outcome in run_isolated(verify, requests, timeout_s=config.measure.timeout):
            delegate = outcome.item.delegate
            name = delegate if isinstance(delegate, str) else delegate.name
            facts = (
                outcome.result
                if outcome.error is None
                else {"failed": f"{name}: {outcome.error.strip().splitlines()[-1]}"}
            )
            found[(outcome.item.spec.name, name)] = facts
    return found


def _unavailable(verified: Mapping[tuple[str, str], Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {key for key, facts in verified.items() if "skipped" in facts or "failed" in facts}


def _measured(spec: ModelSpec) -> dict[str, Any]:
    """What of a spec can change a prediction, and the names that predictions are stored under."""
    fields = dataclasses.asdict(spec)
    for name in ("path", "output_dtypes", "sources", "diagnosis", "model", "quantization", "dataset", "labels"):
        del fields[name]
    return fields


def _without_folder(scenario: ScenarioSpec) -> dict[str, Any]:
    return dataclasses.asdict(dataclasses.replace(scenario, folder=None))


def _datasets(config: AuditConfig, problems: list[str]) -> dict[str, Dataset]:
    datasets = {}
    for name, entry in config.named_datasets().items():
        loc = ("datasets", name) if config.datasets else ("dataset",)
        if entry.format not in extensions.names("datasets"):
            hint = nearest(entry.format, extensions.names("datasets"))
            problems.append(f"{config.source.where(*loc, 'format')}: unknown data set format {entry.format!r}; {hint}")
            continue
        load = extensions.resolve("datasets", entry.format)
        try:
            datasets[name] = load(_dataset_request(config, name, entry))
        except InputError as error:
            problems += [f"{config.source.where(*loc)}: {problem}" for problem in error.problems]
            continue
        called = Counter(normal_name(category) for category in datasets[name].categories)
        twice = [category for category in datasets[name].categories if called[normal_name(category)] > 1]
        if twice:
            problems.append(
                f"{config.source.where(*loc)}: classes are matched by name, whatever its case, but these are one: "
                f"{_some(twice)}"
            )
    return datasets


def _dataset_request(config: AuditConfig, name: str, entry: DatasetConfig | CalibrationConfig) -> DatasetRequest:
    paths = {
        key: config.path(text)
        for key in ("images", "annotations", "labels")
        if (text := getattr(entry, key)) is not None
    }
    return DatasetRequest(name, **paths, split=getattr(entry, "split", "val"), limit=entry.limit)


def _calibration(
    config: AuditConfig, datasets: Mapping[str, Dataset], problems: list[str]
) -> tuple[dict[str, tuple[ImageRecord, ...]], dict[str, int]]:
    """The calibration images of each model that asks for levels, and how many more cannot be read; images that are
    evaluated too are refused, by content."""
    found, unreadable = {}, {}
    for index, model in enumerate(config.models):
        if model.quantize is None or model.quantize.calibration is None:
            continue
        entry = model.quantize.calibration
        where = config.source.where("models", index, "quantize", "calibration")
        try:
            images = _calibration_images(config, entry)
        except InputError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
            continue
        sizes = sizes_of([image.path for image in images if image.index is None])
        readable = [image for image, size in zip(images, sizes, strict=True) if size] if sizes else list(images)
        if readable:  # where none is, the levels are skipped with that reason
            unreadable[model.name] = len(images) - len(readable)
            images = tuple(readable)
        evaluated = {image.sha256 for dataset in datasets.values() for image in dataset.images if image.sha256}
        shared = [image.path.name for image in images if image.sha256 in evaluated]
        if shared:
            problems.append(
                f"{where}: {len(shared)} of {len(images)} calibration images are evaluated too ({_some(shared)}), "
                "which would flatter the result; "
                "calibrate on other images"
            )
        found[model.name] = images
    return found, unreadable


def _calibration_images(config: AuditConfig, entry: CalibrationConfig) -> tuple[ImageRecord, ...]:
    folder = config.path(entry.images)
    if entry.format not in extensions.names("datasets"):
        raise InputError(
            f"unknown data set format {entry.format!r}; {nearest(entry.format, extensions.names('datasets'))}"
        )
    if entry.annotations is not None or entry.format in ("folders", "idx"):
        load = extensions.resolve("datasets", entry.format)
        dataset: Dataset = load(_dataset_request(config, "calibration", entry))
        position = {image_id: index for index, image_id in enumerate(dataset.listed)}
        return tuple(
            sorted(
                (image for image in dataset.images if image.sha256), key=lambda image: position.get(image.id, image.id)
            )
        )
    return folder_images(folder, limit=entry.limit)


def _specs(config: AuditConfig, datasets: Mapping[str, Dataset], problems: list[str]) -> list[ModelSpec]:
    """Resolve every model in a process of its own: a damaged file can hang or end the process that opens it."""
    requests = [_request(config, model, datasets) for model in config.models]
    timeout_s = (
        _OPEN_PARENT_TIMEOUT_S if any(is_parent(Path(request.path)) for request in requests) else _OPEN_TIMEOUT_S
    )
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
        return (
            f"its outputs cannot be decoded with these settings ({kind}{' '.join(str(error).split())[:300]})",
            "decoder",
        )


def _request(config: AuditConfig, model: ModelConfig, datasets: Mapping[str, Dataset]) -> ModelRequest:
    leader = next((entry for entry in config.models if entry.name == model.variant_of), model)
    inherited = model.variant_of is not None
    dataset = config.dataset_of(model)
    images = first_images(datasets[dataset]) if dataset in datasets else ()
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
        decoder_options=leader.decoder_options if inherited and model.decoder is None else model.decoder_options,
        labels=model.labels or (leader.labels if inherited else None),
        input={**(_given(leader.input) if inherited else {}), **_given(model.input)},
        postprocess={**(_given(leader.postprocess) if inherited else {}), **_given(model.postprocess)},
        images=images,
    )


def _given(part: Any) -> dict[str, Any]:
    return {key: value for key, value in part.model_dump().items() if value is not None}


def first_images(dataset: Dataset) -> tuple[NDArray[np.uint8], ...]:
    """The first images of a data set that can be read."""
    images: list[NDArray[np.uint8]] = []
    for record in dataset.images:
        try:
            images.append(read_record(record))
        except DataError:
            continue  # counted when it is measured
        if len(images) == _FIRST_IMAGES:
            break
    return tuple(images)


def _severity_problems(config: AuditConfig, scenario: ScenarioSpec, severities: Sequence[float]) -> list[str]:
    """Severities between whole ones interpolate the knobs, which not every transform takes."""
    for severity in severities:
        try:
            build(scenario, severity)
        except ScenarioError as error:
            return [
                f"{config.source.where('severities')}: {scenario.key} cannot be had at severity {severity:g}: {error}"
            ]
    return []


def _gate_problems(config: AuditConfig, scenarios: Sequence[ScenarioSpec]) -> list[str]:
    """Gates on scenarios that do not exist; one on a scenario that this audit does not run is legal, and met by
    nothing."""
    known = {
        CLEAN,
        *scenario_names(),
        *(scenario.pack for scenario in scenarios),
        *(scenario.key for scenario in scenarios),
    }
    return [
        f"{config.source.where('gates', index, 'scenario')}: unknown scenario {gate.scenario!r}; "
        f"{nearest(gate.scenario, known)}"
        for index, gate in enumerate(config.gates)
        if gate.scenario is not None and gate.scenario not in known
    ]


def _level_problems(config: AuditConfig, specs: Sequence[ModelSpec]) -> list[str]:
    """Gates on levels that exist nowhere; a known one that this audit does not have is legal, and met by nothing."""
    known = {*LEVEL_NAMES, PARENT, "int8_float_head", *EVIDENCE_LEVELS, *(spec.quantization for spec in specs)}
    delegates = {*map(delegate_name, config.delegates), "none", "xnnpack", "gpu", TENSORFLOW}
    known |= {model.quantization for model in config.models if model.quantization is not None}
    return [
        f"{config.source.where('gates', index, key)}: unknown level {value!r}; {nearest(value, known)}"
        for index, gate in enumerate(config.gates)
        for key in ("quantization", "against")
        if (value := getattr(gate, key)) is not None
        and value not in known
        and not (key == "against" and value == CLEAN)
    ] + [
        f"{config.source.where('gates', index, 'delegate')}: no delegate {gate.delegate!r} in `delegates`; "
        f"{nearest(gate.delegate, delegates)}"
        for index, gate in enumerate(config.gates)
        if gate.delegate is not None and gate.delegate not in delegates
    ]


def _where(config: AuditConfig, name: str, *field: str) -> str:
    index = next(index for index, model in enumerate(config.models) if model.name == name)
    return config.source.where("models", index, *field)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
