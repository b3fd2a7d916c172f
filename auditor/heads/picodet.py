"""PicoDet: class scores and, for each side, a distribution over distances, as outputs of their own. Source: Yu et al.
2021, arXiv:2111.00902."""

from __future__ import annotations

from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    IMAGENET_RGB,
    NUMBER,
    STRIDES,
    Head,
    Match,
    Outputs,
    Seen,
    Settled,
    Settling,
    listed,
    one_of,
)
from auditor.heads.anatomy.layouts import in_either_layout
from auditor.heads.anatomy.pyramids import LEVELS, channels_of, count_of, levels_of, pyramid, rows_of_levels
from auditor.heads.anatomy.rows import activated, grid, rescaled
from auditor.heads.anatomy.settling import settle_boxes, settle_scores
from auditor.values import Candidates, Json, ModelSpec

__all__ = ["HEAD"]

_STRIDES = ((8, 16, 32, 64), (8, 16, 32), (8, 16, 32, 64, 128))
_BINS = (8, 16, 17)
"""reg_max + 1: PicoDet's 7, GFL's and PP-YOLOE's 16."""


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, C) scores and (1, N, 4 × bins) distributions, joined or for each level.

    A side lies at softmax(bins) · (0, 1, …) × stride from the cell's centre, (x + 0.5) × stride; the option
    `cell_offset` moves that (GFL's anchors lie at 0). Source: arXiv:2006.04388, eq. 6, as arXiv:2111.00902 has it.
    """
    options: Any = spec.decoder_options
    boxes, scores = options["boxes"], options["scores"]
    cells, strides = grid(spec.input, options["strides"])
    bins = activated(rows_of_levels(outputs, boxes, int(options["bins"])).reshape(len(cells), 4, -1), "softmax")
    distances = (bins @ np.arange(bins.shape[2])) * strides
    centres = (cells + float(options.get("cell_offset", 0.5))) * strides
    found = rows_of_levels(outputs, scores, outputs[scores[0]].shape[-1])
    return Candidates(
        np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1),
        activated(rescaled(found, spec), options.get("activation", "none")),
    )


def _outputs(seen: Seen) -> tuple[list[str], list[str], tuple[int, ...]] | None:
    """The outputs with distributions, those with scores, and the strides of their cells."""
    for bins in _BINS:
        found = levels_of(seen, lambda channels, bins=bins: channels == 4 * bins)  # type: ignore[misc]
        if found is None:
            continue
        count = sum(count_of(seen.arrays[name].shape) for name in found[0])
        scored = channels_of(seen, found[1][0])
        if scored == 4 and seen.classes != 4 and "boxes" not in seen.given:
            continue  # four columns are boxes, unless there are four classes
        given: Any = seen.given.get("strides")
        for strides in (tuple(given),) if given else _STRIDES:
            if pyramid(seen.contract, strides) == count:
                return *found, strides
    return None


def _recognise(seen: Seen) -> Match | None:
    found = _outputs(seen)
    if found is None:
        return None
    bins, classes = channels_of(seen, found[0][0]) // 4, channels_of(seen, found[1][0])
    strides = ", ".join(map(str, found[2]))
    reason = f"scores of {classes} classes and 4 × {bins} bins for each cell of strides {strides}"
    return Match(reason, sure=seen.classes in (None, classes))


def _structure(seen: Seen) -> dict[str, Json]:
    found = _outputs(seen)
    if found is None:
        raise ModelError(
            f"decoder picodet expects scores (1, N, C) and distributions (1, N, 4 × bins) of the cells of strides 8, "
            f"16, 32 (and 64) but the model has {listed(seen.arrays)}",
            field="decoder",
        )
    bins = channels_of(seen, found[0][0]) // 4
    return {"boxes": found[0], "scores": found[1], "strides": list(found[2]), "bins": bins, "box_unit": "pixels"}


def _settle(settling: Settling) -> Settled:
    options: Any = settling.spec.decoder_options
    values = np.concatenate([sample[name].ravel() for sample in settling.samples for name in options["scores"]])
    scored = settle_scores(values, options, otherwise="sigmoid")
    return settle_boxes(settling, scored.options, scored.sources)


HEAD = in_either_layout(
    Head(
        name="picodet",
        task="detection",
        about="(1, N, C) and (1, N, 4 × bins), joined or for each level; also PP-YOLOE, GFL",
        decode=decode,
        recognise=_recognise,
        structure=_structure,
        settle=_settle,
        # PaddleDetection's picodet_*_coco_lcnet.yml: RGB, ImageNet statistics, keep_ratio False, cubic.
        input={
            **IMAGENET_RGB,
            "resize": "stretch",
            "anchor": "center",
            "rounding": "round",
            "pad": 0.0,
            "interpolation": "cubic",
        },
        options={
            **BOX_OPTIONS,
            "strides": STRIDES,
            "cell_offset": NUMBER,
            "activation": one_of("none", "sigmoid"),
            "boxes": LEVELS,
            "scores": LEVELS,
        },
    )
)
