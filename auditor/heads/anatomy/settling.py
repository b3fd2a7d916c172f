"""What heads that find boxes leave open, settled once per model from its outputs on the first images, and what those
outputs confirm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import Head, Outputs, Settled, Settling
from auditor.values import Candidates, Detections, Json, ModelSpec, Source

__all__ = [
    "BACKGROUNDS",
    "FROM_GRAPH",
    "FROM_IMAGES",
    "PER_CENT",
    "activation_of",
    "settle_boxes",
    "settle_offset",
    "settle_scores",
]

BACKGROUNDS = (None, "background", "__background__")
"""What a label list that begins with a background calls it; None is TensorFlow's ???."""

FROM_IMAGES = Source("images")
FROM_GRAPH = Source("graph")
_FROM_DOCUMENT = Source("audit.yaml")

PER_CENT = 0.01
"""The scale of scores that go from 0 to 100, as camera kits export them."""

_PER_CENT_FROM = 20.0
"""Per cents reach this on images that show anything; logits and the like hardly do."""
_MOST_PER_CENT = 101.0

_SEEN = 1e-3
"""Detections all scored below this are padding."""


def settle_boxes(
    settling: Settling, own: Mapping[str, Json] | None = None, sources: Mapping[str, Source] | None = None
) -> Settled:
    """Settle the unit of the boxes and the offset of the labels, after what a head settles by itself (`own`, with its
    `sources`), and check that the decoded values can be boxes and scores.

    Raises:
        ModelError: the outputs contradict the decoder, or the labels do not fit the head.
    """
    spec, head = settling.spec, settling.head
    options: dict[str, Json] = {**spec.decoder_options, **(own or {})}
    settled = dict(sources or {})
    if "box_unit" not in options:
        unit = _box_unit(settling, options, settling.samples) or _box_unit(settling, options, settling.more())
        if unit is None:
            raise ModelError(
                "nothing is detected on the first images, so whether its boxes are in pixels cannot be told; write "
                "`box_unit: pixels` or `normalized`",
                field="decoder",
            )
        options["box_unit"], settled["box_unit"] = unit, FROM_IMAGES
    spec = dataclasses.replace(spec, decoder_options=options)
    decoded = [head.decode(sample, spec) for sample in settling.samples]
    if "score_scale" in head.options and "score_scale" not in options and _per_cent(settling, spec, decoded):
        options["score_scale"], settled["score_scale"] = PER_CENT, FROM_IMAGES
        spec = dataclasses.replace(spec, decoder_options=options)
        decoded = [head.decode(sample, spec) for sample in settling.samples]
    _confirm(settling, decoded, options)
    known = head.ids_without_background  # ids that few images show: the more are looked at, the better
    seen = [*decoded, *(head.decode(sample, spec) for sample in settling.more())] if known else decoded
    options["label_offset"], settled["label_offset"] = settle_offset(head, spec, seen, settling.given)
    return Settled(options, settled)


def activation_of(scores: NDArray[Any], *, otherwise: str) -> str:
    """Values outside [0, 1] are logits, to be activated by `otherwise`."""
    return otherwise if scores.size and (scores.min() < -1e-3 or scores.max() > 1 + 1e-3) else "none"


def settle_scores(values: NDArray[Any], options: Mapping[str, Json], *, otherwise: str) -> Settled:
    """Settle how class values become scores from 0 to 1: as they are, as per cent, or as logits activated by
    `otherwise`; nothing where the document says it."""
    scale: Any = options.get("score_scale")
    if "activation" in options or not values.size:
        return Settled({}, {})
    if scale is None and values.min() >= -1e-3 and values.max() >= _PER_CENT_FROM and values.max() <= _MOST_PER_CENT:
        found: dict[str, Json] = {"activation": "none", "score_scale": PER_CENT}
        return Settled(found, dict.fromkeys(found, FROM_IMAGES))
    activation = activation_of(values * float(scale or 1), otherwise=otherwise)
    return Settled({"activation": activation}, {"activation": FROM_IMAGES})


def _box_unit(settling: Settling, options: Mapping[str, Json], samples: Sequence[Outputs]) -> str | None:
    """Pixels or fractions of the input: boxes of the best candidates are wider than 1.5 only in pixels. None: no
    box."""
    spec, decode = settling.spec, settling.head.decode
    every = dataclasses.replace(spec.postprocess, score_floor=-1.0)
    plain = dataclasses.replace(spec, decoder_options={**options, "box_unit": "pixels"}, postprocess=every)
    sides = []
    for sample in samples:
        decoded = decode(sample, plain)
        scores = (
            decoded.scores.max(axis=1) if decoded.scores.ndim == 2 and decoded.scores.size else decoded.scores.ravel()
        )
        best = np.argsort(-scores, kind="stable")[:20]
        if len(best) and scores[best[0]] > 0:
            best = best[scores[best] >= 0.1 * scores[best[0]]]  # what pads a list of detections has next to no score
        if isinstance(decoded, Detections) and len(best) and scores[best[0]] < _SEEN:
            continue
        boxes = decoded.boxes[best]
        sides.extend((boxes[:, 2:] - boxes[:, :2]).max(axis=1).tolist())
    return None if not sides else "pixels" if float(np.median(sides)) > 1.5 else "normalized"


