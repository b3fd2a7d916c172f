"""The scenarios that a document names, each tried at the severities of the audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from auditor.config import AuditConfig
from auditor.corruptions.corrupt import build, moves, named_sha256
from auditor.corruptions.packs import select_scenarios
from auditor.datasets.dataset import Dataset
from auditor.errors import InputError, ScenarioError
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ModelSpec, ScenarioSpec

__all__ = ["hashes_of", "left_behind", "try_scenarios"]


def try_scenarios(
    config: AuditConfig, severities: Sequence[float], problems: list[str]
) -> tuple[ScenarioSpec, ...] | None:
    """The scenarios that the document names, None where one is wrong; severities between whole ones interpolate the
    knobs, which not every transform takes."""
    try:
        scenarios = select_scenarios(
            config.scenarios,
            folder=config.source.path.parent,
            allow_code=config.allow_code,
            where=[config.source.where("scenarios", index) for index in range(len(config.scenarios))],
        )
    except InputError as error:
        problems += error.problems
        return None
    if not config.is_whole("scenarios"):
        return None
    for scenario in scenarios:
        for severity in severities:
            try:
                build(scenario, severity)
            except ScenarioError as error:
                where = config.source.where("severities")
                problems.append(f"{where}: {scenario.key} cannot be had at severity {severity:g}: {error}")
                break
    return scenarios


def left_behind(
    config: AuditConfig, scenarios: Sequence[ScenarioSpec], specs: Sequence[ModelSpec], datasets: Mapping[str, Dataset]
) -> Iterator[str]:
    """What is wrong with scenarios that move what is on an image: truth must follow them, and there must be some."""
    moving = [scenario.key for scenario in scenarios if moves(scenario)]
    where = config.source.where("scenarios")
    for spec in specs if moving else ():
        told = f"{where}: {' and '.join(moving)} moves what is on an image, but "
        if task_of(spec.task).moved is None:
            yield f"{told}{spec.name} is a model for {spec.task}, whose truth cannot follow"
        elif spec.dataset in datasets and not datasets[spec.dataset].is_labelled:
            yield f"{told}the data set of {spec.name} has no truth that could follow: nothing could be told of it"


def hashes_of(scenarios: Sequence[ScenarioSpec]) -> dict[str, str]:
    """The SHA-256 of what each scenario names outside of its pack, Python functions and pictures, by its key."""
    return {scenario.key: found for scenario in scenarios if (found := named_sha256(scenario)) is not None}
