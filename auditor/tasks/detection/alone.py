"""Detections without truth: how many there are at the operating point, and which of them another cell has too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.evaluate.counted import Counted, Named, Seen, measured
from auditor.tasks.anatomy.task import Evaluated, Judged
from auditor.tasks.detection.coco_ap import NAMES
from auditor.tasks.detection.flips import States, flip_values
from auditor.values import MetricValue, OperatingPoint, PointChoice

__all__ = ["ALONE", "KeptDetections", "evaluate_alone", "flips_alone"]

ALONE = {"detections": "detections per image at the operating point"}
"""What is told of images without truth, beside what two cells have in common."""

_NO_TRUTH = "the data set has no truth"


@dataclass(frozen=True, eq=False)
class KeptDetections:
    """The D detections of a cell that its operating point keeps, by image and descending score: their images'
    positions, labels and boxes."""

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    boxes: NDArray[np.float64]
    iou: float

    def of(self, image: int) -> slice:
        """Those of an image."""
        begin, end = np.searchsorted(self.image, [image, image + 1])
        return slice(int(begin), int(end))


def evaluate_alone(judged: Judged) -> Evaluated:
    """Count the detections that are kept; AP is undefined."""
    images = len(judged.truth)
    metrics = [MetricValue(NAMES[0], None, reason=_NO_TRUTH, images=images)]
    if judged.point is None or judged.seen is None or judged.cell is None:
        return Evaluated(tuple(metrics), {})
    point = judged.point
    if isinstance(point, PointChoice):
        point = OperatingPoint.given(point, judged.cell.model, chosen_on=str(judged.cell))
    kept = _kept(judged, point.at(judged.cell.quantization))
    counted = Counted.of(
        judged.seen,
        [Named(name, "there is no image", kind="rate") for name in ALONE],
        _per_image,
        columns=2,
        entries=(
            np.concatenate([np.arange(images), kept.image]),
            np.repeat([0, 1], [images, len(kept.image)]),
            np.ones(images + len(kept.image)),
        ),
    )
    return Evaluated(
        (*metrics, *measured(counted, images)),
        {},
        counts={"dropped_predictions": judged.dropped},
        kept=kept,
        counted=counted,
        point=point,
    )


def _per_image(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[:, 1:] / sums[:, :1]


def _kept(judged: Judged, point: OperatingPoint) -> KeptDetections:
    least = [point.thresholds.of(category) for category in judged.categories]
    threshold = np.array([np.inf if value is None else value for value in least])
    position = {image_id: index for index, image_id in enumerate(judged.truth)}
    images, labels, boxes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, 4))]
    for image_id, found in judged.again():
        held = found.scores >= threshold[found.labels]
        order = np.argsort(-found.scores[held], kind="stable")
        images.append(np.full(len(order), position[image_id]))
        labels.append(found.labels[held][order])
        boxes.append(found.boxes[held][order])
    image = np.concatenate(images)
    by_image = np.argsort(image, kind="stable")
    return KeptDetections(image[by_image], np.concatenate(labels)[by_image], np.concatenate(boxes)[by_image], point.iou)


def flips_alone(mine: KeptDetections, reference: KeptDetections, seen: Seen) -> list[MetricValue]:
    """What becomes of the reference's detections, as if they were true objects; new are the detections here that have
    no partner there, of all here."""
    states = np.full(len(reference.image), States.LOST, dtype=np.int8)
    new = np.ones(len(mine.image), dtype=bool)
    for image in np.unique(np.concatenate([mine.image, reference.image])).tolist():
        here, there = mine.of(image), reference.of(image)
        overlaps = iou(mine.boxes[here], reference.boxes[there])
        same = mine.label[here][:, np.newaxis] == reference.label[there]
        found = _partners(np.where(same, overlaps, 0.0), mine.iou)
        new[here] = found < 0
        left = overlaps[found < 0]
        relabelled = ((left >= mine.iou) & ~same[found < 0]).any(axis=0)
        moved = ((left >= States.NEAR) & same[found < 0]).any(axis=0)
        states[there][moved] = States.MOVED
        states[there][relabelled] = States.RELABELLED
        states[there][found[found >= 0]] = States.FOUND
    groups = [
        reference.image,
        *(reference.image[states == state] for state in (States.LOST, States.RELABELLED, States.MOVED)),
        mine.image,
        mine.image[new],
    ]
    return flip_values(groups, seen)


def _partners(overlaps: NDArray[np.float64], least: float) -> NDArray[np.int64]:
    """Which of the others each detection is paired with, the most confident first, -1 for none: (here,)."""
    partner = np.full(len(overlaps), -1, dtype=np.int64)
    free = np.ones(overlaps.shape[1], dtype=bool)
    for index, row in enumerate(overlaps):
        options = np.where(free, row, -1.0)
        best = int(np.argmax(options)) if len(options) else 0
        if len(options) and options[best] >= least:
            partner[index], free[best] = best, False
    return partner
