"""RetinaNet and EfficientDet as they leave their networks: nine anchors a cell of a feature pyramid.

Sources: Lin et al. 2017, arXiv:1708.02002; Tan et al. 2020, arXiv:1911.09070, and the anchors of
https://github.com/google/automl (efficientdet/tf2/anchors.py) and torchvision.models.detection.anchor_utils.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    IMAGENET_RGB,
    STRIDES,
    Head,
    Match,
    Option,
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
from auditor.heads.anatomy.rows import activated, rescaled
from auditor.heads.anatomy.settling import settle_boxes, settle_scores
from auditor.values import Candidates, InputContract, Json, ModelSpec, Source

__all__ = ["HEAD", "anchors_of"]

_STRIDES = (8, 16, 32, 64, 128)
_OCTAVES, _RATIOS = 3, (1.0, 2.0, 0.5)
_ANCHORS = _OCTAVES * len(_RATIOS)
_STYLES: dict[str, dict[str, Any]] = {
    "efficientdet": {"anchor_scale": 4.0, "ratios": [1.0, 2.0, 0.5], "order": "octaves", "box_format": "yxyx"},
    "efficientdet_lite": {"anchor_scale": 3.0, "ratios": [1.0, 2.0, 0.5], "order": "octaves", "box_format": "yxyx"},
    "retinanet": {"anchor_scale": 4.0, "ratios": [2.0, 1.0, 0.5], "order": "ratios", "box_format": "xyxy"},
    "model_maker": {"anchor_scale": 3.0, "ratios": [0.5, 1.0, 2.0], "order": "octaves", "box_format": "yxyx"},
}
"""How the anchors of a family are: their side in strides, width : height, what changes slower within a cell, and the
order of an encoding. The first two are google/automl's, `retinanet` torchvision's, `model_maker` MediaPipe's."""


