"""What the gates of an audit can meet, before anything is measured: which values there will be, of what, and between
which limits each metric lies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from auditor import extensions
from auditor.config import nearest
from auditor.corruptions.packs import scenario_names
from auditor.delegate import RESERVED
from auditor.evaluate.differences import REFERENCES
from auditor.evaluate.robustness import clean_name
from auditor.tasks.anatomy.task import Metric, Task
from auditor.values import (
    BASELINE,
    BREAKING_POINT,
    CLEAN,
    LOCAL,
    MEASURED_METRICS,
    OVER_SCENARIOS,
    AuditResult,
    Evaluation,
    Rule,
)
from auditor.values.levels import FLOAT32, GRAPH_LEVELS, PARENT, REMEDIES

__all__ = ["Reach", "Reachable", "cell_metrics", "every_metric", "reach_of", "summary_metrics", "unmeetable"]

Bounds = tuple[float, float]

_WORDS = {"quantization": "level", "against": "level"}
_PER_CENT = (1.0, 100.0)


@dataclass(frozen=True)
class Reachable:
    """Something that gates can be about: a cell, a summary (no scenario) or the speed of a file on a delegate. What is
    None is not known yet, or does not apply, and hinders no gate; `metrics` None is any metric. `levels` are those of
    its family."""

    model: str | None
    file: str | None
    quantization: str | None
    delegate: str | None
    device: str | None
    scenario: str | None = None
    severity: float | None = None
    metrics: frozenset[str] | None = None
    levels: frozenset[str] | None = None

    def values_of(self, key: str) -> tuple[str | float | None, ...]:
        """What a gate's selector may name of it."""
        if key == "model":
            return self.model, self.file
        if key == "scenario" and self.scenario is not None:
            return self.scenario, self.scenario.split("/", 1)[0]
        value: str | float | None = getattr(self, key)
        return (value,)

    def matches(self, key: str, wanted: str | float) -> bool:
        """Whether a selector names it."""
        return any(value is None or value == wanted for value in self.values_of(key))

    def has(self, metric: str) -> bool:
        """Whether it may have a metric."""
        return self.metrics is None or metric in self.metrics


@dataclass(frozen=True)
class Reach:
    """Everything that gates can be about, and why some metrics are of nothing."""

    subjects: tuple[Reachable, ...]
    why_not: Mapping[str, str] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)


def bounds_of(metric: str, evaluation: Evaluation) -> Bounds | None:
    """Between which limits a metric lies; None where that is not known, as of a registered metric that does not say."""
    infinite = float("inf")
    if metric in MEASURED_METRICS:
        return 0.0, infinite
    tasks: dict[str, Task] = extensions.every("tasks")
    registered: dict[str, Metric] = extensions.every("metrics")
    first, _, reference = metric.rpartition("_minus_")
    if first and reference in (*REFERENCES, BASELINE):
        between = bounds_of(first, evaluation)
        return None if between is None else (between[0] - between[1], between[1] - between[0])
    own = next((found for found in registered.values() if found.name == metric), None)
    if own is not None:
        return own.bounds
    for task in tasks.values():
        if metric.partition("/")[0] in task.unbounded:
            return 0.0, infinite
        own_names = {*task.metrics, *task.at_point, *task.compared_metrics, clean_name(task.primary)}
        names = own_names | set(task.added_metrics(evaluation))
        if metric in names or metric.partition("/")[0] in task.per_class:
            return task.bounds
    every = {task.bounds for task in tasks.values()}
    return every.pop() if metric in OVER_SCENARIOS and len(every) == 1 else None


def cell_metrics(
    task: Task,
    classes: Sequence[str],
    *,
    evaluation: Evaluation,
    clean: bool,
    levels: Collection[str],
    several: bool,
    left_out: Collection[str] = (),
) -> frozenset[str]:
    """The metrics that a cell of a task may have: its own, registered ones, and differences from what there is;
    `levels` are those of its family, `several` whether it is measured on more than one delegate. What is `left_out` it
    has not, nor any class of it."""
    registered = [found.name for found in extensions.every("metrics").values() if found.task == task.name]
    added = list(task.added_metrics(evaluation))
    compared = [*registered, task.primary, *added, *task.at_point]
    there = {
        "clean": not clean,
        FLOAT32: len(set(levels)) > 1,
        PARENT: PARENT in levels,
        "delegate": several,
    }
    own = set(task.gate_metrics(list(classes)))
    if len(set(levels)) < 2 and not several:
        own -= set(task.compared_metrics) - set(() if clean else task.beside_clean)
    differences = {f"{name}_minus_{key}" for name in compared for key in REFERENCES if there[key]}
    differences |= {f"{name}_minus_{BASELINE}" for name in [*compared, *task.metrics, *task.compared_metrics]}
    found = {*own, *registered, *added, *differences}
    return frozenset(name for name in found if _base(name) not in left_out)


