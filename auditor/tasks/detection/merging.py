"""Detections of overlapping tiles of one image as those of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import area
from auditor.values import Postprocess, Tiles

__all__ = ["greedy_nmm", "greedy_nms", "merged", "overlaps"]

Values = Mapping[str, NDArray[Any]]


def merged(parts: Sequence[Values], tiles: Tiles, settings: Postprocess) -> Values:
    """The detections of all tiles, in pixels of the image: those of one class that match (of any class, where NMS is
    not class-wise) become one, and the most confident of them are kept, as many as of one image."""
    boxes, scores, labels = (np.concatenate([part[name] for part in parts]) for name in ("boxes", "scores", "labels"))
    order = np.argsort(-scores, kind="stable")
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    if len(boxes):
        groups = labels if settings.class_wise else np.zeros_like(labels)
        if tiles.merge == "nms":
            keep = greedy_nms(boxes, groups, tiles)
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        else:
            keep, boxes = greedy_nmm(boxes, groups, tiles)
            scores, labels = scores[keep], labels[keep]
    most = settings.max_detections
    return {"boxes": np.ascontiguousarray(boxes[:most]), "scores": scores[:most], "labels": labels[:most]}


def overlaps(box: NDArray[np.float64], others: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """The (N,) intersections of a box with others, over the union (`iou`) or over the smaller of both (`ios`)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    mine, theirs = area(box[np.newaxis])[0], area(others)
    over = mine + theirs - common if metric == "iou" else np.minimum(mine, theirs)
    return np.asarray(np.divide(common, over, out=np.zeros_like(common), where=over > 0))


def greedy_nms(boxes: NDArray[np.float64], groups: NDArray[np.int64], tiles: Tiles) -> NDArray[np.int64]:
    """The boxes, by descending score, that match no better one of their group."""
    keep = []
    left = np.arange(len(boxes))
    while len(left):
        first, left = left[0], left[1:]
        keep.append(int(first))
        match = overlaps(boxes[first], boxes[left], tiles.metric) >= tiles.match
        left = left[~(match & (groups[left] == groups[first]))]
    return np.array(keep, dtype=np.int64)


def greedy_nmm(
    boxes: NDArray[np.float64], groups: NDArray[np.int64], tiles: Tiles
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `greedy_nms`, with the box around each kept one and those that match it: which are kept, and their boxes. Of
    those that match the kept box as it was, each joins if it matches the box as it has grown by then.

    Source: Akyon, Altinuc and Temizel 2022, Slicing Aided Hyper Inference, arXiv:2202.06934, and the program SAHI.
    """
    keep, grown = [], []
    left = np.arange(len(boxes))
    while len(left):
        first, left = left[0], left[1:]
        match = overlaps(boxes[first], boxes[left], tiles.metric) >= tiles.match
        match &= groups[left] == groups[first]
        box = boxes[first].copy()
        for other in left[match]:
            if overlaps(box, boxes[other][np.newaxis], tiles.metric)[0] > tiles.match:
                box = np.concatenate([np.minimum(box[:2], boxes[other][:2]), np.maximum(box[2:], boxes[other][2:])])
        keep.append(int(first))
        grown.append(box)
        left = left[~match]
    return np.array(keep, dtype=np.int64), np.array(grown)
