"""Measuring elsewhere: a bundle that runs with numpy and an interpreter alone gives, on the same kernels, the same boxes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.errors import InputError
from auditor.run import load_run, run_audit, write_bundle

BARE = os.environ.get("AUDITOR_BARE_PYTHON", sys.executable)
"""CI names the Python of an environment that holds numpy and ai-edge-litert alone."""


def bundled(project, **options) -> list[Path]:
    done = CliRunner().invoke(
        main, ["measure", str(project / "audit.yaml"), "--bundle", str(project / "b.pyz"), *(f"--{k}={v}" for k, v in options.items())]
    )
    assert done.exit_code == 0, done.stderr
    assert "MB of models and inputs" in done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def ran(bundle: Path, output: Path, **options):
    command = [BARE, bundle, "-o", output, "--device", "board"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, cwd=output.parent, env=environment, **options)


def test_the_round_trip_is_bit_identical(project):
    (bundle,) = bundled(project)
    done = ran(bundle, project / "m.npz")
    assert done.returncode == 0, done.stderr
    assert "of 50 inputs" in done.stderr
    assert not list(project.glob("*.parts"))
    arguments = ["run", str(project / "audit.yaml"), "-o", str(project / "out"), "--measurements", str(project / "m.npz"), "-q", "-j", "1"]
    judged = CliRunner().invoke(main, arguments)
    assert judged.exit_code == 0, judged.stderr
    result, _ = load_run(project / "out")
    cells = {(cell.cell.device, cell.cell.scenario, cell.cell.severity): cell for cell in result.cells}
    assert len(cells) == 2 * 5
    for (device, scenario, severity), cell in cells.items():
        if device == "board":
            local = cells[("local", scenario, severity)]
            assert cell.status == "ok"
            assert {name: value.value for name, value in cell.metrics.items()} == {
                name: value.value for name, value in local.metrics.items()
            }
    assert {summary.device for summary in result.summaries} == {"local", "board"}
    (speed,) = [found for found in result.measurements if found.probe == "latency_ms"]
    assert (speed.device, speed.value["p99"] > 0) == ("board", True)
    page = (project / "out" / "report.html").read_text()
    assert "detector · board" in page


def test_parts_and_an_interrupted_run_continue(project):
    bundles = bundled(project, limit=1)
    assert len(bundles) > 1
    files = []
    for number, bundle in enumerate(bundles):
        assert zipfile.is_zipfile(bundle)
        output = project / f"m{number}.npz"
        if number == 0:
            started = subprocess.Popen([BARE, bundle, "-o", output, "--device", "board"], stderr=subprocess.DEVNULL, cwd=project)
            while started.poll() is None and not list(project.glob("*.parts/*.json")):
                pass
            started.kill()
            started.wait()
        done = ran(bundle, output)
        assert done.returncode == 0, done.stderr
        files.append(output)
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1, elsewhere=files)
    board = [cell for cell in result.cells if cell.cell.device == "board"]
    assert {cell.images for cell in board} == {10}
    with pytest.raises(InputError, match="not the measurements of a bundle"):
        run_audit(project / "audit.yaml", output=project / "out", jobs=1, elsewhere=[project / "audit.yaml"])
    missing = run_audit(project / "audit.yaml", output=project / "out", jobs=1, elsewhere=files[:1])
    assert {cell.status for cell in missing.cells if cell.cell.device == "board"} == {"failed"}


def test_measurements_of_another_audit_are_refused(project):
    (bundle,) = bundled(project)
    with zipfile.ZipFile(bundle) as archive:
        plan = json.loads(archive.read("plan.json"))
    meta = {"fingerprint": plan["fingerprint"], "device": "board", "speeds": {}}
    np.savez(project / "m.npz", meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8))
    text = (project / "audit.yaml").read_text().replace("seed: 3", "seed: 4")
    (project / "audit.yaml").write_text(text)
    with pytest.raises(InputError, match="measured for another audit"):
        run_audit(project / "audit.yaml", output=project / "out", jobs=1, elsewhere=[project / "m.npz"])


def test_a_bad_audit_writes_no_bundle(project):
    (project / "audit.yaml").write_text("name: x\n")
    with pytest.raises(InputError):
        write_bundle(project / "audit.yaml", project / "b.pyz", limit_mb=100, say=lambda _: None)
    assert not (project / "b.pyz").exists()
