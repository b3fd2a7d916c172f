"""The command line: exit codes, streams, and that it is light."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.demo import example


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_exit_codes_and_streams(project):
    good = invoke("run", project / "audit.yaml", "-o", project / "out", "-j", 2)
    assert (good.exit_code, good.stdout) == (0, "")
    assert "PASSED" in good.stderr
    (project / "gates.yaml").write_text("- {metric: AP, min: 0.99}\n")
    assert invoke("judge", project / "out", "--gates", project / "gates.yaml").exit_code == 1
    (project / "gates.yaml").write_text("- {metric: AP, scenario: resolution, min: 0.1}\n")
    assert invoke("judge", project / "out", "--gates", project / "gates.yaml").exit_code == 2  # it was not run
    shown = invoke("report", project / "out")
    assert (shown.exit_code, shown.stdout.strip()) == (0, str(project / "out" / "report.html"))


def test_bad_input_is_exit_code_2_without_a_traceback(tmp_path):
    (tmp_path / "audit.yaml").write_text("name: x\nmodles: []\n")
    result = invoke("run", tmp_path / "audit.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "audit.yaml:2: modles: unknown key; did you mean 'models'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    assert invoke("judge", tmp_path).exit_code == 2
    assert invoke("scenarios", "show", "nothing").exit_code == 2


def test_scenarios_commands(project):
    listed = invoke("scenarios", "list").stdout
    assert "lighting/low_light" in listed
    assert "exposure, stops" in listed
    assert "-1, -2, -3, -4, -5" in invoke("scenarios", "show", "lighting/low_light").stdout
    assert "5 scenarios, all run" in invoke("scenarios", "check", "noise").stdout
    sheet = project / "sheet.html"
    assert (
        invoke("scenarios", "preview", "noise", "--image", project / "images" / "000.png", "-o", sheet).exit_code == 0
    )
    text = sheet.read_text()
    assert text.count("<figure>") == 5 * 6
    assert "PSNR" in text
    assert "SSIM" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


@pytest.mark.parametrize("document", ["audit", "pack", "result"])
def test_schema_is_json(document):
    assert json.loads(invoke("schema", document).stdout)["type"] == "object"


def test_help_and_a_run_import_neither_tensorflow_nor_more_than_they_need(project):
    code = (
        "import sys, auditor.cli; "
        "heavy = {'tensorflow', 'cv2', 'numpy', 'pyarrow', 'pydantic', 'albumentations', 'rich'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import sys; from pathlib import Path; from auditor import run_audit; "
        f"run_audit(Path({str(project / 'audit.yaml')!r}), output=Path({str(project / 'out')!r}), executor='serial'); "
        "assert not {name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras', 'tf_keras')}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_demo_runs_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(example, "IMAGES", 16)
    result = invoke("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "demo" / "result.json").read_text())
    assert document["verdict"] == "failed"
    by_scenario = {
        cell["scenario"]: cell["metrics"]["AP"]["value"]
        for cell in document["cells"]
        if cell["severity"] in (0, 3) and cell["input"] == "declared"
    }
    assert by_scenario["clean"] >= 0.60
    assert by_scenario["noise/shot"] < 0.5 * by_scenario["clean"] < by_scenario["lighting/uneven_light"]


@pytest.mark.parametrize(("how", "times"), [("SIGTERM", 1), ("SIGTERM", 2), ("SIGKILL", 1)])
def test_no_worker_outlives_a_run_that_is_stopped(project, how, times):
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("[lighting/low_light, noise/gaussian]", "[lighting, resolution, noise]")
    )
    (project / "audit.yaml").write_text(text)
    started = subprocess.Popen(
        [sys.executable, "-m", "auditor", "run", str(project / "audit.yaml"), "-o", str(project / "out")],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (project / "out" / "measurements").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(times):  # `timeout` signals a command, and its group
        started.send_signal(getattr(signal, how))
        time.sleep(0.05)
    stderr = started.communicate(timeout=60)[1]  # ends only when every process that holds the pipe is gone
    assert started.returncode != 0
    if how == "SIGTERM":
        assert (started.returncode, "the same command continues" in stderr) == (143, True)
        assert "Traceback" not in stderr


def test_a_reader_that_has_enough_is_no_bug():
    """`auditor explain CODE | head -1`"""
    started = subprocess.Popen(
        [sys.executable, "-m", "auditor", "explain", "gate.violated"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    started.stdout.close()
    with started.stderr as stream:
        assert stream.read() == b""
    assert started.wait(timeout=60) == 141


def test_a_bug_of_ours_does_not_look_like_a_failed_gate(monkeypatch, project):
    import auditor.run

    monkeypatch.setattr(auditor.run, "run_audit", lambda *_, **__: 1 / 0)
    result = invoke("run", project / "audit.yaml")
    assert result.exit_code == 3
    assert "this is a bug in the auditor" in result.stderr
