"""The anchor-free head of YOLOv8, v9, 11 and 12: box and classes, no objectness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    CENTRED_LETTERBOX,
    JOINED,
    Head,
    Match,
    Near,
    Outputs,
    Seen,
    Settled,
    Settling,
)
from auditor.heads.anatomy.rows import (
    grid,
    in_pixels,
    pair_of,
    rescaled,
    roles_by_name,
    row_parts,
    row_structure,
    row_view,
    rows_of,
    strides_of,
)
from auditor.heads.anatomy.settling import FROM_IMAGES, settle_boxes
from auditor.values import Candidates, ModelSpec

__all__ = ["HEAD"]

_COCO = 84
_MANY = 20
"""Cells of which every one would be a pair of corners by no chance."""


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, 4 + C, N) or (1, N, 4 + C): cx, cy, w, h, class scores.

    Source: https://docs.ultralytics.com/modes/export (no objectness; scores are sigmoid outputs).
    """
    rows = rows_of(outputs, spec)
    return Candidates(in_pixels(rows[:, :4], spec, default_format="cxcywh"), rescaled(rows[:, 4:], spec))


def _recognise(seen: Seen) -> Match | Near | None:
    if len(seen.arrays) == 2:
        return _split(seen)
    rows = row_view(seen)
    if rows is None or rows.channels < 5:
        return None
    classes = rows.channels - 4
    if rows.first and seen.classes in (None, classes):
        return Match(f"{rows.shown}: box and {classes} class scores of {rows.count} candidates, without objectness")
    if seen.classes == classes:
        return Match(f"{rows.shown}: {rows.channels} channels are those of yolov8 with {classes} classes")
    if seen.classes is None and rows.channels == _COCO:
        return Match(f"{rows.shown}: {_COCO} channels are those of yolov8 with COCO's 80 classes")
    more = " (or a head with more than boxes and scores: pose, segmentation, rotated boxes)" if rows.first else ""
    return Near(f"yolov8 with {classes} classes{more}")


def _split(seen: Seen) -> Match | Near | None:
    """Boxes and scores as two outputs: channels first, or rows that are the cells of a grid."""
    pairs = [pair for shape in seen.shapes if (pair := pair_of(shape)) is not None]
    if len(pairs) != 2:
        return None
    shown = ", ".join(map(str, seen.shapes))
    if not any(4 in pair for pair in pairs):
        return None
    scored = pairs[1] if 4 in pairs[0] else pairs[0]
    classes = min(scored) if 4 not in scored else 4
    if seen.classes not in (None, classes, *scored):
        return Near(f"yolov8 with {classes} classes")
    by_rows = 4 in (pairs[0][1], pairs[1][1]) and pairs[0][0] == pairs[1][0]
    if by_rows and strides_of(pairs[0][0], seen.contract, anchors=1) is not None:
        return Match(f"outputs {shown}: boxes and class scores of the same cells")
    if not by_rows and pairs[0][1] == pairs[1][1] and 4 in (pairs[0][0], pairs[1][0]):
        return Match(f"outputs {shown}: boxes and class scores, channels first")
    return None


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:
    """Of boxes and scores in cells: centres follow their cells across the image, as distances do not."""
    boxes = [name for name, array in seen.arrays.items() if 4 in array.shape[-2:]]
    if len(boxes) == 2:  # four classes: by their names
        boxes = [name for role, name in roles_by_name(seen).items() if role == "boxes"]
    if len(seen.arrays) != 2 or len(boxes) != 1:
        return True
    shape = seen.arrays[boxes[0]].shape[-2:]
    strides = strides_of(shape[1] if shape[0] == 4 else shape[0], seen.contract, anchors=1)
    if strides is None:
        return True
    cells, sizes = grid(seen.contract, strides)
    across = np.tile((cells * sizes)[:, 0], len(samples))
    tables = [sample[boxes[0]].reshape(shape) for sample in samples]
    first = np.concatenate([table[0] if shape[0] == 4 else table[:, 0] for table in tables])
    return bool(first.std() > 0 and np.corrcoef(first, across)[0, 1] > 0.8)


def _settle(settling: Settling) -> Settled:
    """Corners in place of centres: then the third number of every cell is above its first, which a width in the right
    half of an image is not."""
    options = settling.spec.decoder_options
    rows = np.concatenate([rows_of(sample, settling.spec)[:, :4] for sample in settling.samples])
    if "box_format" in options or len(rows) < _MANY or not (rows[:, 2:] > rows[:, :2]).all():
        return settle_boxes(settling)
    return settle_boxes(settling, {"box_format": "xyxy"}, {"box_format": FROM_IMAGES})


HEAD = Head(
    name="yolov8",
    task="detection",
    about="(1, 4 + C, N) or transposed; also v9, 11, 12",
    decode=decode,
    recognise=_recognise,
    plausible=_plausible,
    structure=lambda seen: row_structure("yolov8", seen, least=5)[0],
    settle=_settle,
    input=CENTRED_LETTERBOX,
    options={**BOX_OPTIONS, **JOINED},
    box_format="cxcywh",
    parts=row_parts,
    letterboxed=True,
)
