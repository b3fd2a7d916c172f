"""COCO average precision and recall by pycocotools, the AP of record.

Source: https://cocodataset.org/#detection-eval; pycocotools.cocoeval.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.values import Detections, GroundTruth, MetricValue

__all__ = ["NAMES", "coco_metrics", "per_class"]

NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")

_CLASSES_AT_ONCE = 8  # pycocotools keeps a record per image, class and area: this bounds its memory
_AREAS = {"": 0, "_small": 1, "_medium": 2, "_large": 3}


def coco_metrics(truth: Mapping[int, GroundTruth], predictions: Mapping[int, Detections], categories: Sequence[str]) -> list[MetricValue]:
    """Return COCO's twelve metrics, and `AP/<class>` for each class.

    `truth` and `predictions` are by image id over the same images, `labels` of both index `categories`. A metric over
    no true object is None. Averages over IoU 0.50 to 0.95, at most 100 detections an image and class.

    Raises:
        ValueError: truth and predictions are not of the same images.
    """
    if truth.keys() != predictions.keys():
        raise ValueError(f"expected predictions for the {len(truth)} images of the truth but got {len(predictions)}")
    precision, recall = _evaluated(truth, predictions, len(categories))
    values = {"AP50": precision[0, :, :, 0, 2], "AP75": precision[5, :, :, 0, 2]}
    for suffix, area in _AREAS.items():
        values[f"AP{suffix}"] = precision[:, :, :, area, 2]
        values[f"AR{suffix or '100'}"] = recall[:, :, area, 2]
    values |= {"AR1": recall[:, :, 0, 0], "AR10": recall[:, :, 0, 1]}
    metrics = [_metric(name, values[name], len(truth)) for name in NAMES]
    return metrics + [_metric(per_class(name), precision[:, :, index, 0, 2], len(truth)) for index, name in enumerate(categories)]


def per_class(category: str) -> str:
    """Name the AP of one class.

    >>> per_class("person")
    'AP/person'
    """
    return f"AP/{category}"


def _metric(name: str, values: NDArray[np.float64], images: int) -> MetricValue:
    """Average as pycocotools' summarize does: -1 marks what is absent."""
    present = values[values > -1]
    if present.size == 0:
        return MetricValue(name, None, reason="no true object counts here", images=images)
    return MetricValue(name, float(np.mean(present)), images=images)


def _evaluated(
    truth: Mapping[int, GroundTruth], predictions: Mapping[int, Detections], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision (IoUs, recalls, classes, areas, limits) and recall (IoUs, classes, areas, limits)."""
    from pycocotools.cocoeval import COCOeval

    images = sorted(truth)
    true_boxes, found_boxes = _annotations(truth, classes), _annotations(predictions, classes)
    precisions, recalls = [], []
    for start in range(0, classes, _CLASSES_AT_ONCE):
        chunk = range(start, min(start + _CLASSES_AT_ONCE, classes))
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
            evaluation = COCOeval(_coco(true_boxes, images, chunk), _coco(found_boxes, images, chunk), "bbox")
            evaluation.params.imgIds = images
            evaluation.params.catIds = [label + 1 for label in chunk]
            evaluation.evaluate()
            evaluation.accumulate()
        precisions.append(evaluation.eval["precision"])
        recalls.append(evaluation.eval["recall"])
    return np.concatenate(precisions, axis=2), np.concatenate(recalls, axis=1)


def _annotations(objects: Mapping[int, GroundTruth] | Mapping[int, Detections], classes: int) -> list[list[dict[str, Any]]]:
    """The objects of each class as COCO annotations, by image id and then in their own order."""
    by_class: list[list[dict[str, Any]]] = [[] for _ in range(classes)]
    for image_id in sorted(objects):
        found = objects[image_id]
        boxes = to_xywh(found.boxes)
        if isinstance(found, Detections):
            areas, crowds, scores = (boxes[:, 2] * boxes[:, 3]).tolist(), [0] * len(boxes), found.scores.tolist()
        else:
            areas, crowds, scores = found.area.tolist(), found.iscrowd.astype(int).tolist(), [1.0] * len(boxes)
        for box, label, area, crowd, score in zip(boxes.tolist(), found.labels.tolist(), areas, crowds, scores, strict=True):
            by_class[label].append(
                {"image_id": image_id, "category_id": label + 1, "bbox": box, "area": area, "iscrowd": crowd, "score": score}
            )
    return by_class


def _coco(by_class: Sequence[Sequence[dict[str, Any]]], images: Sequence[int], labels: range) -> Any:
    """A pycocotools data set of a few classes; annotation ids start at 1, since 0 means unmatched."""
    from pycocotools.coco import COCO

    annotations = [annotation for label in labels for annotation in by_class[label]]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in images],
        "annotations": annotations,
        "categories": [{"id": label + 1, "name": str(label)} for label in labels],
    }
    coco.createIndex()
    return coco
