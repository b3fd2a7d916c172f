"""What a head leaves open, settled once per model from its outputs on the first images, and what those outputs confirm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.boxes import BOX_FORMATS
from auditor.errors import ModelError
from auditor.models.anchors import as_corners, generate_anchors, load_anchors
from auditor.models.decoders import grid
from auditor.values import Candidates, ModelSpec

__all__ = ["checked_options", "settle"]

Samples = Sequence[Mapping[str, NDArray[Any]]]

_COMMON = {"box_format": BOX_FORMATS, "box_unit": ("pixels", "normalized"), "label_offset": None}
_OWN: dict[str, dict[str, tuple[str, ...] | None]] = {
    "yolox": {"grid": ("raw", "decoded"), "strides": None},
    "nanodet": {"strides": None, "bins": None, "cell_offset": None, "activation": ("none", "sigmoid")},
    "ssd_anchors": {
        "encoding": ("center_size", "corner_offsets"),
        "variances": None,
        "anchors": None,
        "anchor_format": (*BOX_FORMATS, "cycxhw"),
        "background": None,
        "activation": ("none", "sigmoid", "softmax"),
    },
}


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
        elif (choices := known[name]) is not None and value not in choices:
            problems.append(f"decoder {decoder}: {name} is {value!r}; expected {', '.join(choices)}")
    if problems:
        raise ModelError("; ".join(problems))
    options = dict(given)
    if decoder == "ssd_anchors":
        options.setdefault("encoding", "center_size")
        centre = options["encoding"] == "center_size"
        options.setdefault("box_format", "yxyx" if centre else "xyxy")
        options.setdefault("variances", [0.1, 0.1, 0.2, 0.2])
        if np.shape(options["variances"]) != (4,):
            raise ModelError(f"decoder ssd_anchors: variances are {options['variances']!r}; expected four numbers in the order of the box")
        options["anchors"] = _given_anchors(options, folder)
        if options["anchors"] is None:
            del options["anchors"]
    return options


def _given_anchors(options: Mapping[str, Any], folder: Path) -> Any:
    anchors = options.get("anchors", "output")
    anchor_format = options.get("anchor_format", options["box_format"])
    if isinstance(anchors, Mapping):
        try:
            return generate_anchors(anchors).tolist()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"decoder ssd_anchors: anchors cannot be generated from {dict(anchors)} ({type(error).__name__}: {error})"
            ) from error
    return None if anchors == "output" else load_anchors(folder / anchors, anchor_format).tolist()


def settle(spec: ModelSpec, samples: Samples, *, given: Mapping[str, Any]) -> ModelSpec:
    """Complete a spec's decoder options from outputs on a few images, and check that the decoded values can be scores.

    Raises:
        ModelError: the outputs contradict the decoder, or the labels do not fit the head.
    """
    options = dict(spec.decoder_options)
    settled: dict[str, str] = {}
    if spec.decoder == "yolox" and "grid" not in options and "strides" in options:
        options["grid"], settled["grid"] = _grid(spec, options, samples), "images"
    if spec.decoder == "ssd_anchors":
        _settle_anchors(options, settled, samples, labels=len(spec.labels))
    if spec.decoder == "nanodet" and "activation" not in options:
        options["activation"], settled["activation"] = _activation(_score_samples(spec, options, samples), softmax=False), "images"
    if "box_unit" not in options:
        options["box_unit"], settled["box_unit"] = _box_unit(spec, options, samples), "images"
    decode = extensions.resolve("decoders", spec.decoder)
    spec = dataclasses.replace(spec, decoder_options=options)
    decoded = [decode(sample, spec) for sample in samples]
    _confirm_scores(spec.decoder, decoded)
    offset, origin = _label_offset(spec, decoded, given)
    options["label_offset"], settled["label_offset"] = offset, origin
    sources = {**spec.sources, **{f"decoder.{name}": origin for name, origin in settled.items()}}
    return dataclasses.replace(spec, decoder_options=options, sources=sources)


def _box_unit(spec: ModelSpec, options: Mapping[str, Any], samples: Samples) -> str:
    """Pixels or fractions of the input: boxes of the best candidates are wider than 1.5 only in pixels."""
    decode = extensions.resolve("decoders", spec.decoder)
    plain = dataclasses.replace(spec, decoder_options={**options, "box_unit": "pixels"})
    sides = []
    for sample in samples:
        decoded = decode(sample, plain)
        scores = decoded.scores.max(axis=1) if decoded.scores.ndim == 2 and decoded.scores.size else decoded.scores.ravel()
        best = np.argsort(-scores, kind="stable")[:20]
        boxes = decoded.boxes[best]
        sides.extend((boxes[:, 2:] - boxes[:, :2]).max(axis=1).tolist())
    return "pixels" if sides and float(np.median(sides)) > 1.5 else "normalized"


def _grid(spec: ModelSpec, options: Mapping[str, Any], samples: Samples) -> str:
    """Decoded centres follow their cells across the image; raw offsets do not."""
    cells, strides = grid(spec.input, options["strides"])
    array = np.concatenate([sample[name].reshape(sample[name].shape[-2:]) for sample in samples[:1] for name in sample], axis=-1)
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
        constant = [name for name in pair if all(np.array_equal(samples[0][name], sample[name]) for sample in samples[1:])]
        if "anchors" in options or len(samples) < 2 or len(constant) != 1:
            raise ModelError(
                f"decoder ssd_anchors: of the outputs {pair[0]} and {pair[1]} none is named as anchors, and the first images do not tell; write `anchors:` with a file"
            )
        options["anchors"], settled["anchors"] = constant[0], "images"
        options["boxes"] = next(name for name in pair if name != constant[0])
    if "anchors" not in options:
        raise ModelError(
            "decoder ssd_anchors: the model has no output of anchors; write `anchors:` with a file or with generator parameters"
        )
    count = samples[0][options["boxes"]].size // 4
    if isinstance(options["anchors"], str):
        anchors = samples[0][options["anchors"]].reshape(-1, 4).astype(np.float64)
        options["anchors"] = as_corners(anchors, options.get("anchor_format", options["box_format"])).tolist()
    if len(options["anchors"]) != count:
        raise ModelError(f"decoder ssd_anchors: {len(options['anchors'])} anchors for {count} boxes; check `anchors:`")
    scores = samples[0][options["scores"]]
    if "background" not in options:
        options["background"] = 0 if scores.shape[-1] == labels + 1 else None
        settled["background"] = "graph"
    if "activation" not in options:
        values = np.concatenate([sample[options["scores"]].reshape(-1, scores.shape[-1]) for sample in samples])
        options["activation"] = _activation(values, softmax=options["background"] is not None)
        settled["activation"] = "images"
    if "box_unit" not in options:
        options["box_unit"] = "pixels" if float(np.max(options["anchors"])) > 4 else "normalized"
        settled["box_unit"] = "graph"


def _confirm_scores(decoder: str, decoded: Sequence[Any]) -> None:
    scores = np.concatenate([item.scores.ravel() for item in decoded])
    if scores.size == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    if not np.isfinite([low, high]).all():
        raise ModelError(
            f"decoder {decoder} finds scores that are not finite on the first images; the model is broken, or `decoder:` is wrong"
        )
    if low < -0.01 or high > 1.01:
        raise ModelError(
            f"decoder {decoder} finds scores from {low:.3g} to {high:.3g}, expected 0 to 1: the head has another layout; write `decoder:`"
        )


def _label_offset(spec: ModelSpec, decoded: Sequence[Any], given: Mapping[str, Any]) -> tuple[int, str]:
    """How far a class index lies before its line in the label list; checks that the list fits the head."""
    listed = len(spec.labels)
    classes = next((item.scores.shape[1] for item in decoded if isinstance(item, Candidates)), None)
    background = listed > 0 and spec.labels[0] in (None, "background", "__background__")
    if "label_offset" in given:
        offset, origin = int(given["label_offset"]), "audit.yaml"
    elif classes is None:
        # The op numbers classes without the background, which label files keep in line 0 as ???.
        offset, origin = int(background and spec.decoder == "tflite_postprocess"), "metadata"
    else:
        offset, origin = int(background and listed == classes + 1), "graph"
    if classes is not None and classes + offset != listed:
        hint = f" ({listed} is a sparse COCO list: use coco80)" if classes == 80 and listed in (90, 91) else ""
        raise ModelError(
            f"the head has {classes} classes but `labels` has {listed}{hint}; give the labels of this model, one for each class"
        )
    if classes is None:
        most = max((int(item.labels.max()) for item in decoded if item.labels.size), default=0)
        if most + offset >= listed:
            raise ModelError(
                f"the model gives class {most} but `labels` has only {listed} names (label_offset {offset}); give the labels of this model"
            )
    return offset, origin
