"""True objects by what they are: size in the model's input, place at the border, company, class; and where all models
see one that the truth has not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.encoding import input_scale
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.worst_slices import Sliced
from auditor.tasks.anatomy.task import Pictured
from auditor.tasks.detection.flips import Objects, States
from auditor.values import ImageRecord, ModelSpec

__all__ = ["sliced", "suspects"]

_SIZES_PX = (8, 16, 32, 64, 128)
_SIZES = (
    f"under {_SIZES_PX[0]} px",
    *(f"{low} to {high} px" for low, high in itertools.pairwise(_SIZES_PX)),
    f"{_SIZES_PX[-1]} px or more",
)
_CROWDS = (2, 5, 10)
_SAME = 0.5
_BORDER_PX = 1.0
_CONFIDENT = 0.5
_MOST = 20


def sliced(evaluation: CellEvaluation, spec: ModelSpec, images: Sequence[ImageRecord]) -> Sliced | None:
    """The true objects of a cell, which of them are found, and their groups; `images` are those that were seen."""
    objects = evaluation.kept
    if not isinstance(objects, Objects) or not len(objects.image):
        return None
    image = objects.image.astype(np.int64)
    company = np.bincount(image, minlength=len(images))[image]
    names = np.array(objects.categories)
    groups: dict[str, NDArray[np.str_]] = {
        "class": names[objects.label] if len(names) > 1 else np.full(len(image), ""),
        "objects on the image": _binned(company, _CROWDS, ("1", "2 to 4", "5 to 9", "10 or more")),
    }
    if all(record.size is not None for record in images):
        sizes = np.array([record.size for record in images], dtype=np.float64)[image]
        scale = np.array([input_scale(record.size, spec.input) for record in images if record.size])[image]
        sides = np.sqrt(np.prod((objects.boxes[:, 2:] - objects.boxes[:, :2]) * scale, axis=1))
        groups["size at the model's input"] = _binned(sides, _SIZES_PX, _SIZES)
        outside = (objects.boxes[:, :2] <= _BORDER_PX).any(axis=1)
        outside |= (objects.boxes[:, 2:] >= sizes - _BORDER_PX).any(axis=1)
        groups["place"] = np.where(outside, "at the image's border", "inside")
    return Sliced(image, objects.state == States.FOUND, groups)


def _binned(values: NDArray[Any], edges: Sequence[float], names: Sequence[str]) -> NDArray[np.str_]:
    return np.asarray(np.array(names)[np.digitize(values, edges)])


def suspects(cells: Mapping[str, CellEvaluation]) -> list[Pictured]:
    """Where every one of these files is confident and false at one place: the least confident file's score, the first
    one's box."""
    every = [found.kept for found in cells.values() if isinstance(found.kept, Objects)]
    if not every or len(every) < len(cells):
        return []
    first, *others = every
    told = []
    for index in range(len(first.false.image)):
        name, score = first.categories[first.false.label[index]], float(first.false.score[index])
        box = first.false.boxes[index : index + 1]
        there = first.boxes[first.image == first.false.image[index]]
        if len(there) and iou(box, there).max() >= States.NEAR:
            continue  # an object that is there is called otherwise, or its box is off
        for other in others:
            same = other.false.image == first.false.image[index]
            same &= np.array([other.categories[label] == name for label in other.false.label], dtype=bool)
            near = np.nonzero(same)[0]
            near = near[iou(box, other.false.boxes[near])[0] >= _SAME] if len(near) else near
            score = min(score, float(other.false.score[near].max())) if len(near) else 0.0
        if score >= _CONFIDENT:
            told.append(Pictured(int(first.false.image[index]), name, tuple(map(float, box[0])), score))
    return sorted(told, key=lambda item: -item.score)[:_MOST]
