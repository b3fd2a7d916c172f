"""DETR and its kin: a set of boxes with class logits, without NMS. Source: Carion et al. 2020, arXiv:2005.12872."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    IMAGENET_RGB,
    TEXT,
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
from auditor.heads.anatomy.rows import (
    activated,
    in_pixels,
    pair_of,
    rescaled,
    roles_by_name,
    sorted_detections,
    strides_of,
)
from auditor.heads.anatomy.settling import FROM_GRAPH, settle_boxes, settle_scores
from auditor.values import Detections, Json, ModelSpec, Source

__all__ = ["HEAD"]

_MOST, _LEAST = 1000, 10
"""Queries that such models have."""


def decode(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode (1, Q, K) logits and (1, Q, 4) boxes cx, cy, w, h of Q queries.

    With `activation: softmax` the last column is "no object", and each query is an object of its best other class
    (DETR); with `sigmoid` every query is of every class (Deformable DETR, RF-DETR).
    """
    options: Any = spec.decoder_options
    rows, logits = _parts(outputs, options)
    boxes, logits = in_pixels(rows, spec, default_format="cxcywh"), rescaled(logits, spec)
    scores = activated(logits, options.get("activation", "none"))
    if options["no_object"]:
        scores = scores[:, :-1]
        labels = scores.argmax(axis=1)
        return sorted_detections(boxes, scores[np.arange(len(labels)), labels], labels)
    queries, labels = np.nonzero(scores > spec.postprocess.score_floor)
    return sorted_detections(boxes[queries], scores[queries, labels], labels)


def _parts(outputs: Outputs, options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The boxes (Q, 4) and class values (Q, K)."""
    logits = outputs[options["scores"]]
    return outputs[options["boxes"]].reshape(-1, 4), logits.reshape(-1, logits.shape[-1])


def _pair(seen: Seen) -> tuple[str, str] | None:
    """The outputs with boxes and with logits: as the document names them, else by columns, else by their names."""
    if {"boxes", "scores"} <= seen.given.keys():
        return str(seen.given["boxes"]), str(seen.given["scores"])
    pairs = {name: pair for name, array in seen.arrays.items() if (pair := pair_of(array.shape)) is not None}
    boxes = [name for name, pair in pairs.items() if pair[1] == 4]
    if len(boxes) == 2:
        called = roles_by_name(seen)
        boxes = [called["boxes"]] if {"boxes", "scores"} <= called.keys() else boxes
    scores = [name for name in pairs if name not in boxes]
    if len(seen.arrays) != 2 or len(boxes) != 1 or len(scores) != 1 or pairs[boxes[0]][0] != pairs[scores[0]][0]:
        return None
    return boxes[0], scores[0]


def _recognise(seen: Seen) -> Match | Near | None:
    found = _pair(seen)
    if found is None:
        return None
    queries, columns = seen.arrays[found[1]].shape[-2:]
    on_grid = any(strides_of(queries, seen.contract, anchors=anchors) is not None for anchors in (1, 3))
    if not _LEAST <= queries <= _MOST or on_grid:
        return None
    if seen.classes not in (None, columns, columns - 1):
        return Near(f"detr with {columns} classes, or {columns - 1} and none")
    shown = ", ".join(map(str, seen.shapes))
    return Match(f"outputs {shown}: boxes and class logits of {queries} queries, no cells of a grid", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    found = _pair(seen)
    if found is None:
        raise ModelError(
            f"decoder detr expects boxes (1, Q, 4) and logits (1, Q, K) but the model has {listed(seen.arrays)}",
            field="decoder",
        )
    return {"boxes": found[0], "scores": found[1]}


def _settle(settling: Settling) -> Settled:
    """Whether the last column is "no object": it then is the highest of most queries."""
    options: dict[str, Any] = dict(settling.spec.decoder_options)
    sources: dict[str, Source] = {}
    values = [_parts(sample, options)[1] for sample in settling.samples]
    columns, labels = values[0].shape[-1], len(settling.spec.labels)
    if "no_object" not in options:
        logits = np.concatenate([value.reshape(-1, columns) for value in values])
        usual = columns > 1 and float((logits.argmax(axis=1) == columns - 1).mean()) > 0.5
        options["no_object"] = usual
        told = "its last column is the highest of most queries" if usual else "its last column is as the others"
        sources["no_object"] = Source("images", told)
    if labels and labels != columns - options["no_object"]:
        what = "and one for none" if options["no_object"] else "and none for no object"
        raise ModelError(
            f"the head has {columns - options['no_object']} classes {what}, but `labels` has {labels}; give the labels "
            "of this model, one for each class, or write `no_object:` in its decoder",
            field="labels",
        )
    otherwise = "softmax" if options["no_object"] else "sigmoid"
    scored = settle_scores(np.concatenate([value.ravel() for value in values]), options, otherwise=otherwise)
    options |= scored.options
    sources |= scored.sources
    if "box_unit" not in options:
        options["box_unit"], sources["box_unit"] = "normalized", Source("default")
    # A column is a line of the labels, whether or not these begin with a background.
    found = settle_boxes(dataclasses.replace(settling, given={"label_offset": 0, **settling.given}), options, sources)
    if "label_offset" in settling.given:
        return found
    return dataclasses.replace(found, sources={**found.sources, "label_offset": FROM_GRAPH})


HEAD = in_either_layout(
    Head(
        name="detr",
        task="detection",
        about="(1, Q, 4) boxes and (1, Q, K) class logits of Q queries; DETR, Deformable DETR, RF-DETR",
        decode=decode,
        recognise=_recognise,
        structure=_structure,
        settle=_settle,
        # DETR's and RF-DETR's transforms: RGB, ImageNet statistics; exports are of one size.
        input={
            **IMAGENET_RGB,
            "resize": "stretch",
            "anchor": "center",
            "rounding": "round",
            "pad": 0.0,
        },
        options={
            **BOX_OPTIONS,
            "activation": one_of("none", "sigmoid", "softmax"),
            "no_object": Option("true or false", lambda value: isinstance(value, bool)),
            "boxes": TEXT,
            "scores": TEXT,
        },
        box_format="cxcywh",
        nms_inside=True,
    )
)
