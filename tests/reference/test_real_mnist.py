"""The three questions that users of a classifier ask first, answered on MNIST by the example of
`tests/examples/mnist`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.run import run_audit

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]

EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist"


def trained(real, folder, kind) -> Path:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [sys.executable, EXAMPLE / "train.py", real / "data" / "mnist", folder, kind],
        check=True,
        capture_output=True,
        env=environment,
    )
    text = (folder / "audit.yaml").read_text()
    assert "severities: [1, 3, 5]" in text
    (folder / "audit.yaml").write_text(
        text.replace("[lighting/low_light, noise/gaussian, resolution/defocus]", "[resolution/defocus]")
    )
    return folder


@pytest.fixture(scope="module")
def dense(real, tmp_path_factory):
    folder = trained(real, tmp_path_factory.mktemp("dense"), "dense")
    return folder, run_audit(folder / "audit.yaml", output=folder / "out")


def clean(result, file):
    return next(cell for cell in result.cells if (cell.file, cell.scenario, cell.input) == (file, "clean", "declared"))


def test_a_what_int8_costs(dense):
    _, result = dense
    parent, float32, int8 = (clean(result, name) for name in ("digits", "digits_float32", "digits_int8"))
    assert parent.metrics["top1"].value == pytest.approx(0.9385, abs=0.01)
    assert float32.metrics["top1"].value == pytest.approx(parent.metrics["top1"].value, abs=0.001)
    for level in ("float16", "dynamic", "int8", "int16x8"):
        assert clean(result, f"digits_{level}").metrics["top1"].value == pytest.approx(
            float32.metrics["top1"].value, abs=0.01
        )
    low, high = int8.metrics["top1_minus_float32"].interval
    assert low <= int8.metrics["top1_minus_float32"].value <= high
    assert high - low < 0.01
    assert 0 < int8.metrics["McNemar_p"].value <= 1
    assert result.verdict == "passed"


def test_top1_is_what_the_runtime_alone_finds(dense):
    """Counted with an interpreter and numpy, without our code."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    folder, result = dense
    pixels = np.frombuffer((folder / "images.idx").read_bytes(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    labels = np.frombuffer((folder / "labels.idx").read_bytes(), np.uint8, offset=8)
    interpreter = Interpreter(str(folder / "out" / "models" / "digits_int8.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    index, output = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    right = 0
    for image, label in zip(pixels, labels, strict=True):
        interpreter.set_tensor(index, image[np.newaxis].astype(np.float32) / 255)
        interpreter.invoke()
        right += int(interpreter.get_tensor(output)[0].argmax() == label)
    assert clean(result, "digits_int8").metrics["top1"].value == right / len(labels)


def test_b_feeding_it_unnormalised_costs_no_accuracy_but_its_confidence(dense):
    folder, result = dense
    right, wrong = clean(result, "digits_float32"), clean(result, "unnormalised_float32")
    assert wrong.metrics["top1"].value == pytest.approx(right.metrics["top1"].value, abs=0.01)
    assert wrong.metrics["ECE"].value > 2 * right.metrics["ECE"].value
    told = [finding for finding in result.findings if finding.check == "input_contract" and finding.level != "info"]
    assert told
    assert all("calibration error" in finding.message and "unnormalised" in finding.message for finding in told)
    assert "std: 255" in told[0].remedy
    text = (folder / "audit.yaml").read_text()
    start, end = text.index("models:"), text.index("scenarios:")
    entry = (
        "models:\n  - {name: misfed, path: out/models/digits_int8.tflite, labels: dataset, input: {mean: 0, std: 1}}\n"
    )
    (folder / "misfed.yaml").write_text(text[:start] + entry + "scenarios: []\n" + "checks: {input_contract: false}\n")
    assert end > start
    misfed = run_audit(folder / "misfed.yaml", output=folder / "misfed", executor="serial")
    assert any("of the values are clipped" in finding.message for finding in misfed.findings)


def test_c_how_it_degrades(dense):
    _, result = dense
    values = [
        cell.metrics["top1"].value
        for cell in result.cells
        if (cell.file, cell.scenario) == ("digits_int8", "resolution/defocus")
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.2
    summary = next(summary for summary in result.summaries if summary.file == "digits_int8")
    assert summary.metrics["rPC"].value == pytest.approx(sum(values) / 3 / summary.metrics["top1_clean"].value)


def test_where_it_costs_much_the_check_finds_it(real, tmp_path):
    folder = trained(real, tmp_path / "conv", "convolutional")
    text = (folder / "audit.yaml").read_text().replace("severities: [1, 3, 5]", "severities: [5]")
    models = text[text.index("  - name: digits\n") : text.index("  - name: unnormalised")]
    gates = text[text.index("gates:") :]
    (folder / "audit.yaml").write_text(
        text.replace(models, "").replace(gates, "").replace("[resolution/defocus]", "[]")
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out")
    (finding,) = [
        finding
        for finding in result.findings
        if finding.check == "input_contract" and "reaches top1" in finding.message
    ]
    assert finding.level in ("warning", "error")
    assert "std: 255" in finding.remedy
    document = json.loads((folder / "out" / "result.json").read_text())
    assert any(cell["input"] == "std=255" for cell in document["cells"])
