"""What comparisons of inputs are kept by: everything that they hang on."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.delegate import Delegate
from auditor.plan import Subjects, measured_fields
from auditor.provenance import digest
from auditor.values import ImageRecord, ModelSpec

__all__ = ["comparison_key"]

_REVISION = 2
"""Raised when a comparison finds anything else on the same model and images."""


def comparison_key(
    subjects: Subjects, spec: ModelSpec, delegate: Delegate, images: Sequence[ImageRecord], first: int
) -> str:
    """The key of comparing a model beginning on `first` of these images."""
    return digest(
        _REVISION,
        [measured_fields(spec), spec.model, spec.labels, delegate.name, delegate.options],
        [subjects.datasets[spec.dataset].fingerprint, sorted(str(record.sha256) for record in images)],
        [first, subjects.seed, dict(subjects.versions), repr(subjects.evaluation)],
    )
