"""TFLite_Detection_PostProcess: boxes, classes, scores and count, in the order of TensorFlow 1 or 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import BOX_OPTIONS, SSD_INPUT, Head, Match, Option, Outputs, Seen, listed
from auditor.heads.anatomy.rows import in_pixels, rescaled, sorted_detections
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Detections, Json, ModelSpec

__all__ = ["HEAD"]

_OP = "TFLite_Detection_PostProcess"
_ROLES = ("boxes", "classes", "scores", "count")


def decode(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode boxes (1, N, 4) yxyx in [0, 1], classes (1, N), scores (1, N), count (1,).

    Which output is which stands in the option `slots`, resolved once from the op itself.
    Source: tflite/kernels/detection_postprocess.cc in https://github.com/google-ai-edge/LiteRT (outputs 0 to 3).
    """
    slots: Any = spec.decoder_options["slots"]
    count = int(outputs[slots["count"]].ravel()[0])
    classes = outputs[slots["classes"]].ravel()[:count]
    if np.abs(classes - np.rint(classes)).max(initial=0.0) > 0.01:
        raise ValueError(
            f"expected whole numbers as classes but got {classes[:3].tolist()}: the outputs are in another order; "
            "write `slots:`"
        )
    boxes = outputs[slots["boxes"]].reshape(-1, 4)[:count]
    scores = rescaled(outputs[slots["scores"]].ravel()[:count], spec)
    return sorted_detections(in_pixels(boxes, spec, default_format="yxyx"), scores, classes)


def _recognise(seen: Seen) -> Match | None:
    if _OP in seen.op_outputs:
        return Match(f"its op {_OP}", sure=True)
    if len(seen.arrays) == 4 and all(array.ndim <= 3 for array in seen.arrays.values()):
        return Match("four outputs: boxes, classes, scores, count")
    return None


def _structure(seen: Seen) -> dict[str, Json]:
    return {"box_unit": "normalized", **({} if "slots" in seen.given else {"slots": _slots(seen)})}


def _slots(seen: Seen) -> Json:
    """Which output holds boxes, classes, scores and the count: by the op's own slots, else signature names, else
    shapes."""
    inside = seen.op_outputs.get(_OP, ())[:4]
    if len(inside) == 4 and all(name in seen.arrays for name in inside):
        return dict(zip(_ROLES, inside, strict=True))
    if len(seen.arrays) != 4:
        raise ModelError(f"decoder tflite_postprocess expects four outputs but the model has {listed(seen.arrays)}")
    return _slots_by_signature(seen) or _slots_by_shape(seen)


def _slots_by_signature(seen: Seen) -> dict[str, Json] | None:
    """By what a signature calls its outputs, for example detection_boxes, detection_classes, detection_scores,
    num_detections."""
    marks = {"boxes": ("box",), "classes": ("class", "categor"), "scores": ("score",), "count": ("num", "count")}
    found = {
        role: [name for name, called in seen.called.items() if any(mark in called.lower() for mark in words)]
        for role, words in marks.items()
    }
    return {role: names[0] for role, names in found.items()} if all(len(n) == 1 for n in found.values()) else None


def _slots_by_shape(seen: Seen) -> dict[str, Json]:
    """By shape: boxes (1, N, 4), the count of one value; of the two (1, N) the order tells: TF1 has boxes, classes,
    scores, count, TF2 has scores before classes, whether by the numbers of its names (count first) or in the file
    (boxes second)."""
    arrays = seen.arrays
    names = _numbered_order(seen, list(arrays))
    boxes = [name for name in names if arrays[name].ndim == 3 and arrays[name].shape[-1] == 4]
    flat = [name for name in names if arrays[name].ndim == 2 and arrays[name].size != 1]
    single = [name for name in names if arrays[name].size == 1]
    if len(boxes) != 1 or len(flat) != 2 or len(single) != 1:
        raise ModelError(
            f"decoder tflite_postprocess expects (1, N, 4), (1, N), (1, N) and (1,) but the model has {listed(arrays)}"
        )
    classes, scores = flat if names.index(boxes[0]) == 0 else (flat[1], flat[0])
    return {"boxes": boxes[0], "classes": classes, "scores": scores, "count": single[0]}


def _numbered_order(seen: Seen, names: Sequence[str]) -> list[str]:
    """The outputs in the order of the numbers that end what a signature calls them (`output_0`, …), else their own
    names (`StatefulPartitionedCall:0`, …), else as they stand: converters store them in another order."""
    ways: list[Callable[[str], str]] = [lambda name: seen.called.get(name, ""), lambda name: name]
    for called in ways:
        found = [re.fullmatch(r"(.*?)[_:](\d+)", called(name)) for name in names]
        if all(found) and len({match[1] for match in found if match}) == 1:
            numbers = {name: int(match[2]) for name, match in zip(names, found, strict=True) if match}
            return sorted(names, key=numbers.__getitem__)
    return list(names)


def _are_slots(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(_ROLES)
        and all(isinstance(name, str) for name in value.values())
        and len(set(value.values())) == len(_ROLES)
    )


HEAD = Head(
    name="tflite_postprocess",
    task="detection",
    about="TFLite_Detection_PostProcess, TF1 and TF2 order",
    decode=decode,
    recognise=_recognise,
    structure=_structure,
    settle=settle_boxes,
    input=SSD_INPUT,
    options={
        **BOX_OPTIONS,
        "slots": Option("the names of the outputs boxes, classes, scores and count", _are_slots),
    },
    box_format="yxyx",
    nms_inside=True,
    ids_without_background=True,
)
