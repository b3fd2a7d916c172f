"""Gates of a document as rules, each held against what there will be for it to meet."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from auditor import extensions
from auditor.config import AuditConfig, ModelConfig, nearest, read_judging, rule_of
from auditor.corruptions.packs import scenario_names
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch, normal_name
from auditor.errors import InputError
from auditor.evaluate.differences import REFERENCES
from auditor.evaluate.robustness import OVER_SCENARIOS, clean_name
from auditor.resolve.reach import Reach, Reachable, cell_metrics, reach_of, summary_metrics, unmeetable
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.tasks.anatomy.cells import task_of
from auditor.tasks.anatomy.task import Task
from auditor.values import (
    CLEAN,
    LOCAL,
    MEASURED_METRICS,
    AuditResult,
    ClassTruth,
    Evaluation,
    ModelSpec,
    Rule,
    ScenarioSpec,
    some,
)

__all__ = ["Known", "objects_of", "rules_of", "with_gates"]


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


def rules_of(known: Known, problems: list[str]) -> tuple[Rule, ...]:
    """The rules of an audit, classes spelt as its data sets do; adds every gate that nothing could meet, or violate, to
    `problems`."""
    config = known.config
    source = config.source
    given = tuple(rule_of(gate, line=source.line("gates", index)) for index, gate in enumerate(config.gates))
    classes, absent = _classes(known)
    reach = _planned(known, classes)

    def where(index: int, key: str) -> str:
        return source.where("gates", index, key)

    rules, wrong = _spelt(given, classes, absent, reach.evaluation, where)
    problems += wrong
    for index, rule in enumerate(rules):
        known_metric = rule.metric in _metrics(classes or (), reach.evaluation)
        found = unmeetable(rule, reach, known=known_metric)
        other = rule.selectors.get("model") not in (None, *(model.name for model in config.models))
        problems += [f"{where(index, key)}: {text}" for key, text in found if not (key == "model" and other)]
    return rules


def with_gates(result: AuditResult, gates: Path) -> AuditResult:
    """A result with the rules, and the `fail_on`, of another document than its own.

    Raises:
        InputError: with every gate of the file that nothing in the result could meet, or violate.
    """
    reach = reach_of(result)
    names = {name for cell in result.cells for name in cell.metrics}
    classes = [name.partition("/")[2] for name in names if "/" in name]
    absent = {
        name: reason
        for model in result.models
        for reason, lost in (
            (f"{model.name} has no label for it", model.classes_only_truth),
            ("the data set has no such class", model.classes_only_model),
        )
        for name in lost
    }
    document = read_judging(gates)
    given = result.plan.gates if document.rules is None else document.rules

    def where(index: int, key: str) -> str:
        return f"{gates}:{given[index].line}: {key}"

    rules, wrong = _spelt(given, classes, absent, reach.evaluation, where)
    problems = [*document.problems, *wrong]
    known = _metrics(classes, reach.evaluation) | names
    for index, rule in enumerate(rules):
        found = unmeetable(rule, reach, known=rule.metric in known)
        problems += [f"{where(index, key)}: {text}" for key, text in found]
    if problems:
        raise InputError(dict.fromkeys(problems))
    return dataclasses.replace(result, plan=dataclasses.replace(result.plan, gates=rules, fail_on=document.fail_on))


def _metrics(classes: Iterable[str], evaluation: Evaluation) -> set[str]:
    """Every metric that a gate can look at, of all tasks, those of single classes for `classes`."""
    tasks: dict[str, Task] = extensions.every("tasks")
    listed = list(classes)
    cells = {
        name
        for task in tasks.values()
        for name in cell_metrics(task, listed, evaluation=evaluation, clean=False, levels=REFERENCES, several=True)
    }
    over = {name for task in tasks.values() for name in summary_metrics(task, scenarios=True)}
    return cells | over | set(MEASURED_METRICS)


def _spelt(
    rules: Sequence[Rule],
    classes: Collection[str] | None,
    absent: Mapping[str, str],
    evaluation: Evaluation,
    where: Callable[[int, str], str],
) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules with metrics in the spelling that is known, whatever their case; and which metrics there are not."""
    known = _metrics(classes or (), evaluation)
    spelling = {normal_name(name): name for name in known}
    spelt = tuple(
        dataclasses.replace(rule, metric=spelling.get(normal_name(rule.metric), rule.metric)) for rule in rules
    )
    tasks: dict[str, Task] = extensions.every("tasks")
    over_all = {*OVER_SCENARIOS, *(clean_name(task.primary) for task in tasks.values())}
    by_class = {name for task in tasks.values() for name in task.per_class}
    problems = []
    for index, rule in enumerate(spelt):
        base, _, name = rule.metric.partition("/")
        if rule.metric in known:
            if rule.metric in over_all and {"scenario", "severity"} & rule.selectors.keys():
                problems.append(
                    f"{where(index, 'metric')}: {rule.metric} is over all scenarios and severities; leave `scenario` "
                    "and `severity` out"
                )
            if rule.metric in over_all and rule.kind == "max_drop":
                told = f"{rule.metric} is one value of a model, without a reference; give `min`"
                problems.append(f"{where(index, 'max_drop')}: {told}")
        elif base in by_class and name and classes is not None:
            why = f"no class {name!r} is judged{_why(name, absent, classes)}"
            problems.append(f"{where(index, 'metric')}: unknown metric {rule.metric!r}: {why}")
        elif not (base in by_class and name):
            plain = [metric for metric in known if "/" not in metric and "_minus_" not in metric]
            problems.append(f"{where(index, 'metric')}: unknown metric {rule.metric!r}; {nearest(rule.metric, plain)}")
    return spelt, problems


