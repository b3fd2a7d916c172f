"""What `breaking_points:` asks for, held against what the audit has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auditor.config import nearest
from auditor.datasets.shared_classes import normal_name
from auditor.resolve.foreseen import Known, foreseen, judged_classes
from auditor.resolve.reach import bounds_of, every_metric
from auditor.values import CLEAN, OVER_SCENARIOS, BreakingSearch, ScenarioSpec

__all__ = ["breaking_search"]


def breaking_search(known: Known, problems: list[str]) -> BreakingSearch | None:
    """What is searched, None where nothing is asked for or can be; adds to `problems` what contradicts the audit."""
    config, asked = known.config, known.config.breaking_points
    if asked is None or not config.is_whole("breaking_points"):
        return None

    def where(*key: str | int) -> str:
        return config.source.where("breaking_points", *key)

    if config.decide is not None:
        told = "gates are decided on a part of the images (`decide`), but a breaking point is of all; leave one out"
        problems.append(f"{where()}: {told}")
        return None
    metric, wrong = _metric(known, asked.metric, asked.max_drop, where)
    problems += wrong
    if known.scenarios is None:
        return None
    chosen = _chosen(known.scenarios, asked.scenarios, where, problems)
    if not known.scenarios:
        problems.append(f"{where()}: the audit has no scenario but clean; name some in `scenarios:`")
    return BreakingSearch(metric, asked.max_drop, chosen)


def _metric(known: Known, given: str, most: float, where: Callable[..., str]) -> tuple[str, list[str]]:
    """The metric as it is spelt, and what is wrong with it or with a drop of so much."""
    classes, _ = judged_classes(known)
    reach = foreseen(known, classes)
    spelling = {normal_name(name): name for name in every_metric(classes or (), reach.evaluation)}
    metric = spelling.get(normal_name(given), given)
    clean = [subject for subject in reach.subjects if subject.scenario == CLEAN]
    there = {name for subject in clean for name in subject.metrics or ()}
    problems = []
    if not any(subject.has(metric) for subject in clean):
        plain = [name for name in there if "/" not in name and "_minus_" not in name]
        told = f"no clean cell of this audit has {metric!r}; {nearest(metric, plain)}"
        told = told if metric in OVER_SCENARIOS else reach.why_not.get(metric, told)
        problems.append(f"{where('metric')}: {told}")
    bounds = bounds_of(metric, reach.evaluation)
    if bounds is not None and most > bounds[1] - bounds[0]:
        problems.append(
            f"{where('max_drop')}: expected at most {bounds[1] - bounds[0]:g}, as far as {metric} can change, but got "
            f"{most:g}"
        )
    return metric, problems


def _chosen(
    scenarios: Sequence[ScenarioSpec], asked: Sequence[str] | None, where: Callable[..., str], problems: list[str]
) -> tuple[str, ...]:
    """The keys of the audit's scenarios that are named, by themselves or by their packs."""
    if asked is None:
        return tuple(scenario.key for scenario in scenarios)
    names = {name for scenario in scenarios for name in (scenario.key, scenario.pack)}
    problems += [
        f"{where('scenarios', index)}: this audit has no scenario or pack {name!r}; {nearest(name, sorted(names))}"
        for index, name in enumerate(asked)
        if name not in names
    ]
    return tuple(scenario.key for scenario in scenarios if {scenario.key, scenario.pack} & set(asked))
