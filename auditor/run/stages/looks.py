"""The cells of a comparison: what the declared model said, said otherwise, or is read otherwise, on the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from auditor.datasets.dataset import Dataset
from auditor.datasets.images import read_record
from auditor.datasets.shared_classes import match_classes
from auditor.delegate import Delegate
from auditor.encoding import geometry_of
from auditor.resolve.variants import InputVariant
from auditor.store import ImagePrediction, has_unit, load_predictions
from auditor.tasks.anatomy.cells import CellTask, cell_task, task_of
from auditor.tasks.anatomy.task import Framed, Reading
from auditor.values import CLEAN, DECLARED, Cell, ImageRecord, ModelSpec, Unit

__all__ = ["Looked", "Subject"]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model that was measured on clean images: what it said of each, and these images in their drawn order."""

    spec: ModelSpec
    delegate: Delegate
    declared: Mapping[int, ImagePrediction]
    images: tuple[ImageRecord, ...]


@dataclasses.dataclass(frozen=True)
class Looked:
    """What is compared with a subject's declared model: variants of its input, whose predictions lie in the units of
    the run folder `folder`, and readings of what it said already."""

    subject: Subject
    dataset: Dataset
    folder: Path
    seed: int
    variants: Sequence[InputVariant]
    readings: Sequence[Reading]
    units: Mapping[str, Sequence[Unit]]

    def cells(self, images: Sequence[ImageRecord]) -> Iterator[CellTask]:
        """What is evaluated on the same images, over the classes that any reading knows; predictions are loaded one
        cell at a time."""
        spec, categories = self.subject.spec, self.dataset.categories
        lists = [spec.labels, *(reading.labels for reading in self.readings)]
        known = {category for labels in lists for category in match_classes(labels, categories).judged}
        judged = [category for category in categories if category in known]
        said = [self.subject.declared[record.id] for record in images]
        base = self._task(DECLARED, spec.labels, judged, images)
        yield dataclasses.replace(base, predictions=tuple(said))
        for variant in self.variants:
            task = self._task(variant.name, spec.labels, judged, images)
            yield dataclasses.replace(task, predictions=tuple(self._predictions(variant)))
        for reading in self.readings:
            read = said
            if reading.kind == "boxes":
                read = [self._reread(item, reading, record) for item, record in zip(said, images, strict=True)]
            task = self._task(reading.name, reading.labels, judged, images)
            yield dataclasses.replace(task, label_offset=reading.label_offset, predictions=tuple(read))

    def _task(
        self, name: str, labels: Sequence[str | None], judged: Sequence[str], images: Sequence[ImageRecord]
    ) -> CellTask:
        spec = self.subject.spec
        cell = Cell(spec.model, spec.name, spec.quantization, self.subject.delegate.name, CLEAN, 0, input=name)
        match = match_classes(labels, self.dataset.categories)
        seen = dataclasses.replace(self.dataset, truth={record.id: self.dataset.truth[record.id] for record in images})
        task = cell_task(cell, spec, seen, dataclasses.replace(match, judged=tuple(judged)))
        return dataclasses.replace(task, seed=self.seed)

    def _predictions(self, variant: InputVariant) -> Iterator[ImagePrediction]:
        folder, delegate = self.folder, self.subject.delegate.name
        keys = [unit.resume_key for unit in self.units[variant.name] if has_unit(folder, unit.resume_key)]
        return load_predictions(folder, keys, file=variant.spec.key, delegate=delegate, severity=0)

    def _reread(self, item: ImagePrediction, reading: Reading, record: ImageRecord) -> ImagePrediction:
        spec = self.subject.spec
        reread = task_of(spec.task).reread
        size = record.size
        if size is None:
            image = read_record(record)
            size = (image.shape[1], image.shape[0])
        if reread is None:
            return item
        framed = Framed(spec, geometry_of(size, spec.input), (size[1], size[0]))
        return dataclasses.replace(item, values=reread(item.values, reading, framed))
