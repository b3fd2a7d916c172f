"""A comparison of inputs is kept by its content: another audit of the same model on the same images takes it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auditor.config import cells_document, parse_cells
from auditor.errors import StoreError
from auditor.plan import measured_fields
from auditor.provenance import digest
from auditor.run.session import Session, State
from auditor.run.stages.looks import Subject
from auditor.store import load_cached, save_cached
from auditor.values import CellResult

__all__ = ["remembered"]

_REVISION = 1
"""Raised when a comparison finds anything else on the same model and images."""


def remembered(
    session: Session, state: State, subject: Subject, first: int, compare: Callable[[int], list[CellResult]]
) -> Sequence[CellResult]:
    """What comparing a model beginning on `first` images finds, if an earlier audit did, and this one is not to measure
    everything afresh."""
    subjects, spec = state.plan.subjects, subject.spec
    key = digest(
        _REVISION,
        [measured_fields(spec), spec.model, spec.labels, subject.delegate.name, subject.delegate.options],
        [subjects.datasets[spec.dataset].fingerprint, [record.sha256 for record in subject.images]],
        [first, subjects.seed, dict(subjects.versions), repr(subjects.evaluation)],
    )
    known = None if session.fresh else parse_cells(load_cached(key))
    if known is not None:
        session.progress.say(f"{spec.name}: {len(known)} other inputs and readings were compared before, on this data")
        return known
    found = compare(first)
    try:
        save_cached(key, cells_document(found))
    except StoreError as error:
        session.progress.say(f"the comparison of inputs is not kept for other audits: {error}")
    return found
