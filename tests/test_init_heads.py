"""`auditor init` on a made model of each head writes an audit that finds every object, without a hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.run import run_audit

pytestmark = pytest.mark.slow

_SPEC = importlib.util.spec_from_file_location(
    "heads_by_hand", Path(__file__).parent / "reference" / "test_heads_by_hand.py"
)
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)

MADE = {
    "picodet": lambda folder: made.test_picodet(folder, separate=True, bins=8),
    "rtmdet": lambda folder: made.test_rtmdet_and_raw_yolov6(folder, unit="strides", offset=0.5, logits=True),
    "yolov6": made.test_yolov6_as_it_is_exported,
    "retinanet": lambda folder: made.test_retinanet_and_raw_efficientdet(folder, style="efficientdet", separate=False),
    "yolov3": lambda folder: made.test_raw_grids_of_three_anchors(folder, kind="v4", five=False),
    "centernet": lambda folder: made.test_centernet(folder, named=True, logits=True),
    "detr": lambda folder: made.test_detr_with_no_object(folder, queries=100),
    "end2end": made.test_yolo26_end_to_end,
    "yolov8": made.test_decoded_centres_in_cells_are_still_yolov8,
    "tflite_postprocess": lambda folder: made.test_efficientdet_lite_and_ssd_end_in_the_real_op(folder, regular=True),
}


LONG = ("centernet", "detr", "end2end", "picodet", "retinanet", "tflite_postprocess", "yolov6", "yolov8")
"""Heads whose like is asked in every run: they take ten seconds each."""
EVERY = [pytest.param(head, marks=[pytest.mark.long] if head in LONG else []) for head in sorted(MADE)]


@pytest.mark.parametrize("head", EVERY)
def test_init_is_right_without_a_hand(tmp_path, head):
    MADE[head](tmp_path)
    data = tmp_path / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
    for index, image in enumerate(made.IMAGES):
        cv2.imwrite(str(data / "images" / f"{index}.png"), image)
        lines = [f"{label} {' '.join(map(str, made.centred(box)))}" for box, label, _ in made.OBJECTS]
        (data / "labels" / f"{index}.txt").write_text("\n".join(lines))
    (data / "classes.txt").write_text((tmp_path / "labels.txt").read_text())
    given = ["--dataset", str(data), "--labels", str(tmp_path / "labels.txt"), "-o", str(tmp_path / "audit.yaml")]
    done = CliRunner().invoke(main, ["init", str(tmp_path / "m.tflite"), *given])
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "audit.yaml").read_text()
    assert f"decoder: {head}" in text or f"name: {head}" in text
    (tmp_path / "audit.yaml").write_text(text.split("scenarios:")[0] + "scenarios: []\nmeasure: {threads: []}\n")
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", jobs=1)
    assert result.cells[0].value == pytest.approx(1.0, abs=0.05)
