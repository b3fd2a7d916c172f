"""One cell: from the truth and the predictions of its images to its metrics and counts, whatever the task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch
from auditor.errors import StoreError
from auditor.evaluate.counted import Seen
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import expanded
from auditor.executors import Shared
from auditor.provenance import digest
from auditor.store import ImagePrediction, Stored
from auditor.tasks.anatomy.task import Evaluated, Frames, Judged, Metric, Task
from auditor.values import Cell, CellResult, Evaluation, Marked, MetricValue, ModelSpec, OperatingPoint, PointChoice

__all__ = [
    "CellTask",
    "Said",
    "cell_task",
    "evaluate_cell",
    "evaluation_at",
    "judged_truth",
    "marked_cell",
    "point_of",
    "registered_metrics",
    "task_of",
]

_KEPT = 4
"""Truths that a process keeps prepared."""
_AT_ONCE = 50
"""Resamples that a registered metric is asked for at once."""


@dataclass(frozen=True, eq=False)
class CellTask:
    """What evaluating one cell needs. `to_judged` gives for each label index of the model the index in `judged`, or
    None; `truth` holds only judged classes, by that index. What only `screens` is evaluated no further than its primary
    metric."""

    cell: Cell
    truth: Shared[Mapping[int, Any]]
    judged: tuple[str, ...]
    to_judged: tuple[int | None, ...]
    label_offset: int
    task: str
    predictions: tuple[ImagePrediction, ...] | Stored = ()
    seed: int = 0
    evaluation: Evaluation = field(default_factory=Evaluation)
    screens: bool = False
    is_labelled: bool = True
    point: PointChoice | OperatingPoint | None = None
    alike: float = 0.0
    """The share of the images that is drawn together, since consecutive ones are alike; 0: each is drawn alone."""
    times: Mapping[int, float] = field(default_factory=dict)
    """By image id the seconds of a frame after the first of its clip, where objects have tracks."""

    def with_predictions(self) -> CellTask:
        """The same with the predictions themselves, for who cannot see where they are stored."""
        stored = self.predictions
        return replace(self, predictions=tuple(stored.load())) if isinstance(stored, Stored) else self


@dataclass(frozen=True, eq=False)
class Said:
    """What a cell's model said of each image that could be read: its id and the task's prediction, read anew whenever
    it is gone through."""

    task: str
    predictions: tuple[ImagePrediction, ...] | Stored
    to_judged: tuple[int | None, ...]
    label_offset: int

    @classmethod
    def of(cls, given: CellTask) -> Said:
        """That of a cell."""
        return cls(given.task, given.predictions, given.to_judged, given.label_offset)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return ((item.image_id, found) for item, found, _ in self.each() if not item.error)

    def each(self) -> Iterator[tuple[ImagePrediction, Any, int]]:
        """What is stored of each image, the prediction (None where there is an error), and how many others were
        dropped.

        Raises:
            StoreError: a unit is missing or damaged.
        """
        task = task_of(self.task)
        table = np.array([-1 if index is None else index for index in self.to_judged] or [-1], dtype=np.int64)
        for item in self.predictions.load() if isinstance(self.predictions, Stored) else self.predictions:
            if item.error:
                yield item, None, 0
            else:
                yield item, *task.to_prediction(item.values, table, self.label_offset)


def judged_truth(task: str, dataset: Dataset, judged: Sequence[str]) -> Shared[Mapping[int, Any]]:
    """The truth of the judged classes, by their index, as all cells of a data set share it."""
    if not dataset.is_labelled:
        return Shared(dict.fromkeys(dataset.truth))
    places = {dataset.categories.index(category): index for index, category in enumerate(judged)}
    restrict = task_of(task).restrict
    return Shared({image_id: restrict(found, places) for image_id, found in dataset.truth.items()})


def cell_task(
    cell: Cell, spec: ModelSpec, dataset: Dataset, match: ClassMatch, truth: Shared[Mapping[int, Any]]
) -> CellTask:
    """What evaluating a cell of a model on a data set needs, but for its predictions."""
    categories = dataset.categories if dataset.is_labelled else match.judged
    judged = {categories.index(category): index for index, category in enumerate(match.judged)}
    offset: Any = spec.decoder_options.get("label_offset", 0)
    return CellTask(
        cell=cell,
        truth=truth,
        judged=match.judged,
        to_judged=tuple(None if category is None else judged[category] for category in match.to_category),
        label_offset=int(offset),
        task=spec.task,
        is_labelled=dataset.is_labelled,
        times=dataset.times,
        alike=0.0 if dataset.block == 1 else dataset.block / len(dataset.images),
    )


def task_of(name: str) -> Task:
    """Return the task of this name.

    Raises:
        InputError: it is not registered.
    """
    found: Task = extensions.resolve("tasks", name)
    return found


def registered_metrics(task: str) -> list[Metric]:
    """The metrics of a task that extensions add."""
    found = [extensions.resolve("metrics", name) for name in extensions.names("metrics")]
    return [metric for metric in found if metric.task == task]


def point_of(points: Mapping[str, OperatingPoint], cell: Cell) -> OperatingPoint | None:
    """The point that a cell is held at; None where its family has none, or where nothing could be chosen."""
    point = points.get(cell.model)
    return point if point is not None and point.reason is None else None


def evaluation_at(evaluation: Evaluation, choice: PointChoice | OperatingPoint | None) -> Evaluation:
    """What detections are evaluated by, so that they are matched at the operating point too."""
    return evaluation if choice is None else evaluation.at_point(choice.iou)


def evaluate_cell(given: CellTask) -> CellEvaluation:
    """Evaluate one cell; one model's or scenario's failure on any image fails it, an unreadable image is only
    counted."""
    task, every = task_of(given.task), given.truth.get()
    try:
        said = _gathered(given, task, every)
    except StoreError as error:
        return _failed(given, task, {}, str(error))
    missing = every.keys() - said.images
    if said.fatal or missing:
        told = said.fatal[0].error if said.fatal else f"{len(missing)} images were not measured"
        on = f" (on {len(said.fatal)} of {said.count} images, first {said.fatal[0].image_id})" if said.fatal else ""
        return _failed(given, task, {"failed_images": len(said.fatal) or len(missing)}, f"{told}{on}")
    unreadable = said.unreadable
    truth = {image_id: found for image_id, found in every.items() if image_id not in unreadable}
    counts = {"failed_images": len(unreadable), "images_of_other_size": said.other_size}
    if 2 * len(truth) < len(every) or not truth:
        reason = next(iter(unreadable.values()), "")
        return _failed(
            given,
            task,
            counts,
            f"only {len(truth)} of {len(every)} images could be read; the first failed with {reason}",
            unreadable,
        )
    judged = _judged(given, task, truth, said)
    evaluate = task.evaluate if given.is_labelled else task.evaluate_alone
    if evaluate is None:
        return _failed(given, task, counts, f"without truth nothing can be told of {task.name}")
    found = evaluate(judged)
    counts |= found.counts
    if found.error is not None:
        return _failed(given, task, counts, found.error)
    registered = "" if given.screens or not given.is_labelled else given.task
    metrics, samples = _with_registered(registered, judged, found)
    result = _result(given.cell, task, judged, found, metrics, counts)
    return CellEvaluation(
        result,
        samples,
        fixed=found.fixed,
        stored=found.stored,
        means=found.means,
        images=tuple(truth) if found.means else (),
        invoke_ms=float(np.median(said.times_ms)) if said.times_ms else None,
        kept=found.kept,
        unreadable=unreadable,
        counted=found.counted.forgotten() if found.counted is not None else None,
        point=found.point,
    )


def _result(
    cell: Cell, task: Task, judged: Judged, found: Evaluated, metrics: Sequence[MetricValue], counts: Mapping[str, int]
) -> CellResult:
    """What a cell came to."""
    return CellResult.of(
        cell,
        status="ok",
        images=len(judged.truth) if found.images is None else found.images,
        judged_by=task.primary,
        metrics={value.name: value for value in metrics},
        counts=counts,
        blocks=judged.blocks,
        confused=found.confused,
        ties=found.ties,
        moved=found.moved,
        errors=found.errors,
    )


def marked_cell(given: CellTask, only: Collection[int] | None = None) -> Mapping[int, Marked]:
    """What is true and what is said of each image of a cell that was evaluated, or of `only` these, by its id; nothing
    where its task cannot show that, or has no truth.

    Raises:
        StoreError: a unit is missing or damaged.
    """
    task, every = task_of(given.task), given.truth.get()
    if task.marked is None or not given.is_labelled:
        return {}
    asked = every if only is None else {image_id: every[image_id] for image_id in every if image_id in only}
    said = _gathered(given, task, asked)
    truth = {image_id: found for image_id, found in asked.items() if image_id not in said.unreadable}
    return task.marked(_judged(given, task, truth, said)) if truth else {}


@dataclass
class _Gathered:
    """What was said of all images, gathered in one pass, so that nothing is held twice."""

    predictions: Any
    images: set[int] = field(default_factory=set)
    count: int = 0
    fatal: list[ImagePrediction] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)
    other_size: int = 0
    times_ms: list[float] = field(default_factory=list)
    dropped: int = 0


def _gathered(given: CellTask, task: Task, every: Mapping[int, Any]) -> _Gathered:
    """Read the predictions of a cell.

    Raises:
        StoreError: a unit is missing or damaged.
    """
    said = _Gathered(task.gathers())
    for item, found, dropped in Said.of(given).each():
        said.images.add(item.image_id)
        said.count += 1
        said.other_size += item.scope == "size"
        if item.invoke_ms is not None:
            said.times_ms.append(item.invoke_ms)
        if item.scope == "image":
            said.unreadable[item.image_id] = item.error or ""
        elif item.error:
            said.fatal.append(item)
        elif item.image_id in every:
            said.predictions[item.image_id] = found
            said.dropped += dropped
    return said


def _judged(given: CellTask, task: Task, truth: Mapping[int, Any], said: _Gathered) -> Judged:
    """Truth and predictions of the images that could be read; one that could not is left out of the resamples that drew
    it."""
    every = given.truth.get()
    positions = [position for position, image_id in enumerate(every) if image_id in truth]
    seen = Seen(np.array(positions, dtype=np.int64), len(every), given.seed, max(1, round(given.alike * len(every))))
    return Judged(
        given.judged,
        truth,
        said.predictions,
        seen.weights,
        dropped=said.dropped,
        orders=given.cell.is_declared and not given.screens,
        evaluation=given.evaluation,
        prepared=_prepared(given, task, truth) if given.is_labelled else None,
        screens=given.screens,
        read_again=Said.of(given),
        cell=given.cell,
        seen=seen,
        point=given.point,
        frames=_frames(list(truth), given.times) if given.times else None,
    )


def _frames(numbers: Sequence[int], times: Mapping[int, float]) -> Frames:
    """How frames of such numbers follow each other, in a clip of which every so many were looked at."""
    every, seconds = np.array(sorted(times)), np.array([times[number] for number in sorted(times)])
    step = np.diff(every).min(initial=np.iinfo(np.int64).max)
    usual = np.diff(seconds)[np.diff(every) == step]
    follows = np.diff(numbers, prepend=numbers[0]) == step
    mine = np.array([times[number] for number in numbers])
    return Frames(mine, follows, float(np.median(usual)) if len(usual) else 0.0)


_ready: dict[tuple[str, ...], Any] = {}


def _prepared(given: CellTask, task: Task, truth: Mapping[int, Any]) -> Any:
    """What a task makes of the truth of these images before anything is said of them, once in this process."""
    key = (given.truth.key, given.task, digest(sorted(truth), given.judged, repr(given.evaluation)))
    if key not in _ready:
        while len(_ready) >= _KEPT:
            del _ready[next(iter(_ready))]
        _ready[key] = task.prepare(truth, given.judged, given.evaluation)
    return _ready[key]


def _with_registered(
    task: str, judged: Judged, found: Evaluated
) -> tuple[Sequence[MetricValue], Mapping[str, NDArray[np.float64]]]:
    """The task's own metrics and samples, and those of registered ones."""
    metrics, samples = list(found.metrics), dict(found.samples)
    for metric in registered_metrics(task):
        value, resampled = measured_metric(metric, judged)
        metrics.append(value)
        samples[metric.name] = resampled
    return metrics, samples


