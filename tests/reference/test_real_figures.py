"""The figures that an independent program measured on real models and images; see the README beside them."""

from __future__ import annotations

import pytest

from auditor.run import run_audit

pytestmark = pytest.mark.real

AUDIT = """\
name: real
dataset: {{format: coco, images: {real}/data/coco-val79/images, annotations: {real}/data/coco-val79/instances.json}}
models:
  - name: yolox
    path: {real}/models/yolox_nano_float32.tflite
    labels: coco80
  - {{name: ssd, path: {real}/models/ssd_mobilenet_v1_uint8.tflite}}
  - name: person
    path: {real}/models/yolov8n_256_person_int8.tflite
    labels: person.txt
    input: {{resize: letterbox, anchor: top_left, rounding: floor, pad: 114}}
  - {{name: yolox_clipped, path: {real}/models/yolox_nano_float32.tflite, labels: coco80, postprocess: {{clip: true}}}}
  - {{name: yolox_argmax, path: {real}/models/yolox_nano_float32.tflite, labels: coco80, postprocess: {{multi_label:
  false}}}}
  - name: person_centred
    path: {real}/models/yolov8n_256_person_int8.tflite
    labels: person.txt
    input: {{rounding: floor}}
scenarios: []
checks: {{input_contract: false}}
measure: {{threads: []}}
delegates: [xnnpack, none]
"""

FIGURES = {
    ("yolox", "xnnpack"): (0.3217, 0.5102),
    ("ssd", "xnnpack"): (0.2133, 0.3795),
    ("person", "xnnpack"): (0.3413, 0.5570),
    ("yolox", "none"): (0.3217, 0.5102),
    ("ssd", "none"): (0.2148, 0.3755),
    ("person", "none"): (0.3501, 0.5655),
    ("yolox_clipped", "xnnpack"): (0.3223, None),
    ("yolox_argmax", "xnnpack"): (0.3124, None),
    ("person_centred", "xnnpack"): (0.3421, None),
}


@pytest.fixture(scope="module")
def result(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    (folder / "person.txt").write_text("person\n")
    (folder / "audit.yaml").write_text(AUDIT.format(real=real))
    return run_audit(folder / "audit.yaml", output=folder / "out")


@pytest.mark.parametrize("key", FIGURES, ids=" ".join)
def test_clean_ap_is_the_reference(result, key):
    (cell,) = [cell for cell in result.cells if (cell.file, cell.delegate) == key]
    assert cell.status == "ok"
    for name, expected in zip(("AP", "AP50"), FIGURES[key], strict=True):
        if expected is not None:
            assert cell.metrics[name].value == pytest.approx(expected, abs=0.001 + spread_of(cell, name))


SPREAD_OF_AP50 = 0.0123
"""How far 20 orders of equal scores went from ours at one IoU (AP averages ten): `person none` 0.5577 to 0.5700."""


def spread_of(cell, metric="AP") -> float:
    """How far the reference's own order of equal scores may be from ours: that of an integer model's few scores."""
    assert (cell.ties.spread == 0) == ("yolox" in cell.file)
    if metric == "AP50":
        return SPREAD_OF_AP50 if cell.ties.spread else 0.0
    return max(cell.value - cell.ties.low, cell.ties.high - cell.value)


def test_ssd_is_understood_from_its_file_alone(result):
    (model,) = [model for model in result.models if model.name == "ssd"]
    assert model.decoder.name == "tflite_postprocess"
    assert model.decoder.options["label_offset"] == 1
    assert model.sources["labels"].origin == "metadata"
    assert model.input.resize == "stretch"
    assert len(model.classes_judged) == 80


def test_the_level_is_read_from_the_graph(result):
    levels = {model.name: model.quantization for model in result.models}
    assert {name: levels[name] for name in ("yolox", "ssd", "person")} == {
        "yolox": "float32",
        "ssd": "int8",
        "person": "int8",
    }
