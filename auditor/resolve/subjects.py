"""From the document of an audit to its subjects: data sets loaded, scenarios tried, every model opened once, gates
checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from auditor.config import AuditConfig, ModelConfig
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch, match_classes
from auditor.errors import InputError
from auditor.plan import Entry, Subjects
from auditor.provenance import PIXEL_PACKAGES, auditor_version, sha256_of, versions_of
from auditor.resolve.entries import resolve_models, where_is
from auditor.resolve.foreseen import Known
from auditor.resolve.image_sets import load_calibration, load_datasets
from auditor.resolve.rules import rules_of
from auditor.resolve.scenarios import hashes_of, try_scenarios
from auditor.runtimes.anatomy.runtime import runtime_of
from auditor.store import MEASUREMENT_FORMAT
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ClassTruth, ModelSpec, Rule, some

__all__ = ["resolve_audit"]


def resolve_audit(
    config: AuditConfig, known_problems: Sequence[str] = (), *, devices: Collection[str] | None = ()
) -> tuple[Subjects, tuple[Rule, ...]]:
    """Load the data sets, try the scenarios, open every model once, and hold the gates against all of these and the
    other `devices` whose measurements are judged (None: not known yet).

    Raises:
        InputError: with every problem of all of these at once, after those that are known.
    """
    problems = list(known_problems)
    datasets = load_datasets(config, problems)
    severities = tuple(int(value) if value == int(value) else value for value in sorted(config.severities))
    scenarios = try_scenarios(config, severities, problems)
    calibration, unreadable = load_calibration(config, datasets, problems)
    specs = resolve_models(config, datasets, problems)
    delegates = config.runs_on
    problems += [
        f"{config.source.where('delegates', index)}: {delegate.library}: no such file; expected the shared library of "
        "a "
        "delegate"
        for index, delegate in enumerate(delegates)
        if delegate.library is not None and not Path(delegate.library).is_file()
    ]
    matches = _matches(config, datasets, specs, problems)
    rules = rules_of(Known(config, datasets, specs, matches, scenarios, devices), problems)
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
        versions=_versions(specs),
        hashes={**hashes, **hashes_of(scenarios or ())},
        evaluation=config.evaluation.value,
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


def _versions(specs: Sequence[ModelSpec]) -> dict[str, str]:
    packages = [*PIXEL_PACKAGES]
    for spec in specs:
        packages += [package for package in runtime_of(Path(spec.path)).packages if package not in packages]
    return {"auditor": auditor_version(), "format": str(MEASUREMENT_FORMAT), **versions_of(packages)}


def _has_truth(dataset: Dataset, match: ClassMatch) -> bool:
    """Whether any image has an object of a judged class that counts."""
    judged = [dataset.categories.index(category) for category in match.judged]
    return any(
        np.isin(truth.labels if isinstance(truth, ClassTruth) else truth.labels[~truth.iscrowd], judged).any()
        for truth in dataset.truth.values()
    )


def _matches(
    config: AuditConfig, datasets: Mapping[str, Dataset], specs: Sequence[ModelSpec], problems: list[str]
) -> dict[str, ClassMatch]:
    """Which classes each model shares with its data set; a model whose task that set cannot judge is a problem."""
    matches = {}
    for spec in specs:
        if spec.dataset not in datasets:
            continue
        judged, where = datasets[spec.dataset].task, where_is(config, spec.name)
        if judged not in task_of(spec.task).truths:
            problems.append(
                f"{where}: {spec.name} is a model for {spec.task} ({spec.sources['decoder']}), but its data set is for "
                f"{judged}: give it a data set of its own with `datasets:` and `dataset:`, or write `decoder:` if the "
                "model is taken for another"
            )
            continue
        match = match_classes(spec.labels, datasets[spec.dataset].categories)
        matches[spec.name] = match
        if not match.judged:
            problems.append(
                f"{where}: {spec.name} and its data set have no class in common, so nothing can be judged; the model "
                "has "
                f"{some(match.only_model)}, the data set {some(match.only_truth)}: check `labels`"
            )
        elif not _has_truth(datasets[spec.dataset], match):
            problems.append(
                f"{where}: no true object of {spec.name}'s data set that counts is of a class that both have "
                f"({some(match.judged)}), so nothing can be judged; check `labels`, or the annotations"
            )
    return matches
