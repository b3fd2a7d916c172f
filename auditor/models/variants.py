"""Other ways to feed a model and to read what it says: one factor changed at a time, each with the YAML that declares
it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh, to_xyxy
from auditor.models.contract import encode, geometry_of
from auditor.models.labels import BUILT_IN
from auditor.models.postprocess import suppress
from auditor.values import Detections, InputContract, ModelSpec

__all__ = ["InputVariant", "Reading", "combined", "input_variants", "readings", "reread"]

# Values of (mean, std) in pixel units: 0..255, 0..1, -1..1, and ImageNet's statistics in the order of RGB.
# Source of the last: https://pytorch.org/vision/stable/models.html (0.485, 0.456, 0.406 and 0.229, 0.224, 0.225).
_RANGES: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.0,), (1.0,)),
    ((0.0,), (255.0,)),
    ((127.5,), (127.5,)),
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
)
_PLACES: tuple[dict[str, Any], ...] = (
    {"resize": "stretch"},
    {"resize": "letterbox", "anchor": "center"},
    {"resize": "letterbox", "anchor": "top_left"},
    {"resize": "crop"},
)
_FORMATS = {
    "yolox": "cxcywh",
    "yolov5": "cxcywh",
    "yolov8": "cxcywh",
    "end2end": "xyxy",
    "tflite_postprocess": "yxyx",
}
"""Decoders whose boxes stand in one of several orders, and the order they have where nothing else is said."""
_WITHIN = ("end2end", "tflite_postprocess")
"""Decoders of heads with NMS inside."""


@dataclass(frozen=True)
class InputVariant:
    """A model fed otherwise: `factor` is what was changed, `changes` the keys of the input contract with their
    values."""

    spec: ModelSpec
    factor: str
    changes: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.spec.variant

    @property
    def yaml(self) -> str:
        """The line of `audit.yaml` that declares this variant."""
        shown = {
            key: getattr(self.spec.input, key)
            for key in ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation")
        }
        if shown["resize"] == "stretch":
            for key in ("anchor", "rounding", "pad"):
                del shown[key]
        if self.spec.sources.get("input.height") == "audit.yaml":
            shown["size"] = f"[{self.spec.input.height}, {self.spec.input.width}]"
        return f"input: {{{', '.join(f'{key}: {_shown(value)}' for key, value in shown.items())}}}"


@dataclass(frozen=True)
class Reading:
    """The same predictions read otherwise: other labels or another offset (`kind` labels), or boxes in another order or
    unit (`kind` boxes)."""

    name: str
    kind: str
    yaml: str
    label_offset: int
    labels: tuple[str | None, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def input_variants(spec: ModelSpec, images: Sequence[NDArray[np.uint8]]) -> list[InputVariant]:
    """List each plausible other input contract, one factor changed: channel order, value range, resize, kernel, pad
    value.

    Those that give the same tensors as the declared one (or as another) on `images` are left out.
    """
    seen = [[encode(image, spec.input)[0] for image in images]]
    found = []
    for factor, changes in _changes(spec.input):
        variant = _variant(spec, factor, changes)
        tensors = [encode(image, variant.spec.input)[0] for image in images]
        if any(all(map(np.array_equal, tensors, others)) for others in seen):
            continue
        seen.append(tensors)
        found.append(variant)
    return found


def combined(spec: ModelSpec, first: InputVariant, second: InputVariant) -> InputVariant:
    """The variant that has the changes of two of different factors."""
    changes = {**first.changes, **second.changes}
    if {first.factor, second.factor} == {"color", "range"}:  # statistics by channel follow the order of the channels
        color = next(variant for variant in (first, second) if variant.factor == "color").changes["color"]
        other = next(variant for variant in (first, second) if "mean" in variant.changes and variant.factor != "color")
        turned = color != spec.input.color
        changes |= {
            key: tuple(reversed(other.changes[key])) if turned else other.changes[key] for key in ("mean", "std")
        }
    return _variant(spec, f"{first.factor} and {second.factor}", changes)


def readings(spec: ModelSpec, categories: Sequence[str]) -> list[Reading]:
    """List the other ways to read the model's predictions, for a data set of `categories`."""
    offset, labels = int(spec.decoder_options.get("label_offset", 0)), spec.labels
    given = {
        key: value
        for key, value in spec.decoder_options.items()
        if spec.sources.get(f"decoder.{key}") == "audit.yaml" and key != "anchors"
    }

    def line(**changed: Any) -> str:
        kept = ", ".join(f"{key}: {_flow(value)}" for key, value in {"name": spec.decoder, **given, **changed}.items())
        anchors = "   # and its anchors, as they are" if spec.sources.get("decoder.anchors") == "audit.yaml" else ""
        return f"decoder: {{{kept}}}{anchors}"

    found: list[Reading] = []
    names = {label for label in BUILT_IN["coco80"] if label}
    if spec.task == "detection" and sum(category in names for category in categories) * 2 >= len(categories):
        lists = [
            name
            for name, known in BUILT_IN.items()
            if known != labels and (spec.decoder in _WITHIN or len(known) == len(labels))
        ]
        found += [Reading(f"labels={name}", "labels", f"labels: {name}", 0, BUILT_IN[name]) for name in lists]
    found += [
        Reading(f"label_offset={other}", "labels", line(label_offset=other), other, labels)
        for other in (offset - 1, offset + 1)
        if -1 <= other <= 1
    ]
    if spec.task == "classification":
        return found
    declared = spec.decoder_options.get("box_format", _FORMATS.get(spec.decoder))
    if declared is None or spec.postprocess.clip:
        return found
    found += [
        Reading(
            f"box_format={other}", "boxes", line(box_format=other), offset, labels, {"box_format": (declared, other)}
        )
        for other in ("xyxy", "yxyx", "cxcywh")
        if other != declared
    ]
    unit = spec.decoder_options.get("box_unit")
    other = "pixels" if unit == "normalized" else "normalized"
    return [
        *found,
        Reading(f"box_unit={other}", "boxes", line(box_unit=other), offset, labels, {"box_unit": (unit, other)}),
    ]


