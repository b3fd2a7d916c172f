"""RTMDet, and YOLOv6 as it leaves its network: class scores and the distances of a box's four sides from its cell.

Sources: Lyu et al. 2022, arXiv:2212.07784; Li et al. 2022, arXiv:2209.02976.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    IMAGENET_BGR,
    NUMBER,
    STRIDES,
    Head,
    Match,
    Near,
    Outputs,
    Seen,
    Settled,
    Settling,
    listed,
    one_of,
)
from auditor.heads.anatomy.layouts import in_either_layout
from auditor.heads.anatomy.pyramids import (
    LEVELS,
    agreement,
    channels_of,
    count_of,
    levels_of,
    most_agreed,
    pyramid,
    rows_of_levels,
)
from auditor.heads.anatomy.rows import activated, grid, rescaled, strides_of
from auditor.heads.anatomy.settling import settle_boxes, settle_scores
from auditor.values import Candidates, Json, ModelSpec, Source

__all__ = ["HEAD"]

_MORE = ((8, 16, 32, 64, 128),)
"""FCOS's strides."""
_UNITS = {"pixels": 0.0, "strides": 0.5}
"""What distances are in, and with it where in its cell a prior lies: RTMDet multiplies by the stride and has its priors
at a cell's corner, YOLOv6 leaves that to the decoder and has them at its centre."""


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, C) scores and (1, N, 4) distances left, top, right, bottom, joined or for each level.

    The box is the prior, (x + `cell_offset`) × stride, less the first two and plus the last two distances, in pixels or
    in strides by `distance_unit`.
    """
    options: Any = spec.decoder_options
    cells, strides = grid(spec.input, options["strides"])
    distances = rows_of_levels(outputs, options["boxes"], 4)
    if options["distance_unit"] == "strides":
        distances = distances * strides
    priors = (cells + float(options["cell_offset"])) * strides
    scores = rows_of_levels(outputs, options["scores"], outputs[options["scores"][0]].shape[-1])
    return Candidates(
        np.concatenate([priors - distances[:, :2], priors + distances[:, 2:]], axis=1),
        activated(rescaled(scores, spec), options.get("activation", "none")),
    )


def _outputs(seen: Seen) -> tuple[list[str], list[str], tuple[int, ...]] | None:
    found = levels_of(seen, lambda channels: channels == 4)
    if found is None:
        return None
    count = sum(count_of(seen.arrays[name].shape) for name in found[0])
    given: Any = seen.given.get("strides")
    for strides in (tuple(given),) if given else (*_MORE, strides_of(count, seen.contract, anchors=1)):
        if strides is not None and pyramid(seen.contract, strides) == count:
            return *found, strides
    return None


def _recognise(seen: Seen) -> Match | Near | None:
    found = _outputs(seen)
    if found is None:
        return None
    classes = channels_of(seen, found[1][0])
    if seen.classes not in (None, classes):
        return Near(f"rtmdet with {classes} classes")
    strides = ", ".join(map(str, found[2]))
    reason = f"scores of {classes} classes and four distances for each cell of strides {strides}"
    return Match(reason, sure=len(seen.arrays) > 2)


def _plausible(seen: Seen, samples: Sequence[Outputs]) -> bool:
    """Distances are not negative on the whole, and do not follow their cells across the image, as centres do."""
    found = _outputs(seen)
    if found is None:
        return False
    cells, strides = grid(seen.contract, found[2])
    rows = [rows_of_levels(sample, found[0], 4) for sample in samples]
    first = np.concatenate([row[:, 0] for row in rows])
    across = np.tile((cells * strides)[:, 0], len(rows))
    follows = first.std() > 0 and np.corrcoef(first, across)[0, 1] > 0.8
    return bool((np.concatenate(rows) >= -1.0).mean() > 0.9 and not follows)


def _structure(seen: Seen) -> dict[str, Json]:
    found = _outputs(seen)
    if found is None:
        raise ModelError(
            "decoder rtmdet expects scores (1, N, C) and distances (1, N, 4) of the cells of strides 8, 16, 32 but the "
            f"model has {listed(seen.arrays)}",
            field="decoder",
        )
    return {"boxes": found[0], "scores": found[1], "strides": list(found[2]), "box_unit": "pixels"}


def _settle(settling: Settling) -> Settled:
    """Which unit the distances have: that in which the cells of one object agree on its box."""
    options: dict[str, Any] = dict(settling.spec.decoder_options)
    sources: dict[str, Source] = {}
    values = np.concatenate([sample[name].ravel() for sample in settling.samples for name in options["scores"]])
    scored = settle_scores(values, options, otherwise="sigmoid")
    options |= scored.options
    sources |= scored.sources
    if "distance_unit" not in options:
        found = {unit: _agreement(settling, {**options, "distance_unit": unit}) for unit in _UNITS}
        options["distance_unit"] = most_agreed(found)
        told = ", ".join(f"in {unit} its best boxes agree by {value:.2f}" for unit, value in found.items())
        sources["distance_unit"] = Source("images", told)
    if "cell_offset" not in options:
        usual = _UNITS[options["distance_unit"]]
        tried = {f"{at}": _agreement(settling, {**options, "cell_offset": at}) for at in (usual, 0.5 - usual)}
        options["cell_offset"] = float(most_agreed(tried))
        told = ", ".join(f"at {at} its best boxes agree by {value:.2f}" for at, value in tried.items())
        sources["cell_offset"] = Source("images", told)
    return settle_boxes(settling, options, sources)


def _agreement(settling: Settling, options: dict[str, Any]) -> float:
    options.setdefault("cell_offset", _UNITS[options["distance_unit"]])
    spec = dataclasses.replace(settling.spec, decoder_options=options)
    found = [decode(sample, spec) for sample in settling.samples]
    return float(np.mean([agreement(item.boxes, item.scores.max(axis=1)) for item in found]))


HEAD = in_either_layout(
    Head(
        name="rtmdet",
        task="detection",
        about="(1, N, C) and (1, N, 4) distances, joined or for each level; RTMDet, raw YOLOv6, FCOS-like",
        decode=decode,
        recognise=_recognise,
        plausible=_plausible,
        structure=_structure,
        settle=_settle,
        # RTMDet's configs: BGR, ImageNet statistics, letterboxed at the top left on 114.
        input={
            **IMAGENET_BGR,
            "resize": "letterbox",
            "anchor": "top_left",
            "rounding": "round",
            "pad": 114.0,
        },
        options={
            **BOX_OPTIONS,
            "strides": STRIDES,
            "distance_unit": one_of(*_UNITS),
            "cell_offset": NUMBER,
            "activation": one_of("none", "sigmoid"),
            "boxes": LEVELS,
            "scores": LEVELS,
        },
        letterboxed=True,
    )
)
