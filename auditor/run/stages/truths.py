"""The truth that each cell is held against: that of its data set, or where its scenario took it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from auditor.corruptions.corrupt import draw_of, moves, warps_of
from auditor.datasets.dataset import Dataset
from auditor.datasets.image_files import read_record
from auditor.errors import DataError
from auditor.executors import Shared
from auditor.plan import Plan
from auditor.tasks.anatomy.cells import judged_truth, task_of
from auditor.values import Cell, ImageRecord, ScenarioSpec

__all__ = ["Truths"]


class Truths:
    """The truth of cells of a plan, each made once for all that share it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[tuple[Any, ...], Shared[Mapping[int, Any]]] = {}
        self._moving = {scenario.key: scenario for scenario in plan.subjects.scenarios if moves(scenario)}
        self._sizes: dict[ImageRecord, tuple[int, ...] | None] = {}

    def of(self, cell: Cell, images: Sequence[ImageRecord] | None = None) -> Shared[Mapping[int, Any]]:
        """The truth of a cell's judged classes, of all images of its data set or of `images`; where the scenario moves
        what is on them it moved along, by the same seed and knobs."""
        spec = self._plan.subjects.spec(cell.file)
        judged = self._plan.subjects.matches[cell.file].judged
        scenario = self._moving.get(cell.scenario)
        place = () if scenario is None else (scenario.key, cell.severity)
        key = (spec.task, spec.dataset, judged, *place)
        if key not in self._known:
            dataset = self._plan.datasets[spec.dataset]
            if images is not None:
                chosen = {record.id for record in images}
                truth = {image_id: found for image_id, found in dataset.truth.items() if image_id in chosen}
                dataset = dataclasses.replace(dataset, truth=truth)
            if scenario is not None and dataset.is_labelled:
                dataset = self._moved(dataset, spec.task, scenario, cell.severity)
            self._known[key] = judged_truth(spec.task, dataset, judged)
        return self._known[key]

    def _moved(self, dataset: Dataset, task: str, scenario: ScenarioSpec, severity: float) -> Dataset:
        moved = task_of(task).moved
        assert moved is not None, "a task whose truth cannot follow is refused before anything runs"
        truth = dict(dataset.truth)
        for record in dataset.images:
            size = self._size(record) if record.id in truth else None
            if size is not None:  # what cannot be read has no size, and is left out of every cell
                seed = draw_of(record, scenario.key, seed=self._plan.subjects.seed).seed
                place = (size[0], size[1])
                warps = warps_of(scenario, severity=severity, size=place, seed=seed)
                truth[record.id] = moved(truth[record.id], warps, place)
        return dataclasses.replace(dataset, truth=truth)

    def _size(self, record: ImageRecord) -> tuple[int, ...] | None:
        """The (height, width) of an image."""
        if record.size is not None:
            return record.size[1], record.size[0]
        if record not in self._sizes:
            try:
                self._sizes[record] = read_record(record).shape[:2]
            except DataError:
                self._sizes[record] = None
        return self._sizes[record]
