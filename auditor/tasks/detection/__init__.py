"""Detection: boxes with labels and scores, judged by COCO average precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.anatomy.task import Column, Framed, Task
from auditor.tasks.detection.alone import ALONE, evaluate_alone
from auditor.tasks.detection.at_point import (
    AT_POINT,
    BY_CLASS,
    DECIDES,
    LOWER_IS_BETTER,
    OVER_FRAMES,
    PER_HOUR,
    UNBOUNDED,
)
from auditor.tasks.detection.beside import FLIPS, MATCHED, compare
from auditor.tasks.detection.coco_ap import ABOUT, NAMES
from auditor.tasks.detection.coco_truth import moved, prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.evaluation import evaluate
from auditor.tasks.detection.marks import marked, said
from auditor.tasks.detection.merging import merged
from auditor.tasks.detection.postprocess import postprocess
from auditor.tasks.detection.rereading import reread
from auditor.tasks.detection.slices import sliced, suspects
from auditor.tasks.detection.ties import Ranked
from auditor.values import Candidates, Detections, GroundTruth

__all__ = ["TASK"]


def _finish(decoded: Candidates | Detections, framed: Framed) -> Mapping[str, NDArray[Any]]:
    kept = postprocess(
        decoded, framed.spec.postprocess, geometry=framed.geometry, image_size=framed.size, orders=framed.orders
    )
    values: dict[str, NDArray[Any]] = {"boxes": kept.boxes, "scores": kept.scores, "labels": kept.labels}
    if isinstance(kept, Ranked):
        values |= {"orders": kept.orders, "other_orders": kept.other_orders}
        values |= {f"other_{name}": getattr(kept.other, name) for name in ("boxes", "scores", "labels")}
    return values


def _to_detections(values: Mapping[str, NDArray[Any]], table: NDArray[np.int64], offset: int) -> tuple[Detections, int]:
    """The detections of judged classes with their judged labels, and how many others were dropped."""
    labels, keep = _judged(values["labels"], table, offset)
    arrays = values["boxes"][keep], values["scores"][keep], labels[keep]
    dropped = int((~keep).sum())
    if "orders" not in values:
        return Detections(*arrays), dropped
    others, theirs = _judged(values["other_labels"], table, offset)
    other = Detections(values["other_boxes"][theirs], values["other_scores"][theirs], others[theirs])
    return Ranked(*arrays, values["orders"][keep], other, values["other_orders"][theirs]), dropped


def _judged(
    labels: NDArray[np.int64], table: NDArray[np.int64], offset: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The judged label of each detection, and whether it has one."""
    lines = labels + offset
    inside = (lines >= 0) & (lines < len(table))
    judged = np.where(inside, table[np.where(inside, lines, 0)], -1)
    return judged, judged >= 0


def _restrict(found: GroundTruth, judged: Mapping[int, int]) -> GroundTruth:
    """The true objects whose label is a key of `judged`, under the label it maps to."""
    keep = np.isin(found.labels, list(judged))
    fields: dict[str, Any] = {name: getattr(found, name)[keep] for name in ("boxes", "area", "iscrowd")}
    labels = np.array([judged[int(label)] for label in found.labels[keep]], dtype=np.int64)
    tracks = None if found.tracks is None else found.tracks[keep]
    return dataclasses.replace(found, labels=labels, tracks=tracks, **fields)


TASK = Task(
    name="detection",
    about="boxes with labels and scores",
    truths=("detection",),
    columns={
        "boxes": Column("float64", 4, "xyxy, pixels of the original image"),
        "scores": Column("float64", 0, "in [0, 1], descending"),
        "labels": Column("int64", 0, "the model's own class indices"),
        "orders": Column("int64", 0, "which other orders of equal scores keep it, a bit for each; absent: all"),
        "other_boxes": Column("float64", 4, "of detections that only other orders keep"),
        "other_scores": Column("float64", 0, "of these"),
        "other_labels": Column("int64", 0, "of these"),
        "other_orders": Column("int64", 0, "of these, which orders keep them"),
    },
    metrics=ABOUT,
    primary=NAMES[0],
    finish=_finish,
    to_prediction=_to_detections,
    restrict=_restrict,
    evaluate=evaluate,
    evaluate_alone=evaluate_alone,
    alone_metrics=ALONE,
    beside_clean=tuple(FLIPS),
    gathers=Columns,
    prepare=prepare_truth,
    compare=compare,
    compared_metrics={
        MATCHED["delegate"]: "share of detections that the reference delegate has too (same class, IoU 0.9)",
        MATCHED["level"]: "share of detections that the float32 level has too (same class, IoU 0.9)",
        **FLIPS,
    },
    per_class=(NAMES[0], *BY_CLASS),
    at_point=AT_POINT,
    over_frames=tuple(OVER_FRAMES),
    decided_by=(NAMES[0], DECIDES),
    sliced=sliced,
    suspects=suspects,
    merged=merged,
    moved=moved,
    marked=marked,
    said=said,
    without_interval=tuple(name for name in NAMES if name.startswith("AR")),
    per_hour=(PER_HOUR,),
    unbounded=(*UNBOUNDED, *ALONE),
    lower_is_better=(*LOWER_IS_BETTER, *(name for name in FLIPS if name != "flips_new")),
    added_metrics=lambda evaluation: evaluation.metrics,
    reads_coco=True,
    reread=reread,
    bounds=(0.0, 1.0),
    of_small=f"{NAMES[0]}_small",
    broken_below=0.02,
    things="boxes",
    evaluation_ms=4.0,
)