def reread(found: Detections, reading: Reading, spec: ModelSpec, size: tuple[int, int]) -> Detections:
    """Read the boxes of one image of (width, height), in its own pixels, in another order or unit; suppressed anew
    where the auditor suppresses."""
    if reading.kind != "boxes":
        return found
    geometry = geometry_of(size, spec.input)
    boxes = found.boxes * np.array(geometry.scale * 2) + np.array(geometry.offset * 2)
    if "box_format" in reading.options:
        declared, other = reading.options["box_format"]
        boxes = to_xyxy(_from_xyxy(boxes, declared), other)
    else:
        sides = np.array([spec.input.width, spec.input.height] * 2, dtype=np.float64)
        boxes = boxes / sides if reading.options["box_unit"][1] == "pixels" else boxes * sides
    right = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    kept = np.nonzero(right)[0]
    if spec.decoder not in _WITHIN:
        inner = suppress(
            boxes[kept],
            found.scores[kept],
            found.labels[kept],
            iou=spec.postprocess.nms_iou,
            most=spec.postprocess.max_detections,
        )
        kept = kept[inner]
    return Detections(geometry.to_original(boxes[kept]), found.scores[kept], found.labels[kept])


def _changes(declared: InputContract) -> Iterator[tuple[str, dict[str, Any]]]:
    grey = declared.color == "gray"
    if not grey:
        turned = {
            key: tuple(reversed(getattr(declared, key))) for key in ("mean", "std") if len(getattr(declared, key)) == 3
        }
        yield (
            "color",
            {"color": "bgr" if declared.color == "rgb" else "rgb", **turned},
        )  # each colour keeps its statistics
    for mean, std in _RANGES:
        if grey and len(mean) == 3:
            mean, std = (float(np.mean(mean)),), (float(np.mean(std)),)
        if declared.color == "bgr":
            mean, std = tuple(reversed(mean)), tuple(reversed(std))
        yield "range", {"mean": mean, "std": std}
    for place in _PLACES:
        yield "resize", dict(place)
    for kernel in ("linear", "area", "nearest", "cubic"):
        yield "interpolation", {"interpolation": kernel}
    if declared.resize == "letterbox":
        for pad in (0.0, 114.0, 127.0):
            yield "pad", {"pad": pad}


def _variant(spec: ModelSpec, factor: str, changes: Mapping[str, Any]) -> InputVariant:
    changed = {key: value for key, value in changes.items() if getattr(spec.input, key) != value}
    name = ",".join(f"{key}={_shown(value).replace(' ', '')}" for key, value in changed.items()) or "declared"
    contract = dataclasses.replace(spec.input, **changes)
    return InputVariant(dataclasses.replace(spec, input=contract, variant=name), factor, changes)


def _from_xyxy(boxes: NDArray[np.float64], box_format: str) -> NDArray[np.float64]:
    if box_format == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    corner = to_xywh(boxes)
    if box_format == "cxcywh":
        return np.concatenate([corner[:, :2] + corner[:, 2:] / 2, corner[:, 2:]], axis=1)
    return corner if box_format == "xywh" else boxes


def _flow(value: Any) -> str:
    """A value as YAML writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list | tuple) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        numbers = [f"{number:.6g}" for number in value]
        return numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
