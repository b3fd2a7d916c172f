"""One score for each class of an image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import (
    BOX_OPTIONS,
    WHOLE,
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
from auditor.heads.anatomy.rows import activated, rescaled
from auditor.heads.anatomy.settling import BACKGROUNDS, FROM_GRAPH, FROM_IMAGES, PER_CENT, activation_of
from auditor.values import ClassScores, Json, ModelSpec, Source

__all__ = ["HEAD"]

_OF_LENGTH_1 = 1e-3


def decode(outputs: Outputs, spec: ModelSpec) -> ClassScores:
    """Decode (1, C) or (1, 1, 1, C) scores of C classes; with the option `activation`, logits."""
    options: Any = spec.decoder_options
    name = next(iter(options.get("outputs", outputs)))
    scores = rescaled(outputs[name].reshape(-1).astype(np.float64), spec)
    return ClassScores(activated(scores[np.newaxis], options.get("activation", "none"))[0])


def _is_scores(shape: tuple[int, ...]) -> bool:
    """Whether an output has one value for each class and nothing else: (1, C) or (1, 1, 1, C)."""
    return len(shape) in (2, 4) and all(size == 1 for size in shape[:-1]) and shape[-1] > 1


def _recognise(seen: Seen) -> Match | None:
    if len(seen.arrays) != 1 or not _is_scores(seen.shapes[0]):
        return None
    shape = seen.shapes[0]
    return Match(f"one output {shape}: the scores of {shape[-1]} classes", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    if len(seen.arrays) != 1 or not _is_scores(seen.shapes[0]):
        raise ModelError(
            f"decoder classifier expects one output (1, C) but the model has {listed(seen.arrays)}; name it with "
            "`outputs: [NAME]`",
            field="decoder",
        )
    return {"outputs": list(seen.arrays)} if seen.ordered else {}


def _settle(settling: Settling) -> Settled:
    """Whether the output is logits, and how the classes stand to the labels: a column more or less is a background."""
    spec, given = settling.spec, settling.given
    options: dict[str, Json] = dict(spec.decoder_options)
    settled: dict[str, Source] = {}
    raw = dataclasses.replace(spec, decoder_options={**options, "activation": "none"})
    scores = np.stack([decode(sample, raw).scores for sample in settling.samples])
    if not np.isfinite(scores).all():
        raise ModelError(
            "its scores are not finite on the first images; the model is broken, or fed wrongly", field="decoder"
        )
    sums = scores.sum(axis=1)
    of_100 = scores.min() >= -1e-3 and scores.max() > 1.5 and np.abs(sums - 100).max() < 1
    if of_100 and not {"score_scale", "activation"} & options.keys():
        options["score_scale"], settled["score_scale"] = PER_CENT, FROM_IMAGES
        scores = scores * PER_CENT
    lengths = np.linalg.norm(scores, axis=1)
    if scores.min() < -0.01 and np.abs(lengths - 1).max() < _OF_LENGTH_1:
        raise ModelError(
            f"its {scores.shape[1]} values have the length 1 on every image: an embedding, not scores of as many "
            "classes; export the model with its last layer",
            field="decoder",
        )
    if "activation" not in options:
        options["activation"], settled["activation"] = activation_of(scores, otherwise="softmax"), FROM_IMAGES
    elif options["activation"] == "none" and (scores.min() < -0.01 or scores.max() > 1.01):
        raise ModelError(
            f"its scores go from {scores.min():.3g} to {scores.max():.3g}, expected 0 to 1: they are logits; write "
            "`activation: softmax`",
            field="decoder",
        )
    classes, lines = scores.shape[1], len(spec.labels)
    background = bool(lines) and spec.labels[0] in BACKGROUNDS
    said: Any = given.get("label_offset", {1: int(background), -1: -1}.get(lines - classes, 0))
    offset = int(said)
    settled["label_offset"] = Source("audit.yaml") if "label_offset" in given else FROM_GRAPH
    if lines and abs(classes + offset - lines) > ("label_offset" in given):
        raise ModelError(
            f"the model has {classes} classes but `labels` has {lines}; give the labels of this model, one for each "
            "class",
            field="labels",
        )
    options["label_offset"] = offset
    return Settled(options, settled)


HEAD = Head(
    name="classifier",
    task="classification",
    about="(1, C): one score for each class",
    decode=decode,
    recognise=_recognise,
    structure=_structure,
    settle=_settle,
    # No convention holds for classifiers: 0..1, stretched, until the input contract check or the user says better.
    input={
        "color": "rgb",
        "mean": (0.0,),
        "std": (255.0,),
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
    options={
        "label_offset": WHOLE,
        "score_scale": BOX_OPTIONS["score_scale"],
        "outputs": Option(
            "a list of one output's name",
            lambda value: isinstance(value, list) and len(value) == 1 and isinstance(value[0], str),
        ),
        "activation": one_of("none", "sigmoid", "softmax"),
    },
)
