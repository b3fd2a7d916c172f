"""Heads with outputs for each level of a feature pyramid, or with the levels joined: which output is which, and their
rows from the finest level on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.heads.anatomy.head import Option, Outputs, Seen
from auditor.values import InputContract

__all__ = ["LEVELS", "agreement", "channels_of", "count_of", "levels_of", "most_agreed", "pyramid", "rows_of_levels"]

_BOXES, _SCORES = ("box", "reg", "loc", "dist"), ("score", "cls", "class", "conf", "prob")
_BEST, _HALF = 64, 0.5
_CHANCE = 0.003
"""Readings whose agreement differs by less are as good as each other."""

LEVELS = Option(
    "a list of output names, from the finest level on",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value),
)


def count_of(shape: Sequence[int]) -> int:
    """How many rows of channels an output (1, …, channels) has."""
    return int(np.prod(shape[1:-1]))


def channels_of(seen: Seen, name: str) -> int:
    """How many channels an output has."""
    return int(seen.arrays[name].shape[-1])


def levels_of(seen: Seen, is_boxes: Callable[[int], bool]) -> tuple[list[str], list[str]] | None:
    """Tell the outputs that hold boxes, by their number of channels, from those that hold scores; each from the finest
    level on. None where they are not two of each level."""
    arrays = seen.arrays
    if len(arrays) < 2 or len(arrays) % 2 or any(array.ndim not in (3, 4) for array in arrays.values()):
        return None
    given: Any = seen.given
    if isinstance(given.get("boxes"), list) and isinstance(given.get("scores"), list):
        boxes, scores = list(given["boxes"]), list(given["scores"])
        if not all(is_boxes(channels_of(seen, name)) for name in boxes):
            return None
    else:
        boxes = [name for name in arrays if is_boxes(channels_of(seen, name))]
        if len(boxes) == len(arrays):  # as many scores as a box has numbers: by their names
            boxes = [name for name in boxes if not _is_called(seen, name, _SCORES) and _is_called(seen, name, _BOXES)]
        scores = [name for name in arrays if name not in boxes]
    if len(boxes) != len(scores):
        return None
    ordered = [sorted(names, key=lambda name: -count_of(arrays[name].shape)) for names in (boxes, scores)]
    counts = [[count_of(arrays[name].shape) for name in names] for names in ordered]
    widths = {channels_of(seen, name) for name in ordered[1]}, {channels_of(seen, name) for name in ordered[0]}
    return (ordered[0], ordered[1]) if counts[0] == counts[1] and all(len(width) == 1 for width in widths) else None


def _is_called(seen: Seen, name: str, marks: Sequence[str]) -> bool:
    called = f"{seen.called.get(name, '')} {name}".lower()
    return any(mark in called for mark in marks)


def pyramid(contract: InputContract, strides: Sequence[int]) -> int:
    """How many cells the levels of these strides have together; a partial cell counts."""
    return sum(-(-contract.height // stride) * -(-contract.width // stride) for stride in strides)


def rows_of_levels(outputs: Outputs, names: Any, channels: int) -> NDArray[np.float64]:
    """The rows (N, channels) of the named outputs, one level after the other."""
    return np.concatenate([outputs[str(name)].reshape(-1, channels) for name in names]).astype(np.float64)


def most_agreed(found: Mapping[str, float]) -> str:
    """The reading whose best boxes agree most: the first of those that are as good but for chance."""
    most = max(found.values())
    return next(name for name, value in found.items() if value >= most - _CHANCE)


def agreement(boxes: NDArray[np.float64], scores: NDArray[Any]) -> float:
    """How well the best candidates agree, 0 to 1: a head finds an object from several cells, and read as it was trained
    these give nearly the same box. The mean, weighted by score, of each one's IoU with the others of its object, those
    that it overlaps by half; 0 where it has none."""
    best = np.argsort(-scores, kind="stable")[:_BEST]
    best = best[(scores[best] > 0) & np.isfinite(boxes[best]).all(axis=1)]
    if len(best) < 2:
        return 0.0
    overlap = iou(boxes[best], boxes[best])
    np.fill_diagonal(overlap, 0.0)
    partners = overlap >= _HALF
    mean = np.where(partners, overlap, 0.0).sum(axis=1) / np.maximum(partners.sum(axis=1), 1)
    return float(np.average(mean, weights=scores[best]))
