"""Rows of box, score and class, with NMS (or none needed) inside: YOLOv10, YOLO26, exports with NMS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import BOX_OPTIONS, CENTRED_LETTERBOX, Head, Match, Near, Outputs, Seen
from auditor.heads.anatomy.rows import (
    in_pixels,
    rescaled,
    row_parts,
    row_structure,
    row_view,
    rows_of,
    sorted_detections,
)
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Detections, ModelSpec

__all__ = ["HEAD"]

_MOST = 1000
"""No export lists more objects; as many rows or more, on a grid, are its cells."""


def decode(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode (1, N, 6): box, score, class. Rows with a score of 0 are padding.

    Source: https://docs.ultralytics.com/modes/export (`nms=True`, `end2end`).
    """
    rows = rows_of(outputs, spec)
    rows = rows[rows[:, 4] > 0]
    return sorted_detections(
        in_pixels(rows[:, :4], spec, default_format="xyxy"), rescaled(rows[:, 4], spec), rows[:, 5]
    )


def _recognise(seen: Seen) -> Match | Near | None:
    """Rows of six are also those of a raw head of one class with objectness, or of two without."""
    rows = row_view(seen)
    if rows is None or rows.first or rows.channels != 6:
        return None
    match = Match(f"{rows.shown}: box, score, class of at most {rows.count} objects", sure=True)
    arguments = seen.notes.get("args")
    if seen.notes.get("end2end") or (isinstance(arguments, dict) and arguments.get("nms")):
        return match
    if rows.on_grid is None and rows.on_anchors is None:
        return match
    if seen.classes not in (None, 1, 2) and rows.count <= _MOST:
        return match
    if rows.count % 100 == 0:
        raise ModelError(
            f"{rows.shown} may be detections after NMS (`decoder: end2end`) or a raw head of one or two classes; write "
            "which",
            field="decoder",
        )
    return None


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:  # noqa: ARG001
    """Its classes are whole numbers, and its corners in order."""
    rows = np.concatenate([array.reshape(-1, 6) for sample in samples for array in sample.values()])
    shown = rows[rows[:, 4] > 0]
    whole = np.abs(shown[:, 5] - np.rint(shown[:, 5])).max(initial=0.0) < 1e-3
    return bool(whole and (shown[:, 2:4] >= shown[:, :2]).all())


HEAD = Head(
    name="end2end",
    task="detection",
    about="(1, N, 6): box, score, class; YOLOv10, YOLO26, exports with NMS",
    decode=decode,
    recognise=_recognise,
    plausible=_plausible,
    structure=lambda seen: row_structure("end2end", seen, least=6, exactly=True)[0],
    settle=settle_boxes,
    input=CENTRED_LETTERBOX,
    options=BOX_OPTIONS,
    box_format="xyxy",
    nms_inside=True,
    parts=row_parts,
    letterboxed=True,
)
