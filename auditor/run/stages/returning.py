"""Put what another device measured beside what is measured here."""

from __future__ import annotations

import dataclasses

from auditor.bundle.read import check_parts, load_elsewhere
from auditor.run.session import Session, State

__all__ = ["add_elsewhere", "check_elsewhere"]


def check_elsewhere(session: Session, state: State) -> State:
    """Look at the measurements files that were given before anything is measured here.

    Raises:
        InputError: a file is not such a file, is of another audit, or a part is missing or stands twice.
    """
    if session.elsewhere:
        check_parts(state.plan, session.elsewhere)
    return state


def add_elsewhere(session: Session, state: State) -> State:
    """Judge the measurements files that were given, as cells of their devices, at the operating points of this one.

    Raises:
        InputError: a file is not such a file, is of another audit, or a part is missing or stands twice.
    """
    if not session.elsewhere:
        return state
    found = load_elsewhere(state.plan, session.elsewhere, state.points)
    return dataclasses.replace(
        state,
        cells=(*state.cells, *found.cells),
        measurements=(*state.measurements, *found.measurements),
    )
