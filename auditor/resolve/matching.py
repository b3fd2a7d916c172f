"""Which classes each model shares with its data set, and whether anything can be judged by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from auditor.config import AuditConfig
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch, match_classes, match_own
from auditor.resolve.entries import where_is
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ClassTruth, ModelSpec, some

__all__ = ["matches_of"]


def matches_of(
    config: AuditConfig, datasets: Mapping[str, Dataset], specs: Sequence[ModelSpec], problems: list[str]
) -> dict[str, ClassMatch]:
    """Which classes each model shares with its data set; a model whose task that set cannot judge is a problem."""
    matches = {}
    for spec in specs:
        if spec.dataset not in datasets:
            continue
        judged, where = datasets[spec.dataset].task, where_is(config, spec.name)
        if not datasets[spec.dataset].is_labelled:
            matches[spec.name] = match_own(spec.labels)
            if task_of(spec.task).evaluate_alone is None:
                problems.append(f"{where}: {spec.name} is a model for {spec.task}, which needs a data set with truth")
            continue
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


def _has_truth(dataset: Dataset, match: ClassMatch) -> bool:
    """Whether any image has an object of a judged class that counts."""
    judged = [dataset.categories.index(category) for category in match.judged]
    return any(
        np.isin(truth.labels if isinstance(truth, ClassTruth) else truth.labels[~truth.iscrowd], judged).any()
        for truth in dataset.truth.values()
    )