def _base(metric: str) -> str:
    """A metric without its class and reference."""
    return metric.partition("/")[0].partition("_minus_")[0]


def summary_metrics(task: Task, *, scenarios: bool) -> frozenset[str]:
    """The metrics over all cells of a model: those over scenarios only where there is one."""
    return frozenset({clean_name(task.primary), *(OVER_SCENARIOS if scenarios else ())})


def every_metric(classes: Iterable[str], evaluation: Evaluation) -> set[str]:
    """Every metric that a gate can look at, of all tasks, those of single classes for `classes`."""
    tasks: dict[str, Task] = extensions.every("tasks")
    listed = list(classes)
    cells = {
        name
        for task in tasks.values()
        for name in cell_metrics(task, listed, evaluation=evaluation, clean=False, levels=REFERENCES, several=True)
    }
    over = {name for task in tasks.values() for name in summary_metrics(task, scenarios=True)}
    return cells | over | {*MEASURED_METRICS, BREAKING_POINT}


def reach_of(result: AuditResult) -> Reach:
    """What the gates of another document can meet in a result."""
    models = {model.name: model for model in result.models}
    levels: dict[str, set[str]] = {}
    for cell in result.cells:
        levels.setdefault(cell.model, set()).add(cell.quantization)
    subjects = [
        Reachable(
            cell.model,
            cell.file,
            cell.quantization,
            cell.delegate,
            cell.device,
            cell.scenario,
            cell.severity,
            frozenset(cell.metrics) if cell.status == "ok" else None,
            frozenset(levels[cell.model]),
        )
        for cell in result.cells
        if cell.is_declared
    ]
    for summary in result.summaries:
        defined = frozenset(name for name, value in summary.metrics.items() if value.value is not None)
        known = frozenset(summary.metrics) if any(cell.status != "ok" for cell in result.cells) else defined
        subjects.append(
            Reachable(
                summary.model, summary.file, summary.quantization, summary.delegate, summary.device, metrics=known
            )
        )
    for found in result.breaking_points:
        own = (found.model, found.file, found.quantization, found.delegate, LOCAL, found.scenario)
        subjects.append(Reachable(*own, metrics=frozenset({BREAKING_POINT})))
    for measured in result.measurements:
        names = frozenset(name for name, probed in MEASURED_METRICS.items() if probed.probe == measured.probe)
        family = models[measured.model].model if measured.model in models else measured.model
        where = (family, measured.model, measured.quantization, measured.delegate, measured.device)
        subjects.append(Reachable(*where, metrics=names))
    why = {BREAKING_POINT: "this run searched for no breaking points; write `breaking_points:` and run it again"}
    return Reach(tuple(subjects), why, evaluation=result.plan.evaluation)


def unmeetable(rule: Rule, reach: Reach, *, known: bool = True) -> Iterator[tuple[str, str]]:
    """Why a gate can be met, or violated, by nothing: the key of the gate that is at fault, and what is wrong. Of a
    metric that is not `known` the rest of the gate is looked at."""
    yield from _beyond_bounds(rule, bounds_of(rule.metric, reach.evaluation))
    cells = [subject for subject in reach.subjects if subject.scenario is not None]
    having = [subject for subject in reach.subjects if subject.has(rule.metric)] if known else cells or reach.subjects
    if not having:
        yield "metric", reach.why_not.get(rule.metric) or f"nothing in this audit has {rule.metric}"
        return
    wrong = [key for key, wanted in rule.selectors.items() if not any(s.matches(key, wanted) for s in having)]
    for key in wrong:
        yield key, _absent(rule, key, rule.selectors[key], having)
    against = rule.against
    if (
        against not in (None, CLEAN, BASELINE)
        and against not in _NAMES["quantization"]()
        and not _has_level(having, str(against))
    ):
        yield "against", f"unknown level {against!r}; {nearest(str(against), {CLEAN, *_levels(having)})}"
    elif not wrong:
        matching = [s for s in having if all(s.matches(key, wanted) for key, wanted in rule.selectors.items())]
        if not matching:
            yield _together(rule, having)
        elif rule.against not in (None, BASELINE):
            yield from _without_reference(rule, matching, having)


