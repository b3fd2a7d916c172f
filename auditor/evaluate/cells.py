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
from auditor.evaluate.coco import CocoEvaluation, evaluate_coco
from auditor.store import ImagePrediction
from auditor.values import Cell, CellResult, Detections, GroundTruth, MetricValue

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


@dataclass(frozen=True, eq=False)
class CellEvaluation:
    """A cell's result, and its AP on every resample of the images (empty where it has none): the same resamples for every
    cell of a data set, so that differences of two cells are paired. `invoke_ms` is the median time of an invocation."""

    result: CellResult
    samples: NDArray[np.float64]
    invoke_ms: float | None = None


def evaluate_cell(task: CellTask) -> CellEvaluation:
    """Evaluate one cell; one model's or scenario's failure on any image fails it, an unreadable image is only counted."""
    fatal = [item for item in task.predictions if item.error and item.scope != "image"]
    unreadable = {item.image_id for item in task.predictions if item.scope == "image"}
    missing = task.truth.keys() - {item.image_id for item in task.predictions}
    if fatal or missing:
        error = fatal[0].error if fatal else f"{len(missing)} images were not measured"
        on = f" (on {len(fatal)} of {len(task.predictions)} images, first {fatal[0].image_id})" if fatal else ""
        return _failed(task.cell, {"failed_images": len(fatal) or len(missing)}, f"{error}{on}")
    truth = {image_id: found for image_id, found in task.truth.items() if image_id not in unreadable}
    counts = {"failed_images": len(unreadable), "dropped_predictions": 0, "detections": 0}
    counts["images_of_other_size"] = sum(item.scope == "size" for item in task.predictions)
    if 2 * len(truth) < len(task.truth) or not truth:
        reason = next((item.error for item in task.predictions if item.scope == "image"), "")
        return _failed(task.cell, counts, f"only {len(truth)} of {len(task.truth)} images could be read; the first failed with {reason}")
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
    times = [item.invoke_ms for item in task.predictions if item.invoke_ms is not None]
    result = CellResult(task.cell, "ok", images=len(truth), metrics=metrics, counts=counts)
    return CellEvaluation(result, samples, float(np.median(times)) if times else None)


def _samples(task: CellTask, truth: Mapping[int, GroundTruth], evaluation: CocoEvaluation) -> NDArray[np.float64]:
    """AP on each resample; an image that could not be read is left out of the resamples that drew it."""
    weights = draw_weights(len(task.truth), seed=task.seed)
    present = [position for position, image_id in enumerate(sorted(task.truth)) if image_id in truth]
    return resampled_ap(evaluation.matches, weights[:, present])


def _failed(cell: Cell, counts: Mapping[str, int], error: str) -> CellEvaluation:
    return CellEvaluation(CellResult(cell, "failed", images=0, counts=counts, error=error), np.zeros(0))


def _judged(item: ImagePrediction, task: CellTask) -> tuple[Detections, int]:
    """The detections of judged classes with their judged labels, and how many others were dropped."""
    table = np.array([-1 if index is None else index for index in task.to_judged] or [-1], dtype=np.int64)
    lines = item.labels + task.label_offset
    inside = (lines >= 0) & (lines < len(table))
    labels = np.where(inside, table[np.where(inside, lines, 0)], -1)
    keep = labels >= 0
    return Detections(item.boxes[keep], item.scores[keep], labels[keep]), int((~keep).sum())


def restrict_truth(truth: Mapping[int, GroundTruth], judged: Mapping[int, int]) -> dict[int, GroundTruth]:
    """Keep the true objects whose label is a key of `judged`, under the label it maps to."""
    kept = {}
    for image_id, found in truth.items():
        keep = np.isin(found.labels, list(judged))
        fields: dict[str, Any] = {name: getattr(found, name)[keep] for name in ("boxes", "area", "iscrowd")}
        labels = np.array([judged[int(label)] for label in found.labels[keep]], dtype=np.int64)
        kept[image_id] = dataclasses.replace(found, labels=labels, **fields)
    return kept
