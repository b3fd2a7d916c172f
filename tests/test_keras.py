"""Keras and SavedModel sources: the parent beside its conversion and its quantization levels."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from auditor.errors import InputError
from auditor.run import run_audit
from auditor.runtimes.litert.graph import load_graph, quantization_level

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]

AUDIT = """\
name: cells
dataset: {format: coco, images: images, annotations: instances.json}
models:
  - name: cells
    path: detector
    decoder: {name: yolov8, box_unit: pixels}
    labels: labels.txt
    input: {mean: 0, std: 255, resize: stretch}
    quantize:
      levels: [float16, dynamic, weight_only, int8, int16x8]
      calibration: {images: calibration}
scenarios: [noise/gaussian]
severities: [3]
checks: {input_contract: false}
measure: {threads: []}
gates:
  - {metric: AP, quantization: float32, scenario: clean, max_drop: 0.001, against: parent}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A folder with Keras and SavedModel sources, images of bright cells and their truth."""
    folder = tmp_path_factory.mktemp("keras")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    script = Path(__file__).with_name("keras_models.py")
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True, env=environment)
    rng = np.random.default_rng(5)
    images, annotations = [], []
    for name, count in (("images", 16), ("calibration", 8)):
        (folder / name).mkdir()
        for index in range(count):
            bright = rng.random((8, 8)) < 0.3
            bright[0, 0] = True
            values = np.where(bright, rng.integers(150, 250, (8, 8)), rng.integers(0, 60, (8, 8)))
            image = np.repeat(np.repeat(values, 8, axis=0), 8, axis=1).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{index}.png"), np.dstack([image] * 3))
            if name == "images":
                images.append({"id": index + 1, "file_name": f"{index}.png", "width": 64, "height": 64})
                annotations += [
                    {
                        "id": len(annotations) + n,
                        "image_id": index + 1,
                        "category_id": 1,
                        "bbox": [int(x) * 8, int(y) * 8, 8, 8],
                        "area": 64,
                    }
                    for n, (y, x) in enumerate(np.argwhere(bright), start=1)
                ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "bright"}]}
    (folder / "instances.json").write_text(json.dumps(document))
    (folder / "labels.txt").write_text("bright\n")
    (folder / "audit.yaml").write_text(AUDIT)
    return folder


@pytest.fixture(scope="module")
def result(sources):
    return run_audit(sources / "audit.yaml", output=sources / "out", jobs=2)


def clean(result):
    return {cell.quantization: cell for cell in result.cells if cell.scenario == "clean"}


def test_the_parent_is_measured_beside_every_level(result):
    cells = clean(result)
    assert list(cells)[:5] == ["parent", "float32", "float16", "int8", "int16x8"]
    assert {cells[level].status for level in list(cells)[:5]} == {"ok"}
    assert "nothing was quantized" in cells["dynamic"].error  # three weights are too few for TensorFlow's converter
    assert cells["parent"].delegate == "tensorflow"
    assert cells["parent"].metrics["AP"].value > 0.9
    assert cells["float32"].metrics["AP_minus_parent"].value == pytest.approx(0.0, abs=1e-6)
    assert cells["float32"].metrics["AP_minus_parent"].interval is not None
    assert "AP_minus_float32" in cells["int8"].metrics
    assert "AP_minus_float32" not in cells["parent"].metrics
    assert cells["weight_only"].status == "skipped"
    assert "TensorFlow's converter does not make weight_only" in cells["weight_only"].error
    assert result.verdict == "passed"


def test_the_conversion_is_told_apart_from_the_quantization(result):
    (finding,) = [finding for finding in result.findings if finding.code == "quantization.conversion"]
    assert finding.facts["metric"] == "AP"
    assert finding.facts["change"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("level", "types"), [("float32", "float32"), ("float16", "float16"), ("int8", "int8"), ("int16x8", "int16x8")]
)
def test_levels_are_what_they_are_called(result, sources, level, types):
    graph = load_graph(sources / "out" / "models" / f"cells_{level}.tflite")
    assert quantization_level(graph) == types
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"float32"}


def test_made_levels_are_reused(result, sources):
    stamps = {path: path.stat().st_mtime_ns for path in (sources / "out" / "models").iterdir()}
    run_audit(sources / "audit.yaml", output=sources / "out", jobs=1)
    assert {path: path.stat().st_mtime_ns for path in (sources / "out" / "models").iterdir()} == stamps


def test_quantize_prints_paths_alone_on_standard_output(sources, tmp_path):
    command = [
        sys.executable,
        "-m",
        "auditor",
        "quantize",
        sources / "plain.keras",
        "--levels",
        "float32,int8",
        "--io",
        "int8",
        "--labels",
        sources / "labels.txt",
    ]
    done = subprocess.run(
        [*command, "--calibration", sources / "calibration", "-o", tmp_path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "plain_float32.tflite"), str(tmp_path / "plain_int8.tflite")]
    graph = load_graph(tmp_path / "plain_int8.tflite")
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"int8"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("unserved", "without the signature serving_default"),
        ("flex", "TFLite has no kernel for Erfinv, which would need Flex ops"),
        ("images", "holds no saved_model.pb"),
        ("nowhere.keras", "no such file or folder"),
        ("broken.keras", "cannot be converted"),
    ],
)
def test_bad_sources_are_told_before_anything_is_written(sources, path, expected):
    (sources / "broken.keras").write_bytes(b"no zip")
    bad = sources / f"bad_{Path(path).stem}.yaml"
    bad.write_text(AUDIT.replace("path: detector", f"path: {path}"))
    with pytest.raises(InputError, match=expected):
        run_audit(bad, output=sources / "bad", jobs=1)
    assert not (sources / "bad").exists()


def test_a_source_with_state_is_set_back_before_each_image(sources):
    script = """
import sys, numpy as np
from pathlib import Path
from auditor.runtimes.tensorflow.keras import open_parent
image = np.ones((1, 32, 32, 3), np.float32)
for keeps in (False, True):
    opened = open_parent(Path(sys.argv[1]), keeps_state=keeps)
    print(*(float(opened.invoke(image)[0][0, 0]) for _ in range(3)))
"""
    command = [sys.executable, "-c", script, sources / "counts"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["1.0 1.0 1.0", "1.0 2.0 3.0"]


def test_a_source_with_state_is_not_calibrated_by_what_keeps_it(sources, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    command = [sys.executable, "-m", "auditor", "quantize", sources / "counts", "--levels", "float32,int8"]
    command += ["--labels", labels, "--calibration", sources / "calibration", "-o", tmp_path / "made"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert [Path(line).name for line in done.stdout.splitlines()] == ["counts_float32.tflite"]
    assert "keeps resource variables from image to image" in done.stderr
