"""A cell at its operating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.evaluate.counted import Counted, joined
from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection.at_point import count, moved
from auditor.tasks.detection.flips import Objects, objects_of
from auditor.tasks.detection.over_frames import count_over_frames
from auditor.tasks.detection.point_choice import choose
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import Moved, OperatingPoint, PointChoice

__all__ = ["Held", "hold"]


@dataclass(frozen=True, eq=False)
class Held:
    """The operating point, and what a cell is there."""

    point: OperatingPoint | None = None
    counted: Counted | None = None
    moved: Moved | None = None
    objects: Objects | None = None


def hold(judged: Judged, found: Sequence[PointMatches]) -> Held:
    """Hold a cell at its operating point, which is chosen on it where it is not there yet."""
    point, cell, images = judged.point, judged.cell, len(judged.truth)
    if point is None or judged.seen is None or cell is None:
        return Held()
    if isinstance(point, PointChoice):
        alike = judged.blocks is not None
        point = choose(point, found, images=images, model=cell.model, chosen_on=str(cell), alike=alike)
    mine = point.at(cell.quantization)
    objects = objects_of(mine, found)
    objects = objects if cell.is_clean else objects.beside_others()
    counted = count(mine, found, judged.seen)
    if judged.frames is not None:
        counted = joined(counted, count_over_frames(mine, found, judged.seen, judged.frames))
    return Held(point, counted, moved(mine, found, images, curve_of=cell.is_clean), objects)
