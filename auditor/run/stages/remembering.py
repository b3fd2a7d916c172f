"""A comparison of inputs is kept by its content: another audit of the same model on the same images takes it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auditor.config import cells_document, parse_cells
from auditor.errors import StoreError
from auditor.run.kept import comparison_key
from auditor.run.session import Session, State
from auditor.run.stages.looks import Subject
from auditor.store import load_cached, save_cached
from auditor.values import CellResult

__all__ = ["remembered"]


def remembered(
    session: Session, state: State, subject: Subject, first: int, compare: Callable[[int], list[CellResult]]
) -> Sequence[CellResult]:
    """What comparing a model beginning on `first` images finds, if an earlier audit did, and this one is not to measure
    everything afresh."""
    subjects, spec = state.plan.subjects, subject.spec
    key = comparison_key(subjects, spec, subject.delegate, subject.images, first)
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
