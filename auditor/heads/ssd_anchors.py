"""Raw SSD heads: box encodings relative to anchors, and class scores. Source: Liu et al. 2016, arXiv:1512.02325."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import BOX_FORMATS
from auditor.errors import ModelError
from auditor.heads.anatomy.anchors import as_corners, generate_anchors, load_anchors
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    NUMBER,
    SSD_INPUT,
    TEXT,
    WHOLE,
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
from auditor.heads.anatomy.rows import activated, pair_of, rescaled, roles_by_name
from auditor.heads.anatomy.settling import FROM_GRAPH, FROM_IMAGES, settle_boxes, settle_scores
from auditor.values import Candidates, Json, ModelSpec, Source

__all__ = ["HEAD"]

_OPEN = "open_boxes"
"""Two outputs of which one holds box encodings and one anchors, where neither's name tells."""


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 4) encodings and (1, N, C) class scores against N anchors.

    `encoding: center_size` takes (y, x, h, w) with `box_format: yxyx` (TensorFlow, the default) or (x, y, w, h) with
    `xyxy`: centre = anchor centre + value × variance × anchor size, size = anchor size × exp(value × variance).
    `encoding: corner_offsets` takes each corner as offset × anchor width (or height) + the anchor's corner, by default
    in `xyxy`. `background` is the column of the background class, or none. Source: arXiv:1512.02325.
    """
    options: Any = spec.decoder_options
    boxes = outputs[options["boxes"]].reshape(-1, 4).astype(np.float64)
    given = options["anchors"]
    anchors = np.asarray(outputs[given] if isinstance(given, str) else given, dtype=np.float64).reshape(-1, 4)
    y_first = options["box_format"] == "yxyx"
    if y_first:
        boxes = boxes[:, [1, 0, 3, 2]]
    size = anchors[:, 2:] - anchors[:, :2]
    if options["encoding"] == "center_size":
        variances = np.asarray(options["variances"], dtype=np.float64)
        boxes = boxes * (variances[[1, 0, 3, 2]] if y_first else variances)
        centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + boxes[:, :2] * size
        half = size * np.exp(np.minimum(boxes[:, 2:], 20.0)) / 2
        decoded = np.concatenate([centre - half, centre + half], axis=1)
    else:
        decoded = anchors + boxes * np.tile(size, 2)
    if options.get("box_unit") != "pixels":
        decoded = decoded * np.array([spec.input.width, spec.input.height] * 2, dtype=np.float64)
    scores = rescaled(outputs[options["scores"]], spec)
    scores = activated(scores.reshape(-1, scores.shape[-1]), options.get("activation", "none"))
    if options.get("background") is not None:
        scores = np.delete(scores, int(options["background"]), axis=1)
    return Candidates(decoded, scores)


def _recognise(seen: Seen) -> Match | Near | None:
    pairs = [pair for shape in seen.shapes if (pair := pair_of(shape)) is not None]
    if len(pairs) not in (2, 3) or len(pairs) != len(seen.arrays):
        return None
    if not any(pair[1] == 4 for pair in pairs) or len({pair[0] for pair in pairs}) != 1:
        return None
    shown = ", ".join(map(str, seen.shapes))
    columns = [pair[1] for pair in pairs if pair[1] != 4] or [4]
    if len(columns) == 1 and seen.classes is not None and columns[0] not in (seen.classes, seen.classes + 1):
        return Near(f"ssd_anchors with {columns[0]} columns of scores")
    return Match(f"outputs {shown}: box encodings and class scores of the same anchors")


def _structure(seen: Seen) -> dict[str, Json]:
    """Which output holds box encodings, class scores and anchors: as given, by what they are called, then by shape."""
    arrays, given = seen.arrays, seen.given
    if {"boxes", "scores"} <= given.keys():
        rest = [name for name in arrays if name not in (given["boxes"], given["scores"])]
        return {"anchors": rest[0]} if len(rest) == 1 and "anchors" not in given else {}
    roles = roles_by_name(seen)
    fours = [name for name, array in arrays.items() if array.shape[-1] == 4 and name not in roles.values()]
    others = [name for name, array in arrays.items() if array.shape[-1] != 4 and name not in roles.values()]
    if "scores" not in roles and len(others) == 1:
        roles["scores"] = others.pop()
    if "anchors" in roles and "boxes" not in roles and len(fours) == 1:
        roles["boxes"] = fours.pop()
    elif "boxes" in roles and "anchors" not in roles and len(fours) == 1 and "scores" in roles:
        roles["anchors"] = fours.pop()
    elif "boxes" not in roles and len(fours) == 1:
        roles["boxes"] = fours.pop()
    if "scores" not in roles or others or ("boxes" not in roles and len(fours) != 2) or len(fours) > 2:
        raise ModelError(
            "decoder ssd_anchors expects (1, N, 4) boxes, (1, N, C) scores and perhaps (N, 4) anchors but cannot tell "
            f"which is which of {listed(arrays)}; write the names: `decoder: {{name: ssd_anchors, boxes: …, scores: "
            "…}`",
            field="decoder",
        )
    found: dict[str, Json] = {**roles}
    return found if "boxes" in roles else {**found, _OPEN: list(fours)}


def _prepare(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    options.setdefault("encoding", "center_size")
    options.setdefault("box_format", "yxyx" if options["encoding"] == "center_size" else "xyxy")
    options.setdefault("variances", [0.1, 0.1, 0.2, 0.2])
    anchors = options.pop("anchors", "output")
    if isinstance(anchors, Mapping):
        try:
            options["anchors"] = generate_anchors(anchors).tolist()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"decoder ssd_anchors: anchors cannot be generated from {dict(anchors)} "
                f"({type(error).__name__}: {error})"
            ) from error
    elif anchors != "output":
        options["anchors"] = _corners(load_anchors(folder / anchors), options).tolist()
    return options


def _corners(anchors: NDArray[np.float64], options: Mapping[str, Any]) -> NDArray[np.float64]:
    """Anchors as xyxy. Their format, where it is not given, is the box's; TensorFlow's centres and sizes beside boxes
    in `center_size` are told from corners by their sides, which as corners would be inverted."""
    if "anchor_format" in options:
        corners = as_corners(anchors, options["anchor_format"])
    else:
        corners = as_corners(anchors, options["box_format"])
        if options["encoding"] == "center_size" and (corners[:, 2:] < corners[:, :2]).any():
            corners = as_corners(anchors, "cycxhw" if options["box_format"] == "yxyx" else "cxcywh")
    if (corners[:, 2:] < corners[:, :2]).any():
        raise ModelError(
            "decoder ssd_anchors: some anchors are inverted; write `anchor_format:` xyxy, yxyx, cxcywh or cycxhw",
            field="decoder",
        )
    return corners


def _settle(settling: Settling) -> Settled:
    options: dict[str, Any] = dict(settling.spec.decoder_options)
    settled: dict[str, Source] = {}
    samples = settling.samples
    _settle_roles(settling, options, settled)
    if isinstance(options["anchors"], str):
        anchors = samples[0][options["anchors"]].reshape(-1, 4).astype(np.float64)
        options["anchors"] = _corners(anchors, options).tolist()
    count = samples[0][options["boxes"]].size // 4
    if len(options["anchors"]) != count:
        raise ModelError(f"decoder ssd_anchors: {len(options['anchors'])} anchors for {count} boxes; check `anchors:`")
    columns = samples[0][options["scores"]].shape[-1]
    if "background" not in options:
        options["background"] = 0 if columns == len(settling.spec.labels) + 1 else None
        settled["background"] = FROM_GRAPH
    if options["background"] is not None and options["background"] >= columns:
        raise ModelError(
            f"decoder ssd_anchors: background is column {options['background']}, but there are {columns} columns",
            field="decoder",
        )
    if "activation" not in options:
        values = np.concatenate([sample[options["scores"]].reshape(-1, columns) for sample in samples])
        logits = "sigmoid" if options["background"] is None else "softmax"
        scored = settle_scores(values, options, otherwise=logits)
        options |= scored.options
        settled |= scored.sources
    if "box_unit" not in options:
        options["box_unit"] = "pixels" if float(np.max(options["anchors"])) > 4 else "normalized"
        settled["box_unit"] = FROM_GRAPH
    found = settle_boxes(settling, options, settled)
    return Settled({name: value for name, value in found.options.items() if name != _OPEN}, found.sources)


def _settle_roles(settling: Settling, options: dict[str, Any], settled: dict[str, Source]) -> None:
    """Tell anchors from boxes by what does not change from image to image."""
    samples = settling.samples
    if _OPEN in options:
        pair = options[_OPEN]
        constant = [
            name for name in pair if all(np.array_equal(samples[0][name], sample[name]) for sample in samples[1:])
        ]
        if len(samples) < 2 or len(constant) != 1:
            raise ModelError(
                f"decoder ssd_anchors: of the outputs {pair[0]} and {pair[1]} none is named as anchors, and the first "
                "images do not tell; write `boxes:` and `scores:` with their names"
            )
        if "anchors" not in options:
            options["anchors"], settled["anchors"] = constant[0], FROM_IMAGES
        options["boxes"] = next(name for name in pair if name != constant[0])
    if "anchors" not in options:
        raise ModelError(
            "decoder ssd_anchors: the model has no output of anchors; write `anchors:` with a file or with generator "
            "parameters"
        )


HEAD = Head(
    name="ssd_anchors",
    task="detection",
    about="raw SSD boxes and scores, (1, N, 4) and (1, N, C), with anchors",
    decode=decode,
    recognise=_recognise,
    structure=_structure,
    settle=_settle,
    plausible=lambda seen, samples: len(seen.arrays) == 3 or "anchors" in seen.given,  # noqa: ARG005
    prepare=_prepare,
    input=SSD_INPUT,
    options={
        **BOX_OPTIONS,
        "box_format": one_of("xyxy", "yxyx"),
        "encoding": one_of("center_size", "corner_offsets"),
        "variances": Option(
            "four numbers in the order of the box",
            lambda value: isinstance(value, list) and len(value) == 4 and all(map(NUMBER.right, value)),
        ),
        "anchors": Option("output, a file, or generator parameters", lambda value: isinstance(value, str | dict)),
        "anchor_format": one_of(*BOX_FORMATS, "cycxhw"),
        "background": Option("a column, or null", lambda value: value is None or (WHOLE.right(value) and value >= 0)),
        "activation": one_of("none", "sigmoid", "softmax"),
        "boxes": TEXT,
        "scores": TEXT,
    },
)
