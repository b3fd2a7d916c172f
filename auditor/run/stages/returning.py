"""Put what another device measured beside what is measured here."""

from __future__ import annotations

import dataclasses

from auditor.bundle.read import load_elsewhere
from auditor.run.session import Session, State

__all__ = ["add_elsewhere"]


def add_elsewhere(session: Session, state: State) -> State:
    """Judge the measurements files that were given, as cells of their devices.

    Raises:
        InputError: a file is not such a file, is of another audit, or a part is missing or stands twice.
    """
    if not session.elsewhere:
        return state
    found = load_elsewhere(state.plan, session.elsewhere)
    return dataclasses.replace(
        state,
        cells=(*state.cells, *found.cells),
        measurements=(*state.measurements, *found.measurements),
    )
