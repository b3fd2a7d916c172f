"""Models that are no detectors or classifiers of images are refused by what they are."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from made_graphs import OPS, OPTIONS, Builder
from tiny_models import write_model

from auditor.errors import ModelError
from auditor.resolve.inspect import inspect_model
from auditor.resolve.model import ModelRequest, resolve_model

IMAGES = tuple(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in range(3))


def resolved(path, labels=None, **more):
    request = ModelRequest("m", "m", str(path), "d", str(path.parent), images=IMAGES, need_labels=False, **more)
    if labels is not None:
        (path.parent / "labels.txt").write_text("\n".join(f"c{index}" for index in range(labels)))
        request = ModelRequest("m", "m", str(path), "d", str(path.parent), labels="labels.txt", images=IMAGES, **more)
    return resolve_model(request)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1000), (1, 1000, 1, 1), (1, 1, 1000, 1), (1, 3, 1, 1), (1, 40, 40, 64)])
def test_an_input_of_features_is_no_image(tmp_path, shape):
    path = write_model(tmp_path / "m.tflite", {"out": np.zeros((1, 10), np.float32)}, input_shape=shape)
    with pytest.raises(ModelError, match=r"is no image: \d+ features"):
        resolved(path)
    assert "is no image" in inspect_model(path).likely.reason


def pooled(made: Builder) -> int:
    """The mean over height and width: (1, 3)."""
    out = made.tensor("pooled", (1, 3))
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axes = made.constant("axes", np.array([1, 2], np.int32))
    made.add(OPS.MEAN, [made.image, axes], [out], OPTIONS.ReducerOptions, options)
    return out


def average(made: Builder, side: int) -> int:
    cells = 32 // side
    out = made.tensor("cells", (1, cells, cells, 3))
    options = schema.Pool2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.VALID, side, side
    options.filterWidth = options.filterHeight = side
    made.add(OPS.AVERAGE_POOL_2D, [made.image], [out], OPTIONS.Pool2DOptions, options)
    return out


def reshaped(made: Builder, source: int, *shape: int) -> int:
    out = made.tensor(f"reshaped{source}", shape)
    made.add(OPS.RESHAPE, [source, made.constant(f"to{source}", np.array(shape, np.int32))], [out])
    return out


def normalised(made: Builder, source: int) -> int:
    out = made.tensor("unit", (1, 3))
    made.add(OPS.L2_NORMALIZATION, [source], [out], OPTIONS.L2NormOptions, schema.L2NormOptionsT())
    return out


def softmaxed(made: Builder, source: int, *shape: int) -> int:
    out = made.tensor("softmax", shape)
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    made.add(OPS.SOFTMAX, [source], [out], OPTIONS.SoftmaxOptions, options)
    return out


EMBEDDINGS = {
    "mean": lambda made: pooled(made),
    "average pool, reshaped": lambda made: reshaped(made, average(made, 32), 1, 3),
    "normalised": lambda made: normalised(made, pooled(made)),
}


@pytest.mark.parametrize("kind", sorted(EMBEDDINGS))
def test_an_embedding_is_no_classifier(tmp_path, kind):
    made = Builder(1, 32, 32, 3)
    path = made.write(tmp_path / "m.tflite", EMBEDDINGS[kind](made))
    with pytest.raises(ModelError, match="an embedding of 3 numbers, not scores of as many classes"):
        resolved(path, labels=7)
    assert "an embedding of 3 numbers" in inspect_model(path).likely.reason


def test_pooled_scores_with_as_many_labels_are_a_classifier(tmp_path):
    """As SqueezeNet's: its last convolution has the classes, and a softmax may be left out."""
    made = Builder(1, 32, 32, 3)
    assert resolved(made.write(tmp_path / "m.tflite", pooled(made)), labels=3).decoder == "classifier"
    made = Builder(1, 32, 32, 3)
    path = made.write(tmp_path / "n.tflite", softmaxed(made, pooled(made), 1, 3))
    assert resolved(path).decoder == "classifier"


def test_values_of_length_1_are_an_embedding_whatever_made_them(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    path = write_model(tmp_path / "m.tflite", {"out": values / np.linalg.norm(values)})
    with pytest.raises(ModelError, match="have the length 1 on every image: an embedding"):
        resolved(path)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_a_grid_of_centroids_is_called_so(tmp_path, side):
    made = Builder(1, 32, 32, 3)
    cells = 32 // side
    path = made.write(tmp_path / "m.tflite", softmaxed(made, average(made, side), 1, cells, cells, 3))
    with pytest.raises(ModelError, match=rf"cells of {side} pixels with the scores of 2 classes .*centroids \(FOMO\)"):
        resolved(path, labels=2)
    assert "FOMO" in inspect_model(path).likely.reason


def test_a_map_of_the_input_is_still_a_segmentation(tmp_path):
    path = write_model(tmp_path / "m.tflite", {"out": np.zeros((1, 32, 32, 3), np.float32)})
    with pytest.raises(ModelError, match="segmentation model"):
        resolved(path)