def _why(name: str, absent: Mapping[str, str], classes: Collection[str]) -> str:
    """Why a class is not judged, and which ones are."""
    reasons = {normal_name(lost): reason for lost, reason in absent.items()}
    reason = reasons.get(normal_name(name))
    hint = nearest(name, classes).replace("known are", "judged are")
    return f": {reason}; judged are: {some(sorted(classes), 100)}" if reason else f"; {hint}"


def objects_of(dataset: Dataset, name: str) -> int:
    """How many true objects of a class count."""
    index = dataset.categories.index(name)
    return sum(
        int((np.asarray(truth.label) == index).sum() if isinstance(truth, ClassTruth) else _counted(truth, index))
        for truth in dataset.truth.values()
    )


def _counted(truth: object, index: int) -> int:
    labels, crowd = getattr(truth, "labels", np.zeros(0)), getattr(truth, "iscrowd", np.zeros(0, bool))
    return int((labels[~crowd] == index).sum())


def _classes(known: Known) -> tuple[list[str] | None, dict[str, str]]:
    """The classes that are judged and of which there is something, and why others are not; None where they are not
    known."""
    if set(known.config.named_datasets()) - set(known.datasets) or not known.datasets:
        return None, {}
    if len(known.matches) < len(known.config.models):  # which are judged is not known
        return list(dict.fromkeys(name for found in known.datasets.values() for name in found.categories)), {}
    judged: dict[str, None] = {}
    absent: dict[str, str] = {}
    for spec in known.specs:
        match, dataset = known.matches[spec.name], known.datasets[spec.dataset]
        for name in match.judged:
            if objects_of(dataset, name):
                judged[name] = None
            else:
                absent[name] = "the data set has no object of it that counts"
        absent |= dict.fromkeys(match.only_truth, f"{spec.name} has no label for it")
        absent |= dict.fromkeys(match.only_model, "the data set has no such class")
    return list(judged), {name: reason for name, reason in absent.items() if name not in judged}


def _planned(known: Known, classes: Sequence[str] | None) -> Reach:
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
    return Reach(tuple(_opened(config, subject) for subject in subjects), _why_not(known), config.evaluation.value)


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
    own = runtime_of(config.path(model.path)).delegates(config.runs_on)
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
    clean, other = (
        cell_metrics(task, classes, evaluation=evaluation, clean=is_clean, levels=levels, several=several)
        for is_clean in (True, False)
    )
    return _Metrics(clean, other, summary_metrics(task, scenarios=scenarios))


def _of(known: Known, at: Reachable, metrics: _Metrics) -> Iterator[Reachable]:
    """One file on one delegate and device: its cells, their summary, and what is measured of its speed."""
    yield dataclasses.replace(at, scenario=CLEAN, severity=0.0, metrics=metrics.clean)
    if known.scenarios is None:
        own = any(name.partition("#")[0].endswith((".yaml", ".yml")) for name in known.config.scenarios)
        for name in [None] if own else scenario_names():  # one of them is wrong, but none is of a pack of one's own
            yield dataclasses.replace(at, scenario=name, metrics=metrics.other)
    for scenario in known.scenarios or ():
        for severity in known.config.severities:
            yield dataclasses.replace(at, scenario=scenario.key, severity=severity, metrics=metrics.other)
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
        for name in _metrics((), config.evaluation.value)
        if name in {*task.metrics, *task.compared_metrics, *summary_metrics(task, scenarios=False)}
    }
    missing = {
        "clean": "no scenario but clean",
        "parent": "no Keras or SavedModel source (the level `parent`)",
        "delegate": "one delegate alone",
    }
    differences = {
        name: f"{name} compares with {reference}, but the audit has "
        + missing.get(reference, "no model with several levels: name its family by `variant_of:`, or `quantize:` it")
        for name in _metrics((), config.evaluation.value)
        for reference in REFERENCES
        if name.endswith(f"_minus_{reference}")
    }
    compared = {
        name: f"{name} compares levels or delegates, but the audit has one of each"
        for task in tasks.values()
        if task.name in here
        for name in task.compared_metrics
    }
    return {**differences, **compared, **others, **why}
