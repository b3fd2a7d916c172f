"""One cell: from the truth and the predictions of its images to its metrics and counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.evaluate.bootstrap import draw_weights, interval, resampled_ap
from auditor.evaluate.classification import evaluate_classes, resampled_top1
from auditor.evaluate.coco import CocoEvaluation, evaluate_coco
from auditor.store import ImagePrediction
from auditor.values import CLEAN, Cell, CellResult, Detections, GroundTruth, MetricValue

__all__ = ["CellEvaluation", "CellTask", "Metric", "evaluate_cell", "restrict_truth"]


class Metric(Protocol):
    """The extension point `auditor.metrics`: one metric, or several, of one cell's detections."""

    def __call__(
        self, truth: Mapping[int, GroundTruth], predictions: Mapping[int, Detections], categories: tuple[str, ...]
    ) -> MetricValue | Iterable[MetricValue]:
        """Judge `predictions` against `truth`, both by image id, labels of both indexing `categories`."""


@dataclass(frozen=True)
class CellTask:
    """What evaluating one cell needs. `to_judged` gives for each label index of the model the index in `judged`, or
    None; `truth` holds only judged classes, by that index."""

    cell: Cell
    truth: Mapping[int, GroundTruth]
    judged: tuple[str, ...]
    to_judged: tuple[int | None, ...]
    label_offset: int
    predictions: tuple[ImagePrediction, ...]
    seed: int = 0
    task: str = "detection"


@dataclass(frozen=True, eq=False)
class CellEvaluation:
    """A cell's result, and its AP (or top1) on every resample of the images (empty where it has none): the same
    resamples for every cell of a data set, so that differences of two cells are paired. `invoke_ms` is the median time
    of an invocation; `correct` is, of a classifier, which images it has right; `detections` are kept of clean cells, to
    be compared."""

    result: CellResult
    samples: NDArray[np.float64]
    invoke_ms: float | None = None
    correct: NDArray[np.bool_] | None = None
    detections: Mapping[int, Detections] | None = None


def evaluate_cell(task: CellTask) -> CellEvaluation:
    """Evaluate one cell; one model's or scenario's failure on any image fails it, an unreadable image is only
    counted."""
    fatal = [item for item in task.predictions if item.error and item.scope != "image"]
    unreadable = {item.image_id for item in task.predictions if item.scope == "image"}
    missing = task.truth.keys() - {item.image_id for item in task.predictions}
    if fatal or missing:
        error = fatal[0].error if fatal else f"{len(missing)} images were not measured"
        on = f" (on {len(fatal)} of {len(task.predictions)} images, first {fatal[0].image_id})" if fatal else ""
        return _failed(task.cell, {"failed_images": len(fatal) or len(missing)}, f"{error}{on}")
    truth = {image_id: found for image_id, found in task.truth.items() if image_id not in unreadable}
    counts = {
        "failed_images": len(unreadable),
        "images_of_other_size": sum(item.scope == "size" for item in task.predictions),
    }
    if 2 * len(truth) < len(task.truth) or not truth:
        reason = next((item.error for item in task.predictions if item.scope == "image"), "")
        return _failed(
            task.cell,
            counts,
            f"only {len(truth)} of {len(task.truth)} images could be read; the first failed with {reason}",
        )
    times = [item.invoke_ms for item in task.predictions if item.invoke_ms is not None]
    invoke_ms = float(np.median(times)) if times else None
    evaluate = _evaluate_classes if task.task == "classification" else _evaluate_detections
    return dataclasses.replace(evaluate(task, truth, counts), invoke_ms=invoke_ms)


