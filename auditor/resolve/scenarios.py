"""The scenarios that a document names, each tried at the severities of the audit."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.config import AuditConfig
from auditor.corruptions.corrupt import build, named_sha256
from auditor.corruptions.packs import select_scenarios
from auditor.errors import InputError, ScenarioError
from auditor.values import ScenarioSpec

__all__ = ["hashes_of", "try_scenarios"]


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


def hashes_of(scenarios: Sequence[ScenarioSpec]) -> dict[str, str]:
    """The SHA-256 of what each scenario names outside of its pack, Python functions and pictures, by its key."""
    return {scenario.key: found for scenario in scenarios if (found := named_sha256(scenario)) is not None}
