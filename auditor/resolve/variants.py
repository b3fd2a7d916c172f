"""Other ways to feed a model and to read what it says: one factor changed at a time, each with the YAML that declares
it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.encoding import encode
from auditor.heads.anatomy.head import Head
from auditor.tasks.anatomy.cells import task_of
from auditor.tasks.anatomy.task import Reading
from auditor.values import DECLARED, IMAGENET_MEAN, IMAGENET_STD, InputContract, ModelSpec, Patch, yaml_flow
from auditor.values.label_lists import BUILT_IN_LABELS

__all__ = ["InputVariant", "combined", "input_variants", "readings"]

# Values of (mean, std) in pixel units: 0..255, 0..1, -1..1, and ImageNet's statistics in the order of RGB.
_RANGES: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.0,), (1.0,)),
    ((0.0,), (255.0,)),
    ((127.5,), (127.5,)),
    (IMAGENET_MEAN, IMAGENET_STD),
)
_PLACES: tuple[dict[str, Any], ...] = (
    {"resize": "stretch"},
    {"resize": "letterbox", "anchor": "center"},
    {"resize": "letterbox", "anchor": "top_left"},
    {"resize": "crop"},
)
_COCO80 = "coco80"
_KEYS = tuple(InputContract(height=1, width=1, resize="letterbox").settings)
"""The keys of a contract in the order in which changes are named, whichever came first."""


@dataclass(frozen=True)
class InputVariant:
    """A model fed otherwise: `factors` are what was changed, `changes` the keys of the input contract with their
    values."""

    spec: ModelSpec
    factors: tuple[str, ...]
    changes: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.spec.variant

    @property
    def patch(self) -> Patch:
        """What declares this variant in `audit.yaml`."""
        settings = self.spec.input.settings
        source = self.spec.sources.get("input.height")
        if source is not None and source.origin == "audit.yaml":
            settings["size"] = [self.spec.input.height, self.spec.input.width]
        return Patch({"input": settings}, model=self.spec.name)


def input_variants(
    spec: ModelSpec, images: Sequence[NDArray[np.uint8]], *, base: InputVariant | None = None
) -> list[InputVariant]:
    """List each plausible other input contract, one factor changed from the declared one, or from that of `base`:
    channel order, value range, resize, kernel, pad value.

    Those that give the same tensors as the one they are changed from (or as another) on `images` are left out.
    """
    start = spec.input if base is None else base.spec.input
    seen = [[encode(image, start)[0] for image in images]]
    found = []
    for factor, changes in _changes(start):
        before, earlier = (base.changes, base.factors) if base is not None else ({}, ())
        variant = _variant(spec, tuple(dict.fromkeys((*earlier, factor))), {**before, **changes})
        tensors = [encode(image, variant.spec.input)[0] for image in images]
        if any(all(map(np.array_equal, tensors, others)) for others in seen):
            continue
        seen.append(tensors)
        found.append(variant)
    return found


def combined(spec: ModelSpec, first: InputVariant, second: InputVariant) -> InputVariant:
    """The variant that has the changes of two of different factors."""
    changes = {**first.changes, **second.changes}
    factors = (*first.factors, *second.factors)
    if set(factors) == {"color", "range"}:  # statistics by channel follow the order of the channels
        color = next(variant for variant in (first, second) if "color" in variant.factors).changes["color"]
        other = next(variant for variant in (first, second) if "range" in variant.factors)
        turned = color != spec.input.color
        changes |= {
            key: tuple(reversed(other.changes[key])) if turned else other.changes[key] for key in ("mean", "std")
        }
    return _variant(spec, factors, changes)


def readings(spec: ModelSpec, categories: Sequence[str]) -> list[Reading]:
    """List the other ways to read the model's predictions, for a data set of `categories`."""
    head: Head = extensions.resolve("heads", spec.decoder)
    task = task_of(spec.task)
    declared_offset: Any = spec.decoder_options.get("label_offset", 0)
    offset, labels = int(declared_offset), spec.labels

    def reading(name: str, kind: Literal["labels", "boxes"], keys: Mapping[str, Any], **facts: Any) -> Reading:
        values = {"label_offset": offset, "labels": labels, "nms_inside": head.nms_inside, **facts}
        source = spec.sources.get("decoder.anchors")
        kept = ("anchors",) if source is not None and source.origin == "audit.yaml" and "decoder" in keys else ()
        return Reading(name, kind, Patch(keys, model=spec.name, keep=kept), **values)

    found: list[Reading] = []
    coco = {label for label in BUILT_IN_LABELS[_COCO80] if label}
    if task.reads_coco and sum(category in coco for category in categories) * 2 >= len(categories):
        found += [
            reading(f"labels={name}", "labels", {"labels": name}, label_offset=0, labels=known)
            for name, known in BUILT_IN_LABELS.items()
            if known != labels and (head.nms_inside or len(known) == len(labels))
        ]
    found += [
        reading(f"label_offset={other}", "labels", _decoder(spec, label_offset=other), label_offset=other)
        for other in (offset - 1, offset + 1)
        if -1 <= other <= 1
    ]
    order = spec.decoder_options.get("box_format", head.box_format)
    if task.reread is None or order is None or spec.postprocess.clip:
        return found
    declared = str(order)
    for other in ("xyxy", "yxyx", "cxcywh"):
        if other != declared:
            options = {"box_format": (declared, other)}
            found.append(reading(f"box_format={other}", "boxes", _decoder(spec, box_format=other), options=options))
    unit = str(spec.decoder_options.get("box_unit"))
    turned = "pixels" if unit == "normalized" else "normalized"
    options = {"box_unit": (unit, turned)}
    return [*found, reading(f"box_unit={turned}", "boxes", _decoder(spec, box_unit=turned), options=options)]


def _decoder(spec: ModelSpec, **changed: Any) -> dict[str, Any]:
    """The decoder as the document gives it, with one option changed; anchors, which may be a file, stay as they are."""
    given = {
        key: value
        for key, value in spec.decoder_options.items()
        if key != "anchors"
        and (source := spec.sources.get(f"decoder.{key}")) is not None
        and source.origin == "audit.yaml"
    }
    return {"decoder": {"name": spec.decoder, **given, **changed}}


def _changes(declared: InputContract) -> Iterator[tuple[str, dict[str, Any]]]:
    grey = declared.color == "gray"
    if not grey:
        statistics = {key: getattr(declared, key) for key in ("mean", "std")}
        turned = {key: tuple(reversed(value)) for key, value in statistics.items() if len(value) == 3}
        other = "bgr" if declared.color == "rgb" else "rgb"
        yield "color", {"color": other, **turned}  # each colour keeps its statistics
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


def _variant(spec: ModelSpec, factors: tuple[str, ...], changes: Mapping[str, Any]) -> InputVariant:
    changed = {key: changes[key] for key in _KEYS if key in changes and getattr(spec.input, key) != changes[key]}
    name = ",".join(f"{key}={yaml_flow(value).replace(' ', '')}" for key, value in changed.items()) or DECLARED
    contract = dataclasses.replace(spec.input, **changes)
    return InputVariant(dataclasses.replace(spec, input=contract, variant=name), factors, changes)
