"""The quantization ladder of a float model, and what is told of levels that break."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_MODEL, write_scenes
from made_results import findings_of, made_result, model, worded

from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.formats.coco import load
from auditor.errors import InputError
from auditor.judge.quantization import check_quantization
from auditor.quantize import LevelRequest, make_levels
from auditor.resolve.model import ModelRequest, derived_spec, resolve_model
from auditor.run import run_audit
from auditor.runtimes.litert.chain import head_tensors
from auditor.runtimes.litert.graph import load_graph, quantization_level
from auditor.values import Diagnosis
from auditor.values.levels import ASKED

QUANTIZE = """\
    quantize:
      levels: [float16, dynamic, weight_only, int8]
      calibration: {images: calibration, limit: 6}
"""


@pytest.fixture
def ladder(project):
    write_scenes(project / "calibration_scenes", 6)
    (project / "calibration").mkdir()
    for number, path in enumerate(sorted((project / "calibration_scenes" / "images").iterdir())):
        content = path.read_bytes()
        (project / "calibration" / f"{number}.png").write_bytes(content + b"\0")  # the same pixels, another content
    text = (project / "audit.yaml").read_text()
    entry = "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
    assert entry in text
    text = text.replace(entry, f"  - name: detector\n    path: detector.tflite\n    labels: labels.txt\n{QUANTIZE}")
    (project / "audit.yaml").write_text(text.replace("[lighting/low_light, noise/gaussian]", "[]"))
    return project


def source(folder):
    dataset = load(DatasetRequest(name="d", images=folder / "images", annotations=folder / "instances.json", limit=4))
    request = ModelRequest(
        name="m", model="m", path=str(DEMO_MODEL), dataset="d", folder=str(folder), labels="labels.txt"
    )
    return resolve_model(request), dataset.images


def derived(made):
    request = made.request
    return derived_spec(request.spec, request.path, level=request.level, made=request.made, images=())


def silent(_text):
    """Say nothing."""


def test_levels_are_made_audited_and_compared(ladder):
    result = run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    cells = {cell.quantization: cell for cell in result.cells}
    assert list(cells) == ["float32", "float16", "dynamic", "weight_only", "int8"]
    assert all(cell.status == "ok" for cell in cells.values())
    assert cells["float16"].metrics["AP"].value == pytest.approx(cells["float32"].metrics["AP"].value, abs=0.02)
    difference = cells["int8"].metrics["AP_minus_float32"]
    assert difference.value == pytest.approx(cells["int8"].metrics["AP"].value - cells["float32"].metrics["AP"].value)
    low, high = difference.interval
    assert low <= difference.value <= high
    assert "AP_minus_float32" not in cells["float32"].metrics
    for level in ("float16", "dynamic", "weight_only", "int8"):
        graph = load_graph(ladder / "out" / "models" / f"detector_{level}.tflite")
        assert quantization_level(graph) == level
        assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"float32"}


def test_made_files_are_reused_and_never_trusted_when_damaged(ladder):
    run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    path = ladder / "out" / "models" / "detector_int8.tflite"
    note = path.with_suffix(".json")
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(before[: len(before) // 2])
    run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    assert path.read_bytes() == before
    note.unlink()  # what a run that was killed before its note leaves
    run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    assert json.loads(note.read_text())["calibration_images"] == 6
    assert path.stat().st_mtime_ns != stamp


def test_integer_inputs_and_outputs_on_request(ladder):
    text = (
        (ladder / "audit.yaml")
        .read_text()
        .replace("levels: [float16, dynamic, weight_only, int8]", "levels: [int8]\n      io: int8")
    )
    (ladder / "audit.yaml").write_text(text)
    result = run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    graph = load_graph(ladder / "out" / "models" / "detector_int8.tflite")
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"int8"}
    assert next(cell for cell in result.cells if cell.quantization == "int8").metrics["AP"].value > 0.5


def test_a_level_that_cannot_be_had_is_skipped_and_the_others_go_on(ladder):
    run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    shutil.copy(ladder / "out" / "models" / "detector_int8.tflite", ladder / "detector.tflite")
    text = (ladder / "audit.yaml").read_text().replace("scenario: clean, min: 0.4", "quantization: int8, min: 0.4")
    (ladder / "audit.yaml").write_text(text)
    result = run_audit(ladder / "audit.yaml", output=ladder / "again", executor="serial")
    statuses = {cell.quantization: cell.status for cell in result.cells}
    assert statuses == {"int8": "ok", "float16": "skipped", "dynamic": "skipped", "weight_only": "skipped"}
    assert "already int8" in next(cell.error for cell in result.cells if cell.status == "skipped")
    assert result.verdict == "passed"  # a skipped cell matters only to a gate that selects it
    gated = (ladder / "audit.yaml").read_text() + "  - {metric: AP, quantization: float16, min: 0.1}\n"
    (ladder / "audit.yaml").write_text(gated)
    assert run_audit(ladder / "audit.yaml", output=ladder / "again", executor="serial").verdict == "incomplete"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("images: calibration,", "images: images,"), "6 of 6 calibration images are evaluated too"),
        (("images: calibration,", "images: nowhere,"), "no such folder; expected calibration images"),
        (("      calibration: {images: calibration, limit: 6}\n", ""), "int8 need `calibration:`"),
        (("dynamic, weight_only", "dynamic, int4"), r"quantize\.levels\[2\]"),
    ],
)
def test_bad_requests_are_told_before_anything_is_made(ladder, change, expected):
    text = (ladder / "audit.yaml").read_text()
    assert change[0] in text
    (ladder / "audit.yaml").write_text(text.replace(*change))
    with pytest.raises(InputError, match=expected):
        run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    assert not (ladder / "out").exists()


def test_unreadable_calibration_images_skip_the_level(ladder):
    for path in (ladder / "calibration").iterdir():
        path.write_text(f"broken {path.name}")
    result = run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    statuses = {cell.quantization: cell.status for cell in result.cells}
    assert (statuses["int8"], statuses["dynamic"]) == ("skipped", "ok")
    reasons = [finding.facts["reason"] for finding in result.findings if finding.code == "quantization.skipped"]
    assert reasons == ["none of the 6 calibration images can be read"]


def test_the_head_ends_at_the_last_weighted_ops():
    graph = load_graph(DEMO_MODEL)
    names = set(head_tensors(graph))
    by_name = {graph.tensors[op.outputs[0]].name: op.name for op in graph.ops}
    assert {by_name[name] for name in names} >= {"LOGISTIC", "CONCATENATION", "TRANSPOSE"}
    assert not {by_name[name] for name in names} & {"CONV_2D", "DEPTHWISE_CONV_2D"}


def test_the_float_head_level_keeps_its_head_in_float(project):
    spec, images = source(project)
    (made,) = make_levels([LevelRequest(spec, "int8_float_head", str(project / "made"), images)], say=silent)
    assert made.reason is None
    graph = load_graph(made.request.path)
    producers = {index: op for op in graph.ops for index in op.outputs}
    assert producers[graph.outputs[0]].name != "DEQUANTIZE"
    assert quantization_level(graph) == "int8"


def test_what_can_be_asked_for():
    assert ASKED == ("float32", "float16", "dynamic", "weight_only", "int8", "int16x8")


# ------------------------------------------------------------------------------------------------------------ diagnosis


def told_of(facts):
    """What the check of quantization tells of one model with such a diagnosis, by code."""
    return {
        item.code: item
        for item in findings_of(check_quantization, made_result(models=(model(name="m_int8", diagnosis=facts),)))
    }


def merged(tmp_path, scale, zero_point=-128):
    """A model whose one output holds pixel boxes and scores under one scale, as a merged int8 export has them."""
    from test_heads import CELLS, candidates, detect

    values = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1)
    codes = np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)
    return detect(
        tmp_path,
        {"out": codes},
        input_dtype="int8",
        input_quantization=(1 / 255, -128),
        output_quantization={"out": (scale, zero_point)},
        request={"decoder": "yolov8", "decoder_options": {"box_unit": "pixels"}, "input": {"resize": "stretch"}},
    )[0]


def test_one_scale_for_boxes_and_scores_is_named(tmp_path):
    facts = merged(tmp_path, scale=2.0).diagnosis
    (output,) = facts.outputs
    assert (output.scale, output.zero_scores, output.distinct_scores) == (2.0, 1.0, 1)
    told = told_of(facts)
    assert told.keys() == {"quantization.one_scale"}
    assert told["quantization.one_scale"].facts["box_high"] == 16
    (finding,) = worded(told.values())
    assert finding.level == "error"
    assert "100.000% of the scores round to 0" in finding.message


def test_an_output_that_can_never_be_positive_is_named(tmp_path):
    facts = merged(tmp_path, scale=0.25, zero_point=127).diagnosis
    assert facts.outputs[0].high == 0
    assert told_of(facts).keys() == {"quantization.never_positive"}


def test_an_output_that_saturates_is_named(tmp_path):
    told = told_of(merged(tmp_path, scale=1 / 510).diagnosis)
    assert told.keys() == {"quantization.saturates"}
    assert told["quantization.saturates"].observed == pytest.approx(0.5)


def test_an_input_calibrated_on_other_preprocessing_is_named(project):
    """Calibrated on pixels divided by 255, fed pixels as they are: most of what it is fed is clipped."""
    import dataclasses

    spec, images = source(project)
    wrong = dataclasses.replace(spec, input=dataclasses.replace(spec.input, std=(25500.0,)))
    (made,) = make_levels([LevelRequest(wrong, "int8", str(project / "made"), images)], say=silent)
    fed = ModelRequest(
        name="m_int8",
        model="m",
        path=str(made.request.path),
        dataset="d",
        folder=str(project),
        labels="labels.txt",
        images=(np.full((160, 160, 3), 200, np.uint8),),
    )
    facts = resolve_model(fed).diagnosis
    assert facts.input.clipped > 0.9
    assert told_of(Diagnosis(input=facts.input)).keys() == {"quantization.input_codes"}
    assert told_of(Diagnosis(input=derived(made).diagnosis.input)) == {}


def test_a_sound_int8_level_has_no_such_finding(project):
    spec, images = source(project)
    (made,) = make_levels([LevelRequest(spec, "int8", str(project / "made"), images)], say=silent)
    assert told_of(derived(made).diagnosis) == {}


def test_the_command_makes_levels_without_an_audit(ladder):
    from click.testing import CliRunner

    from auditor.cli import main

    arguments = ["quantize", str(ladder / "detector.tflite"), "--levels", "int8,dynamic", "-o", str(ladder / "made")]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert "--calibration: int8 cannot be made without a folder" in refused.stderr
    assert not (ladder / "made").exists()
    done = CliRunner().invoke(main, [*arguments, "--calibration", str(ladder / "calibration")])
    assert done.exit_code == 0, done.stderr
    paths = done.stdout.split()
    assert [quantization_level(load_graph(Path(path))) for path in paths] == ["int8", "dynamic"]
    again = CliRunner().invoke(main, ["quantize", paths[0], "--levels", "dynamic", "-o", str(ladder / "made2")])
    assert again.exit_code == 3
    assert "already int8" in again.stderr
    unknown = CliRunner().invoke(main, ["quantize", paths[0], "--levels", "int4", "-o", str(ladder / "made2")])
    assert (unknown.exit_code, "'int4' is unknown" in unknown.stderr) == (2, True)


def test_a_level_that_cannot_be_written_is_skipped_with_the_reason(project):
    spec, images = source(project)
    (project / "made" / "m_dynamic.tflite").mkdir(parents=True)  # as a full disk does, this refuses the file
    made = make_levels(
        [LevelRequest(spec, level, str(project / "made"), images) for level in ("dynamic", "float16")],
        say=silent,
    )
    assert "m_dynamic.tflite: cannot be written" in made[0].reason
    assert made[1].reason is None
    assert make_levels([made[0].request], say=silent)[0].reason is not None  # its note alone is not trusted


def test_a_killed_quantization_leaves_nothing_that_is_trusted(project):
    import os
    import signal
    import subprocess
    import sys
    import time

    command = [
        sys.executable,
        "-m",
        "auditor",
        "quantize",
        "detector.tflite",
        "--levels",
        "float16,dynamic,int8",
        "-o",
        "made",
    ]
    started = subprocess.Popen(
        [*command, "--calibration", "images"], cwd=project, start_new_session=True, stderr=subprocess.DEVNULL
    )
    while started.poll() is None and not (project / "made" / "detector_float16.tflite").exists():
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    noted = {path.stem for path in (project / "made").glob("*.json")}
    assert "detector_int8" not in noted
    done = subprocess.run(
        [*command, "--calibration", "images"], cwd=project, check=True, capture_output=True, text=True
    )
    assert "making float16" not in done.stderr
    assert len(done.stdout.split()) == 3
    assert all(
        quantization_level(load_graph(project / path)) in ("float16", "dynamic", "int8") for path in done.stdout.split()
    )


def test_a_level_named_like_another_model_is_refused(ladder):
    text = (ladder / "audit.yaml").read_text()
    (ladder / "audit.yaml").write_text(
        text.replace("scenarios:", "  - {name: detector_int8, path: detector.tflite, labels: labels.txt}\nscenarios:")
    )
    with pytest.raises(InputError, match="is named 'detector_int8', as another model is"):
        run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")


def test_a_level_that_the_graph_contradicts_is_refused(ladder):
    text = (ladder / "audit.yaml").read_text()
    (ladder / "audit.yaml").write_text(
        text.replace("path: detector.tflite", "path: detector.tflite\n    quantization: int8")
    )
    with pytest.raises(InputError, match="says int8, but the graph's weighted ops are float32"):
        run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")


def test_damaged_calibration_images_are_told(ladder):
    (ladder / "calibration" / "0.png").write_text("damaged")
    result = run_audit(ladder / "audit.yaml", output=ladder / "out", executor="serial")
    (finding,) = [finding for finding in result.findings if finding.code == "quantization.unreadable_calibration"]
    assert (finding.observed, finding.facts["images"]) == (1, 5)
    assert result.model("detector_int8").made.images == 5


def test_files_of_others_are_not_overwritten(ladder):
    from click.testing import CliRunner

    from auditor.cli import main

    (ladder / "mine").mkdir()
    (ladder / "mine" / "detector_dynamic.tflite").write_text("precious")
    done = CliRunner().invoke(
        main, ["quantize", str(ladder / "detector.tflite"), "--levels", "dynamic", "-o", str(ladder / "mine")]
    )
    assert (done.exit_code, "was not made here" in done.stderr) == (2, True)
    assert (ladder / "mine" / "detector_dynamic.tflite").read_text() == "precious"
