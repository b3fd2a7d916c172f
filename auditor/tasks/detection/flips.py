"""What became of the true objects that a model finds: found still, called otherwise, moved or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.evaluate.counted import Counted, Named, Seen, measured
from auditor.tasks.detection.point_choice import is_held
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import MetricValue, OperatingPoint

__all__ = ["FLIPS", "FalseAlarms", "Objects", "States", "flip_values", "flips", "objects_of"]

FLIPS = {
    "flips": "share of the objects found in the reference that are not found here",
    "flips_lost": "share of these objects where nothing is detected here",
    "flips_relabelled": "share of these objects that are detected here as another class",
    "flips_moved": "share of these objects whose detection here overlaps them too little",
    "flips_new": "share of the objects not found in the reference that are found here",
}
"""Metrics of a cell beside its reference: the clean cell of its file, or of its family's first level."""


_MOST_FALSE = 300


class States:
    """What becomes of an object, and the overlap below which a box has nothing to do with it: TIDE's background."""

    FOUND, LOST, RELABELLED, MOVED = range(4)
    NEAR = 0.1


@dataclass(frozen=True, eq=False)
class FalseAlarms:
    """The most confident false detections at an operating point: images' positions, boxes, scores, classes."""

    image: NDArray[np.int32]
    boxes: NDArray[np.float32]
    score: NDArray[np.float32]
    label: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Objects:
    """The G true objects that count of a cell's deployed classes: their images' positions, the scores by which they
    are found at any threshold (NaN: not), what becomes of each at the operating point, its box and its class; and the
    most confident false detections."""

    image: NDArray[np.int32]
    score: NDArray[np.float32]
    state: NDArray[np.int8]
    boxes: NDArray[np.float32]
    label: NDArray[np.int16]
    categories: tuple[str, ...]
    false: FalseAlarms

    def beside_others(self) -> Objects:
        """What comparing with other cells needs, which is little: every cell keeps it."""
        none = np.zeros(0, dtype=np.int16)
        boxes = np.zeros((0, 4), dtype=np.float32)
        false = FalseAlarms(none.astype(np.int32), boxes, none.astype(np.float32), none)
        return replace(self, image=none.astype(np.int32), boxes=boxes, label=none, false=false)


def objects_of(point: OperatingPoint, found: Sequence[PointMatches]) -> Objects:
    """What becomes of each true object at a point: found; else relabelled, where a false detection of another class
    overlaps it as a right one would; else moved, where one of its own class overlaps it a little; else lost."""
    deployed = [item for item in found if point.thresholds.of(item.category) is not None]
    held = [is_held(item, point.thresholds) for item in deployed]
    state = [_states(item, keep) for item, keep in zip(deployed, held, strict=True)]
    false = [keep & ~item.hit for item, keep in zip(deployed, held, strict=True)]
    none = np.zeros((0, 4))
    boxes = np.concatenate([none, *(item.boxes[mine] for item, mine in zip(deployed, false, strict=True))])
    image = np.concatenate([np.zeros(0), *(item.image[mine] for item, mine in zip(deployed, false, strict=True))])
    label = np.repeat(np.arange(len(deployed)), [int(mine.sum()) for mine in false])
    score = np.concatenate([np.zeros(0), *(item.score[mine] for item, mine in zip(deployed, false, strict=True))])
    most = np.argsort(-score, kind="stable")[:_MOST_FALSE]
    alarms = FalseAlarms(
        image[most].astype(np.int32),
        boxes[most].astype(np.float32),
        score[most].astype(np.float32),
        label[most].astype(np.int16),
    )
    order = np.argsort(image, kind="stable")
    boxes, image, label = boxes[order], image[order], label[order]
    for number, item in enumerate(deployed):
        for place in np.nonzero(state[number] != States.FOUND)[0].tolist():
            begin, end = np.searchsorted(image, [item.truths[place], item.truths[place] + 1])
            if begin == end:
                continue
            near = iou(item.objects[place : place + 1], boxes[begin:end])[0]
            same = label[begin:end] == number
            if (near[~same] >= point.iou).any():
                state[number][place] = States.RELABELLED
            elif (near[same] >= States.NEAR).any():
                state[number][place] = States.MOVED
    return Objects(
        np.concatenate([np.zeros(0, np.int32), *(item.truths.astype(np.int32) for item in deployed)]),
        np.concatenate([np.zeros(0, np.float32), *(item.found for item in deployed)]),
        np.concatenate([np.zeros(0, np.int8), *state]),
        np.concatenate([none, *(item.objects for item in deployed)]).astype(np.float32),
        np.repeat(np.arange(len(deployed)), [len(item.truths) for item in deployed]).astype(np.int16),
        tuple(item.category for item in deployed),
        alarms,
    )


def _states(found: PointMatches, held: NDArray[np.bool_]) -> NDArray[np.int8]:
    state = np.full(len(found.truths), States.LOST, dtype=np.int8)
    state[found.object[held & found.hit]] = States.FOUND
    return state


def flips(mine: Objects, reference: Objects, seen: Seen) -> list[MetricValue]:
    """The flips of a cell beside its reference, both of the same objects."""
    before = reference.state == States.FOUND
    kinds = [before, *(before & (mine.state == kind) for kind in (States.LOST, States.RELABELLED, States.MOVED))]
    kinds += [~before, ~before & (mine.state == States.FOUND)]
    return flip_values([reference.image[kind] for kind in kinds], seen)


def flip_values(groups: Sequence[NDArray[np.integer[Any]]], seen: Seen) -> list[MetricValue]:
    """The metrics of `FLIPS` from the images of what there was, what of it is lost, relabelled and moved, what there
    was not, and what of that is new."""
    image, width = np.concatenate(groups), len(groups)
    column = np.repeat(np.arange(width), [len(group) for group in groups])
    named = [Named(name, _WHY[name == "flips_new"], higher_is_better=name == "flips_new") for name in FLIPS]
    counted = Counted.of(seen, named, _shares, columns=width, entries=(image, column, np.ones(len(image))))
    return measured(counted, len(seen.positions))


_WHY = ("the reference finds nothing", "there is nothing that the reference does not find")


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    before, lost, relabelled, moved, missed, new = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [(lost + relabelled + moved) / before, lost / before, relabelled / before, moved / before, new / missed],
            axis=1,
        )
