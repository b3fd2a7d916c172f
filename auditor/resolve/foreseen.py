"""What an audit will have for its gates to meet, as its document says; what cannot be told hinders no gate."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from auditor import extensions
from auditor.config import AuditConfig, ModelConfig
from auditor.corruptions.packs import scenario_names
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch
from auditor.evaluate.differences import REFERENCES
from auditor.resolve.places import place
from auditor.resolve.reach import Reach, Reachable, cell_metrics, every_metric, summary_metrics
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.tasks.anatomy.cells import task_of
from auditor.tasks.anatomy.task import Task
from auditor.values import (
    BREAKING_POINT,
    CLEAN,
    LOCAL,
    MEASURED_METRICS,
    OVER_SCENARIOS,
    BreakingSearch,
    ClassTruth,
    ModelSpec,
    PointChoice,
    ScenarioSpec,
)

__all__ = ["Known", "foreseen", "judged_classes"]


@dataclasses.dataclass(frozen=True)
class Known:
    """What of an audit is known before it runs: `scenarios` are None where one of them is wrong, `devices` where others
    than this one may follow."""

    config: AuditConfig
    datasets: Mapping[str, Dataset]
    specs: Sequence[ModelSpec]
    matches: Mapping[str, ClassMatch]
    scenarios: Sequence[ScenarioSpec] | None
    devices: Collection[str] | None
    points: Mapping[str, PointChoice] = dataclasses.field(default_factory=dict)
    breaking: BreakingSearch | None = None


def _objects_of(dataset: Dataset, name: str) -> int:
    """How many true objects of a class count."""
    index = dataset.categories.index(name)
    return sum(
        int((np.asarray(truth.label) == index).sum() if isinstance(truth, ClassTruth) else _counted(truth, index))
        for truth in dataset.truth.values()
    )


def _counted(truth: object, index: int) -> int:
    labels, crowd = getattr(truth, "labels", np.zeros(0)), getattr(truth, "iscrowd", np.zeros(0, bool))
    return int((labels[~crowd] == index).sum())


def judged_classes(known: Known) -> tuple[list[str] | None, dict[str, str]]:
    """The classes that are judged and of which there is something, and why others are not; None where they are not
    known."""
    if set(known.config.named_datasets()) - set(known.datasets) or not known.datasets:
        return None, {}
    if len(known.matches) < len(known.config.models):  # which are judged is not known
        every = [(found, name) for found in known.datasets.values() for name in found.categories]
        return list(dict.fromkeys(name for found, name in every if _objects_of(found, name))), {}
    judged: dict[str, None] = {}
    absent: dict[str, str] = {}
    for spec in known.specs:
        match, dataset = known.matches[spec.name], known.datasets[spec.dataset]
        if not dataset.is_labelled:
            continue
        for name in match.judged:
            if _objects_of(dataset, name):
                judged[name] = None
            else:
                absent[name] = "the data set has no object of it that counts"
        absent |= dict.fromkeys(match.only_truth, f"{spec.name} has no label for it")
        absent |= dict.fromkeys(match.only_model, "the data set has no such class")
    return list(judged), {name: reason for name, reason in absent.items() if name not in judged}


def foreseen(known: Known, classes: Sequence[str] | None) -> Reach:
    """What an audit will have, as its document says; what cannot be told hinders no gate."""
    config = known.config
    specs = {spec.name: spec for spec in known.specs}
    devices = [None] if known.devices is None else [LOCAL, *known.devices]
    subjects: list[Reachable] = []
    for model in config.models:
        family = model.variant_of or model.name
        levels = _levels(config, family, specs)
        for file, level, delegates in _files(config, model, specs):
            metrics = _metrics_of(known, specs.get(model.name), levels, classes, several=len(delegates) > 1)
            for delegate, device in itertools.product(delegates, devices):
                subjects += _of(known, Reachable(family, file, level, delegate, device, levels=levels), metrics)
    if not config.is_whole("models"):  # another, of which nothing is known
        metrics = _metrics_of(known, None, None, None, several=False)
        for delegate, device in itertools.product([found.name for found in config.runs_on], devices):
            subjects += _of(known, Reachable(None, None, None, delegate, device), metrics)
    why = {**_why_not(known), BREAKING_POINT: _NOT_SEARCHED}
    return Reach(tuple(_opened(config, subject) for subject in subjects), why, config.evaluation.value)


_NOT_SEARCHED = (
    "nothing of this audit searches for breaking points; write `breaking_points: {metric: recall, max_drop: 0.1}`"
)


def _opened(config: AuditConfig, subject: Reachable) -> Reachable:
    """A subject without what its document says wrongly."""
    unknown = {
        key: None
        for key, given in (("severity", "severities"), ("delegate", "delegates"))
        if not config.is_whole(given)
    }
    return dataclasses.replace(subject, **unknown) if unknown else subject


def _files(
    config: AuditConfig, model: ModelConfig, specs: Mapping[str, ModelSpec]
) -> Iterator[tuple[str, str | None, list[str]]]:
    """The files of an entry with their levels and the delegates that they run on: its own, and those made of it."""
    spec = specs.get(model.name)
    level = model.quantization if spec is None else spec.quantization
    own = runtime_of(place(config, model.path)).delegates(config.runs_on)
    yield model.name, level, [delegate.name for delegate in own]
    for made in model.made_levels:
        if made != level:
            yield f"{model.name}_{made}", made, [delegate.name for delegate in config.runs_on]


def _levels(config: AuditConfig, family: str, specs: Mapping[str, ModelSpec]) -> frozenset[str] | None:
    """The levels of a family; None where one of its files could not be opened."""
    members = [model for model in config.models if (model.variant_of or model.name) == family]
    found = [level for model in members for _, level, _ in _files(config, model, specs)]
    known = frozenset(level for level in found if level is not None)
    return known if len(known) == len(set(found)) else None


@dataclasses.dataclass(frozen=True)
class _Metrics:
    """The metrics of a file's clean cells, of its others, and over all of them; None where they are not known."""

    clean: frozenset[str] | None
    other: frozenset[str] | None
    over: frozenset[str]


