"""YOLOX: box, objectness and classes of each cell. Source: Ge et al. 2021, arXiv:2107.08430."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    JOINED,
    STRIDES,
    Head,
    Match,
    Near,
    Outputs,
    Seen,
    Settled,
    Settling,
    one_of,
)
from auditor.heads.anatomy.rows import (
    cells_of,
    grid,
    row_parts,
    row_structure,
    row_view,
    rows_of,
    strides_of,
    with_objectness,
)
from auditor.heads.anatomy.settling import FROM_IMAGES, settle_boxes
from auditor.values import Candidates, Json, ModelSpec

__all__ = ["HEAD"]

_COCO = 85


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 5 + C): cx, cy, w, h, objectness, class scores; the score is objectness × class.

    With the option `grid: raw` the boxes are offsets from their cell: centre = (offset + cell) × stride and
    size = exp(value) × stride. Source: the `decode_in_inference` switch of
    https://github.com/Megvii-BaseDetection/YOLOX.
    """
    rows = rows_of(outputs, spec)
    boxes = rows[:, :4]
    if spec.decoder_options.get("grid") == "raw":
        cells, strides = cells_of(rows, spec)
        sizes = np.exp(np.minimum(boxes[:, 2:4], 20.0)) * strides
        boxes = np.concatenate([(boxes[:, :2] + cells) * strides, sizes], axis=1)
    return with_objectness(boxes, rows, spec)


def _recognise(seen: Seen) -> Match | Near | None:
    rows = row_view(seen)
    if rows is None or rows.first or rows.channels < 6:
        return None
    classes = rows.channels - 5
    if seen.classes == classes:
        return Match(f"{rows.shown}: {rows.channels} channels are those of yolox with {classes} classes")
    if seen.classes is None and rows.channels == _COCO:
        return Match(f"{rows.shown}: {_COCO} channels are those of yolox with COCO's 80 classes")
    return Near(f"yolox with {classes} classes")


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:
    """Its objectness is not the same everywhere, as it is where there is none."""
    return len(seen.arrays) > 1 or any(sample[next(iter(seen.arrays))][..., 4].std() > 0 for sample in samples)


def _structure(seen: Seen) -> dict[str, Json]:
    options, _, count = row_structure("yolox", seen, least=6)
    strides = strides_of(count, seen.contract, anchors=1)
    return options if strides is None else {**options, "strides": list(strides)}


def _settle(settling: Settling) -> Settled:
    options = settling.spec.decoder_options
    if "grid" in options or "strides" not in options:
        return settle_boxes(settling)
    return settle_boxes(settling, {"grid": _grid(settling.spec, settling.samples)}, {"grid": FROM_IMAGES})


def _grid(spec: ModelSpec, samples: Sequence[Outputs]) -> str:
    """Decoded centres follow their cells across the image; raw offsets do not."""
    given: Any = spec.decoder_options["strides"]
    cells, strides = grid(spec.input, given)
    sample = samples[0]
    array = np.concatenate([sample[name].reshape(sample[name].shape[-2:]) for name in sample], axis=-1)
    rows = array.T if spec.decoder_options.get("channels_first") else array
    centres = (cells * strides)[:, 0]
    varies = rows[:, 0].std() > 0
    return "decoded" if varies and np.corrcoef(rows[:, 0], centres)[0, 1] > 0.8 else "raw"


HEAD = Head(
    name="yolox",
    task="detection",
    about="(1, N, 5 + C): box, objectness, classes; decoded or raw grid",
    decode=decode,
    recognise=_recognise,
    plausible=_plausible,
    structure=_structure,
    settle=_settle,
    # Megvii's preproc(): BGR, no scaling, image at the top left of a canvas of 114.
    input={
        "color": "bgr",
        "mean": (0.0,),
        "std": (1.0,),
        "resize": "letterbox",
        "anchor": "top_left",
        "rounding": "floor",
        "pad": 114.0,
    },
    options={**BOX_OPTIONS, **JOINED, "grid": one_of("raw", "decoded"), "strides": STRIDES},
    box_format="cxcywh",
    parts=row_parts,
    letterboxed=True,
)
