"""What a model is fed where the document does not say: what its family is, or pixels where its scale makes them
plausible, or else it is asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_models import write_model

from auditor.config import load_audit
from auditor.errors import InputError, ModelError
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.resolve.subjects import resolve_audit

ROWS = np.zeros((1, 21, 7), np.float32)
ROWS[0, :, 2:4] = 8.0
"""What a YOLOX of two classes at 32 × 32 gives."""


def project(folder: Path, *entries: str) -> Path:
    """An audit of these models on one image."""
    cv2.imwrite(str(folder / "a.png"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    (folder / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "classes.txt").write_text("cat\ndog\n")
    models = "\n".join(f"  - {entry}" for entry in entries)
    (folder / "audit.yaml").write_text(
        f"name: family\ndataset: {{format: yolo, annotations: ., images: .}}\nmodels:\n{models}\nscenarios: []\n"
    )
    return folder / "audit.yaml"


def inputs(folder: Path, *entries: str):
    subjects, _ = resolve_audit(load_audit(project(folder, *entries)))
    return {spec.name: spec for spec in subjects.specs}


LEADER = "{name: float, path: float.tflite, labels: classes.txt, decoder: yolox, input: {mean: 0, std: 255}}"


@pytest.mark.parametrize(
    ("dtype", "quantization"),
    [
        ("int8", (4.76 / 255, -14)),  # -2.13 to 2.63: the issue's
        ("uint8", (2.1e-3, 3)),
        ("int8", (1.0, -128)),
        ("uint8", None),
        ("float32", None),
    ],
)
def test_a_variant_is_fed_the_real_values_of_its_family(tmp_path, dtype, quantization):
    write_model(tmp_path / "float.tflite", {"out": ROWS})
    write_model(tmp_path / "other.tflite", {"out": ROWS}, input_dtype=dtype, input_quantization=quantization)
    specs = inputs(tmp_path, LEADER, "{name: other, variant_of: float, quantization: q, path: other.tflite}")
    first, second = specs["float"].input, specs["other"].input
    for key in ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation"):
        assert getattr(first, key) == getattr(second, key)
    assert second.color == "bgr"
    # What the document says of its leader it says of a variant; the rest is the family's
    assert {key: specs["other"].sources[f"input.{key}"].origin for key in ("mean", "color", "dtype")} == {
        "mean": "audit.yaml",
        "color": "family",
        "dtype": "graph",
    }


def test_a_variant_may_say_otherwise(tmp_path):
    write_model(tmp_path / "float.tflite", {"out": ROWS})
    write_model(tmp_path / "other.tflite", {"out": ROWS}, input_dtype="uint8", input_quantization=(1 / 255, 0))
    entry = (
        "{name: other, variant_of: float, quantization: q, path: other.tflite, input: {color: rgb, mean: 1, std: 2}}"
    )
    contract = inputs(tmp_path, LEADER, entry)["other"].input
    assert (contract.color, contract.mean, contract.std, contract.resize) == ("rgb", (1.0,), (2.0,), "letterbox")


def test_a_float_variant_of_an_integer_leader(tmp_path):
    write_model(tmp_path / "q.tflite", {"out": ROWS}, input_dtype="uint8", input_quantization=(1 / 128, 128))
    write_model(tmp_path / "float.tflite", {"out": ROWS})
    leader = "{name: q, path: q.tflite, labels: classes.txt, decoder: yolox}"
    specs = inputs(tmp_path, leader, "{name: f, variant_of: q, path: float.tflite}")
    assert specs["f"].input.mean == (128.0,)
    assert specs["f"].input.std == (128.0,)


def resolved(tmp_path, dtype, quantization):
    path = write_model(tmp_path / "m.tflite", {"out": ROWS}, input_dtype=dtype, input_quantization=quantization)
    request = ModelRequest("m", "m", str(path), "d", ".", need_labels=False, decoder="yolox")
    return resolve_model(request).input


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"),
    [
        ("uint8", 1.0, 0),
        ("int8", 1.0, -128),
        ("int8", 1.0, 0),
        ("uint8", 1 / 255, 0),
        ("int8", 0.0038, -128),
        ("uint8", 1 / 128, 128),
        ("uint8", 1 / 127.5, 127),
        ("int8", 0.0187, -14),
        ("uint8", None, None),
    ],
)
def test_pixels_as_they_are_where_that_is_plausible(tmp_path, dtype, scale, zero_point):
    contract = resolved(tmp_path, dtype, None if scale is None else (scale, zero_point))
    shift = 0 if dtype == "uint8" else 128
    assert contract.mean == (float((zero_point or 0) + shift),)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "said"),
    [
        ("uint8", 0.5 / 255, 0, "0 to 1 is the nearest: `input: {mean: 0, std: 255}`"),
        ("int8", 6.5 / 255, 0, "ImageNet's -2.1 to 2.6 is the nearest"),
        ("uint8", 3 / 255, 100, "-1 to 1 is the nearest: `input: {mean: 127.5, std: 127.5}`"),
        ("int8", 0.7, -128, "0 to 255 is the nearest: `input: {mean: 0, std: 1}`"),
    ],
)
def test_what_no_training_feeds_is_asked_for(tmp_path, dtype, scale, zero_point, said):
    with pytest.raises(ModelError) as caught:
        resolved(tmp_path, dtype, (scale, zero_point))
    assert said in str(caught.value)
    assert caught.value.field == "input"


def test_the_question_names_the_line(tmp_path):
    write_model(tmp_path / "q.tflite", {"out": ROWS}, input_dtype="uint8", input_quantization=(0.002, 0))
    document = project(tmp_path, "{name: q, path: q.tflite, labels: classes.txt, decoder: yolox, input: {color: bgr}}")
    with pytest.raises(InputError, match=r"audit.yaml:4: models\[0\].input: .*its uint8 input holds 0 to 0.51"):
        resolve_audit(load_audit(document))
