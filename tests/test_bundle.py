"""Measuring elsewhere: a bundle that runs with numpy and an interpreter alone gives, on the same kernels, the same
boxes."""

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
from auditor.run import SilentProgress, load_run, run_audit, write_bundle

BARE = os.environ.get("AUDITOR_BARE_PYTHON", sys.executable)
"""CI names the Python of an environment that holds numpy and ai-edge-litert alone."""


class Said(SilentProgress):
    """Keeps what is said."""

    def __init__(self, said):
        self.said = said

    def say(self, text):
        self.said.append(text)


def bundled(project, **options) -> list[Path]:
    done = CliRunner().invoke(
        main,
        [
            "bundle",
            str(project / "audit.yaml"),
            "--output",
            str(project / "b.pyz"),
            *(f"--{k}={v}" for k, v in options.items()),
        ],
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
    arguments = [
        "run",
        str(project / "audit.yaml"),
        "-o",
        str(project / "out"),
        "--measurements",
        str(project / "m.npz"),
        "-q",
        "-j",
        "1",
    ]
    judged = CliRunner().invoke(main, arguments)
    assert judged.exit_code == 0, judged.stderr
    result, _ = load_run(project / "out")
    cells = {(cell.device, cell.scenario, cell.severity): cell for cell in result.cells}
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
    assert (speed.device, speed.value.p99 > 0) == ("board", True)
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
            started = subprocess.Popen(
                [BARE, bundle, "-o", output, "--device", "board"], stderr=subprocess.DEVNULL, cwd=project
            )
            while started.poll() is None and not list(project.glob("*.parts/*.json")):
                pass
            started.kill()
            started.wait()
        done = ran(bundle, output)
        assert done.returncode == 0, done.stderr
        files.append(output)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=files)
    board = [cell for cell in result.cells if cell.device == "board"]
    assert {cell.images for cell in board} == {10}
    with pytest.raises(InputError, match="not the measurements of a bundle"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[project / "audit.yaml"])
    with pytest.raises(InputError, match=r"of board the parts 2, 3.* are missing"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=files[:1])
    with pytest.raises(InputError, match="part 1 of board is given twice"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[*files, files[0]])


def test_measurements_of_another_audit_are_refused(project):
    (bundle,) = bundled(project)
    with zipfile.ZipFile(bundle) as archive:
        plan = json.loads(archive.read("plan.json"))
    facts = {"part": 0, "parts": 1, "machine": "m", "runtime": "r", "python": "3"}
    meta = {"fingerprint": plan["fingerprint"], "device": "board", "speeds": {}, **facts}
    np.savez(project / "m.npz", meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8))
    text = (project / "audit.yaml").read_text().replace("seed: 3", "seed: 4")
    (project / "audit.yaml").write_text(text)
    with pytest.raises(InputError, match="measured for another audit"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[project / "m.npz"])


def test_a_bad_audit_writes_no_bundle(project):
    (project / "audit.yaml").write_text("name: x\n")
    with pytest.raises(InputError):
        write_bundle(project / "audit.yaml", project / "b.pyz", limit_mb=100, progress=SilentProgress())
    assert not (project / "b.pyz").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        None,
        {"meta": np.zeros(3)},
        {"meta": np.frombuffer(b"[1]", dtype=np.uint8)},
        {"meta": np.frombuffer(b"{}", dtype=np.uint8)},
    ],
)
def test_what_is_no_measurement_is_one_clear_error(project, content):
    path = project / "m.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is None:
        np.save(project / "m.npy", np.zeros(3))
        path = project / "m.npy"
    else:
        np.savez(path, **content)
    with pytest.raises(InputError, match="not the measurements of a bundle"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[path])


def test_a_bundle_says_what_it_leaves_out_and_overwrites_nothing_else(project):
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(text + "delegates: [none, gpu]\n")
    said = []
    write_bundle(project / "audit.yaml", project / "b.pyz", limit_mb=100, progress=Said(said))
    assert any("left out, since a bundle runs none and xnnpack alone: gpu" in line for line in said)
    for name in ("audit.yaml", "labels.txt"):
        with pytest.raises(InputError, match=r"expected the name of a \.pyz file"):
            write_bundle(project / "audit.yaml", project / name, limit_mb=100, progress=Said(said))
    (project / "audit.yaml").write_text(text + "delegates: [gpu]\n")
    with pytest.raises(InputError, match="must be audited on the device itself"):
        write_bundle(project / "audit.yaml", project / "b.pyz", limit_mb=100, progress=Said(said))


@pytest.mark.parametrize("device", ["local", " "])
def test_a_device_needs_a_name_of_its_own(project, device):
    (bundle,) = bundled(project)
    done = subprocess.run(
        [BARE, bundle, "-o", project / "m.npz", "--device", device], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "give this device a name of its own" in done.stderr
    assert not (project / "m.npz").exists()


def test_delegates_keep_their_order_and_memory_is_told_for_each(project):
    text = (project / "audit.yaml").read_text().replace("[lighting/low_light, noise/gaussian]", "[]")
    (project / "audit.yaml").write_text(text + "delegates: [xnnpack, none]\n")
    (bundle,) = bundled(project)
    assert ran(bundle, project / "m.npz").returncode == 0
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[project / "m.npz"])
    cells = {(cell.device, cell.delegate): cell for cell in result.cells}
    for delegate in ("xnnpack", "none"):
        assert cells[("board", delegate)].metrics == cells[("local", delegate)].metrics
    peaks = [
        found.value for found in result.measurements if found.probe == "peak_memory_mb" and found.device == "board"
    ]
    assert len(peaks) == 2
    assert all(peak > 0 for peak in peaks)


def test_an_image_that_cannot_be_read_is_counted_and_shifts_nothing(project):
    (project / "images" / "003.png").write_text("damaged")
    (bundle,) = bundled(project)
    assert ran(bundle, project / "m.npz").returncode == 0
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial", elsewhere=[project / "m.npz"])
    cells = {(cell.device, cell.scenario, cell.severity): cell for cell in result.cells}
    for (device, scenario, severity), cell in cells.items():
        if device == "board":
            local = cells[("local", scenario, severity)]
            assert (cell.status, cell.images, cell.counts["failed_images"]) == ("ok", 9, 1)
            assert cell.metrics["AP"] == local.metrics["AP"]