def _metrics_of(
    known: Known, spec: ModelSpec | None, levels: frozenset[str] | None, classes: Sequence[str] | None, *, several: bool
) -> _Metrics:
    scenarios = known.scenarios is None or len(known.scenarios) > 0
    if spec is None or levels is None or classes is None:
        tasks: dict[str, Task] = extensions.every("tasks")
        every = frozenset(name for task in tasks.values() for name in summary_metrics(task, scenarios=scenarios))
        return _Metrics(None, None, every)
    task, evaluation = task_of(spec.task), known.config.evaluation.value
    if not known.datasets[spec.dataset].is_labelled:
        return _without_truth(task, several=several or len(levels) > 1)
    clean, other = (
        cell_metrics(
            task,
            classes,
            evaluation=evaluation,
            clean=is_clean,
            levels=levels,
            several=several,
            left_out=_not_at_point(known, spec, task),
        )
        for is_clean in (True, False)
    )
    return _Metrics(clean, other, summary_metrics(task, scenarios=scenarios))


def _without_truth(task: Task, *, several: bool) -> _Metrics:
    """What a file has on images without truth."""
    compared = set(_needing_no_truth(task)) if several else set()
    clean = frozenset({*task.alone_metrics, *compared})
    return _Metrics(clean, clean | set(task.beside_clean), frozenset())


def _needing_no_truth(task: Task) -> list[str]:
    return [name for name in task.compared_metrics if name not in task.needs_truth]


def _not_at_point(known: Known, spec: ModelSpec, task: Task) -> list[str]:
    """The metrics at an operating point that a model has not."""
    choice = known.points.get(spec.model)
    if choice is None or (known.config.decide is not None and choice.thresholds is None):
        return list(task.at_point)
    dataset = known.datasets.get(spec.dataset)
    without = [] if dataset is not None and dataset.times else list(task.over_frames)
    return without if choice.fps is not None else [*without, *task.per_hour]


def _of(known: Known, at: Reachable, metrics: _Metrics) -> Iterator[Reachable]:
    """One file on one delegate and device: its cells, their summary, and what is measured of its speed."""
    yield dataclasses.replace(at, scenario=CLEAN, severity=0.0, metrics=metrics.clean)
    if known.scenarios is None:
        own = any(name.partition("#")[0].endswith((".yaml", ".yml")) for name in known.config.scenarios)
        for name in [None] if own else scenario_names():  # one of them is wrong, but none is of a pack of one's own
            for severity in known.config.severities:
                yield dataclasses.replace(at, scenario=name, severity=severity, metrics=metrics.other)
    for scenario in known.scenarios or ():
        for severity in known.config.severities:
            yield dataclasses.replace(at, scenario=scenario.key, severity=severity, metrics=metrics.other)
    if known.breaking is not None and at.device in (None, LOCAL):
        searched = frozenset({BREAKING_POINT})
        for key in known.breaking.scenarios if metrics.clean is None or known.breaking.metric in metrics.clean else ():
            yield dataclasses.replace(at, scenario=key, metrics=searched)
    yield dataclasses.replace(at, metrics=metrics.over)
    yield dataclasses.replace(at, metrics=frozenset(_timed(known.config, at.device)))


