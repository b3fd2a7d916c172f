"""Gates of a document as rules, each checked against what there is: metrics, models, scenarios, levels and
delegates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from auditor import extensions
from auditor.config import AuditConfig, load_gates, nearest, rule_of
from auditor.corruptions.packs import scenario_names
from auditor.datasets.shared_classes import normal_name
from auditor.delegate import RESERVED
from auditor.errors import InputError
from auditor.evaluate.differences import REFERENCES
from auditor.evaluate.robustness import OVER_SCENARIOS, clean_name
from auditor.tasks.anatomy.task import Task
from auditor.values import CLEAN, MEASURED_METRICS, AuditResult, Evaluation, ModelSpec, Rule, ScenarioSpec
from auditor.values.levels import GRAPH_LEVELS, PARENT, REMEDIES

__all__ = ["known_metrics", "rules_for", "rules_of"]


def known_metrics(
    categories: Iterable[str] = (), *, tasks: Collection[str] | None = None, evaluation: Evaluation | None = None
) -> set[str]:
    """Every metric that a gate can look at, those of single classes for `categories`, those that `evaluation` adds; of
    all tasks, or of some."""
    every: dict[str, Task] = extensions.every("tasks")
    chosen = [task for name, task in every.items() if tasks is None or name in tasks]
    registered = [
        metric.name for metric in extensions.every("metrics").values() if tasks is None or metric.task in tasks
    ]
    added = [name for task in chosen for name in task.added_metrics(evaluation or Evaluation())]
    compared = [*registered, *(task.primary for task in chosen), *added]
    classes = list(categories)
    return {
        *(name for task in chosen for name in task.gate_metrics(classes)),
        *registered,
        *added,
        *(f"{name}_minus_{reference}" for name in compared for reference in REFERENCES),
        *OVER_SCENARIOS,
        *(clean_name(task.primary) for task in chosen),
        *MEASURED_METRICS,
    }


def _over_all() -> set[str]:
    """Metrics over all cells of a model."""
    tasks: dict[str, Task] = extensions.every("tasks")
    return {*OVER_SCENARIOS, *(clean_name(task.primary) for task in tasks.values())}


def rules_of(
    config: AuditConfig,
    *,
    specs: Sequence[ModelSpec],
    scenarios: Sequence[ScenarioSpec],
    classes: Collection[str],
    problems: list[str],
) -> tuple[Rule, ...]:
    """The rules of an audit, classes spelt as its data sets do; adds every gate that nothing could meet to `problems`.

    What only all models together tell is left unsaid where some could not be opened.
    """
    source = config.source
    rules = tuple(rule_of(gate, line=source.line("gates", index)) for index, gate in enumerate(config.gates))
    asked = config.evaluation.value
    known = known_metrics(classes, evaluation=asked)
    rules, misspelt = _spelt(rules, known, lambda index: source.where("gates", index, "metric"))
    problems += misspelt
    levels = {*GRAPH_LEVELS, PARENT, *REMEDIES, *(spec.quantization for spec in specs)}
    names = {
        "scenario": {
            CLEAN,
            *scenario_names(),
            *(scenario.pack for scenario in scenarios),
            *(scenario.key for scenario in scenarios),
        },
        "quantization": levels,
        "delegate": {*(delegate.name for delegate in config.runs_on), *RESERVED},
        "against": {CLEAN, *levels},
    }
    problems += _unknown(rules, names, lambda index, key: source.where("gates", index, key))
    if len(specs) == len(config.models):
        problems += _unmet(
            config, rules, specs, known - known_metrics(classes, tasks={spec.task for spec in specs}, evaluation=asked)
        )
    return rules


def _unknown(
    rules: Sequence[Rule], names: Mapping[str, Collection[str]], where: Callable[[int, str], str]
) -> Iterator[str]:
    """Gates that name what there is not; `names` are those that there are, by the gate's key."""
    for index, rule in enumerate(rules):
        for key, there in names.items():
            value = rule.against if key == "against" else rule.selectors.get(key)
            if value is not None and value not in there:
                word = {"quantization": "level", "against": "level"}.get(key, key)
                yield f"{where(index, key)}: unknown {word} {value!r}; {nearest(str(value), there)}"


def _unmet(
    config: AuditConfig, rules: Sequence[Rule], specs: Sequence[ModelSpec], others: Collection[str]
) -> Iterator[str]:
    """Gates that the models of the audit cannot meet: on metrics of `others`, or against a level that none is of."""
    tasks = sorted({spec.task for spec in specs})
    levels = {spec.quantization for spec in specs} | {level for model in config.models for level in model.made_levels}
    for index, rule in enumerate(rules):
        if rule.metric in others:
            where = config.source.where("gates", index, "metric")
            yield f"{where}: {rule.metric} is a metric of another task than {' and '.join(tasks)}"
        if rule.against in {*GRAPH_LEVELS, PARENT, *REMEDIES} - levels:
            where = config.source.where("gates", index, "against")
            yield (
                f"{where}: no model of this audit is {rule.against}; they are {', '.join(sorted(levels))}: name one of "
                f"these, or add the model that is {rule.against}"
            )


def _spelt(
    rules: Sequence[Rule], known: Collection[str], where: Callable[[int], str]
) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules with metrics in the spelling that is known, whatever their case; and what cannot be met by any
    value."""
    spelling = {normal_name(name): name for name in known}
    spelt = tuple(
        dataclasses.replace(rule, metric=spelling.get(normal_name(rule.metric), rule.metric)) for rule in rules
    )
    problems = []
    for index, rule in enumerate(spelt):
        if rule.metric not in known:
            problems.append(f"{where(index)}: unknown metric {rule.metric!r}; {nearest(rule.metric, known)}")
        elif rule.metric in _over_all() and {"scenario", "severity"} & rule.selectors.keys():
            problems.append(
                f"{where(index)}: {rule.metric} is over all scenarios and severities; leave `scenario` and "
                "`severity` out"
            )
    return spelt, problems


def rules_for(result: AuditResult, gates: Path | None) -> tuple[Rule, ...]:
    """The rules that a result is judged by: its own, or those of the file `gates`.

    Raises:
        InputError: with every gate of the file that nothing in the result could meet.
    """
    if gates is None:
        return result.plan.gates
    known = known_metrics(evaluation=result.plan.evaluation) | {name for cell in result.cells for name in cell.metrics}
    given = load_gates(gates)
    rules, problems = _spelt(given, known, lambda index: f"{gates}:{given[index].line}")
    levels = {*GRAPH_LEVELS, PARENT, *REMEDIES, *(cell.quantization for cell in result.cells)}
    names = {
        "model": {name for cell in result.cells for name in (cell.model, cell.file)},
        "scenario": {*scenario_names(), *(name for cell in result.cells for name in (cell.scenario, cell.pack))},
        "quantization": levels,
        "delegate": {*RESERVED, *(cell.delegate for cell in result.cells)},
        "against": {CLEAN, *levels},
    }
    problems += _unknown(rules, names, lambda index, key: f"{gates}:{rules[index].line}: {key}")
    if problems:
        raise InputError(problems)
    return rules
