"""The quantization ladder of YOLOX-Nano, against an independent measurement of levels made by the same quantizer."""

from __future__ import annotations

import pytest

from auditor.run import run_audit

pytestmark = [pytest.mark.real, pytest.mark.long]

AUDIT = """\
name: ladder
dataset: {{format: coco, images: {real}/data/coco-val79/images, annotations: {real}/data/coco-val79/instances.json}}
models:
  - name: yolox
    path: {real}/models/yolox_nano_float32.tflite
    labels: coco80
    quantize:
      levels: [float16, dynamic, weight_only, int8, int16x8]
      calibration: {{images: {real}/data/coco-calib80/images, annotations: {real}/data/coco-calib80/instances.json}}
scenarios: []
checks: {{input_contract: false}}
measure: {{threads: []}}
"""

# level: (lowest, highest) AP: the figure ± 0.004; where the reference gives a range, the range ± 0.004
FIGURES = {
    "float32": (0.3177, 0.3257),
    "float16": (0.3178, 0.3258),
    "weight_only": (0.3094, 0.3174),
    "dynamic": (0.2352, 0.2432),
    "int8": (0.0, 0.02),
    "int16x8": (0.314, 0.323),
    "int8_float_head": (0.196, 0.214),
}


@pytest.fixture(scope="module")
def result(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    (folder / "audit.yaml").write_text(AUDIT.format(real=real))
    return run_audit(folder / "audit.yaml", output=folder / "out")


@pytest.mark.parametrize("level", FIGURES)
def test_each_level_has_the_reference_ap(result, level):
    (cell,) = [cell for cell in result.cells if cell.quantization == level]
    low, high = FIGURES[level]
    assert low <= cell.metrics["AP"].value <= high


def test_the_broken_head_is_named_and_its_remedy_measured(result):
    (finding,) = [
        finding for finding in result.findings if finding.check == "quantization" and finding.level == "error"
    ]
    assert "serves boxes" in finding.message
    assert "99.99" in finding.message
    assert "yolox_int8_float_head" in finding.remedy
    assert "stay lost. More float does not help" in finding.remedy


def test_the_trade_off_knows_what_int16x8_costs(result):
    times = {found.quantization: found.value.p50 for found in result.measurements if found.probe == "invoke_ms_in_run"}
    assert times["int16x8"] > 5 * times["float32"]