_NAMES: dict[str, Callable[[], Collection[str]]] = {
    "scenario": lambda: [CLEAN, *scenario_names()],
    "quantization": lambda: [*GRAPH_LEVELS, PARENT, *REMEDIES],
    "delegate": lambda: RESERVED,
}
"""What a selector may name in some audit."""


def _absent(rule: Rule, key: str, wanted: str | float, having: Sequence[Reachable]) -> str:
    """What is said of a value that nothing has: unknown, where no audit has it."""
    word, of = _WORDS.get(key, key), f" for {rule.metric}" if rule.metric in MEASURED_METRICS else ""
    elsewhere = wanted in _NAMES[key]() if key in _NAMES else key != "model"
    start = f"this audit has no {word}" if elsewhere else f"unknown {word}"
    return f"{start} {_shown(wanted)}{of}{_known(having, key, wanted)}"


def _levels(subjects: Sequence[Reachable]) -> set[str]:
    return {level for subject in subjects for level in subject.levels or ()}


def _has_level(subjects: Sequence[Reachable], level: str) -> bool:
    return level in _levels(subjects) or any(subject.levels is None for subject in subjects if subject.scenario)


def _beyond_bounds(rule: Rule, bounds: Bounds | None) -> Iterator[tuple[str, str]]:
    if bounds is None:
        return
    low, high = bounds if rule.kind != "max_drop" else (0.0, bounds[1] - bounds[0])
    nothing = rule.kind == "max" and rule.metric in MEASURED_METRICS and rule.limit == 0  # nothing takes no time
    if low <= rule.limit <= high and not nothing:
        return
    between = f"from {low:g} to {high:g}" if high != float("inf") else f"above {low:g}"
    what = f"a drop of {rule.metric}" if rule.kind == "max_drop" else rule.metric
    share = high == 1 and _PER_CENT[0] < rule.limit <= _PER_CENT[1]
    hint = f"; {rule.limit:g} % is {rule.limit / 100:g}" if share else ""
    why = f"between which {what} lies" if high != float("inf") else f"as {what} always is"
    yield rule.kind, f"expected a limit {between}, {why}, but got {rule.limit:g}{hint}"


def _known(subjects: Sequence[Reachable], key: str, wanted: str | float) -> str:
    values = dict.fromkeys(value for subject in subjects for value in subject.values_of(key) if value is not None)
    if not all(isinstance(value, str) for value in values):
        return f"; it has {', '.join(f'{value:g}' for value in sorted(float(value) for value in values))}"
    return f"; {nearest(str(wanted), [str(value) for value in values])}"


def _shown(value: str | float) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"


def _together(rule: Rule, having: Sequence[Reachable]) -> tuple[str, str]:
    """Selectors of which each has something, but all together nothing: the one to change, if it is one."""
    for key in reversed(list(rule.selectors)):
        others = {name: wanted for name, wanted in rule.selectors.items() if name != key}
        left = [s for s in having if all(s.matches(name, wanted) for name, wanted in others.items())]
        if left:
            rest = ", ".join(f"{name} {_shown(wanted)}" for name, wanted in others.items())
            values = dict.fromkeys(v for s in left for v in s.values_of(key) if v is not None)
            known = ", ".join(f"{value:g}" if isinstance(value, float | int) else value for value in values)
            return key, f"{_shown(rule.selectors[key])} goes with no {rest}; with that it is one of {known}"
    named = ", ".join(f"{name} {_shown(wanted)}" for name, wanted in rule.selectors.items())
    return next(iter(rule.selectors)), f"no cell of this audit is all of {named}"


def _without_reference(
    rule: Rule, matching: Sequence[Reachable], having: Sequence[Reachable]
) -> Iterator[tuple[str, str]]:
    """A drop from something that none of the gate's cells can be compared with."""
    if rule.against == CLEAN:
        if all(subject.scenario == CLEAN for subject in matching):
            yield "against", "clean drops nothing against itself; name a scenario, or leave `scenario` out"
        return
    of_level = _levels(having)
    if any(subject.levels is None for subject in having if subject.scenario):
        return
    if rule.against not in of_level:
        known = ", ".join(sorted(of_level))
        yield (
            "against",
            f"no model of this audit is {rule.against}; they are {known}: name one of these, or add the model that is "
            f"{rule.against}",
        )
    elif not any(rule.against in (s.levels or ()) and rule.against != s.quantization for s in matching):
        yield "against", f"none of the cells that it selects has another level in its family that is {rule.against}"
