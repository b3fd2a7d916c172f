"""The input contract check on real models: wrong contracts of YOLOX-Nano are found, the three right ones are left
alone."""

from __future__ import annotations

import pytest

from auditor.run import run_audit
from auditor.values.label_lists import BUILT_IN_LABELS as BUILT_IN

pytestmark = pytest.mark.real

AUDIT = """\
name: inputs
dataset: {{format: coco, images: {real}/data/coco-val79/images, annotations: {real}/data/coco-val79/instances.json}}
models:
  - {{name: right, path: {real}/models/yolox_nano_float32.tflite, labels: coco80}}
  - {{name: rgb, path: {real}/models/yolox_nano_float32.tflite, labels: coco80, input: {{color: rgb}}}}
  - {{name: unit, path: {real}/models/yolox_nano_float32.tflite, labels: coco80, input: {{std: 255}}}}
  - {{name: stretch, path: {real}/models/yolox_nano_float32.tflite, labels: coco80, input: {{resize: stretch}}}}
  - {{name: shifted, path: {real}/models/yolox_nano_float32.tflite, labels: shifted.txt}}
  - {{name: ssd, path: {real}/models/ssd_mobilenet_v1_uint8.tflite}}
  - {{name: person, path: {real}/models/yolov8n_256_person_int8.tflite, labels: person.txt, input: {{anchor: top_left,
  rounding: floor}}}}
scenarios: []
measure: {{threads: []}}
"""


@pytest.fixture(scope="module")
def alarms(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "person.txt").write_text("person\n")
    (folder / "shifted.txt").write_text("\n".join(["background", *map(str, BUILT_IN["coco80"][:-1])]) + "\n")
    (folder / "audit.yaml").write_text(AUDIT.format(real=real))
    result = run_audit(folder / "audit.yaml", output=folder / "out")
    found = [
        finding
        for finding in result.findings
        if finding.check in ("input_contract", "labels") and finding.level != "info"
    ]
    return {
        name: [finding for finding in found if finding.cell.get("file") == name]
        for name in {cell.file for cell in result.cells}
    }


@pytest.mark.parametrize("name", ["right", "ssd", "person"])
def test_right_contracts_are_left_alone(alarms, name):
    assert alarms[name] == []


@pytest.mark.parametrize(
    ("name", "check", "line"),
    [
        ("rgb", "input_contract", "input: {color: bgr, mean: 0, std: 1, resize: letterbox, anchor: top_left,"),
        ("unit", "input_contract", "input: {color: bgr, mean: 0, std: 1, resize: letterbox, anchor: top_left,"),
        ("stretch", "input_contract", "input: {color: bgr, mean: 0, std: 1, resize: letterbox, anchor: top_left,"),
        ("shifted", "labels", "labels: coco80"),
    ],
)
def test_wrong_contracts_are_found_with_the_line_that_mends_them(alarms, name, check, line):
    (finding,) = alarms[name]
    assert finding.check == check
    assert line in finding.remedy
