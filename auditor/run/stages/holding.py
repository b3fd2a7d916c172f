"""The operating points of a plan's families: each is chosen on one clean cell, and all other cells wait for it."""

from __future__ import annotations

from collections import deque

from auditor.evaluate.evaluated import CellEvaluation
from auditor.plan import Plan
from auditor.tasks.anatomy.cells import point_of
from auditor.values import CLEAN, Cell, OperatingPoint, PointChoice

__all__ = ["Points"]


class Points:
    """What is known of the operating points, and which cells wait for one."""

    def __init__(self, plan: Plan, *, whole: bool) -> None:
        """Where cells are evaluated on a part of their images (not `whole`), nothing is chosen on one of them."""
        self._choices = plan.subjects.points
        self._references = {family: _reference(plan, family) for family in self._choices}
        self._held: dict[str, deque[Cell]] = {family: deque() for family in self._choices}
        self._released: deque[Cell] = deque()
        self.found: dict[str, OperatingPoint] = {}
        for family, reference in self._references.items():
            if reference is None or not whole:
                self._without(family, "no clean cell of its first level is evaluated on all images")

    @property
    def references(self) -> list[Cell]:
        """The cells that points are chosen on."""
        return [cell for cell in self._references.values() if cell is not None]

    def pop(self) -> Cell | None:
        """The next cell whose point is known by now."""
        return self._released.popleft() if self._released else None

    def waits(self, cell: Cell) -> bool:
        """Keep a cell whose point is not known yet; whether that is so."""
        if cell.model not in self._choices or cell.model in self.found or cell == self._references[cell.model]:
            return False
        self._held[cell.model].append(cell)
        return True

    def of(self, cell: Cell) -> PointChoice | OperatingPoint | None:
        """The point that a cell is held at, or how it is chosen on it."""
        if cell.model in self.found:
            return point_of(self.found, cell)
        return self._choices.get(cell.model)

    def saw(self, cell: Cell, evaluation: CellEvaluation | None) -> None:
        """A cell was evaluated, or could not be (None)."""
        if cell.model in self.found or self._references.get(cell.model) != cell:
            return
        if evaluation is None or evaluation.point is None:
            error = evaluation.result.error if evaluation is not None else None
            self._without(cell.model, f"{cell}, on which it is chosen, failed: {error or 'it was not measured'}")
        else:
            self._know(cell.model, evaluation.point)

    def _know(self, family: str, point: OperatingPoint) -> None:
        self.found[family] = point
        self._released += self._held.pop(family)

    def _without(self, family: str, why: str) -> None:
        """Go on with what the document gives, without anything that is chosen."""
        self._know(family, OperatingPoint.given(self._choices[family], family, reason=why))


def _reference(plan: Plan, family: str) -> Cell | None:
    """The clean cell of a family's first level, on the first delegate that runs it."""
    for spec in plan.specs:
        if spec.model != family or spec.role not in ("declared", "level"):
            continue
        for delegate in plan.subjects.delegates[spec.name]:
            if plan.runs(spec.name, delegate):
                return Cell(spec.model, spec.name, spec.quantization, delegate.name, CLEAN, 0)
        return None
    return None
