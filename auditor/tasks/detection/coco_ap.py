"""COCO average precision and recall by pycocotools, the AP of record.

Source: https://cocodataset.org/#detection-eval; pycocotools.cocoeval.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.datasets.shared_classes import normal_name
from auditor.tasks.detection.resampling import ClassMatches
from auditor.values import COCO_LIMITS, Detections, Evaluation, GroundTruth, MetricValue, iou_metric

__all__ = ["ABOUT", "NAMES", "CocoEvaluation", "evaluate_coco", "per_class"]

ABOUT = {
    "AP": "COCO average precision, the mean over IoU 0.50 to 0.95 and classes",
    "AP50": "AP at IoU 0.50",
    "AP75": "AP at IoU 0.75",
    "AP_small": "AP of objects under 32 × 32 pixels",
    "AP_medium": "AP of objects from 32 × 32 to 96 × 96 pixels",
    "AP_large": "AP of larger objects",
    "AR1": "average recall with one detection an image",
    "AR10": "average recall with 10 detections an image",
    "AR100": "average recall with 100 detections an image",
    "AR_small": "AR100 of objects under 32 × 32 pixels",
    "AR_medium": "AR100 of objects from 32 × 32 to 96 × 96 pixels",
    "AR_large": "AR100 of larger objects",
}
"""COCO's twelve metrics. Source: https://cocodataset.org/#detection-eval."""
NAMES = tuple(ABOUT)

_CLASSES_AT_ONCE = 8  # pycocotools keeps a record per image, class and area: this bounds its memory
_THRESHOLDS = 10
"""COCO's IoU thresholds, 0.50 to 0.95, the first that are evaluated."""
_AREAS = {"": 0, "_small": 1, "_medium": 2, "_large": 3}


