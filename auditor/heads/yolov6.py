"""YOLOv6 as it is exported: decoded boxes, an objectness that is always 1, and classes. Source: Li et al. 2022,
arXiv:2209.02976."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.heads.anatomy.head import BOX_OPTIONS, CENTRED_LETTERBOX, JOINED, Head, Match, Outputs, Seen
from auditor.heads.anatomy.rows import row_parts, row_structure, row_view, rows_of, with_objectness
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Candidates, ModelSpec

__all__ = ["HEAD"]


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 5 + C): cx, cy, w, h, 1, class scores."""
    rows = rows_of(outputs, spec)
    return with_objectness(rows[:, :4], rows, spec)


def _recognise(seen: Seen) -> Match | None:
    rows = row_view(seen)
    if rows is None or rows.first or rows.on_grid is None or seen.classes not in (None, rows.channels - 5):
        return None
    if rows.channels < 6 or (seen.classes is None and rows.channels != 85):
        return None
    return Match(f"{rows.shown}: {rows.channels} channels are those of yolov6 with {rows.channels - 5} classes")


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:
    """Its objectness is 1 everywhere."""
    (name,) = seen.arrays
    return all(bool(np.allclose(sample[name][..., 4], 1.0, atol=1e-3)) for sample in samples)


HEAD = Head(
    name="yolov6",
    task="detection",
    about="(1, N, 5 + C): box, 1, classes",
    decode=decode,
    recognise=_recognise,
    plausible=_plausible,
    structure=lambda seen: row_structure("yolov6", seen, least=6)[0],
    settle=settle_boxes,
    input=CENTRED_LETTERBOX,
    options={**BOX_OPTIONS, **JOINED},
    box_format="cxcywh",
    parts=row_parts,
    letterboxed=True,
)
