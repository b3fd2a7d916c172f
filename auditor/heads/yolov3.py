"""YOLOv3, v4, v7 and v5 as they leave their networks: a grid of three anchors a cell for each scale.

Sources: Redmon and Farhadi 2018, arXiv:1804.02767; Bochkovskiy et al. 2020, arXiv:2004.10934, and the configurations of
https://github.com/AlexeyAB/darknet; https://github.com/ultralytics/yolov5 (models/yolo.py, `Detect`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    Head,
    Match,
    Near,
    Option,
    Outputs,
    Seen,
    Settled,
    Settling,
    listed,
    one_of,
)
from auditor.heads.anatomy.layouts import in_either_layout
from auditor.heads.anatomy.pyramids import LEVELS, agreement, most_agreed
from auditor.heads.anatomy.rows import activated, rescaled
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Candidates, InputContract, Json, ModelSpec, Source

__all__ = ["HEAD"]

_EACH = 3
_THREE = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]]
_ANCHORS: dict[tuple[str, int], list[list[int]]] = {
    ("v3", 3): _THREE,
    ("v3", 2): [[10, 14, 23, 27, 37, 58], [81, 82, 135, 169, 344, 319]],
    ("v4", 3): [[12, 16, 19, 36, 40, 28], [36, 75, 76, 55, 72, 146], [142, 110, 192, 243, 459, 401]],
    ("v4", 2): [[23, 27, 37, 58, 81, 82], [81, 82, 135, 169, 344, 319]],
    ("v5", 3): _THREE,
    ("v7", 3): [[12, 16, 19, 36, 40, 28], [36, 75, 76, 55, 72, 146], [142, 110, 192, 243, 459, 401]],
}
"""Width and height in pixels of the anchors of COCO's configurations, from the finest scale on, by formula and number
of scales (two: the tiny ones)."""
_SCALE_XY = {("v4", 3): (1.2, 1.1, 1.05), ("v4", 2): (1.05, 1.05)}
"""v4's `scale_x_y`, from the finest scale on."""
_ALIKE = ("v5", "v7")
"""They have one formula, and the anchors of one nearly are the other's times a number: no agreement tells them."""
_FORMULAS = ("v3", "v4", *_ALIKE)


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode, for each scale, (1, h, w, 3 × (5 + C)) or (1, h, w, 3, 5 + C) raw values x, y, w, h, objectness, classes.

    v3: centre = (σ(x) + cell) × stride, size = anchor × exp(w). v4 stretches σ(x) by its `scale_x_y` s:
    σ(x) s - (s - 1) / 2. v5 and v7: centre = (2 σ(x) - 0.5 + cell) × stride, size = anchor × (2 σ(w))². The score is
    σ(objectness) × σ(class).
    """
    options: Any = spec.decoder_options
    channels = 5 + int(options["classes"])
    found, objectness, classes = [], [], []
    for index, name in enumerate(options["outputs"]):
        values = outputs[name]
        rows, columns = values.shape[1:3]
        raw = values.reshape(rows, columns, _EACH, channels).astype(np.float64)
        found.append(_boxes(raw, spec.input, options, index))
        shown = activated(rescaled(raw[..., 4:], spec), "sigmoid").reshape(-1, channels - 4)
        objectness.append(shown[:, :1])
        classes.append(shown[:, 1:])
    return Candidates(np.concatenate(found), np.concatenate(objectness) * np.concatenate(classes))


def _boxes(raw: NDArray[np.float64], contract: InputContract, options: Any, index: int) -> NDArray[np.float64]:
    """The boxes of one scale, xyxy in input pixels."""
    rows, columns = raw.shape[:2]
    stride = np.array([contract.width / columns, contract.height / rows])
    ys, xs = np.mgrid[:rows, :columns]
    cells = np.stack([xs, ys], axis=-1)[:, :, np.newaxis]
    anchors = np.array(options["anchors"][index], dtype=np.float64).reshape(_EACH, 2)
    formula = options["formula"]
    within = activated(raw[..., :2], "sigmoid")
    if formula in ("v5", "v7"):
        centres = (2 * within - 0.5 + cells) * stride
        sizes = anchors * (2 * activated(raw[..., 2:4], "sigmoid")) ** 2
    else:
        stretch = float(options["scale_xy"][index]) if formula == "v4" else 1.0
        centres = (within * stretch - (stretch - 1) / 2 + cells) * stride
        sizes = anchors * np.exp(np.minimum(raw[..., 2:4], 20.0))
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1).reshape(-1, 4)


def _scales(seen: Seen) -> tuple[list[str], int] | None:
    """The outputs from the finest scale on, and the number of classes."""
    arrays = seen.arrays
    if len(arrays) not in (2, 3) or any(array.ndim not in (4, 5) for array in arrays.values()):
        return None
    names = sorted(arrays, key=lambda name: -arrays[name].shape[1])
    widths = {int(np.prod(arrays[name].shape[3:])) for name in names}
    if len(widths) != 1 or any(array.ndim == 5 and array.shape[3] != _EACH for array in arrays.values()):
        return None
    channels, rest = divmod(widths.pop(), _EACH)
    strides = [seen.contract.height / arrays[name].shape[1] for name in names]
    across = [seen.contract.width / arrays[name].shape[2] for name in names]
    usual = [8, 16, 32][-len(names) :]
    if rest or channels < 6 or strides != usual or across != usual or seen.classes not in (None, channels - 5):
        return None
    return names, channels - 5


def _recognise(seen: Seen) -> Match | Near | None:
    found = _scales(dataclasses.replace(seen, classes=None))
    if found is None:
        return None
    if seen.classes not in (None, found[1]):
        return Near(f"yolov3 with {found[1]} classes")
    return Match(f"{len(found[0])} grids of three anchors a cell with {found[1]} classes", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    found = _scales(seen)
    if found is None:
        raise ModelError(
            "decoder yolov3 expects two or three grids (1, h, w, 3 × (5 + C)) of strides 8, 16, 32 but the model has "
            f"{listed(seen.arrays)}",
            field="decoder",
        )
    return {"outputs": found[0], "classes": found[1], "box_unit": "pixels"}


def _settle(settling: Settling) -> Settled:
    """Which formula and anchors these are: those with which the cells of one object agree on its box."""
    given: dict[str, Any] = dict(settling.spec.decoder_options)
    scales = len(given["outputs"])
    sources: dict[str, Source] = {}
    tried = {formula: _with_defaults(given, formula, scales) for formula in _FORMULAS if (formula, scales) in _ANCHORS}
    if "formula" not in given:
        found = {name: _agreement(settling, options) for name, options in tried.items()}
        given["formula"] = most_agreed(found)
        told = ", ".join(f"by {name}'s its best boxes agree by {value:.2f}" for name, value in found.items())
        if given["formula"] in _ALIKE:
            raise ModelError(
                f"its grids are those of YOLOv5 or v7 ({told}), whose anchors differ by a factor alone, which no image "
                "tells; write `formula: v5` or `formula: v7` in its decoder",
                field="decoder",
            )
        sources["formula"] = Source("images", told)
    elif given["formula"] not in tried:
        raise ModelError(f"decoder yolov3: {given['formula']} has no usual anchors of {scales} scales", field="decoder")
    options = tried[given["formula"]]
    for name in ("anchors", "scale_xy"):
        if name in options and len(options[name]) != scales:
            raise ModelError(
                f"decoder yolov3: {name} has {len(options[name])} entries for {scales} scales; give one for each, from "
                "the finest on",
                field="decoder",
            )
    for name in ("anchors", "scale_xy"):
        if name not in given and name in options:
            sources[name] = Source("default", f"COCO's of {given['formula']}")
    return settle_boxes(settling, options, sources)


def _with_defaults(given: dict[str, Any], formula: str, scales: int) -> dict[str, Any]:
    options = {"anchors": _ANCHORS[formula, scales], **given, "formula": formula}
    if (formula, scales) in _SCALE_XY:
        options.setdefault("scale_xy", list(_SCALE_XY[formula, scales]))
    return options


def _agreement(settling: Settling, options: dict[str, Any]) -> float:
    spec = dataclasses.replace(settling.spec, decoder_options=options)
    found = [decode(sample, spec) for sample in settling.samples]
    return float(np.mean([agreement(item.boxes, item.scores.max(axis=1)) for item in found]))


def _are_anchors(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(scale, list) and len(scale) == 2 * _EACH and all(isinstance(side, int | float) for side in scale)
        for scale in value
    )


HEAD = in_either_layout(
    Head(
        name="yolov3",
        task="detection",
        about="two or three grids (1, h, w, 3 × (5 + C)); raw YOLOv3, v4, v5, v7",
        decode=decode,
        recognise=_recognise,
        structure=_structure,
        settle=_settle,
        # Darknet's letterbox_image: RGB in 0..1, in the middle of a canvas of one half.
        input={
            "color": "rgb",
            "mean": (0.0,),
            "std": (255.0,),
            "resize": "letterbox",
            "anchor": "center",
            "rounding": "floor",
            "pad": 128.0,
        },
        options={
            **BOX_OPTIONS,
            "outputs": LEVELS,
            "formula": one_of(*_FORMULAS),
            "anchors": Option("six numbers of pixels for each scale, from the finest on", _are_anchors),
            "scale_xy": Option(
                "a number for each scale, from the finest on",
                lambda value: isinstance(value, list) and all(isinstance(item, int | float) for item in value),
            ),
        },
        letterboxed=True,
    )
)