def _evaluate_classes(task: CellTask, truth: Mapping[int, GroundTruth], counts: dict[str, int]) -> CellEvaluation:
    """Judge the scores of every image whose true class the model knows."""
    by_image = {item.image_id: item for item in task.predictions}
    images = [image_id for image_id in sorted(truth) if len(truth[image_id].labels)]
    counts["images_of_classes_not_judged"] = len(truth) - len(images)
    if not images:
        return _failed(task.cell, counts, "no image is of a class that the model knows")
    scores = np.stack([by_image[image_id].scores for image_id in images])
    table = _label_table(task)
    lines = np.arange(scores.shape[1]) + task.label_offset
    to_judged = np.where((lines >= 0) & (lines < len(table)), table[np.clip(lines, 0, len(table) - 1)], -1)
    labels = np.array([truth[image_id].labels[0] for image_id in images])
    weights = draw_weights(len(task.truth), seed=task.seed)
    present = [position for position, image_id in enumerate(sorted(task.truth)) if image_id in set(images)]
    evaluation = evaluate_classes(scores, labels, to_judged, task.judged, weights[:, present])
    result = CellResult(
        task.cell,
        "ok",
        images=len(images),
        metrics={value.name: value for value in evaluation.metrics},
        counts=counts,
        details={"confused": list(evaluation.confused)},
    )
    return CellEvaluation(result, resampled_top1(evaluation.correct, weights[:, present]), correct=evaluation.correct)


def _evaluate_detections(task: CellTask, truth: Mapping[int, GroundTruth], counts: dict[str, int]) -> CellEvaluation:
    counts |= {"dropped_predictions": 0, "detections": 0}
    predictions = {}
    for item in task.predictions:
        if item.image_id in truth:
            predictions[item.image_id], dropped = _judged(item, task)
            counts["dropped_predictions"] += dropped
            counts["detections"] += len(predictions[item.image_id].scores)
    counts["truth_boxes"] = sum(len(found.labels) for found in truth.values())
    counts["images_without_truth"] = sum(len(found.labels) == 0 for found in truth.values())
    evaluation = evaluate_coco(truth, predictions, task.judged)
    metrics = {value.name: value for value in evaluation.metrics()}
    for name in extensions.names("metrics"):
        if extensions.table("metrics")[name] == extensions.BUILT_IN["metrics"].get(name):
            continue  # COCO's, which are there already
        values = extensions.resolve("metrics", name)(truth, predictions, task.judged)
        metrics |= {value.name: value for value in ([values] if isinstance(values, MetricValue) else values)}
    samples = _samples(task, truth, evaluation)
    metrics["AP"] = dataclasses.replace(metrics["AP"], interval=interval(samples))
    kept = predictions if task.cell.scenario == CLEAN and task.cell.input == "declared" else None
    return CellEvaluation(
        CellResult(task.cell, "ok", images=len(truth), metrics=metrics, counts=counts), samples, detections=kept
    )


def _samples(task: CellTask, truth: Mapping[int, GroundTruth], evaluation: CocoEvaluation) -> NDArray[np.float64]:
    """AP on each resample; an image that could not be read is left out of the resamples that drew it."""
    weights = draw_weights(len(task.truth), seed=task.seed)
    present = [position for position, image_id in enumerate(sorted(task.truth)) if image_id in truth]
    return resampled_ap(evaluation.matches, weights[:, present])


def _failed(cell: Cell, counts: Mapping[str, int], error: str) -> CellEvaluation:
    return CellEvaluation(CellResult(cell, "failed", images=0, counts=counts, error=error), np.zeros(0))


def _judged(item: ImagePrediction, task: CellTask) -> tuple[Detections, int]:
    """The detections of judged classes with their judged labels, and how many others were dropped."""
    table = _label_table(task)
    lines = item.labels + task.label_offset
    inside = (lines >= 0) & (lines < len(table))
    labels = np.where(inside, table[np.where(inside, lines, 0)], -1)
    keep = labels >= 0
    return Detections(item.boxes[keep], item.scores[keep], labels[keep]), int((~keep).sum())


def _label_table(task: CellTask) -> NDArray[np.int64]:
    """The judged index of each line of the model's labels, -1 where it has none."""
    return np.array([-1 if index is None else index for index in task.to_judged] or [-1], dtype=np.int64)


def restrict_truth(truth: Mapping[int, GroundTruth], judged: Mapping[int, int]) -> dict[int, GroundTruth]:
    """Keep the true objects whose label is a key of `judged`, under the label it maps to."""
    kept = {}
    for image_id, found in truth.items():
        keep = np.isin(found.labels, list(judged))
        fields: dict[str, Any] = {name: getattr(found, name)[keep] for name in ("boxes", "area", "iscrowd")}
        labels = np.array([judged[int(label)] for label in found.labels[keep]], dtype=np.int64)
        kept[image_id] = dataclasses.replace(found, labels=labels, **fields)
    return kept
