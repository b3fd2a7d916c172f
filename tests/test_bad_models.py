"""Model files that cannot be audited: each says what it is and what to do."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from tiny_models import write_model

from auditor.errors import ModelError
from auditor.resolve.model import ModelRequest, resolve_model

BOXES = {"out": np.zeros((1, 300, 6), np.float32)}


def resolve(path, labels="labels.txt"):
    (path.parent / "labels.txt").write_text("a\nb\n")
    return resolve_model(
        ModelRequest(name="m", model="m", path=str(path), dataset="d", folder=str(path.parent), labels=labels)
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"PK\x03\x04 and so on", "zip archive"),
        (b"not a model at all", "TFL3"),
    ],
)
def test_files_that_are_no_models(tmp_path, content, expected):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=expected):
        resolve(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        resolve(tmp_path / "absent.tflite")
    (tmp_path / "folder.tflite").mkdir()
    told = "this folder holds no saved_model" if find_spec("tensorflow") else "sources need the extra"
    with pytest.raises(ModelError, match=told):
        resolve(tmp_path / "folder.tflite")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file(tmp_path, share):
    path = write_model(tmp_path / "m.tflite", BOXES)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"damaged or truncated|refuses"):
        resolve(path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"custom_op": "edgetpu-custom-op"}, "compiled for the Edge TPU"),
        ({"custom_op": "MyOp"}, "lacks the custom op MyOp"),
        ({"custom_op": "FlexErf"}, "SELECT_TF_OPS"),
        ({"signatures": 2}, "several signatures"),
        ({"inputs": 2}, "2 inputs"),
        ({"input_shape": (1, 32)}, "expected an image"),
        ({"input_shape": (1, 32, 32, 5)}, "5 channels"),
        ({"input_dtype": "int64"}, "int64"),
    ],
)
def test_models_that_cannot_be_fed(tmp_path, options, expected):
    with pytest.raises(ModelError, match=expected):
        resolve(write_model(tmp_path / "m.tflite", BOXES, **options))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(1, 1000)], "1000 classes but `labels` has 2"),
        ([(1, 1, 1, 10)], "10 classes but `labels` has 2"),
        ([(1, 1)], "a binary classifier's sigmoid"),
        ([(1, 32, 32, 21)], "segmentation"),
        ([(1, 38, 21), (1, 8, 8, 32)], "instance segmentation"),
        ([(1, 56, 21)], "pose"),
        ([(1, 4, 4, 67), (1, 2, 2, 67), (1, 1, 1, 67)], "raw feature maps"),
        ([(1, 4, 4, 255), (1, 2, 2, 255), (1, 1, 1, 255)], "yolov3.*80 classes.*2 labels"),
        ([(1, 7), (1, 9)], "classifier with two outputs"),
        ([(1, 7), (1, 9, 3)], "fit no decoder"),
    ],
)
def test_other_tasks_are_named(tmp_path, shapes, expected):
    outputs = {f"out{index}": np.zeros(shape, np.float32) for index, shape in enumerate(shapes)}
    with pytest.raises(ModelError, match=expected):
        resolve(write_model(tmp_path / "m.tflite", outputs))


def test_the_task_of_ultralytics_notes_is_believed(tmp_path):
    notes = json.dumps({"names": {"0": "person"}, "task": "pose"})
    path = write_model(
        tmp_path / "m.tflite", {"out": np.zeros((1, 56, 21), np.float32)}, files={"metadata.json": notes}
    )
    with pytest.raises(ModelError, match="'pose'"):
        resolve(path, labels=None)


def test_a_model_without_labels_says_which_line_is_missing(tmp_path):
    with pytest.raises(ModelError, match="write `labels:`"):
        resolve(write_model(tmp_path / "m.tflite", BOXES), labels=None)
