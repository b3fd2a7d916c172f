"""From candidates in input pixels to the detections that are judged, in pixels of the original image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor import boxes as box_ops
from auditor.values import Candidates, Detections, Geometry, Postprocess

__all__ = ["postprocess", "suppress"]


def postprocess(
    decoded: Candidates | Detections, settings: Postprocess, *, geometry: Geometry, image_size: tuple[int, int]
) -> Detections:
    """Apply score floor, NMS and detection limit, then map boxes to the original image of (height, width) pixels.

    Detections (NMS inside the model) get the floor and the limit only. Boxes, scores or both that are not finite are
    dropped: they cannot be ranked or matched.
    """
    if isinstance(decoded, Candidates):
        boxes, scores, labels = _chosen(decoded, settings)
        kept = suppress(
            boxes,
            scores,
            labels if settings.class_wise else np.zeros_like(labels),
            iou=settings.nms_iou,
            most=settings.max_detections,
        )
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
    else:
        keep = (decoded.scores > settings.score_floor) & np.isfinite(decoded.boxes).all(axis=1)
        most = settings.max_detections
        boxes, scores, labels = decoded.boxes[keep][:most], decoded.scores[keep][:most], decoded.labels[keep][:most]
    original = geometry.to_original(boxes)
    if settings.clip:
        original = box_ops.clip(original, width=image_size[1], height=image_size[0])
    return Detections(np.ascontiguousarray(original), np.ascontiguousarray(scores), np.ascontiguousarray(labels))


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], labels: NDArray[np.int64], *, iou: float, most: int
) -> NDArray[np.int64]:
    """Greedy NMS within each label: the indices of the boxes kept, at most `most`, for boxes by descending score.

    Greedy suppression decides in order of score, so the boxes kept of a prefix are a prefix of the boxes kept of all:
    prefixes of growing length are tried until enough are kept.
    """
    corners = box_ops.to_xywh(boxes)
    length = min(len(boxes), max(4 * most, 256))
    while True:
        part: list[Any] = [corners[:length], scores[:length].astype(np.float32), labels[:length].astype(np.int32)]
        kept = cv2.dnn.NMSBoxesBatched(part[0], part[1], part[2], -1.0, iou)
        if len(kept) >= most or length >= len(boxes):
            return np.asarray(kept, dtype=np.int64).reshape(-1)[:most]
        length = min(2 * length, len(boxes))


def _chosen(
    candidates: Candidates, settings: Postprocess
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The (box, score, label) triples above the floor, by descending score."""
    scores: NDArray[Any] = candidates.scores
    if settings.multi_label:
        rows, labels = np.nonzero(scores > settings.score_floor)
    else:
        best = scores.argmax(axis=1)
        rows = np.nonzero(scores[np.arange(len(scores)), best] > settings.score_floor)[0]
        labels = best[rows]
    finite = np.isfinite(candidates.boxes[rows]).all(axis=1)
    rows, labels = rows[finite], labels[finite]
    chosen = scores[rows, labels].astype(np.float64)
    order = np.argsort(-chosen, kind="stable")
    return candidates.boxes[rows[order]], chosen[order], labels[order].astype(np.int64)