def measured_metric(metric: Metric, judged: Judged) -> tuple[MetricValue, NDArray[np.float64]]:
    """Compute a registered metric with its interval, and its value on every resample: (R,), NaN where it is
    undefined."""
    images, truth = list(judged.truth), judged.truth
    rows = {i: metric.per_image(truth[i], found, judged.categories) for i, found in judged.again()}
    statistics = np.array([rows[i] for i in images], dtype=np.float64)
    (value,) = metric.reduce(statistics, np.ones((1, len(images))))
    starts = range(0, len(judged.weights), _AT_ONCE)
    parts = (judged.weights[start : start + _AT_ONCE].astype(np.float64) for start in starts)
    samples = np.concatenate([np.asarray(metric.reduce(statistics, part), dtype=np.float64) for part in parts])
    if not np.isfinite(value):
        reason = "it is undefined on these images"
        return MetricValue(metric.name, None, reason=reason, images=len(images)), samples
    return (
        MetricValue(
            metric.name,
            float(value),
            interval=expanded(samples[:, np.newaxis], images=judged.independent)[0],
            higher_is_better=metric.higher_is_better,
            images=len(images),
        ),
        samples,
    )


def _failed(
    given: CellTask, task: Task, counts: Mapping[str, int], error: str, unreadable: Mapping[int, str] | None = None
) -> CellEvaluation:
    return CellEvaluation(
        CellResult.of(
            given.cell,
            status="failed",
            images=0,
            judged_by=task.primary,
            counts=dict(counts),
            error=error,
            cause="evaluating",
        ),
        unreadable=unreadable or {},
    )
