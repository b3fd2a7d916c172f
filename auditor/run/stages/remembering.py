"""A comparison of inputs is kept by its content: another audit of the same model on the same images takes it over."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.config import cells_document, parse_cells
from auditor.errors import StoreError
from auditor.run.kept import comparison_key
from auditor.run.session import Session, State
from auditor.run.stages.looks import Subject
from auditor.store import load_cached, save_cached
from auditor.values import CellResult

__all__ = ["keep", "recalled"]


def recalled(session: Session, state: State, subject: Subject, first: int) -> Sequence[CellResult] | None:
    """What an earlier audit found comparing a model, beginning on `first` images; None where none did, or this one is
    to measure everything afresh."""
    known = None if session.fresh else parse_cells(load_cached(_key(state, subject, first)))
    if known is not None:
        name = subject.spec.name
        session.progress.say(f"{name}: {len(known)} other inputs and readings were compared before, on this data")
    return known


def keep(session: Session, state: State, subject: Subject, first: int, cells: Sequence[CellResult]) -> None:
    """Keep what was found for other audits; say where that is not possible."""
    try:
        save_cached(_key(state, subject, first), cells_document(cells))
    except StoreError as error:
        session.progress.say(f"the comparison of inputs is not kept for other audits: {error}")


def _key(state: State, subject: Subject, first: int) -> str:
    return comparison_key(state.plan.subjects, subject.spec, subject.delegate, subject.images, first)
