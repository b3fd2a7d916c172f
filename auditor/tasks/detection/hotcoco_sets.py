"""Truth and detections as hotcoco takes them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.tasks.detection.coco_truth import CocoTruth
from auditor.tasks.detection.columns import Table

__all__ = ["detections_table", "evaluated", "truth_set"]


@functools.lru_cache(maxsize=4)
def truth_set(known: CocoTruth, labels: tuple[int, ...]) -> tuple[Any, int]:
    """The truth of some classes, and of how many of them a true object counts. An image's number is one more than its
    position, whose order ties go by; a category's one more than its label."""
    from hotcoco import COCO

    annotations: list[dict[str, Any]] = []
    counted = 0
    rows: list[tuple[int, int, int, int]] = []
    for label in labels:
        truth = known.classes[known.place[label]]
        counted += len(truth.counted) > 0
        rows += [(int(image), label, place, int(known.place[label])) for place, image in enumerate(truth.image)]
    for image, label, place, number in sorted(rows):
        truth = known.classes[number]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": truth.boxes[place].tolist(),
                "area": float(truth.area[place]),
                "iscrowd": int(truth.crowd[place]),
            }
        )
    images = [{"id": index, "width": 1, "height": 1} for index in range(1, 1 + len(known.images))]
    categories = [{"id": label + 1, "name": str(label)} for label in sorted(labels)]
    return COCO({"images": images, "annotations": annotations, "categories": categories}), counted


def detections_table(table: Table, position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Detections as rows of image, x, y, width, height, score, category: (D, 7); `position` (D,) is their image's."""
    columns = (position + 1, *to_xywh(table.boxes).T, table.score, table.label + 1.0)
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def evaluated(truth: Any, rows: NDArray[np.float64]) -> Any:
    """An evaluation of such rows over all sizes, which is not accumulated yet."""
    from hotcoco import COCOeval

    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluation.evaluate()
    return evaluation
