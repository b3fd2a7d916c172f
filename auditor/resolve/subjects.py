"""From the document of an audit to its subjects: data sets loaded, scenarios tried, every model opened once, gates
checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from auditor.config import AuditConfig, ModelConfig
from auditor.errors import InputError
from auditor.executors import Lane
from auditor.plan import Entry, Subjects
from auditor.provenance import sha256_of
from auditor.resolve.breaking_search import breaking_search
from auditor.resolve.entries import resolve_models, versions_of_models
from auditor.resolve.foreseen import Known
from auditor.resolve.image_sets import load_calibration, load_datasets
from auditor.resolve.matching import matches_of
from auditor.resolve.points import points_of
from auditor.resolve.rules import rules_of
from auditor.resolve.scenarios import hashes_of, left_behind, try_scenarios
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.values import Rule

__all__ = ["resolve_audit"]


def resolve_audit(
    config: AuditConfig,
    known_problems: Sequence[str] = (),
    *,
    devices: Collection[str] | None = (),
    lanes: Sequence[Lane] = (),
) -> tuple[Subjects, tuple[Rule, ...]]:
    """Load the data sets, try the scenarios, open every model once, and hold the gates against all of these and the
    other `devices` whose measurements are judged (None: not known yet). Models are opened in the processes of `lanes`,
    else in one of their own.

    Raises:
        InputError: with every problem of all of these at once, after those that are known.
    """
    problems = list(known_problems)
    datasets = load_datasets(config, problems)
    severities = tuple(int(value) if value == int(value) else value for value in sorted(config.severities))
    scenarios = try_scenarios(config, severities, problems)
    calibration, unreadable = load_calibration(config, datasets, problems)
    specs = resolve_models(config, datasets, problems, lanes)
    delegates = config.runs_on
    problems += [
        f"{config.source.where('delegates', index)}: {delegate.library}: no such file; expected the shared library of "
        "a "
        "delegate"
        for index, delegate in enumerate(delegates)
        if delegate.library is not None and not Path(delegate.library).is_file()
    ]
    matches = matches_of(config, datasets, specs, problems)
    problems += left_behind(config, scenarios or (), specs, datasets)
    points = points_of(config, datasets, specs, matches, problems)
    known = Known(config, datasets, specs, matches, scenarios, devices, points)
    breaking = breaking_search(known, problems)
    rules = rules_of(dataclasses.replace(known, breaking=breaking), problems)
    if problems:
        raise InputError(problems)
    hashes = {delegate.name: sha256_of(Path(delegate.library)) for delegate in delegates if delegate.library}
    subjects = Subjects(
        seed=config.seed,
        datasets=datasets,
        entries=tuple(_entry(model) for model in config.models),
        specs=tuple(specs),
        matches=matches,
        scenarios=scenarios or (),
        severities=severities,
        asked_delegates=delegates,
        delegates={spec.name: tuple(runtime_of(Path(spec.path)).delegates(delegates)) for spec in specs},
        calibration=calibration,
        unreadable=unreadable,
        versions=versions_of_models(specs),
        hashes={**hashes, **hashes_of(scenarios or ())},
        evaluation=config.evaluation.value,
        points=points,
        breaking=breaking,
        timeout_s=config.measure.timeout,
    )
    return subjects, rules


def _entry(model: ModelConfig) -> Entry:
    asked = model.quantize
    return Entry(
        name=model.name,
        leads=model.variant_of is None,
        quantizes=asked is not None,
        asked=tuple(asked.levels) if asked is not None else (),
        io=asked.io if asked is not None else "float32",
    )
