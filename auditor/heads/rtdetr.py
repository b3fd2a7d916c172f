"""RT-DETR as Ultralytics exports it: one row of box and class scores a query, without NMS. Source: Zhao et al. 2023,
arXiv:2304.08069."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.heads.anatomy.head import BOX_OPTIONS, Head, Match, Outputs, Seen
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

_QUERIES = (100, 300, 900)


def decode(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode (1, Q, 4 + C): cx, cy, w, h in 0 to 1, class scores; every query is of every class."""
    rows = rows_of(outputs, spec)
    scores = rescaled(rows[:, 4:], spec)
    queries, labels = np.nonzero(scores > spec.postprocess.score_floor)
    boxes = in_pixels(rows[:, :4], spec, default_format="cxcywh")
    return sorted_detections(boxes[queries], scores[queries, labels], labels)


def _recognise(seen: Seen) -> Match | None:
    rows = row_view(seen)
    if rows is None or rows.first or rows.on_grid is not None or rows.on_anchors is not None:
        return None
    if rows.count not in _QUERIES or seen.classes not in (None, rows.channels - 4):
        return None
    if rows.channels < 5 or (seen.classes is None and rows.channels != 84):
        return None
    return Match(f"{rows.shown}: box and {rows.channels - 4} class scores of {rows.count} queries", sure=True)


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:
    """Rows of six are those of end-to-end heads too: there the last is a whole number, and corners are in order."""
    if next(iter(seen.arrays.values())).shape[-1] != 6:
        return True
    rows = np.concatenate([array.reshape(-1, 6) for sample in samples for array in sample.values()])
    shown = rows[rows[:, 4:].max(axis=1) > 0.05]
    whole = np.abs(shown[:, 5] - np.rint(shown[:, 5])).max(initial=0.0) < 1e-3
    ordered = (shown[:, 2:4] >= shown[:, :2]).all()
    return bool(len(shown) and not (whole and ordered))


HEAD = Head(
    name="rtdetr",
    task="detection",
    about="(1, Q, 4 + C): box and class scores of Q queries; RT-DETR of Ultralytics",
    decode=decode,
    recognise=_recognise,
    plausible=_plausible,
    structure=lambda seen: {**row_structure("rtdetr", seen, least=5)[0], "channels_first": False},
    settle=settle_boxes,
    # Ultralytics' RTDETRPredictor: RGB in 0..1, stretched.
    input={
        "color": "rgb",
        "mean": (0.0,),
        "std": (255.0,),
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 114.0,
    },
    options=BOX_OPTIONS,
    box_format="cxcywh",
    parts=row_parts,
    nms_inside=True,
)
