"""From candidates in input pixels to the detections that are judged, in pixels of the original image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor import boxes as box_ops
from auditor.tasks.detection.ties import ORDERS, with_orders
from auditor.values import Candidates, Detections, Geometry, Postprocess

__all__ = ["postprocess", "suppress"]

_SPECK = 1e-3
"""The side of a box without area, in pixels, where it is to overlap nothing."""

_Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Boxes (N, 4), scores (N,) and labels (N,), by descending score."""


def postprocess(
    decoded: Candidates | Detections,
    settings: Postprocess,
    *,
    geometry: Geometry,
    image_size: tuple[int, int],
    orders: bool = False,
) -> Detections:
    """Apply score floor, NMS and detection limit, then map boxes to the original image of (height, width) pixels.

    Detections (NMS inside the model) get the floor and the limit only. Boxes, scores or both that are not finite are
    dropped: they cannot be ranked or matched. Equal scores stand in the order of their label, then the larger
    box first. With `orders` the result is `Ranked`: it says too what would be kept were equal scores in other orders.
    """
    rows = _in_order(_chosen(decoded, settings))
    inside = isinstance(decoded, Detections)
    kept, looked_at = _kept(rows, settings, inside=inside)

    def finished(indices: NDArray[np.int64]) -> Detections:
        original = geometry.to_original(rows[0][indices])
        if settings.clip:
            original = box_ops.clip(original, width=image_size[1], height=image_size[0])
        return Detections(np.ascontiguousarray(original), rows[1][indices], rows[2][indices])

    found = finished(kept)
    if not orders or not _ties(rows[1], looked_at):
        return found
    drawn = [_redrawn(rows, settings, looked_at, number, inside=inside) for number in range(ORDERS)]
    return with_orders(found, kept, drawn, finished)


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], labels: NDArray[np.int64], *, iou: float, most: int
) -> NDArray[np.int64]:
    """Greedy NMS within each label: the indices of the boxes kept, at most `most`, for boxes by descending score.

    Greedy suppression decides in order of score, so the boxes kept of a prefix are a prefix of the boxes kept of all:
    prefixes of growing length are tried until enough are kept.
    """
    return _suppressed((boxes, scores, labels), iou=iou, most=most)[0]


def _suppressed(rows: _Rows, *, iou: float, most: int) -> tuple[NDArray[np.int64], int]:
    """What greedy NMS keeps, and of how many rows."""
    boxes, scores, labels = rows
    corners = box_ops.to_xywh(boxes)
    empty = (corners[:, 2:] <= 0).any(axis=1)
    if empty.any():  # OpenCV takes any two boxes without area for one; they overlap nothing
        labels = np.where(empty, labels.max() + np.cumsum(empty), labels)
        corners[empty, 2:] = _SPECK
    length = min(len(boxes), max(4 * most, 256))
    while True:
        part: list[Any] = [corners[:length], scores[:length].astype(np.float32), labels[:length].astype(np.int32)]
        kept = cv2.dnn.NMSBoxesBatched(part[0], part[1], part[2], -1.0, iou)
        if len(kept) >= most or length >= len(boxes):
            return np.asarray(kept, dtype=np.int64).reshape(-1)[:most], length
        length = min(2 * length, len(boxes))


def _kept(rows: _Rows, settings: Postprocess, *, inside: bool) -> tuple[NDArray[np.int64], int]:
    boxes, scores, labels = rows
    most = settings.max_detections
    if inside:
        return np.arange(min(most, len(boxes))), min(most, len(boxes))
    labels = labels if settings.class_wise else np.zeros_like(labels)
    return _suppressed((boxes, scores, labels), iou=settings.nms_iou, most=most)


def _redrawn(rows: _Rows, settings: Postprocess, looked_at: int, number: int, *, inside: bool) -> NDArray[np.int64]:
    """What is kept with equal scores in a random order: that of draw `number`."""
    rng = np.random.default_rng(number)
    scores = rows[1]
    while True:
        start, end = _tie(scores, looked_at)
        order = np.concatenate([np.arange(start), start + rng.permutation(end - start)])[:looked_at]
        order = order[np.lexsort((rng.random(looked_at), -scores[order]))]
        kept, _ = _kept((rows[0][order], scores[order], rows[2][order]), settings, inside=inside)
        if len(kept) >= settings.max_detections or looked_at >= len(scores):
            return np.asarray(order[kept])
        looked_at = min(2 * looked_at, len(scores))


def _tie(scores: NDArray[np.float64], length: int) -> tuple[int, int]:
    """Where the scores that equal the last of the first `length` begin and end, of descending scores."""
    if not length:
        return 0, 0
    last = -scores[length - 1]
    return int(np.searchsorted(-scores, last, side="left")), int(np.searchsorted(-scores, last, side="right"))


def _ties(scores: NDArray[np.float64], looked_at: int) -> bool:
    """Whether any of the scores that were looked at equals another."""
    part = scores[: _tie(scores, looked_at)[1]]
    return bool((part[1:] == part[:-1]).any())


def _chosen(decoded: Candidates | Detections, settings: Postprocess) -> _Rows:
    """The (box, score, label) triples above the floor that are finite."""
    if isinstance(decoded, Detections):
        keep = (decoded.scores > settings.score_floor) & np.isfinite(decoded.boxes).all(axis=1)
        return decoded.boxes[keep], decoded.scores[keep], decoded.labels[keep]
    scores: NDArray[Any] = decoded.scores
    if settings.multi_label:
        rows, labels = np.nonzero(scores > settings.score_floor)
    else:
        best = scores.argmax(axis=1)
        rows = np.nonzero(scores[np.arange(len(scores)), best] > settings.score_floor)[0]
        labels = best[rows]
    finite = np.isfinite(decoded.boxes[rows]).all(axis=1)
    rows, labels = rows[finite], labels[finite]
    return decoded.boxes[rows], scores[rows, labels].astype(np.float64), labels.astype(np.int64)


def _in_order(rows: _Rows) -> _Rows:
    """By descending score; equal scores by label, then the larger box first, then by its left and top."""
    boxes, scores, labels = rows
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    equal = ranked[1:] == ranked[:-1]
    if equal.any():
        tied = np.concatenate([[False], equal]) | np.concatenate([equal, [False]])
        some = order[tied]
        keys = (boxes[some, 1], boxes[some, 0], -box_ops.area(boxes[some]), labels[some], -scores[some])
        order[tied] = some[np.lexsort(keys)]
    return boxes[order], scores[order], labels[order]
