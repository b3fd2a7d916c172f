"""YOLOv5 and v7: box, objectness and classes of three anchors a cell. Source: https://github.com/ultralytics/yolov5."""

from __future__ import annotations

from auditor.heads.anatomy.head import BOX_OPTIONS, CENTRED_LETTERBOX, JOINED, Head, Match, Near, Outputs, Seen
from auditor.heads.anatomy.rows import row_parts, row_structure, row_view, rows_of, with_objectness
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Candidates, ModelSpec

__all__ = ["HEAD"]


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 5 + C): cx, cy, w, h, objectness, class scores.

    Source: export.py of https://github.com/ultralytics/yolov5 (TFLite boxes are divided by the input size).
    """
    rows = rows_of(outputs, spec)
    return with_objectness(rows[:, :4], rows, spec)


def _recognise(seen: Seen) -> Match | Near | None:
    rows = row_view(seen)
    if rows is None or rows.first or rows.on_anchors is None or rows.channels < 6:
        return None
    classes = rows.channels - 5
    return Match(
        f"{rows.shown}: {rows.count} is three anchors a cell, {rows.channels} is box, objectness and {classes} classes",
        sure=True,
    )


HEAD = Head(
    name="yolov5",
    task="detection",
    about="(1, N, 5 + C) of three anchors a cell; also v7",
    decode=decode,
    recognise=_recognise,
    structure=lambda seen: row_structure("yolov5", seen, least=6)[0],
    settle=settle_boxes,
    input=CENTRED_LETTERBOX,
    options={**BOX_OPTIONS, **JOINED},
    box_format="cxcywh",
    parts=row_parts,
    letterboxed=True,
)
