"""What a newcomer does first: init, doctor, completion, the version; and what quantize and inspect warn of."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_scenes
from made_results import cell_of, made_cell, made_result, minus, model
from tiny_models import write_model

from auditor import doctor
from auditor.cli import main
from auditor.config import load_audit
from auditor.run import load_run, run_audit
from auditor.starter.proposal import proposed_gates
from auditor.values import MetricValue


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# ----------------------------------------------------------------------------------------------------------------- init


def begun(folder, *more):
    done = invoke(
        "init", folder / "detector.tflite", "--dataset", folder, "--labels", folder / "labels.txt",
        "-o", folder / "first.yaml", *more,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return done


def test_init_proposes_gates_of_what_it_measured_that_run_and_hold(project):
    write_scenes(project, 44)
    done = begun(project)
    config = load_audit(project / "first.yaml")
    clean, worst, lost = config.gates
    assert (clean.scenario, clean.quantization, clean.min > 0.4) == ("clean", "float32", True)
    assert (worst.scenario.split("/")[0], worst.severity, 0 < worst.min < clean.min) == ("noise", 3, True)
    assert (lost.quantization, lost.against, 0 < lost.max_drop <= 0.1) == ("int8", "float32", True)
    text = (project / "first.yaml").read_text()
    assert "Set what the deployment needs instead" in text
    assert text.count("(95 % ") >= 3  # each with its margin by the interval
    told = done.stderr.splitlines()
    assert any(line.startswith("found out: 20 clean images: AP 0.") and "(95 % " in line for line in told)
    assert any(line.startswith("found out: noise/") and "the worst scenario" in line for line in told)
    assert any(line.startswith("next: auditor run ") for line in told)
    # what is calibrated on is not evaluated
    listed = json.loads((project / "first-calibration.json").read_text())["images"]
    assert len(listed) == 11
    assert config.dataset.limit == 33
    # what it proposes runs, and holds
    quick = ("scenarios=[noise]", "severities=[3]", "checks={input_contract: false}")
    more = [word for value in quick for word in ("--set", value)]
    done = invoke("run", project / "first.yaml", "-o", project / "out", *more)
    assert done.exit_code in (0, 1), done.stderr
    result, _ = load_run(project / "out")
    assert len(json.loads((project / "out" / "result.json").read_text())["gates"]) == 3
    assert {cell.quantization for cell in result.cells} >= {"float32", "int8"}


def test_init_says_what_it_could_not_find_out(project):
    done = begun(project)
    assert "not found out: what int8 would cost: too few images to calibrate on; name others by --calibration" in (
        done.stderr
    )
    assert "quantize" not in (project / "first.yaml").read_text()
    other = project / "others"
    other.mkdir()
    write_scenes(other, 4)
    for path in (other / "images").iterdir():  # other pictures than those that are evaluated
        path.write_bytes(_mirrored(path))
    (project / "first.yaml").unlink()
    begun(project, "--calibration", other / "images")
    config = load_audit(project / "first.yaml")
    assert config.models[0].quantize.levels == ("int8",)
    assert config.dataset.limit is None
    assert len(config.gates) == 3


def _mirrored(path):
    import cv2

    return cv2.imencode(".png", cv2.flip(cv2.imread(str(path)), 1))[1].tobytes()


@pytest.mark.long
def test_a_large_set_is_not_audited_whole_at_once(project, monkeypatch):
    monkeypatch.setattr("auditor.starter.draft._FIRST_RUN_S", 0.01)
    monkeypatch.setattr("auditor.starter.draft._LEAST_IMAGES", 12)
    write_scenes(project, 44)
    begun(project)
    text = (project / "first.yaml").read_text()
    assert "  limit: 12   # the first 12 by id, so that the first audit is soon done; all 33 would take about" in text


@pytest.mark.long
def test_what_breaks_in_its_head_is_not_proposed_but_what_works(project, monkeypatch):
    monkeypatch.setattr("auditor.starter.draft.breaks_in_head", lambda facts: bool(facts.outputs))
    write_scenes(project, 44)
    done = begun(project)
    config = load_audit(project / "first.yaml")
    assert config.models[0].quantize.levels == ("int8_float_head",)
    assert [gate.quantization for gate in config.gates] == ["float32", "float32", "int8_float_head"]
    assert "not found out: a use for int8 as it is made: one scale serves boxes and scores (AP 0." in done.stderr


@pytest.mark.real
@pytest.mark.long
def test_a_model_of_one_class_is_told_by_what_it_finds(real, tmp_path):
    person = real / "models" / "yolov8n_256_person_int8.tflite"
    done = invoke("init", person, "--dataset", real / "data" / "coco-val79", "-o", tmp_path / "first.yaml")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "first-labels.txt").read_text() == "person\n"
    assert load_audit(tmp_path / "first.yaml").models[0].labels == "first-labels.txt"


def test_init_tells_all_that_is_wrong_at_once(project):
    done = invoke(
        "init", project / "no.tflite", "--dataset", project / "labels.txt", "--labels", "coco81", "--calibration",
        project / "labels.txt", "-o", project / "first.yaml",
    )  # fmt: skip
    assert (done.exit_code, done.stderr.count("error: ")) == (2, 4), done.stderr
    (project / "first-calibration.json").write_text("mine")
    kept = invoke("init", project / "detector.tflite", "--dataset", project, "-o", project / "first.yaml")
    assert (kept.exit_code, "first-calibration.json: this file is there already" in kept.stderr) == (2, True)
    made = invoke(
        "quantize", project / "no.tflite", "--levels", "int9", "--calibration", project / "nocal", "-o", project
    )
    assert (made.exit_code, made.stderr.count("error: ")) == (2, 3), made.stderr


def test_a_model_of_which_nothing_is_known_is_missing_its_labels(project):
    document = json.loads((project / "instances.json").read_text())
    document["categories"].append({"id": 99, "name": "another"})
    (project / "instances.json").write_text(json.dumps(document))
    done = invoke("init", project / "detector.tflite", "--dataset", project, "-o", project / "first.yaml")
    assert done.exit_code == 0
    assert "missing: " in done.stderr
    assert "next: fill in what is missing in " in done.stderr
    for name in ("coco80", "coco90", "coco91", "dataset"):
        assert f"trying labels {name}" in done.stderr


def test_the_proposals_by_hand():
    def between(value, low, high):
        return {"AP": MetricValue("AP", value, interval=(low, high))}

    clean = cell_of(0.5, between(0.5, 0.437, 0.55))
    dark = made_cell("lighting/low_light", 3, 0.2, metrics=between(0.2, 0.0, 0.3))
    int8 = cell_of(
        0.47, {**between(0.47, 0.4, 0.5), **minus("float32", -0.03, -0.041, -0.01)}, file="q", quantization="int8"
    )
    found = proposed_gates(made_result([clean, dark, int8], models=(model(), model(name="q", quantization="int8"))))
    assert [gate.keys for gate in found] == [
        {"metric": "AP", "quantization": "float32", "scenario": "clean", "min": 0.43},
        {"metric": "AP", "quantization": "float32", "scenario": "lighting/low_light", "severity": 3, "min": 0.01},
        {"metric": "AP", "quantization": "int8", "scenario": "clean", "max_drop": 0.05, "against": "float32"},
    ]  # fmt: skip
    mended = cell_of(0.1, minus("float32", -0.4, -0.451, -0.35), file="q", quantization="int8_float_head")
    found = proposed_gates(
        made_result([clean, mended], models=(model(), model(name="q", quantization="int8_float_head")))
    )
    assert (found[1].keys["quantization"], found[1].keys["max_drop"]) == ("int8_float_head", 0.46)
    (alone,) = proposed_gates(made_result([cell_of(0.5)]))
    assert alone.keys == {"metric": "AP", "scenario": "clean", "min": 0.45}


# ----------------------------------------------------------------------------------- what a quantized file itself shows


def merged(path):
    """A file whose one output holds pixel boxes and scores under one scale, as a merged int8 export has them."""
    rows = np.zeros((1, 6, 84), np.float32)
    rows[0, :4] = np.array([[8], [16], [8], [16]])
    rows[0, 5] = 0.9
    codes = np.clip(np.rint(rows / 2.0) - 128, -128, 127).astype(np.int8)
    return write_model(
        path,
        {"out": codes},
        input_shape=(1, 64, 64, 3),
        input_dtype="int8",
        input_quantization=(1 / 255, -128),
        output_quantization={"out": (2.0, -128)},
        files={"labels.txt": "a\nb\n"},
    )


def test_inspect_warns_of_one_scale_with_the_command_that_mends_it(tmp_path):
    done = invoke("inspect", merged(tmp_path / "merged.tflite"))
    assert done.exit_code == 0
    assert "one scale of 2 serves boxes" in done.stderr
    assert "auditor quantize FLOAT32.tflite --levels int8_float_head --calibration FOLDER" in done.stderr
    told = json.loads(invoke("inspect", tmp_path / "merged.tflite", "--json").stdout)
    assert [finding["code"] for finding in told["findings"]] == ["quantization.one_scale"]


def test_a_sound_file_is_inspected_and_made_without_a_warning(project):
    made = invoke(
        "quantize", project / "detector.tflite", "--levels", "int8,int8_float_head", "--calibration",
        project / "images", "-o", project / "made",
    )  # fmt: skip
    assert made.exit_code == 0
    assert "warning:" not in made.stderr
    assert len(made.stdout.split()) == 2
    shown = invoke("inspect", made.stdout.split()[0])
    assert (shown.exit_code, shown.stderr) == (0, "")


@pytest.mark.real
def test_quantize_warns_of_what_the_audit_would_find(real, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((real / "data" / "coco-calib80" / "images").iterdir())[:6]:
        shutil.copy(path, images)
    model_file = real / "models" / "yolox_nano_float32.tflite"
    done = invoke(
        "quantize",
        model_file,
        "--levels",
        "int8",
        "--calibration",
        images,
        "-o",
        tmp_path / "made",
        "--labels",
        "coco80",
    )
    assert "one scale of" in done.stderr
    command = done.stderr.partition("the head in float: auditor ")[2].splitlines()[0]
    better = invoke(*shlex.split(command), "--labels", "coco80")
    assert (better.exit_code, "one scale of" in better.stderr) == (0, False)
    assert invoke("inspect", done.stdout.strip()).stderr.startswith("warning: ")


def test_a_remedy_that_is_named_is_a_level_like_any_other(project):
    text = (project / "audit.yaml").read_text()
    other = project / "others"
    other.mkdir()
    write_scenes(other, 4)
    for path in (other / "images").iterdir():
        path.write_bytes(_mirrored(path))
    text = text.replace(
        "labels: labels.txt}",
        "labels: labels.txt, quantize: {levels: [int8_float_head], calibration: {images: others/images}}}",
    ).replace("[lighting/low_light, noise/gaussian]", "[]")
    (project / "audit.yaml").write_text(text)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert [found.role for found in result.models] == ["declared", "level"]
    assert result.gates[0].measured == 2


# -------------------------------------------------------------------------------------- doctor, completion, the version


def test_doctor_tells_what_there_is():
    done = invoke("doctor")
    assert done.exit_code == 0, done.stderr
    for said in (
        "numpy ",
        "cores",
        "GB free",
        "xnnpack: works, takes",
        "none: works",
        "gpu: ",
        "quantize: ",
        "tensorflow: ",
    ):
        assert said in done.stdout, said
    told = json.loads(invoke("doctor", "--json").stdout)
    assert set(told) == {"auditor", "machine", "packages", "delegates", "extras", "problems"}


def test_doctor_tells_of_wheels_that_break_each_other_and_of_wrong_versions(monkeypatch):
    import auditor.provenance as provenance

    real_versions = provenance.versions_of
    pretended = {"opencv-python": "4.14.0", "numpy": "1.26.4", "litert-quantizer": "absent"}

    def versions(packages):
        return {**real_versions(packages), **{name: pretended[name] for name in packages if name in pretended}}

    monkeypatch.setattr(provenance, "versions_of", versions)
    monkeypatch.setattr(doctor, "versions_of", versions)
    done = invoke("doctor")
    assert done.exit_code == 3
    assert "opencv-python-headless and opencv-python are installed into one `cv2` folder" in done.stderr
    assert "numpy is 1.26.4, but the auditor needs numpy<3,>=2" in done.stderr
    assert "quantize: not installed; it makes quantization levels" in done.stdout
    assert 'pip install "tflite-auditor[quantize]"' in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(shell):
    done = invoke("completion", shell)
    assert done.exit_code == 0
    assert "_AUDITOR_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("auditor sc", "scenarios"),
        ("auditor run --fr", "--fresh"),
        ("auditor scenarios show lighting/lo", "lighting/low_light"),
        ("auditor explain gate.v", "gate.violated"),
        ("auditor docs ga", "gates"),
    ],
)
def test_the_shell_completes(typed, expected):
    words = typed.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", "from auditor.cli import main; main(prog_name='auditor')"],
        env={
            **os.environ,
            "_AUDITOR_COMPLETE": "bash_complete",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"plain,{expected}" in done.stdout.splitlines()


def test_the_version():
    from auditor.provenance import auditor_version

    assert auditor_version() in invoke("--version").stdout


def test_what_is_left_out_of_output_is_told_as_it_is(project, monkeypatch):
    assert "reports/ and the name of AUDIT without .yaml" in " ".join(invoke("run", "--help").stdout.split())
    assert "[default: reports/demo]" in " ".join(invoke("demo", "--help").stdout.split())
    (project / "night.yaml").write_text((project / "audit.yaml").read_text())
    monkeypatch.chdir(project)
    assert invoke("run", "night.yaml", "-q", "--executor", "serial").exit_code == 0
    assert (project / "reports" / "night" / "report.html").exists()
