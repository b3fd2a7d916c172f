"""Scores in per cent, as camera kits export them: read as such and told, alike by inspect, init and run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from made_results import DATASET, codes, made_cell, made_result, model
from tiny_models import write_model

from auditor.cli import main
from auditor.errors import ModelError
from auditor.judge.quantization import check_quantization
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.run import run_audit
from auditor.values import Diagnosis, OutputCodes

ANCHORS = 3 * 21  # three a cell of strides 8, 16, 32 of a 32 × 32 input
IMAGES = tuple(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in range(2))


def table(channels: int, count: int, row: list[float]) -> np.ndarray:
    array = np.zeros((1, count, channels), np.float32)
    array[0, 0, : len(row)] = row
    return array


YOLOV5 = table(6, ANCHORS, [16, 12, 8, 8, 90, 100])
MADE = {
    "yolov5": ({"out": YOLOV5}, "a"),
    "yolov8": ({"out": table(6, 21, [16, 12, 8, 8, 0, 90]).transpose(0, 2, 1).copy()}, "ab"),
    "yolox": ({"out": table(7, 21, [16, 12, 8, 8, 90, 0, 100])}, "ab"),
    "end2end": ({"out": table(6, 300, [12, 8, 20, 16, 90, 1])}, "ab"),
}


def request(tmp_path: Path, name: str, **more) -> ModelRequest:
    outputs, labels = MADE[name]
    path = write_model(tmp_path / "m.tflite", outputs)
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    given = {"labels": "labels.txt", "images": IMAGES, **more}
    return ModelRequest("m", "m", str(path), "d", str(tmp_path), **given)


@pytest.mark.parametrize("name", sorted(MADE))
def test_per_cent_is_recognised_in_every_head(tmp_path, name):
    spec = resolve_model(request(tmp_path, name))
    assert (spec.decoder, spec.decoder_options["score_scale"]) == (name, 0.01)
    assert spec.sources["decoder.score_scale"].origin == "images"
    written = resolve_model(request(tmp_path, name, decoder=name, decoder_options={"score_scale": 0.01}))
    assert written.decoder_options == spec.decoder_options
    assert written.sources["decoder.score_scale"].origin == "audit.yaml"


@pytest.mark.parametrize("named", [False, True])
def test_what_is_written_is_not_advised(tmp_path, named):
    outputs = {"out": table(6, ANCHORS, [16, 12, 8, 8, 9, 1])}
    MADE["odd"] = (outputs, "a")
    more = {"decoder": "yolov5"} if named else {}
    with pytest.raises(ModelError, match="finds scores from 9 to 9") as caught:
        resolve_model(request(tmp_path, "odd", **more))
    assert ("write `decoder:`" in str(caught.value)) != named
    with pytest.raises(ModelError, match=r"with score_scale 0\.5, expected 0 to 1: check it"):
        resolve_model(request(tmp_path, "odd", decoder="yolov5", decoder_options={"score_scale": 0.5}))
    with pytest.raises(ModelError, match="score_scale is -1; expected a number above 0"):
        resolve_model(request(tmp_path, "odd", decoder="yolov5", decoder_options={"score_scale": -1}))


def project(folder: Path) -> Path:
    write_model(folder / "m.tflite", {"out": YOLOV5})
    data = folder / "data"
    (data / "labels").mkdir(parents=True)
    (data / "images").mkdir()
    for index, image in enumerate(IMAGES):
        cv2.imwrite(str(data / "images" / f"{index}.png"), image)
        (data / "labels" / f"{index}.txt").write_text("0 0.5 0.375 0.25 0.25\n")
    (data / "classes.txt").write_text("a\n")
    return data


@pytest.mark.slow
def test_inspect_init_and_run_say_one_thing(tmp_path):
    data = project(tmp_path)
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "m.tflite"), "--json"])
    likely = json.loads(shown.stdout)["likely"]
    assert (likely["decoder"], likely["options"]["score_scale"]) == ("yolov5", 0.01)
    done = CliRunner().invoke(
        main,
        [
            "init",
            str(tmp_path / "m.tflite"),
            "--dataset",
            str(data),
            "-o",
            str(tmp_path / "audit.yaml"),
            "--labels",
            str(data / "classes.txt"),
        ],
    )
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "audit.yaml").read_text()
    assert "name: yolov5" in text
    assert "score_scale: 0.01" in text
    bare = text.replace(", score_scale: 0.01", "")
    assert bare != text
    for name, document in (("written", text), ("bare", bare)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(document.split("scenarios:")[0] + "scenarios: []\nmeasure: {threads: []}\n")
        result = run_audit(path, output=tmp_path / name, jobs=1)
        assert result.cells[0].value == pytest.approx(1.0)
        told = [finding for finding in result.findings if finding.code == "compatibility.per_cent"]
        assert len(told) == (name == "bare")
        assert all("score_scale: 0.01" in finding.remedy for finding in told)


def test_a_score_column_that_never_changes_is_told(tmp_path):
    """The objectness of a kit's export, rounded to one code."""
    codes_of = np.zeros((1, 21, 6), np.int8)
    codes_of[0, :, 4] = 100
    codes_of[0, 0, :4] = 8
    MADE["stuck"] = ({"out": codes_of.transpose(0, 2, 1).copy()}, "ab")
    path = write_model(tmp_path / "m.tflite", MADE["stuck"][0], output_quantization={"out": (0.01, 0)})
    (tmp_path / "labels.txt").write_text("a\nb")
    spec = resolve_model(ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="labels.txt", images=IMAGES))
    assert spec.diagnosis.outputs[0].constant_classes == (0,)
    assert spec.diagnosis.outputs[0].silent_classes == (1,)


@pytest.mark.parametrize(("objects", "value", "told"), [(10, 0.0, True), (9, 0.0, False), (10, 0.1, False)])
def test_a_class_that_stays_silent_is_told_where_its_objects_are_missed(objects, value, told):
    outputs = (OutputCodes("o", "int8", 0.004, -128, 0.0, 1.0, silent_classes=(0, 1)),)
    cell = made_cell("clean", 0, 0.5)
    metric = dataclasses.replace(cell.metrics["AP"], name="AP/a", value=value)
    cell = dataclasses.replace(cell, metrics={**cell.metrics, "AP/a": metric})
    datasets = {"default": dataclasses.replace(DATASET, instances={"a": objects, "b": 50})}
    judged = model(diagnosis=Diagnosis(outputs=outputs), labels=("a", "b"))
    found = codes(check_quantization, made_result([cell], models=(judged,), datasets=datasets))
    assert ("quantization.silent_class" in found) == told


@pytest.mark.parametrize(("columns", "told"), [((), False), ((2,), True)])
def test_constant_columns_are_a_finding(columns, told):
    outputs = (OutputCodes("o", "int8", 0.004, -128, 0.0, 1.0, constant_classes=columns),)
    result = made_result(models=(model(diagnosis=Diagnosis(outputs=outputs)),))
    assert ("quantization.constant_class" in codes(check_quantization, result)) == told
