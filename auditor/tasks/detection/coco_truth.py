"""The truth of a data set as pycocotools' matching reads it: made once, and used by every cell of these images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.datasets.shared_classes import normal_name
from auditor.values import COCO_LIMITS, Evaluation, GroundTruth

__all__ = ["ClassTruth", "CocoTruth", "limits_of", "prepare_truth"]


@dataclass(frozen=True, eq=False)
class ClassTruth:
    """The true objects of one class: `objects` are pycocotools' annotations by the position of their image, `boxes`
    (G, 4) xywh and `crowds` (G,) theirs; `ignored` (A, objects) says by area range what does not count, and `counted`
    (N,) how many of each image count among all sizes."""

    objects: Mapping[int, list[dict[str, Any]]]
    boxes: Mapping[int, NDArray[np.float64]]
    crowds: Mapping[int, NDArray[np.uint8]]
    ignored: NDArray[np.bool_]
    counted: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """The truth of images in their order (`images` are their ids), by class in the order of the classes' names: class
    `place[label]` is category `label`; under `params`, what pycocotools evaluates."""

    images: tuple[int, ...]
    categories: tuple[str, ...]
    place: NDArray[np.int64]
    classes: tuple[ClassTruth, ...]
    params: Any


def prepare_truth(truth: Mapping[int, GroundTruth], categories: Sequence[str], asked: Evaluation) -> CocoTruth:
    """Sort true objects by class and image, and say which count in which area range, as pycocotools does."""
    from pycocotools.cocoeval import Params

    params = Params(iouType="bbox")
    params.iouThrs = np.array([*params.iouThrs, *asked.iou])
    params.areaRng = [*params.areaRng, *(list(limits) for limits in asked.areas.values())]
    params.areaRngLbl = [*params.areaRngLbl, *asked.areas]
    params.maxDets = limits_of(asked)
    by_name = sorted(range(len(categories)), key=lambda label: (normal_name(categories[label]), categories[label]))
    place = np.argsort(by_name)
    found = [_Objects({}, {}, {}) for _ in categories]
    for position, objects in enumerate(truth.values()):
        boxes = to_xywh(objects.boxes)
        labels = place[objects.labels]
        for label in np.unique(labels).tolist():
            mine = np.nonzero(labels == label)[0]
            found[label].add(position, boxes[mine], objects.area[mine], objects.iscrowd[mine])
    ranges = np.array(params.areaRng, dtype=np.float64)
    return CocoTruth(
        tuple(truth),
        tuple(categories[label] for label in by_name),
        place,
        tuple(objects.of_class(ranges, len(truth)) for objects in found),
        params,
    )


def limits_of(asked: Evaluation) -> list[int]:
    """The limits of detections of an image, in the order that pycocotools brings them into."""
    return sorted({*COCO_LIMITS, *asked.max_detections})


@dataclass(frozen=True, eq=False)
class _Objects:
    """The objects of one class as they are collected."""

    objects: dict[int, list[dict[str, Any]]]
    boxes: dict[int, NDArray[np.float64]]
    crowds: dict[int, NDArray[np.uint8]]

    def add(
        self,
        position: int,
        boxes: NDArray[np.float64],
        areas: NDArray[np.float64],
        crowds: NDArray[np.bool_],
    ) -> None:
        first = 1 + sum(map(len, self.objects.values()))  # 0 would mean unmatched
        self.objects[position] = [
            {"id": number, "area": area, "iscrowd": int(crowd), "ignore": int(crowd)}
            for number, (area, crowd) in enumerate(zip(areas.tolist(), crowds.tolist(), strict=True), start=first)
        ]
        self.boxes[position] = np.ascontiguousarray(boxes)
        self.crowds[position] = crowds.astype(np.uint8)

    def of_class(self, ranges: NDArray[np.float64], images: int) -> ClassTruth:
        every = [item for items in self.objects.values() for item in items]
        areas = np.array([item["area"] for item in every], dtype=np.float64)
        crowd = np.array([item["ignore"] for item in every], dtype=bool)
        ignored = crowd | (areas < ranges[:, :1]) | (areas > ranges[:, 1:])
        owner = np.repeat(np.array(list(self.objects), dtype=np.int64), [len(items) for items in self.objects.values()])
        counted = np.bincount(owner[~ignored[0]], minlength=images).astype(np.int64)
        return ClassTruth(self.objects, self.boxes, self.crowds, ignored, counted)
