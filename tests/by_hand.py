"""Two objects, made models whose outputs hold them by the definition of a head, and what is found of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tiny_models import write_model

from auditor import extensions
from auditor.delegate import XNNPACK
from auditor.encoding import encode
from auditor.resolve.inspect import inspect_model
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.runtimes.anatomy.runtime import open_spec
from auditor.tasks.detection.postprocess import postprocess

SIDE = 128
IMAGES = tuple(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for seed in range(2))
OBJECTS = [((20.0, 24.0, 60.0, 72.0), 1, 0.9), ((70.0, 60.0, 120.0, 110.0), 0, 0.8)]
"""Boxes in the pixels of the input, with their class and score."""


def logit(score: float) -> float:
    return math.log(score / (1 - score))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cells_of(stride: int):
    return [(x, y) for y in range(SIDE // stride) for x in range(SIDE // stride)]


def near(box, stride: int, offset: float = 0.5):
    """The cells whose points lie within the middle half of a box."""
    centre, half = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), ((box[2] - box[0]) / 4, (box[3] - box[1]) / 4)
    for index, (x, y) in enumerate(cells_of(stride)):
        point = (x + offset) * stride, (y + offset) * stride
        if abs(point[0] - centre[0]) <= half[0] and abs(point[1] - centre[1]) <= half[1]:
            yield index, x, y


def found(spec, path: Path):
    """What the head decodes of the model, after post-processing: boxes, labels and scores of the objects."""
    tensor, geometry = encode(IMAGES[0], spec.input)
    outputs = open_spec(spec, delegate=XNNPACK, threads=1).invoke(tensor)
    decoded = extensions.resolve("heads", spec.decoder).decode(outputs, spec)
    kept = postprocess(decoded, spec.postprocess, geometry=geometry, image_size=(SIDE, SIDE))
    return [
        (box, label + int(spec.decoder_options["label_offset"]), score)
        for box, label, score in zip(kept.boxes.tolist(), kept.labels.tolist(), kept.scores.tolist(), strict=True)
        if score > 0.3
    ]


def checked(tmp_path: Path, name: str, outputs, *, labels: str = "ab", options=None):
    """Resolve a made model without a word, and hold what it finds against the objects."""
    path = write_model(tmp_path / "m.tflite", outputs, input_shape=(1, SIDE, SIDE, 3))
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    given = {"decoder": name, "decoder_options": options} if options else {}
    request = ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="labels.txt", images=IMAGES, **given)
    spec = resolve_model(request)
    assert spec.decoder == name
    assert options or inspect_model(path, labels=str(tmp_path / "labels.txt")).likely.decoder == name
    got = found(spec, path)
    assert len(got) == len(OBJECTS), got
    for (box, label, score), (true, wanted, expected) in zip(got, OBJECTS, strict=True):
        assert box == pytest.approx(true, abs=0.6)
        assert label == wanted
        assert score == pytest.approx(expected, abs=0.02)
    return spec


def levels(strides, width: int, fill: float = 0.0):
    return {stride: np.full((len(cells_of(stride)), width), fill, np.float32) for stride in strides}


def joined(parts) -> np.ndarray:
    return np.concatenate(list(parts.values()))[np.newaxis]


def centred(box):
    return [
        (box[0] + box[2]) / 2 / SIDE,
        (box[1] + box[3]) / 2 / SIDE,
        (box[2] - box[0]) / SIDE,
        (box[3] - box[1]) / SIDE,
    ]
