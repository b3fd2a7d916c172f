"""What is true and what is said of single images: true objects, and detections with the true object that each is
matched with at the operating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection.coco_ap import evaluate_parts
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import in_parts
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import Mark, Marked, OperatingPoint

__all__ = ["marked", "said"]

_BELOW = 0.5
"""Detections below this share of the threshold are left out: nobody would deploy there."""
_MOST = 30


def marked(judged: Judged) -> Mapping[int, Marked]:
    """The marks of each image, matched as the metrics at the operating point are: with COCO's rules, at the point's
    IoU; of deployed classes alone. Nothing where the cell has no point."""
    point = judged.point
    if not isinstance(point, OperatingPoint) or judged.cell is None:
        return {}
    mine = point.at(judged.cell.quantization)
    known = judged.prepared or prepare_truth(judged.truth, judged.categories, judged.evaluation)
    classes: list[PointMatches] = []
    parts = in_parts(judged.predictions, judged.again, np.argsort(known.place).tolist())
    evaluate_parts(known, parts, judged.evaluation, lambda found: classes.append(found.at_point))
    truth: dict[int, list[Mark]] = {image_id: [] for image_id in judged.truth}
    found: dict[int, list[tuple[Mark, bool]]] = {image_id: [] for image_id in judged.truth}
    images = list(judged.truth)
    for item in classes:
        threshold = mine.thresholds.of(item.category)
        if threshold is not None:
            _add(item, threshold, images, truth, found)
    marks = {}
    for image_id in images:
        ranked = sorted(found[image_id], key=lambda pair: -(pair[0].score or 0.0))[:_MOST]
        kept, held = tuple(mark for mark, _ in ranked), tuple(keep for _, keep in ranked)
        marks[image_id] = Marked(tuple(truth[image_id]), kept, held)
    return marks


def said(values: Mapping[str, NDArray[Any]], labels: Sequence[str | None], offset: int) -> tuple[Mark, ...]:
    """The detections of one image, the most confident first, by the model's own labels."""
    found = []
    for box, score, label in zip(values["boxes"], values["scores"], values["labels"], strict=True):
        line = int(label) + offset
        name = labels[line] if 0 <= line < len(labels) else None
        found.append(Mark(name or f"class {int(label)}", _rounded(box.tolist()), round(float(score), 4)))
    return tuple(found)


def _add(
    item: PointMatches,
    threshold: float,
    images: list[int],
    truth: dict[int, list[Mark]],
    found: dict[int, list[tuple[Mark, bool]]],
) -> None:
    """Add the true objects of a class to those of their images, and its detections."""
    positions = []
    for image, box in zip(item.truths.tolist(), item.objects.tolist(), strict=True):
        mine = truth[images[image]]
        positions.append(len(mine))
        mine.append(Mark(item.category, _rounded(box)))
    for index in np.nonzero(item.score >= threshold * _BELOW)[0].tolist():
        partner, score = int(item.object[index]), float(item.score[index])
        mark = Mark(
            item.category,
            _rounded(item.boxes[index].tolist()),
            round(score, 4),
            None if partner < 0 else positions[partner],
        )
        found[images[int(item.image[index])]].append((mark, score >= threshold))


def _rounded(box: list[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(value, 1) for value in box)
    return left, top, right, bottom