def _timed(config: AuditConfig, device: str | None) -> Iterator[str]:
    """The metrics of speed and memory that are measured: on another device, what its bundle measures."""
    for name, probed in MEASURED_METRICS.items():
        elsewhere = (
            device is None or not config.is_whole("measure") or (device != LOCAL and probed.probe == "latency_ms")
        )
        if elsewhere or (device == LOCAL and _is_timed(config, probed.probe)):
            yield name


def _is_timed(config: AuditConfig, probe: str) -> bool:
    if probe == "sustained":
        return config.measure.sustained is not None
    return bool(config.measure.threads) or probe not in ("latency_ms", "peak_memory_mb")


def _of_some_images(tasks: Iterable[Task]) -> dict[str, str]:
    """What metrics need of images that not every data set has."""
    every = list(tasks)
    per_hour = {
        name: f"{name} needs the frames a second: write `operating_point: {{fps: 25}}` in the model's entry"
        for task in every
        for name in task.per_hour
    }
    over_frames = {
        name: f"{name} is of a clip whose truth has tracks: `dataset: {{format: video, truth: mot, …}}`"
        for task in every
        for name in task.over_frames
    }
    return {**per_hour, **over_frames}


def _why_not(known: Known) -> dict[str, str]:
    """Why metrics are of nothing in an audit."""
    config = known.config
    lines = {"sustained": "`measure: {sustained: 60s}`", "latency_ms": "`measure: {threads: [1]}`"}
    why = {
        name: f"nothing of this audit measures {name}; write {lines.get(probed.probe, lines['latency_ms'])}"
        for name, probed in MEASURED_METRICS.items()
    }
    why |= dict.fromkeys(OVER_SCENARIOS, "the audit has no scenario but clean; name some in `scenarios:`")
    tasks: dict[str, Task] = extensions.every("tasks")
    here = {spec.task for spec in known.specs}
    others = {
        name: f"{name} is a metric of another task than {' and '.join(sorted(here))}"
        for task in tasks.values()
        if task.name not in here
        for name in every_metric((), config.evaluation.value)
        if name in {*task.metrics, *task.at_point, *task.compared_metrics, *summary_metrics(task, scenarios=False)}
    }
    missing = {
        "clean": "no scenario but clean",
        "parent": "no Keras or SavedModel source (the level `parent`)",
        "delegate": "one delegate alone",
    }
    differences = {
        name: f"{name} compares with {reference}, but the audit has "
        + missing.get(reference, "no model with several levels: name its family by `variant_of:`, or `quantize:` it")
        for name in every_metric((), config.evaluation.value)
        for reference in REFERENCES
        if name.endswith(f"_minus_{reference}")
    }
    compared = {
        name: f"{name} compares levels or delegates, but the audit has one of each"
        for task in tasks.values()
        if task.name in here
        for name in task.compared_metrics
    }
    at_point = {
        name: f"{name} is at an operating point, which `decide` does not choose on a part of the images; write "
        "`operating_point: {threshold: …}` in the model's entry"
        for task in tasks.values()
        if config.decide is not None
        for name in task.at_point
    }
    without = [name for name, found in known.datasets.items() if not found.is_labelled]
    no_truth = {
        name: f"{name} needs truth, which the data set of images alone has not ({', '.join(without)}); of such images "
        f"there are {', '.join([*task.alone_metrics, *_needing_no_truth(task)])}"
        for task in tasks.values()
        if task.name in here and len(without) == len(known.datasets)
        for name in every_metric((), config.evaluation.value)
        if name not in {*task.alone_metrics, *_needing_no_truth(task)} and name not in MEASURED_METRICS
    }
    if no_truth:
        return {**compared, **others, **no_truth, **why}
    return {**differences, **compared, **at_point, **others, **_of_some_images(tasks.values()), **why}
