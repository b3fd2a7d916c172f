"""Conversions between box formats; inside the auditor a box is xyxy, float64, in pixels.

Arrays are (N, 4) float64. `xyxy` is left, top, right, bottom; `yxyx` is top, left, bottom, right (TensorFlow's
order); `cxcywh` is centre x, centre y, width, height (YOLO's); `xywh` is left, top, width, height (COCO's).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BOX_FORMATS", "area", "clip", "from_xyxy", "iou", "to_xywh", "to_xyxy"]

BOX_FORMATS = ("xyxy", "yxyx", "cxcywh", "xywh")


def to_xyxy(boxes: ArrayLike, box_format: str) -> NDArray[np.float64]:
    """Convert (N, 4) boxes of `box_format` to xyxy.

    Raises:
        ValueError: the format is unknown or the array is not (N, 4).

    >>> to_xyxy([[10, 20, 4, 6]], "cxcywh").tolist()
    [[8.0, 17.0, 12.0, 23.0]]
    """
    array = _boxes(boxes)
    if box_format == "xyxy":
        return array
    if box_format == "yxyx":
        return array[:, [1, 0, 3, 2]]
    if box_format == "cxcywh":
        half = array[:, 2:] / 2
        return np.concatenate([array[:, :2] - half, array[:, :2] + half], axis=1)
    if box_format == "xywh":
        return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)
    raise ValueError(f"expected a box format of {', '.join(BOX_FORMATS)} but got {box_format!r}")


def to_xywh(boxes: ArrayLike) -> NDArray[np.float64]:
    """Convert (N, 4) xyxy boxes to COCO's left, top, width, height.

    >>> to_xywh([[8, 17, 12, 23]]).tolist()
    [[8.0, 17.0, 4.0, 6.0]]
    """
    array = _boxes(boxes)
    return np.concatenate([array[:, :2], array[:, 2:] - array[:, :2]], axis=1)


def from_xyxy(boxes: ArrayLike, box_format: str) -> NDArray[np.float64]:
    """Convert (N, 4) xyxy boxes to `box_format`.

    >>> from_xyxy([[8, 17, 12, 23]], "cxcywh").tolist()
    [[10.0, 20.0, 4.0, 6.0]]
    """
    array = _boxes(boxes)
    if box_format == "yxyx":
        return array[:, [1, 0, 3, 2]]
    if box_format in ("cxcywh", "xywh"):
        corner = to_xywh(array)
        return corner if box_format == "xywh" else corner + np.pad(corner[:, 2:] / 2, ((0, 0), (0, 2)))
    if box_format == "xyxy":
        return array
    raise ValueError(f"expected a box format of {', '.join(BOX_FORMATS)} but got {box_format!r}")


def area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the (N,) areas of xyxy boxes in square pixels; an inverted box has area 0."""
    array = _boxes(boxes)
    return np.asarray(np.prod(np.maximum(array[:, 2:] - array[:, :2], 0), axis=1))


def clip(boxes: ArrayLike, *, width: float, height: float) -> NDArray[np.float64]:
    """Clip (N, 4) xyxy boxes to an image of `width` × `height` pixels."""
    limit = np.array([width, height, width, height], dtype=np.float64)
    return np.asarray(np.clip(_boxes(boxes), 0.0, limit))


def iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return the (N, M) intersection over union of two sets of xyxy boxes; two empty boxes have IoU 0."""
    a, b = _boxes(first), _boxes(second)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=2)
    union = area(a)[:, None] + area(b)[None, :] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))


def _boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"expected boxes of shape (N, 4) but got {array.shape}")
    return array
