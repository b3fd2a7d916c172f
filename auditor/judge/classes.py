"""Which classes are not judged, and which are matched under another name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from auditor.judge.told import NotRun, Told
from auditor.values import AuditResult, Json, ModelRecord, Place

__all__ = ["check_labels"]


_HALF = 0.5
_SHOWN = 5


def _coverage(result: AuditResult, model: ModelRecord, where: Place) -> Iterator[Told]:
    """Say where more than half of the classes, or of the truth, falls out for want of a common name. A model all
    of whose classes are judged is meant for these, and nothing falls out for want of a name."""
    judged, extra = len(model.classes_judged), len(model.classes_only_model)
    unnamed = sum(label is None for label in model.labels)
    dataset = result.datasets.get(model.dataset)
    if dataset is None or (not extra and unnamed <= judged):
        return
    objects = sum(dataset.instances.values())
    lost = sum(dataset.instances.get(category, 0) for category in model.classes_only_truth)
    missing = len(model.classes_only_truth) / max(1, judged + len(model.classes_only_truth))
    fallen = max(missing, lost / objects if objects else 0.0)
    if fallen <= _HALF:
        return
    facts: dict[str, Json] = {
        "file": model.name,
        "metric": model.judging.primary,
        "judged": judged,
        "model_classes": judged + extra,
        "truth_classes": judged + len(model.classes_only_truth),
        "lost": lost,
        "objects": objects,
        "things": model.judging.things,
        "extra": list(model.classes_only_model[:_SHOWN]),
        "missing": list(model.classes_only_truth[:_SHOWN]),
    }
    yield Told("labels.coverage", facts, where, observed=fallen, limit=_HALF)


def check_labels(result: AuditResult) -> Iterator[Told | NotRun]:
    """Say which classes are not judged, and what was dropped for it."""
    if result.datasets and not any(dataset.is_labelled for dataset in result.datasets.values()):
        yield NotRun("the data set has no truth, so there are no classes to match")
    for model in result.models:
        where = {"model": model.model, "file": model.name}
        if model.class_aliases:
            pairs = [f"{label} = {category}" for label, category in model.class_aliases]
            yield Told("labels.aliases", {"file": model.name, "pairs": list(pairs)}, where)
        yield from _coverage(result, model, where)
        counted = Counter(label for label in model.labels if label)
        repeated = [label for label, count in counted.items() if count > 1]
        if repeated:
            yield Told("labels.repeated", {"file": model.name, "repeated": list(repeated)}, where)
        if model.classes_only_truth:
            facts: dict[str, Json] = {
                "file": model.name,
                "missing": list(model.classes_only_truth),
                "metric": model.judging.primary,
                "judged": len(model.classes_judged),
            }
            yield Told("labels.missing", facts, where)
        if model.classes_only_model:
            yield Told("labels.extra", {"file": model.name, "extra": list(model.classes_only_model)}, where)
