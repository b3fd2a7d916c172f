"""What a head leaves open, settled once per model from its outputs on the first images, and what those outputs
confirm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.boxes import BOX_FORMATS
from auditor.errors import ModelError
from auditor.models.anchors import as_corners, generate_anchors, load_anchors
from auditor.models.decoders import grid
from auditor.values import Candidates, Detections, ModelSpec

__all__ = ["checked_options", "settle"]

_SEEN = 1e-3
"""Detections all scored below this are padding."""

Samples = Sequence[Mapping[str, NDArray[Any]]]

Right = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _one_of(*choices: str) -> tuple[str, Right]:
    return f"one of {', '.join(choices)}", lambda value: value in choices


_STRIDES = (
    "a list of whole numbers above 0",
    lambda value: isinstance(value, list) and bool(value) and all(_whole(item) and item > 0 for item in value),
)
_COMMON: dict[str, tuple[str, Right]] = {
    "box_format": _one_of(*BOX_FORMATS),
    "box_unit": _one_of("pixels", "normalized"),
    "label_offset": ("a whole number", _whole),
}
_JOINED: dict[str, tuple[str, Right]] = {"outputs": ("a list of output names, boxes first", _names)}
_OWN: dict[str, dict[str, tuple[str, Right]]] = {
    "yolox": {**_JOINED, "grid": _one_of("raw", "decoded"), "strides": _STRIDES},
    "yolov5": _JOINED,
    "yolov8": _JOINED,
    "classifier": {
        "outputs": ("a list of one output's name", _names),
        "activation": _one_of("none", "sigmoid", "softmax"),
    },
    "nanodet": {
        **_JOINED,
        "strides": _STRIDES,
        "bins": ("a whole number above 1 (reg_max + 1)", lambda value: _whole(value) and value > 1),
        "cell_offset": ("a number", _number),
        "activation": _one_of("none", "sigmoid"),
    },
    "tflite_postprocess": {
        "slots": (
            "the names of the outputs boxes, classes, scores and count",
            lambda value: (
                isinstance(value, dict)
                and set(value) == {"boxes", "classes", "scores", "count"}
                and _names(list(value.values()))
                and len(set(value.values())) == 4
            ),
        )
    },
    "ssd_anchors": {
        "box_format": _one_of("xyxy", "yxyx"),
        "encoding": _one_of("center_size", "corner_offsets"),
        "variances": (
            "four numbers in the order of the box",
            lambda value: isinstance(value, list) and len(value) == 4 and all(map(_number, value)),
        ),
        "anchors": ("output, a file, or generator parameters", lambda value: isinstance(value, str | dict)),
        "anchor_format": _one_of(*BOX_FORMATS, "cycxhw"),
        "background": ("a column, or null", lambda value: value is None or (_whole(value) and value >= 0)),
        "activation": _one_of("none", "sigmoid", "softmax"),
        "boxes": ("an output's name", _text),
        "scores": ("an output's name", _text),
    },
}
"""The options of each built-in decoder: what is expected, and whether a value is that."""


def checked_options(decoder: str, given: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
    """Check the options that `audit.yaml` gives a built-in decoder, and load what they name.

    Raises:
        ModelError: with all that is wrong.
    """
    if extensions.table("decoders").get(decoder) != extensions.BUILT_IN["decoders"].get(decoder):
        return dict(given)  # a registered decoder knows its own options
    known = {**_COMMON, **_OWN.get(decoder, {})}
    problems = []
    for name, value in given.items():
        if name not in known:
            problems.append(f"decoder {decoder} has no option {name!r}; it has {', '.join(sorted(known))}")
        elif not known[name][1](value):
            problems.append(f"decoder {decoder}: {name} is {value!r}; expected {known[name][0]}")
    if problems:
        raise ModelError("; ".join(problems), field="decoder")
    options = dict(given)
    if decoder == "ssd_anchors":
        options.setdefault("encoding", "center_size")
        centre = options["encoding"] == "center_size"
        options.setdefault("box_format", "yxyx" if centre else "xyxy")
        options.setdefault("variances", [0.1, 0.1, 0.2, 0.2])
        options["anchors"] = _given_anchors(options, folder)
        if options["anchors"] is None:
            del options["anchors"]
    return options


def _given_anchors(options: Mapping[str, Any], folder: Path) -> Any:
    anchors = options.get("anchors", "output")
    if isinstance(anchors, Mapping):
        try:
            return generate_anchors(anchors).tolist()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"decoder ssd_anchors: anchors cannot be generated from {dict(anchors)} ({type(error).__name__}: "
                f"{error})"
            ) from error
    return None if anchors == "output" else _corners(load_anchors(folder / anchors), options).tolist()


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


def settle(spec: ModelSpec, samples: Samples, *, given: Mapping[str, Any], more: Callable[[], Samples]) -> ModelSpec:
    """Complete a spec's decoder options from outputs on a few images, and check that the decoded values can be scores.

    `more` gives outputs on further images, asked for only where the first show nothing to tell a unit from.

    Raises:
        ModelError: the outputs contradict the decoder, or the labels do not fit the head.
    """
    if spec.task == "classification":
        return _settle_classifier(spec, samples, given)
    options = dict(spec.decoder_options)
    settled: dict[str, str] = {}
    if spec.decoder == "yolox" and "grid" not in options and "strides" in options:
        options["grid"], settled["grid"] = _grid(spec, options, samples), "images"
    if spec.decoder == "ssd_anchors":
        _settle_anchors(options, settled, samples, labels=len(spec.labels))
    if spec.decoder == "nanodet" and "activation" not in options:
        options["activation"], settled["activation"] = (
            _activation(_score_samples(spec, options, samples), softmax=False),
            "images",
        )
    if "box_unit" not in options:
        unit = _box_unit(spec, options, samples) or _box_unit(spec, options, more())
        if unit is None:
            raise ModelError(
                "nothing is detected on the first images, so whether its boxes are in pixels cannot be told; write "
                "`box_unit: pixels` or `normalized`",
                field="decoder",
            )
        options["box_unit"], settled["box_unit"] = unit, "images"
    decode = extensions.resolve("decoders", spec.decoder)
    spec = dataclasses.replace(spec, decoder_options=options)
    decoded = [decode(sample, spec) for sample in samples]
    _confirm(spec.decoder, decoded)
    seen = decoded if spec.decoder != "tflite_postprocess" else [*decoded, *(decode(sample, spec) for sample in more())]
    offset, origin = _label_offset(spec, seen, given)
    options["label_offset"], settled["label_offset"] = offset, origin
    sources = {**spec.sources, **{f"decoder.{name}": origin for name, origin in settled.items()}}
    return dataclasses.replace(spec, decoder_options=options, sources=sources)


def _settle_classifier(spec: ModelSpec, samples: Samples, given: Mapping[str, Any]) -> ModelSpec:
    """Whether a classifier's output is logits, and how its classes stand to the labels: a column more or less is a
    background."""
    options, settled = dict(spec.decoder_options), {}
    raw = dataclasses.replace(spec, decoder_options={**options, "activation": "none"})
    decode = extensions.resolve("decoders", spec.decoder)
    scores = np.stack([decode(sample, raw).scores for sample in samples])
    if not np.isfinite(scores).all():
        raise ModelError(
            "its scores are not finite on the first images; the model is broken, or fed wrongly", field="decoder"
        )
    if "activation" not in options:
        options["activation"], settled["activation"] = _activation(scores, softmax=True), "images"
    elif options["activation"] == "none" and (scores.min() < -0.01 or scores.max() > 1.01):
        raise ModelError(
            f"its scores go from {scores.min():.3g} to {scores.max():.3g}, expected 0 to 1: they are logits; write "
            "`activation: softmax`",
            field="decoder",
        )
    classes, listed = scores.shape[1], len(spec.labels)
    background = bool(listed) and spec.labels[0] in (None, "background", "__background__")
    offset = int(given.get("label_offset", {1: int(background), -1: -1}.get(listed - classes, 0)))
    settled["label_offset"] = "audit.yaml" if "label_offset" in given else "graph"
    if listed and abs(classes + offset - listed) > ("label_offset" in given):
        raise ModelError(
            f"the model has {classes} classes but `labels` has {listed}; give the labels of this model, one for each "
            "class",
            field="labels",
        )
    options["label_offset"] = offset
    sources = {**spec.sources, **{f"decoder.{name}": origin for name, origin in settled.items()}}
    return dataclasses.replace(spec, decoder_options=options, sources=sources)


def _box_unit(spec: ModelSpec, options: Mapping[str, Any], samples: Samples) -> str | None:
    """Pixels or fractions of the input: boxes of the best candidates are wider than 1.5 only in pixels. None: no
    box."""
    decode = extensions.resolve("decoders", spec.decoder)
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


def _grid(spec: ModelSpec, options: Mapping[str, Any], samples: Samples) -> str:
    """Decoded centres follow their cells across the image; raw offsets do not."""
    cells, strides = grid(spec.input, options["strides"])
    array = np.concatenate(
        [sample[name].reshape(sample[name].shape[-2:]) for sample in samples[:1] for name in sample], axis=-1
    )
    rows = array.T if options.get("channels_first") else array
    centres = (cells * strides)[:, 0]
    varies = rows[:, 0].std() > 0
    return "decoded" if varies and np.corrcoef(rows[:, 0], centres)[0, 1] > 0.8 else "raw"


def _score_samples(spec: ModelSpec, options: Mapping[str, Any], samples: Samples) -> NDArray[Any]:
    decode = extensions.resolve("decoders", spec.decoder)
    plain = dataclasses.replace(spec, decoder_options={**options, "activation": "none"})
    return np.concatenate([decode(sample, plain).scores for sample in samples])


def _activation(scores: NDArray[Any], *, softmax: bool) -> str:
    """Values outside [0, 1] are logits."""
    if scores.size and (scores.min() < -1e-3 or scores.max() > 1 + 1e-3):
        return "softmax" if softmax else "sigmoid"
    return "none"


def _settle_anchors(options: dict[str, Any], settled: dict[str, str], samples: Samples, *, labels: int) -> None:
    if "open_boxes" in options:
        pair = options.pop("open_boxes")
        constant = [
            name for name in pair if all(np.array_equal(samples[0][name], sample[name]) for sample in samples[1:])
        ]
        if len(samples) < 2 or len(constant) != 1:
            raise ModelError(
                f"decoder ssd_anchors: of the outputs {pair[0]} and {pair[1]} none is named as anchors, and the first "
                "images do not tell; write `boxes:` and `scores:` with their names"
            )
        if "anchors" not in options:
            options["anchors"], settled["anchors"] = constant[0], "images"
        options["boxes"] = next(name for name in pair if name != constant[0])
    if "anchors" not in options:
        raise ModelError(
            "decoder ssd_anchors: the model has no output of anchors; write `anchors:` with a file or with generator "
            "parameters"
        )
    count = samples[0][options["boxes"]].size // 4
    if isinstance(options["anchors"], str):
        anchors = samples[0][options["anchors"]].reshape(-1, 4).astype(np.float64)
        options["anchors"] = _corners(anchors, options).tolist()
    if len(options["anchors"]) != count:
        raise ModelError(f"decoder ssd_anchors: {len(options['anchors'])} anchors for {count} boxes; check `anchors:`")
    scores = samples[0][options["scores"]]
    if "background" not in options:
        options["background"] = 0 if scores.shape[-1] == labels + 1 else None
        settled["background"] = "graph"
    if options["background"] is not None and options["background"] >= scores.shape[-1]:
        raise ModelError(
            f"decoder ssd_anchors: background is column {options['background']}, but there are {scores.shape[-1]} "
            "columns",
            field="decoder",
        )
    if "activation" not in options:
        values = np.concatenate([sample[options["scores"]].reshape(-1, scores.shape[-1]) for sample in samples])
        options["activation"] = _activation(values, softmax=options["background"] is not None)
        settled["activation"] = "images"
    if "box_unit" not in options:
        options["box_unit"] = "pixels" if float(np.max(options["anchors"])) > 4 else "normalized"
        settled["box_unit"] = "graph"


def _confirm(decoder: str, decoded: Sequence[Any]) -> None:
    """Refuse outputs that cannot be boxes and scores: the decoder is another, or the model is broken."""
    boxes = np.concatenate([item.boxes for item in decoded])
    if len(boxes) and not np.isfinite(boxes).all(axis=1).any():
        raise ModelError(
            f"decoder {decoder} finds no box of finite numbers on the first images; the model is broken, or "
            "`decoder:` is wrong",
            field="decoder",
        )
    scores = np.concatenate([item.scores.ravel() for item in decoded])
    if scores.size == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    if not np.isfinite([low, high]).all():
        raise ModelError(
            f"decoder {decoder} finds scores that are not finite on the first images; the model is broken, or "
            "`decoder:` is wrong"
        )
    if low < -0.01 or high > 1.01:
        raise ModelError(
            f"decoder {decoder} finds scores from {low:.3g} to {high:.3g}, expected 0 to 1: the head has another "
            "layout; write `decoder:`"
        )


def _label_offset(spec: ModelSpec, decoded: Sequence[Any], given: Mapping[str, Any]) -> tuple[int, str]:
    """How far a class index lies before its line in the label list; checks that the list fits the head."""
    listed = len(spec.labels)
    if not listed:
        return int(given.get("label_offset", 0)), "audit.yaml" if "label_offset" in given else "default"
    classes = next((item.scores.shape[1] for item in decoded if isinstance(item, Candidates)), None)
    background = listed > 0 and spec.labels[0] in (None, "background", "__background__")
    if "label_offset" in given:
        offset, origin = int(given["label_offset"]), "audit.yaml"
    elif classes is None:
        offset, origin = _offset_of_ids(spec, decoded, background=background)
    else:
        offset, origin = int(background and listed == classes + 1), "graph"
    if offset < -1 or offset > 1:
        raise ModelError(f"decoder {spec.decoder}: label_offset is {offset}; expected -1, 0 or 1", field="decoder")
    if "label_offset" in given and classes is not None:  # a list that is shifted by one lacks a line for a class
        if abs(classes + offset - listed) > 1:
            raise ModelError(
                f"the head has {classes} classes, which with label_offset {offset} need {classes + offset} labels, "
                f"but `labels` has {listed}",
                field="decoder",
            )
    elif classes is not None and classes + offset != listed:
        hint = f" ({listed} is a sparse COCO list: use coco80)" if classes == 80 and listed in (90, 91) else ""
        raise ModelError(
            f"the head has {classes} classes but `labels` has {listed}{hint}; give the labels of this model, one for "
            "each class"
        )
    if classes is None:
        most = max((int(item.labels.max()) for item in decoded if item.labels.size), default=0)
        if most + offset >= listed:
            raise ModelError(
                f"the model gives class {most} but `labels` has only {listed} names (label_offset {offset}); give the "
                "labels of this model"
            )
    return offset, origin


def _offset_of_ids(spec: ModelSpec, decoded: Sequence[Any], *, background: bool) -> tuple[int, str]:
    """The offset of a head that gives class ids. TFLite_Detection_PostProcess numbers its classes without the
    background, which label files keep in line 0 as ???; ids that reach one past a plain list are numbered from 1."""
    if background and spec.decoder == "end2end":
        raise ModelError(
            "`labels` begins with a background, and the head does not say whether it counts it; write `label_offset: "
            "0` or `1` in `decoder:`",
            field="decoder",
        )
    seen = [item.labels for item in decoded if item.labels.size]
    ids = np.concatenate(seen) if seen else np.zeros(0, dtype=np.int64)
    listed = len(spec.labels)
    if ids.size and ids.min() >= 1 and ids.max() == listed - int(background):
        return (0, "images") if background else (-1, "images")
    return int(background and spec.decoder == "tflite_postprocess"), "metadata"
