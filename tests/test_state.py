"""What a model keeps from one image to the next is set back before each, wherever it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import made_graphs
import numpy as np
import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.delegate import NONE, XNNPACK
from auditor.errors import InputError
from auditor.run import SilentProgress, run_audit, write_bundle
from auditor.runtimes.anatomy.runtime import facts_of
from auditor.runtimes.litert.interpreter import open_inspected, open_model

KINDS = {
    "svdf": ("variable tensors",),
    "sequence_rnn": ("variable tensors",),
    "resource": ("resource variables",),
    "random_numbers": ("random numbers",),
}
TENSOR = np.random.default_rng(1).random((1, 2, 2, 3), dtype=np.float32)


@pytest.fixture(params=sorted(KINDS))
def model(request, tmp_path) -> tuple[Path, tuple[str, ...]]:
    return getattr(made_graphs, request.param)(tmp_path / "m.tflite"), KINDS[request.param]


def answers(opened, name: str) -> list[bytes]:
    return [opened.invoke(TENSOR)[name].tobytes() for _ in range(3)]


@pytest.mark.parametrize("delegate", [NONE, XNNPACK])
def test_every_invocation_begins_anew(model, delegate):
    path, state = model
    facts = facts_of(path)
    assert facts.state == state
    (name,) = facts.output_names
    given = {"delegate": delegate, "threads": 1, "input_shape": None, "output_names": facts.output_names}
    assert len(set(answers(open_model(path, state=state, **given), name))) == 1
    assert len(set(answers(open_model(path, state=(), **given), name))) == 3


def test_its_tensors_are_those_of_a_first_invocation(model):
    path, state = model
    invoke = open_inspected(path, input_shape=None, state=state)
    (name,) = facts_of(path).output_names
    assert invoke(TENSOR)[name].tobytes() == invoke(TENSOR)[name].tobytes()


def test_what_is_assigned_once_is_no_state(tmp_path):
    assert facts_of(made_graphs.constant_resource(tmp_path / "m.tflite")).state == ()


def audit(folder: Path, model: str, *, more: str = "", images: int = 20) -> Path:
    """A classifier of four (or twelve) classes on images whose class is any: only that they agree counts."""
    rng = np.random.default_rng(0)
    path = getattr(made_graphs, model)(folder / "m.tflite")
    classes = 4 if model in ("svdf", "sequence_rnn") else 12
    (folder / "labels.txt").write_text("\n".join(f"c{index:02d}" for index in range(classes)))
    for index in range(images):
        place = folder / "images" / f"c{index % classes:02d}"
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index}.png"), rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    document = folder / "audit.yaml"
    document.write_text(
        f"""\
name: state
dataset: {{format: folders, images: images}}
models:
  - {{name: m, path: {path.name}, labels: labels.txt, decoder: {{name: classifier, activation: softmax}},
      input: {{color: rgb, mean: 0, std: 255, resize: stretch}}{more}}}
scenarios: [noise/gaussian]
severities: [3]
checks: {{input_contract: false}}
measure: {{threads: []}}
"""
    )
    return document


EVERY = [
    pytest.param(model, marks=[pytest.mark.long] if model in ("svdf", "sequence_rnn") else [])
    for model in sorted(KINDS)
]


@pytest.mark.slow
@pytest.mark.parametrize("model", EVERY)
def test_an_audit_is_the_same_in_any_order_and_says_so(model, tmp_path):
    document = audit(tmp_path, model)
    found = [run_audit(document, output=tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2)]
    assert [cell.metrics for cell in found[0].cells] == [cell.metrics for cell in found[1].cells]
    (told,) = [finding for finding in found[0].findings if finding.code == "compatibility.state"]
    assert KINDS[model][0] in told.message
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "m.tflite")])
    assert KINDS[model][0] in shown.stdout
    assert KINDS[model][0] in (tmp_path / "1" / "report.html").read_text()


@pytest.mark.slow
def test_a_bundle_resets_too(tmp_path):
    document = audit(tmp_path, "resource")
    here = run_audit(document, output=tmp_path / "out", jobs=1)
    (bundle,) = write_bundle(document, tmp_path / "b.pyz", limit_mb=50, progress=SilentProgress())
    done = subprocess.run([sys.executable, bundle, "-o", tmp_path / "m.npz", "--device", "board"], capture_output=True)
    assert done.returncode == 0, done.stderr
    both = run_audit(document, output=tmp_path / "both", jobs=1, elsewhere=[tmp_path / "m.npz"])
    there = [cell.metrics["top1"].value for cell in both.cells if cell.device == "board"]
    assert there
    assert there == [cell.metrics["top1"].value for cell in here.cells]


@pytest.mark.slow
def test_a_video_may_keep_its_state(tmp_path):
    document = audit(tmp_path, "svdf", more=", state: keep")
    found = [run_audit(document, output=tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2)]
    assert [cell.metrics for cell in found[0].cells] == [cell.metrics for cell in found[1].cells]
    reset = audit(tmp_path, "svdf")
    assert run_audit(reset, output=tmp_path / "reset", jobs=1).cells[0].metrics != found[0].cells[0].metrics
    assert [finding.code for finding in found[0].findings if "state" in finding.code] == ["compatibility.state_kept"]
    units = json.loads((tmp_path / "1" / "result.json").read_text())["models"][0]
    assert units["keeps_state"] is True
    with pytest.raises(InputError, match="keeps its state"):
        write_bundle(
            audit(tmp_path, "svdf", more=", state: keep"), tmp_path / "b.pyz", limit_mb=50, progress=SilentProgress()
        )


def test_only_a_file_with_state_can_keep_it(tmp_path):
    document = audit(tmp_path, "constant_resource", more=", state: keep")
    with pytest.raises(InputError, match="keeps nothing from image to image"):
        run_audit(document, output=tmp_path / "out")
