"""The input contract check on real models: wrong contracts of YOLOX-Nano are found, the three right ones are left
alone."""

from __future__ import annotations

import pytest
import yaml

from auditor.run import run_audit
from auditor.values.label_lists import BUILT_IN_LABELS as BUILT_IN

pytestmark = [pytest.mark.real, pytest.mark.long]


def document(real):
    """The audit: YOLOX-Nano fed rightly and wrongly, and two other models. Most of the time goes into evaluating, so
    its score floor is higher than usual, and all images are looked at at once."""
    yolox = {
        "path": f"{real}/models/yolox_nano_float32.tflite",
        "labels": "coco80",
        "postprocess": {"score_floor": 0.01},
    }
    person = {"path": f"{real}/models/yolov8n_256_person_int8.tflite", "labels": "person.txt"}
    data = f"{real}/data/coco-val79"
    return {
        "name": "inputs",
        "dataset": {"format": "coco", "images": f"{data}/images", "annotations": f"{data}/instances.json"},
        "models": [
            {"name": "right", **yolox},
            {"name": "rgb", **yolox, "input": {"color": "rgb"}},
            {"name": "unit", **yolox, "input": {"std": 255}},
            {"name": "stretch", **yolox, "input": {"resize": "stretch"}},
            {"name": "shifted", **yolox, "labels": "shifted.txt"},
            {"name": "ssd", "path": f"{real}/models/ssd_mobilenet_v1_uint8.tflite"},
            {"name": "person", **person, "input": {"anchor": "top_left", "rounding": "floor"}},
        ],
        "scenarios": [],
        "checks": {"input_contract": {"images": 79}},
        "measure": {"threads": []},
    }


@pytest.fixture(scope="module")
def alarms(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "person.txt").write_text("person\n")
    (folder / "shifted.txt").write_text("\n".join(["background", *map(str, BUILT_IN["coco80"][:-1])]) + "\n")
    (folder / "audit.yaml").write_text(yaml.safe_dump(document(real)))
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
