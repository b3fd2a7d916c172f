"""The truth of a data set as pycocotools' matching reads it: made once, and used by every cell of these images."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh
from auditor.datasets.shared_classes import normal_name
from auditor.values import COCO_LIMITS, Evaluation, GroundTruth
from auditor.values.warps import Warp, moved_boxes

__all__ = ["ClassTruth", "CocoTruth", "limits_of", "moved", "prepare_truth"]


@dataclass(frozen=True, eq=False)
class ClassTruth:
    """The G true objects of one class by their image: `image` (G,) its position, ascending, `boxes` (G, 4) xywh, `area`
    (G,) and `crowd` (G,); `ignored` (A, G) says by area range what does not count; `tracks` (G,) which object each is
    over the frames of a clip, -1 where that is not known."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.uint8]
    ignored: NDArray[np.bool_]
    tracks: NDArray[np.int64]

    @property
    def counted(self) -> NDArray[np.int64]:
        """The positions of the images of the objects that count among all sizes."""
        return np.asarray(self.image[~self.ignored[0]])

    def annotations(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Some of them as pycocotools' annotations; their ids are one more than their places, since 0 is unmatched."""
        areas, crowds = self.area[begin:end].tolist(), self.crowd[begin:end].tolist()
        return [
            {"id": number, "area": area, "iscrowd": crowd, "ignore": crowd}
            for number, (area, crowd) in enumerate(zip(areas, crowds, strict=True), start=begin + 1)
        ]


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """The truth of images (`images` are their ids, ascending, at `positions` of their own order), by class in the order
    of the classes' names: class `place[label]` is category `label`; under `params`, what pycocotools evaluates."""

    images: NDArray[np.int64]
    positions: NDArray[np.int64]
    categories: tuple[str, ...]
    place: NDArray[np.int64]
    classes: tuple[ClassTruth, ...]
    params: Any
    point: int = 0
    """Which of the IoUs is that of the operating point."""

    def position_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of each image."""
        return np.asarray(self.positions[np.searchsorted(self.images, ids)])


def prepare_truth(truth: Mapping[int, GroundTruth], categories: Sequence[str], asked: Evaluation) -> CocoTruth:
    """Sort true objects by class and image, and say which count in which area range, as pycocotools does."""
    from pycocotools.cocoeval import Params

    params = Params(iouType="bbox")
    params.iouThrs = np.array([*params.iouThrs, *asked.iou])
    if not np.isclose(params.iouThrs, asked.point_iou).any():
        params.iouThrs = np.array([*params.iouThrs, asked.point_iou])
    params.areaRng = [*params.areaRng, *(list(limits) for limits in asked.areas.values())]
    params.areaRngLbl = [*params.areaRngLbl, *asked.areas]
    params.maxDets = limits_of(asked)
    by_name = sorted(range(len(categories)), key=lambda label: (normal_name(categories[label]), categories[label]))
    place = np.argsort(by_name)
    ids = np.array(list(truth), dtype=np.int64)
    objects = list(truth.values())
    image = np.repeat(np.arange(len(objects)), [len(found.labels) for found in objects])
    label = place[np.concatenate([np.zeros(0, dtype=np.int64), *(found.labels for found in objects)])]
    boxes = to_xywh(np.concatenate([np.zeros((0, 4)), *(found.boxes for found in objects)]))
    area = np.concatenate([np.zeros(0), *(found.area for found in objects)])
    crowd = np.concatenate([np.zeros(0, dtype=bool), *(found.iscrowd for found in objects)])
    track = np.concatenate([np.zeros(0, dtype=np.int64), *map(_tracks, objects)])
    ranges = np.array(params.areaRng, dtype=np.float64)
    order = np.argsort(label, kind="stable")
    ends = np.searchsorted(label[order], range(len(categories) + 1))
    classes = []
    for begin, end in itertools.pairwise(ends):
        mine = order[begin:end]
        outside = (area[mine] < ranges[:, :1]) | (area[mine] > ranges[:, 1:])
        classes.append(
            ClassTruth(
                image[mine],
                boxes[mine],
                area[mine],
                crowd[mine].astype(np.uint8),
                np.asarray(crowd[mine] | outside),
                track[mine],
            )
        )
    ascending = np.argsort(ids)
    names = tuple(categories[label] for label in by_name)
    point = int(np.argmin(np.abs(params.iouThrs - asked.point_iou)))
    return CocoTruth(ids[ascending], ascending, names, place, tuple(classes), params, point)


def _tracks(found: GroundTruth) -> NDArray[np.int64]:
    return np.full(len(found.labels), -1, dtype=np.int64) if found.tracks is None else found.tracks


def limits_of(asked: Evaluation) -> list[int]:
    """The limits of detections of an image, in the order that pycocotools brings them into."""
    return sorted({*COCO_LIMITS, *asked.max_detections})


def moved(found: GroundTruth, warps: Sequence[Warp], size: tuple[int, int]) -> GroundTruth:
    """True objects where a scenario took them; of one that is hardly on the image any more nothing is asked there."""
    height, width = size
    boxes, grown, kept = moved_boxes(found.boxes, warps, width=width, height=height)
    return dataclasses.replace(found, boxes=boxes, area=found.area * grown, iscrowd=found.iscrowd | ~kept)