def anchors_of(contract: InputContract, options: Any) -> NDArray[np.float64]:
    """The anchors (N, 4) as centre x, centre y, width, height in pixels, cell by cell from the finest stride on.

    An anchor is `anchor_scale` × stride × 2^(octave / 3) wide and high, times √ratio and divided by it.
    """
    octaves = [2 ** (step / _OCTAVES) for step in range(_OCTAVES)]
    ratios = [float(ratio) for ratio in options["ratios"]]
    if options["order"] == "octaves":
        shapes = [(octave, ratio) for octave in octaves for ratio in ratios]
    else:
        shapes = [(octave, ratio) for ratio in ratios for octave in octaves]
    sides = np.array([[octave * ratio**0.5, octave / ratio**0.5] for octave, ratio in shapes])
    plain = options["style"] == "retinanet"
    corner = 0.0 if plain else 0.5
    levels = []
    for stride in options["strides"]:
        rows, columns = -(-contract.height // stride), -(-contract.width // stride)
        ys, xs = np.mgrid[:rows, :columns]
        # google/automl's strides are the input's sides over the cells', which differ where a stride divides no side.
        step = np.array([stride, stride] if plain else [contract.width / columns, contract.height / rows])
        centres = (np.stack([xs.ravel(), ys.ravel()], axis=1) + corner) * step
        size = sides * float(options["anchor_scale"]) * step
        levels.append(
            np.concatenate([np.repeat(centres, len(sides), axis=0), np.tile(size, (len(centres), 1))], axis=1)
        )
    return np.concatenate(levels)


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 4) encodings and (1, N, C) class scores of nine anchors a cell, joined or for each level.

    Centre = anchor's centre + value × its side, side = anchor's side × exp(value), in the order y, x, h, w (`yxyx`) or
    x, y, w, h (`xyxy`).
    """
    options: Any = spec.decoder_options
    values = rows_of_levels(outputs, options["boxes"], 4)
    if options["box_format"] == "yxyx":
        values = values[:, [1, 0, 3, 2]]
    anchors = anchors_of(spec.input, options)
    centres = anchors[:, :2] + values[:, :2] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(np.minimum(values[:, 2:], 20.0)) / 2
    scores = rows_of_levels(outputs, options["scores"], int(options["classes"]))
    return Candidates(
        np.concatenate([centres - half, centres + half], axis=1),
        activated(rescaled(scores, spec), options.get("activation", "none")),
    )


def _outputs(seen: Seen) -> tuple[list[str], list[str], int] | None:
    """The outputs with encodings and with scores, and the number of classes."""
    given: Any = seen.given.get("strides", _STRIDES)
    cells = pyramid(seen.contract, given)
    joined = levels_of(seen, lambda channels: channels == 4)
    if joined is not None and sum(count_of(seen.arrays[name].shape) for name in joined[0]) == _ANCHORS * cells:
        return *joined, channels_of(seen, joined[1][0])
    split = levels_of(seen, lambda channels: channels == 4 * _ANCHORS)
    if split is not None and sum(count_of(seen.arrays[name].shape) for name in split[0]) == cells:
        classes, rest = divmod(channels_of(seen, split[1][0]), _ANCHORS)
        return None if rest else (*split, classes)
    return None


def _recognise(seen: Seen) -> Match | None:
    found = _outputs(seen)
    if found is None:
        return None
    return Match(f"encodings and scores of {found[2]} classes for nine anchors a cell of strides 8 to 128", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    found = _outputs(seen)
    if found is None:
        raise ModelError(
            "decoder retinanet expects encodings (1, N, 4) and scores (1, N, C) of nine anchors for each cell of "
            f"strides 8 to 128 but the model has {listed(seen.arrays)}",
            field="decoder",
        )
    return {
        "boxes": found[0],
        "scores": found[1],
        "classes": found[2],
        "strides": seen.given.get("strides", list(_STRIDES)),
        "box_unit": "pixels",
    }


def _settle(settling: Settling) -> Settled:
    """Whose anchors these are: those with which the cells of one object agree on its box."""
    given: dict[str, Any] = dict(settling.spec.decoder_options)
    sources: dict[str, Source] = {}
    values = np.concatenate([sample[name].ravel() for sample in settling.samples for name in given["scores"]])
    scored = settle_scores(values, given, otherwise="sigmoid")
    given |= scored.options
    sources |= scored.sources
    if "style" not in given:
        found = {style: _agreement(settling, {**_STYLES[style], "style": style, **given}) for style in _STYLES}
        given["style"] = most_agreed(found)
        told = ", ".join(
            f"with {style}'s anchors its best boxes agree by {value:.2f}" for style, value in found.items()
        )
        sources["style"] = Source("images", told)
    options = {**_STYLES[given["style"]], **given}
    sources |= {name: Source("default", f"as {given['style']} has it") for name in options if name not in given}
    return settle_boxes(settling, options, sources)


def _agreement(settling: Settling, options: dict[str, Any]) -> float:
    spec = dataclasses.replace(settling.spec, decoder_options=options)
    found = [decode(sample, spec) for sample in settling.samples]
    return float(np.mean([agreement(item.boxes, item.scores.max(axis=1)) for item in found]))


_NUMBERS = Option(
    "three numbers above 0, width : height",
    lambda value: (
        isinstance(value, list)
        and len(value) == len(_RATIOS)
        and all(isinstance(item, int | float) and item > 0 for item in value)
    ),
)

HEAD = in_either_layout(
    Head(
        name="retinanet",
        task="detection",
        about="(1, N, 4) and (1, N, C) of nine anchors a cell of strides 8 to 128; RetinaNet, raw EfficientDet",
        decode=decode,
        recognise=_recognise,
        structure=_structure,
        settle=_settle,
        # google/automl's EfficientDet: RGB, ImageNet statistics, letterboxed at the top left on the mean.
        input={
            **IMAGENET_RGB,
            "resize": "letterbox",
            "anchor": "top_left",
            "rounding": "floor",
            "pad": 116.0,
        },
        options={
            **BOX_OPTIONS,
            "box_format": one_of("yxyx", "xyxy"),
            "style": one_of(*_STYLES),
            "anchor_scale": Option("a number above 0", lambda value: isinstance(value, int | float) and value > 0),
            "ratios": _NUMBERS,
            "order": one_of("octaves", "ratios"),
            "strides": STRIDES,
            "activation": one_of("none", "sigmoid"),
            "boxes": LEVELS,
            "scores": LEVELS,
        },
        letterboxed=True,
    )
)
