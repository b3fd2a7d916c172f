"""XNNPACK beside the built-in kernels on three real models, against an independent measurement and count."""

from __future__ import annotations

import pytest

from auditor.run import run_audit

pytestmark = [pytest.mark.real, pytest.mark.long]

AUDIT = """\
name: delegates
dataset: {{format: coco, images: {real}/data/coco-val79/images, annotations: {real}/data/coco-val79/instances.json}}
models:
  - {{name: yolox, path: {real}/models/yolox_nano_float32.tflite, labels: coco80}}
  - {{name: ssd, path: {real}/models/ssd_mobilenet_v1_uint8.tflite}}
  - {{name: person, path: {real}/models/yolov8n_256_person_int8.tflite, labels: person.txt, input: {{anchor: top_left,
  rounding: floor}}}}
scenarios: []
delegates: [xnnpack, none]
checks: {{input_contract: false}}
measure: {{threads: []}}
"""


@pytest.fixture(scope="module")
def result(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("delegates")
    (folder / "person.txt").write_text("person\n")
    (folder / "audit.yaml").write_text(AUDIT.format(real=real))
    return run_audit(folder / "audit.yaml", output=folder / "out")


@pytest.mark.parametrize(("name", "taken", "ops"), [("ssd", 61, 64), ("person", 254, 258), ("yolox", 380, 391)])
def test_what_xnnpack_takes(result, name, taken, ops):
    found = {(item.model, item.delegate): item.value for item in result.measurements if item.probe == "delegate_ops"}
    assert (found[(name, "xnnpack")].delegated, found[(name, "xnnpack")].ops) == (taken, ops)
    assert found[(name, "none")].delegated == 0


@pytest.mark.parametrize(
    ("name", "xnnpack", "none"), [("yolox", 0.3217, 0.3217), ("ssd", 0.2133, 0.2148), ("person", 0.3413, 0.3501)]
)
def test_ap_with_and_without(result, name, xnnpack, none):
    cells = {cell.delegate: cell for cell in result.cells if cell.file == name}
    for cell, expected in ((cells["xnnpack"], xnnpack), (cells["none"], none)):
        # The reference ranked equal scores in the order of ids: one of the orders whose spread is measured.
        spread = max(cell.value - cell.ties.low, cell.ties.high - cell.value)
        assert cell.value == pytest.approx(expected, abs=0.001 + spread)
        assert (spread == 0) == (name == "yolox")


def test_float_is_interchangeable_and_integers_are_not(result):
    matched = {
        cell.file: cell.metrics["parity_matched"].value for cell in result.cells if "parity_matched" in cell.metrics
    }
    assert matched["yolox"] == 1.0
    assert matched["person"] < 0.9
    findings = [finding for finding in result.findings if finding.code == "delegate.differs"]
    assert {finding.cell["file"] for finding in findings} == {"ssd", "person"}
    assert all("which may be noise" in finding.message for finding in findings)


def test_the_op_at_which_the_delegate_departs_is_looked_for(result):
    """Its tensors beside those of the own kernels, whichever of the two the matrix compares with the other."""
    drifts = {drift.file: drift for drift in result.drifts if drift.kind == "delegate"}
    assert drifts.keys() == {"ssd", "person"}
    for drift in drifts.values():
        assert drift.delegate == "xnnpack"
        assert drift.compared > 50
        assert any(row.largest > 0 for row in drift.worst)
