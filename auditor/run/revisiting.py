"""A finished run opened again: its plan, so that what was measured can be shown and handed on; nothing is measured."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.errors import InputError, StoreError
from auditor.provenance import sha256_of
from auditor.run.judging import load_run
from auditor.run.progress import Progress, SilentProgress
from auditor.run.session import Session, State, open_session
from auditor.run.stages.making import make_asked, make_remedies
from auditor.run.stages.planning import planned
from auditor.run.stages.showing import task_of_cell
from auditor.run.stages.truths import Truths
from auditor.store import has_unit, load_json, save_json
from auditor.tasks.anatomy.cells import CellTask
from auditor.values import AuditResult, Cell, Unit

__all__ = ["Revisited", "note_document", "revisited"]

_NOTE = "run.json"


def note_document(folder: Path, audit: Path, given: Sequence[str]) -> None:
    """Keep in a run folder where its document lay, and what the command line gave in place of its values.

    Raises:
        StoreError: the folder cannot be written.
    """
    save_json(folder / _NOTE, {"audit": str(audit.resolve()), "given": list(given)})


@dataclass(frozen=True)
class Revisited:
    """A run: its result, and the cells that were measured here with the units that hold their predictions."""

    session: Session
    state: State
    result: AuditResult
    cells: Mapping[Cell, tuple[Unit, ...]]
    _truths: Truths

    def task(self, cell: Cell) -> CellTask:
        """What a cell was evaluated from."""
        return task_of_cell(self.session, self.state, cell, self.cells[cell], self._truths)


@contextlib.contextmanager
def revisited(
    run: Path,
    *,
    audit: Path | None = None,
    scenarios: Collection[str] = (),
    severities: Collection[float] = (),
    progress: Progress | None = None,
) -> Iterator[Revisited]:
    """Open a run folder again; of its cells those of some scenarios and severities, of all where none is named.
    `audit` is its document, where it is not where the run found it.

    Raises:
        InputError: the document is not there, is another, or nothing of what is asked for was measured.
        StoreError: the run, or measurements of it, are missing or damaged.
    """
    result, folder = load_run(run)
    document, given = _document(folder, audit)
    if sha256_of(document) != result.provenance.audit_sha256:
        raise InputError(f"{document}: it is not the document of {folder}, or was changed since; run the audit again")
    with open_session(
        document, folder, jobs=None, executor="serial", fresh=False, progress=progress or SilentProgress(), given=given
    ) as session:
        state = make_remedies(session, make_asked(session, planned(session)))
        points = {point.model: point for point in result.operating_points}
        state = dataclasses.replace(state, points=points)
        ok = {cell.key for cell in result.cells if cell.is_declared and cell.is_local and cell.status == "ok"}
        known = {cell: units for cell, units in state.plan.cells() if cell in ok}
        cells = {
            cell: units
            for cell, units in known.items()
            if (not scenarios or cell.scenario in scenarios) and (not severities or cell.severity in severities)
        }
        unknown = sorted(set(scenarios) - {cell.scenario for cell in known})
        never = sorted(set(severities) - {cell.severity for cell in known})
        if not cells or unknown or never:
            raise InputError(_nothing(folder, known, unknown or scenarios, never or severities))
        lost = {unit.resume_key for units in cells.values() for unit in units if not has_unit(folder, unit.resume_key)}
        if lost:
            raise StoreError(
                f"{folder}: {len(lost)} of its measurements are not those of the document as it is now: images, models "
                "or versions changed, or they were deleted; run the audit again"
            )
        yield Revisited(session, state, result, cells, Truths(state.plan))


def _document(folder: Path, audit: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Where the document of a run is, and what was given in place of its values."""
    note: Any = load_json(folder / _NOTE) if (folder / _NOTE).is_file() else {}
    found = audit or (Path(note["audit"]) if isinstance(note, dict) and "audit" in note else None)
    if found is None or not found.is_file():
        missing = "" if found is None else f" ({found} is not there)"
        raise InputError(f"{folder}: where its audit.yaml lies is not known{missing}; say it with --audit FILE")
    return found, tuple(note.get("given", ())) if isinstance(note, dict) else ()


def _nothing(folder: Path, known: Collection[Cell], scenarios: Collection[str], severities: Collection[float]) -> str:
    """Why nothing of a run is what is asked for."""
    names = list(dict.fromkeys(cell.scenario for cell in known))
    there = sorted({cell.severity for cell in known})
    asked = f"{', '.join(scenarios) or 'any scenario'} at {', '.join(f'{s:g}' for s in severities) or 'any severity'}"
    return (
        f"{folder}: nothing was measured of {asked}; it has {', '.join(names)} at severities "
        f"{', '.join(f'{severity:g}' for severity in there)} (0 is clean)"
    )
