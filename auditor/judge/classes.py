"""Which classes are not judged, and which are matched under another name."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import Told
from auditor.values import AuditResult, Json

__all__ = ["check_labels"]


def check_labels(result: AuditResult) -> Iterator[Told]:
    """Say which classes are not judged, and what was dropped for it."""
    for model in result.models:
        where = {"model": model.model, "file": model.name}
        if model.class_aliases:
            pairs = [f"{label} = {category}" for label, category in model.class_aliases]
            yield Told("labels.aliases", {"file": model.name, "pairs": list(pairs)}, where)
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