@dataclass(frozen=True, eq=False)
class CocoEvaluation:
    """What pycocotools found: `precision` (IoUs, recalls, classes, areas, limits), `recall` (IoUs, classes, areas,
    limits), and for each class how its detections of all sizes were matched."""

    images: int
    categories: tuple[str, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    matches: tuple[ClassMatches, ...]
    evaluation: Evaluation = field(default_factory=Evaluation)
    at_iou: Mapping[float, tuple[ClassMatches, ...]] = field(default_factory=dict)
    """How detections were matched at each IoU that is evaluated beside COCO's."""

    def metrics(self) -> list[MetricValue]:
        """COCO's twelve metrics, and `AP/<class>` for each class; over no true object a metric is None."""
        precision, recall = self.precision[:_THRESHOLDS], self.recall[:_THRESHOLDS]
        one, ten, hundred = (_limits(self.evaluation).index(most) for most in COCO_LIMITS)
        values = {"AP50": precision[0, :, :, 0, hundred], "AP75": precision[5, :, :, 0, hundred]}
        for suffix, area in _AREAS.items():
            values[f"AP{suffix}"] = precision[:, :, :, area, hundred]
            values[f"AR{suffix or '100'}"] = recall[:, :, area, hundred]
        values |= {"AR1": recall[:, :, 0, one], "AR10": recall[:, :, 0, ten]}
        metrics = [_metric(name, values[name], self.images) for name in NAMES]
        metrics += [_metric(name, value, self.images) for name, value in self._added().items()]
        of_classes = [precision[:, :, index, 0, hundred] for index in range(len(self.categories))]
        return metrics + [
            _metric(per_class(name), value, self.images)
            for name, value in zip(self.categories, of_classes, strict=True)
        ]

    def _added(self) -> dict[str, NDArray[np.float64]]:
        """The values that the metrics beside COCO's average."""
        asked, limits, found = self.evaluation, _limits(self.evaluation), {}
        hundred = limits.index(COCO_LIMITS[-1])
        for index, iou in enumerate(asked.iou, start=_THRESHOLDS):
            found[iou_metric(iou)] = self.precision[index, :, :, 0, hundred]
        precision, recall = self.precision[:_THRESHOLDS], self.recall[:_THRESHOLDS]
        for index, most in enumerate(limits):
            if most not in COCO_LIMITS:
                found[f"AP@max{most}"] = precision[:, :, :, 0, index]
                found[f"AR{most}"] = recall[:, :, 0, index]
        for index, name in enumerate(asked.areas, start=len(_AREAS)):
            found[f"AP_{name}"] = precision[:, :, :, index, hundred]
            found[f"AR_{name}"] = recall[:, :, index, hundred]
        return found


def _limits(asked: Evaluation) -> list[int]:
    """The limits of detections of an image, in the order that pycocotools brings them into."""
    return sorted({*COCO_LIMITS, *asked.max_detections})


def evaluate_coco(
    truth: Mapping[int, GroundTruth],
    predictions: Mapping[int, Detections],
    categories: Sequence[str],
    asked: Evaluation = Evaluation(),  # noqa: B008 (it is frozen)
) -> CocoEvaluation:
    """Evaluate with pycocotools: averages over IoU 0.50 to 0.95, at most 100 detections an image and class.

    `truth` and `predictions` are by image id over the same images, `labels` of both index `categories`. Equal scores of
    different images are ranked in the order of `truth`; the classes stand in the result in the order of their names.
    What is `asked` beside COCO's metrics changes none of these.

    Raises:
        ValueError: truth and predictions are not of the same images.
    """
    if truth.keys() != predictions.keys():
        raise ValueError(f"expected predictions for the {len(truth)} images of the truth but got {len(predictions)}")
    from pycocotools.cocoeval import COCOeval

    images = list(range(1, len(truth) + 1))
    by_name = sorted(range(len(categories)), key=lambda label: (normal_name(categories[label]), categories[label]))
    place = np.argsort(by_name)
    classes = len(categories)
    true_boxes = _annotations(list(truth.values()), place)
    found_boxes = _annotations([predictions[image_id] for image_id in truth], place)
    precisions, recalls, matches = [], [], []
    at_iou: dict[float, list[ClassMatches]] = {iou: [] for iou in asked.iou}
    for start in range(0, classes, _CLASSES_AT_ONCE):
        chunk = range(start, min(start + _CLASSES_AT_ONCE, classes))
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
            evaluation = COCOeval(_coco(true_boxes, images, chunk), _coco(found_boxes, images, chunk), "bbox")
            evaluation.params.imgIds = images
            evaluation.params.catIds = [label + 1 for label in chunk]
            _extend(evaluation.params, asked)
            evaluation.evaluate()
            evaluation.accumulate()
        precisions.append(evaluation.eval["precision"])
        recalls.append(evaluation.eval["recall"])
        for position in range(len(chunk)):
            found = _matches(evaluation, position, len(images))
            matches.append(_at(found, slice(0, _THRESHOLDS)))
            for index, iou in enumerate(asked.iou, start=_THRESHOLDS):
                at_iou[iou].append(_at(found, slice(index, index + 1)))
    return CocoEvaluation(
        len(images),
        tuple(categories[label] for label in by_name),
        np.concatenate(precisions, axis=2),
        np.concatenate(recalls, axis=1),
        tuple(matches),
        asked,
        {iou: tuple(found) for iou, found in at_iou.items()},
    )


def _extend(params: Any, asked: Evaluation) -> None:
    """Let pycocotools find what is asked beside COCO's own, behind it."""
    params.iouThrs = np.array([*params.iouThrs, *asked.iou])
    params.areaRng = [*params.areaRng, *(list(limits) for limits in asked.areas.values())]
    params.areaRngLbl = [*params.areaRngLbl, *asked.areas]
    params.maxDets = _limits(asked)


def _at(found: ClassMatches, thresholds: slice) -> ClassMatches:
    """The matching at some of the thresholds."""
    return dataclasses.replace(found, hit=found.hit[thresholds], ignored=found.ignored[thresholds])


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


def _matches(evaluation: Any, position: int, images: int) -> ClassMatches:
    """The matching of one class over all sizes, from pycocotools' records by class, area and image."""
    areas = len(evaluation.params.areaRng)
    records = evaluation.evalImgs[position * areas * images : position * areas * images + images]
    thresholds = len(evaluation.params.iouThrs)
    image, score = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    hit, ignored = [np.zeros((thresholds, 0), dtype=bool)], [np.zeros((thresholds, 0), dtype=bool)]
    truths = np.zeros(images, dtype=np.int64)
    for index, record in enumerate(records):
        if record is None:
            continue
        truths[index] = int((np.asarray(record["gtIgnore"]) == 0).sum())
        count = min(len(record["dtScores"]), COCO_LIMITS[-1])
        if count:
            image.append(np.full(count, index, dtype=np.int64))
            score.append(np.asarray(record["dtScores"][:count], dtype=np.float64))
            hit.append(np.asarray(record["dtMatches"])[:, :count] > 0)
            ignored.append(np.asarray(record["dtIgnore"])[:, :count].astype(bool))
    return ClassMatches(
        np.concatenate(image),
        np.concatenate(score),
        np.concatenate(hit, axis=1),
        np.concatenate(ignored, axis=1),
        truths,
    )


def _annotations(objects: Sequence[GroundTruth | Detections], place: NDArray[np.int64]) -> list[list[dict[str, Any]]]:
    """The objects of each class as COCO annotations, image by image, numbered from 1, and then in their own order;
    `place` says where each label stands."""
    by_class: list[list[dict[str, Any]]] = [[] for _ in place]
    for image_id, found in enumerate(objects, start=1):
        boxes = to_xywh(found.boxes)
        if isinstance(found, Detections):
            areas, crowds, scores = (boxes[:, 2] * boxes[:, 3]).tolist(), [0] * len(boxes), found.scores.tolist()
        else:
            areas, crowds, scores = found.area.tolist(), found.iscrowd.astype(int).tolist(), [1.0] * len(boxes)
        for box, label, area, crowd, score in zip(
            boxes.tolist(), place[found.labels].tolist(), areas, crowds, scores, strict=True
        ):
            by_class[label].append(
                {
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": crowd,
                    "score": score,
                }
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
