"""The cells of a comparison: what the declared model said, said otherwise, or is read otherwise, on the same images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from auditor.datasets.dataset import Dataset
from auditor.datasets.image_files import read_record
from auditor.datasets.shared_classes import match_classes
from auditor.delegate import Delegate
from auditor.encoding import geometry_of
from auditor.executors import Shared
from auditor.resolve.variants import InputVariant
from auditor.store import ImagePrediction, has_unit, load_predictions
from auditor.tasks.anatomy.cells import CellTask, cell_task, judged_truth, task_of
from auditor.tasks.anatomy.task import Framed, Reading
from auditor.values import CLEAN, DECLARED, Cell, Compared, ImageRecord, ModelSpec, Patch, Unit

__all__ = ["Candidate", "Looked", "Subject"]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model that was measured on clean images: what it said of each, and these images in their drawn order."""

    spec: ModelSpec
    delegate: Delegate
    declared: Mapping[int, ImagePrediction]
    images: tuple[ImageRecord, ...]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A way to feed a model and to read what it says: its input as declared or a variant of it, its predictions as
    declared or read otherwise, by at most one reading of labels and one of boxes."""

    variant: InputVariant | None = None
    readings: tuple[Reading, ...] = ()

    @property
    def name(self) -> str:
        """What its cell's `input` is called: what was changed, whichever came first."""
        fed = (self.variant.name,) if self.variant is not None else ()
        return ",".join((*fed, *sorted(reading.name for reading in self.readings))) or DECLARED

    @property
    def factors(self) -> tuple[str, ...]:
        """What was changed."""
        fed = self.variant.factors if self.variant is not None else ()
        return (*fed, *(reading.kind for reading in self.readings))

    @property
    def kind(self) -> Literal["input", "labels", "boxes"]:
        """What it is, by that which is read otherwise, if anything is."""
        return self.readings[0].kind if self.readings else "input"

    def fed(self, variant: InputVariant) -> Candidate:
        """This one, fed otherwise."""
        return dataclasses.replace(self, variant=None if variant.name == DECLARED else variant)

    def read(self, reading: Reading) -> Candidate:
        """This one, read otherwise."""
        kept = tuple(other for other in self.readings if other.kind != reading.kind)
        return dataclasses.replace(self, readings=(*kept, reading))

    def compared(self, comparisons: int, *, chosen: bool) -> Compared:
        """How it is told in the result."""
        contract = self.variant.spec.input if self.variant is not None else None
        return Compared(self.kind, self.factors, self._patch, comparisons, contract=contract, chosen=chosen)

    @property
    def _patch(self) -> Patch:
        """What declares it in `audit.yaml`: the lines of all its parts, options of one decoder joined."""
        parts = [*((self.variant.patch,) if self.variant is not None else ()), *(r.patch for r in self.readings)]
        keys: dict[str, Any] = {}
        for part in parts:
            for key, value in part.keys.items():
                known = keys.get(key)
                keys[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        kept = tuple(dict.fromkeys(name for part in parts for name in part.keep))
        return Patch(keys, model=parts[0].model, keep=kept)


@dataclasses.dataclass(frozen=True)
class Looked:
    """What is compared with a subject's declared model: `candidates`, of which the predictions of other inputs lie in
    the `units` (by the variant's name) of the run folder `folder`."""

    subject: Subject
    dataset: Dataset
    folder: Path
    seed: int
    candidates: Sequence[Candidate]
    units: Mapping[str, Sequence[Unit]]
    readings: Sequence[Reading]

    def cells(self, images: Sequence[ImageRecord]) -> dict[str, Callable[[], CellTask]]:
        """What is evaluated on the same images, over the classes that any reading knows, by the candidates' names; each
        reads its predictions when it is asked for."""
        spec, categories = self.subject.spec, self.dataset.categories
        lists = [spec.labels, *(reading.labels for reading in self.readings)]
        known = {category for labels in lists for category in match_classes(labels, categories).judged}
        judged = [category for category in categories if category in known]
        ordered = sorted(images, key=lambda record: 0.0 if record.moment is None else record.moment.time_s)
        seen = dataclasses.replace(self.dataset, truth={record.id: self.dataset.truth[record.id] for record in ordered})
        truth = judged_truth(spec.task, seen, judged)
        return {
            candidate.name: functools.partial(self._task, candidate, judged, images, truth)
            for candidate in self.candidates
        }

    def _task(
        self,
        candidate: Candidate,
        judged: Sequence[str],
        images: Sequence[ImageRecord],
        truth: Shared[Mapping[int, Any]],
    ) -> CellTask:
        spec = self.subject.spec
        named = [reading for reading in candidate.readings if reading.kind == "labels"]
        labels = named[0].labels if named else spec.labels
        key = Cell(spec.model, spec.name, spec.quantization, self.subject.delegate.name, CLEAN, 0, candidate.name)
        match = match_classes(labels, self.dataset.categories)
        task = cell_task(key, spec, self.dataset, dataclasses.replace(match, judged=tuple(judged)), truth)
        offset = named[0].label_offset if named else task.label_offset
        said = tuple(self._said(candidate, images))
        return dataclasses.replace(task, seed=self.seed, predictions=said, label_offset=offset, screens=True)

    def _said(self, candidate: Candidate, images: Sequence[ImageRecord]) -> Iterator[ImagePrediction]:
        """What the model said of each image, fed and read as the candidate is."""
        said = self.subject.declared if candidate.variant is None else self._predictions(candidate.variant)
        moved = [reading for reading in candidate.readings if reading.kind == "boxes"]
        spec = self.subject.spec if candidate.variant is None else candidate.variant.spec
        for record in images:
            item = said.get(record.id)
            if item is not None:
                yield self._reread(item, moved[0], spec, record) if moved else item

    def _predictions(self, variant: InputVariant) -> Mapping[int, ImagePrediction]:
        folder, delegate = self.folder, self.subject.delegate.name
        keys = [unit.resume_key for unit in self.units[variant.name] if has_unit(folder, unit.resume_key)]
        found = load_predictions(folder, keys, file=variant.spec.key, delegate=delegate, severity=0)
        return {item.image_id: item for item in found}

    def _reread(self, item: ImagePrediction, reading: Reading, spec: ModelSpec, record: ImageRecord) -> ImagePrediction:
        reread = task_of(spec.task).reread
        size = record.size
        if size is None:
            image = read_record(record)
            size = (image.shape[1], image.shape[0])
        if reread is None or item.error is not None:
            return item
        framed = Framed(spec, geometry_of(size, spec.input), (size[1], size[0]))
        return dataclasses.replace(item, values=reread(item.values, reading, framed))