def _per_cent(settling: Settling, spec: ModelSpec, decoded: Sequence[Any]) -> bool:
    """Whether the scores go from 0 to 100 where 0 to 1 was expected: they are right once they are scaled."""
    before = np.concatenate([item.scores.ravel() for item in decoded])
    if not before.size or not np.isfinite(before).all() or before.min() < -0.01 or before.max() < _PER_CENT_FROM:
        return False
    scaled = dataclasses.replace(spec, decoder_options={**spec.decoder_options, "score_scale": PER_CENT})
    after = np.concatenate([settling.head.decode(sample, scaled).scores.ravel() for sample in settling.samples])
    return bool(after.size and after.max() <= 1.01)


def _confirm(settling: Settling, decoded: Sequence[Any], options: Mapping[str, Json]) -> None:
    """Refuse outputs that cannot be boxes and scores: the decoder is another, or the model is broken."""
    head = settling.head
    boxes = np.concatenate([item.boxes for item in decoded])
    if len(boxes) and not np.isfinite(boxes).all(axis=1).any():
        raise ModelError(
            f"decoder {head.name} finds no box of finite numbers on the first images; the model is broken, or "
            "its head is another",
            field="decoder",
        )
    scores = np.concatenate([item.scores.ravel() for item in decoded])
    if scores.size == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    if not np.isfinite([low, high]).all():
        raise ModelError(
            f"decoder {head.name} finds scores that are not finite on the first images; the model is broken, or "
            "its head is another"
        )
    if low < -0.01 or high > 1.01:
        range_of = f"decoder {head.name} finds scores from {low:.3g} to {high:.3g}"
        if "score_scale" in options:
            told = f"{range_of} with score_scale {options['score_scale']}, expected 0 to 1: check it"
        elif settling.named:
            told = (
                f"{range_of}, expected 0 to 1: this head fits no such outputs, or they need `score_scale: {PER_CENT}`"
            )
        else:
            told = f"{range_of}, expected 0 to 1: the head has another layout; write `decoder:`"
            if high >= _PER_CENT_FROM:
                told += f", or `score_scale: {PER_CENT}` in it"
        raise ModelError(told, field="decoder")


def settle_offset(head: Head, spec: ModelSpec, decoded: Sequence[Any], given: Mapping[str, Any]) -> tuple[int, Source]:
    """How far a class index lies before its line in the label list; checks that the list fits the head."""
    listed = len(spec.labels)
    if not listed:
        return int(given.get("label_offset", 0)), _FROM_DOCUMENT if "label_offset" in given else Source("default")
    classes = next((item.scores.shape[1] for item in decoded if isinstance(item, Candidates)), None)
    background = spec.labels[0] in BACKGROUNDS
    if "label_offset" in given:
        offset, origin = int(given["label_offset"]), _FROM_DOCUMENT
    elif classes is None:
        offset, origin = _offset_of_ids(head, spec, decoded, background=background)
    else:
        offset, origin = int(background and listed == classes + 1), FROM_GRAPH
    if offset < -1 or offset > 1:
        raise ModelError(f"decoder {head.name}: label_offset is {offset}; expected -1, 0 or 1", field="decoder")
    if classes is not None:
        _check_classes(classes, offset, listed, given=given)
    else:
        most = max((int(item.labels.max()) for item in decoded if item.labels.size), default=0)
        if most + offset >= listed:
            raise ModelError(
                f"the model gives class {most} but `labels` has only {listed} names (label_offset {offset}); give the "
                "labels of this model"
            )
    return offset, origin


def _check_classes(classes: int, offset: int, listed: int, *, given: Mapping[str, Any]) -> None:
    if "label_offset" in given:  # a list that is shifted by one lacks a line for a class
        if abs(classes + offset - listed) > 1:
            raise ModelError(
                f"the head has {classes} classes, which with label_offset {offset} need {classes + offset} labels, but "
                f"`labels` has {listed}",
                field="decoder",
            )
    elif classes + offset != listed:
        hint = f" ({listed} is a sparse COCO list: use coco80)" if classes == 80 and listed in (90, 91) else ""
        raise ModelError(
            f"the head has {classes} classes but `labels` has {listed}{hint}; give the labels of this model, one for "
            "each class"
        )


def _offset_of_ids(head: Head, spec: ModelSpec, decoded: Sequence[Any], *, background: bool) -> tuple[int, Source]:
    """The offset of a head that gives class ids. TFLite_Detection_PostProcess numbers its classes without the
    background, which label files keep in line 0 as ???; ids that reach one past a plain list are numbered from 1."""
    if background and not head.ids_without_background:
        raise ModelError(
            "`labels` begins with a background, and the head does not say whether it counts it; write `label_offset: "
            "0` or `1` in `decoder:`",
            field="decoder",
        )
    seen = [item.labels for item in decoded if item.labels.size]
    ids = np.concatenate(seen) if seen else np.zeros(0, dtype=np.int64)
    listed = len(spec.labels)
    if ids.size and ids.min() >= 1 and ids.max() == listed - int(background):
        return (0, FROM_IMAGES) if background else (-1, FROM_IMAGES)
    return int(background and head.ids_without_background), Source("metadata")
