"""NanoDet: class scores and, for each side, a distribution over distances. Source: Li et al. 2020, arXiv:2006.04388."""

from __future__ import annotations

from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    IMAGENET_BGR,
    JOINED,
    NUMBER,
    STRIDES,
    WHOLE,
    Head,
    Match,
    Near,
    Option,
    Outputs,
    Seen,
    Settled,
    Settling,
    one_of,
)
from auditor.heads.anatomy.rows import activated, cells_of, rescaled, row_structure, row_view, rows_of, strides_of
from auditor.heads.anatomy.settling import settle_boxes, settle_scores
from auditor.values import Candidates, Json, ModelSpec

__all__ = ["HEAD"]

_BINS = (8, 16, 11)
_COCO = 112


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, C + 4 × bins): class scores, then for each side a distribution over distances of 0, 1, … strides.

    A side lies at softmax(bins) · (0, 1, …) × stride from the cell's centre, (x + 0.5) × stride; the option
    `cell_offset` moves that centre. Source: arXiv:2006.04388 (the integral of a general distribution).
    """
    options: Any = spec.decoder_options
    rows = rows_of(outputs, spec)
    classes = rows.shape[1] - 4 * int(options["bins"])
    cells, strides = cells_of(rows, spec)
    centres = (cells + float(options.get("cell_offset", 0.5))) * strides
    bins = activated(rows[:, classes:].reshape(len(rows), 4, -1), "softmax")
    distances = (bins @ np.arange(bins.shape[2])) * strides
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return Candidates(boxes, activated(rescaled(rows[:, :classes], spec), options.get("activation", "none")))


def _recognise(seen: Seen) -> Match | Near | None:
    rows = row_view(seen)
    if rows is None or rows.first:
        return None
    if seen.classes is None:
        if rows.channels != _COCO:
            return None
        return Match(f"{rows.shown}: {_COCO} channels are those of nanodet with COCO's 80 classes")
    bins, rest = divmod(rows.channels - seen.classes, 4)
    if rest or bins not in _BINS:
        return None
    return Match(f"{rows.shown}: {rows.channels} channels are those of nanodet with {seen.classes} classes")


def _structure(seen: Seen) -> dict[str, Json]:
    options, channels, count = row_structure("nanodet", seen, least=5)
    strides = strides_of(count, seen.contract, anchors=1)
    if strides is None and "strides" not in seen.given:
        raise ModelError(
            f"decoder nanodet: {count} candidates are not the cells of strides 8, 16, 32 (and 64) of a "
            f"{seen.contract.height} × {seen.contract.width} input; give `strides:`"
        )
    if strides is not None:
        options["strides"] = list(strides)
    if "bins" not in seen.given:
        options["bins"] = _bins(channels, seen.classes)
    return options


def _bins(channels: int, classes: int | None) -> int:
    fits = [bins for bins in _BINS if classes is None or channels - 4 * bins == classes]
    if not fits or channels <= 4 * fits[0]:
        raise ModelError(
            f"decoder nanodet: {channels} channels are not {classes} classes + 4 × bins; give `bins:` (reg_max + 1)"
        )
    return fits[0]


def _settle(settling: Settling) -> Settled:
    options = settling.spec.decoder_options
    bins: Any = options["bins"]
    columns = [rows_of(sample, settling.spec)[:, : -4 * int(bins)] for sample in settling.samples]
    scored = settle_scores(np.concatenate(columns), options, otherwise="sigmoid")
    return settle_boxes(settling, scored.options, scored.sources)


HEAD = Head(
    name="nanodet",
    task="detection",
    about="(1, N, C + 4 × bins)",
    decode=decode,
    recognise=_recognise,
    structure=_structure,
    settle=_settle,
    # NanoDet's configs: BGR, ImageNet statistics in pixel units, keep_ratio False.
    input={
        **IMAGENET_BGR,
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
    options={
        **BOX_OPTIONS,
        **JOINED,
        "strides": STRIDES,
        "bins": Option("a whole number above 1 (reg_max + 1)", lambda value: WHOLE.right(value) and value > 1),
        "cell_offset": NUMBER,
        "activation": one_of("none", "sigmoid"),
    },
)
