"""Gates of a document as rules, each held against what there will be for it to meet."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from auditor import extensions
from auditor.config import nearest, read_judging, rule_of
from auditor.datasets.shared_classes import normal_name
from auditor.errors import InputError
from auditor.evaluate.robustness import clean_name
from auditor.resolve.foreseen import Known, foreseen, judged_classes
from auditor.resolve.reach import every_metric, reach_of, unmeetable
from auditor.tasks.anatomy.task import Task
from auditor.values import (
    BASELINE,
    BREAKING_POINT,
    OVER_SCENARIOS,
    AuditResult,
    Evaluation,
    Rule,
    ScenarioRecord,
    ScenarioSpec,
    some,
)

__all__ = ["rules_of", "with_gates"]


def rules_of(known: Known, problems: list[str]) -> tuple[Rule, ...]:
    """The rules of an audit, classes spelt as its data sets do; adds every gate that nothing could meet, or violate, to
    `problems`."""
    config = known.config
    source = config.source
    given = tuple(rule_of(gate, line=source.line("gates", index)) for index, gate in enumerate(config.gates))
    classes, absent = judged_classes(known)
    reach = foreseen(known, classes)

    def where(index: int, key: str) -> str:
        return source.where("gates", index, _key(given[index], key))

    rules, wrong = _spelt(given, classes, absent, reach.evaluation, where)
    problems += wrong
    for index, rule in enumerate(rules):
        if _needs_baseline(rule) and config.baseline is None:
            told = "write `baseline:` with the run folder, or its result.json, to compare with"
            problems.append(f"{where(index, _needs_baseline(rule))}: {told}")
        known_metric = rule.metric in every_metric(classes or (), reach.evaluation)
        found = unmeetable(rule, reach, known=known_metric)
        if rule.metric == BREAKING_POINT and known.breaking is None and config.breaking_points is not None:
            found = iter(())  # what is wrong with the search is told already
        other = rule.selectors.get("model") not in (None, *(model.name for model in config.models))
        problems += [f"{where(index, key)}: {text}" for key, text in found if not (key == "model" and other)]
        problems += [f"{where(index, 'at_least')}: {text}" for text in _beyond_range(rule, known.scenarios or ())]
    return rules


def with_gates(result: AuditResult, gates: Path) -> AuditResult:
    """A result with the rules of another document than its own, and its `fail_on` where it says one.

    Raises:
        InputError: with every gate of the file that nothing in the result could meet, or violate.
    """
    reach = reach_of(result)
    names = {name for cell in result.cells for name, value in cell.metrics.items() if value.value is not None}
    classes = sorted({name.partition("/")[2] for name in names if "/" in name and "_minus_" not in name})
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
    fail_on = document.fail_on or result.plan.fail_on
    given = result.plan.gates if document.rules is None else document.rules

    def where(index: int, key: str) -> str:
        return f"{gates}:{given[index].line}: {_key(given[index], key)}"

    rules, wrong = _spelt(given, classes, absent, reach.evaluation, where)
    problems = [*document.problems, *wrong]
    known = every_metric(classes, reach.evaluation) | names
    for index, rule in enumerate(rules):
        if _needs_baseline(rule) and result.baseline is None:
            told = "this run was not compared with a baseline; write `baseline:` in its audit.yaml and run it again"
            problems.append(f"{where(index, _needs_baseline(rule))}: {told}")
        found = unmeetable(rule, reach, known=rule.metric in known)
        problems += [f"{where(index, key)}: {text}" for key, text in found]
        problems += [f"{where(index, 'at_least')}: {text}" for text in _beyond_range(rule, result.plan.scenarios)]
    if problems:
        raise InputError(dict.fromkeys(problems))
    undecided = document.undecided or result.plan.undecided
    plan = dataclasses.replace(result.plan, gates=rules, fail_on=fail_on, undecided=undecided)
    return dataclasses.replace(result, plan=plan)


def _key(rule: Rule, key: str) -> str:
    """What a key of a rule is called in its document."""
    return BREAKING_POINT if rule.metric == BREAKING_POINT and key in ("metric", "scenario") else key


def _beyond_range(rule: Rule, scenarios: Iterable[ScenarioSpec | ScenarioRecord]) -> Iterator[str]:
    """Why no model can be held to a knob's value: it lies outside of its scenario's range."""
    named = rule.selectors.get("scenario")
    scenario = next((found for found in scenarios if found.key == named), None)
    if (
        rule.metric == BREAKING_POINT
        and scenario is None
        and any(found.key.split("/")[0] == named for found in scenarios)
    ):
        yield f"{named} is a pack, whose scenarios have knobs of their own; name one, as {named}/…, in `breaking_point`"
    if rule.metric != BREAKING_POINT or scenario is None:
        return
    knob, values = next(iter(scenario.knobs.items()))
    steps = [after - before for before, after in itertools.pairwise(values)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        yield f"{scenario.key} has no values in order ({knob}: {', '.join(f'{value:g}' for value in values)})"
    elif not min(values) <= rule.limit <= max(values):
        yield (
            f"expected a value from {values[0]:g} to {values[-1]:g} ({scenario.unit}), the range of {scenario.key}, "
            f"but got {rule.limit:g}"
        )


def _needs_baseline(rule: Rule) -> str:
    """The key of a gate that compares with the baseline, if one does."""
    if rule.against == BASELINE:
        return "against"
    return "metric" if rule.metric.endswith(f"_minus_{BASELINE}") else ""


def _spelt(
    rules: Sequence[Rule],
    classes: Collection[str] | None,
    absent: Mapping[str, str],
    evaluation: Evaluation,
    where: Callable[[int, str], str],
) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules with metrics in the spelling that is known, whatever their case; and which metrics there are not."""
    known = every_metric(classes or (), evaluation)
    spelling = {normal_name(name): name for name in known}
    spelt = tuple(
        dataclasses.replace(rule, metric=spelling.get(normal_name(rule.metric), rule.metric)) for rule in rules
    )
    tasks: dict[str, Task] = extensions.every("tasks")
    over_all = {*OVER_SCENARIOS, *(clean_name(task.primary) for task in tasks.values())}
    bare = {name for task in tasks.values() for name in task.without_interval}
    less = {name for task in tasks.values() for name in task.lower_is_better}
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
            if base in bare and rule.confidence is not None:
                told = f"{rule.metric} has no interval, so nothing is sure of it; leave `confidence` out"
                problems.append(f"{where(index, 'confidence')}: {told}")
            if base in less and rule.kind == "max_drop":
                told = f"{rule.metric} is better when it is lower, so a drop is no loss; give `max`"
                problems.append(f"{where(index, 'max_drop')}: {told}")
            if base in less and rule.kind == "min":
                told = f"{rule.metric} is better when it is lower, so nothing asks for more of it; give `max`"
                problems.append(f"{where(index, 'min')}: {told}")
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
