"""A cell on a part of its images: its units, and a result so far that gates can be held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from auditor.plan import Plan, lay_out
from auditor.run.session import Session, State
from auditor.run.stages.recording import record
from auditor.values import AuditResult, Cell, CellResult, ImageRecord, Unit

__all__ = ["Part", "interim", "laid_out"]


@dataclass(frozen=True)
class Part:
    """What a cell is evaluated on: its units so far, and their images."""

    units: tuple[Unit, ...]
    images: Sequence[ImageRecord]


def laid_out(plan: Plan, cell: Cell, images: Sequence[ImageRecord]) -> Iterator[Unit]:
    """The units that measure one cell on `images`."""
    spec = plan.subjects.spec(cell.file)
    (delegate,) = (on for on in plan.subjects.delegates[spec.name] if on.name == cell.delegate)
    alone = dataclasses.replace(plan.subjects, severities=(cell.severity,))
    scenarios = [scenario for scenario in plan.subjects.scenarios if scenario.key == cell.scenario]
    for unit in lay_out(alone, [spec], scenarios, {spec.name: [delegate]}, {spec.dataset: images}):
        if (unit.scenario is None) == cell.is_clean:
            yield unit


def interim(session: Session, state: State, cells: Sequence[CellResult]) -> AuditResult:
    """The result of an audit so far."""
    known = dataclasses.replace(state, cells=(*cells, *state.cells))
    return record(session, known, command="", started=datetime.now(UTC))
