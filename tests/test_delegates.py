"""Delegates: what they take is verified, what cannot be had is skipped, and one that fails costs only its own cells."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import InputError, ModelError
from auditor.run import run_audit


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """The faulty delegate, built from its C source."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("delegate") / "libfaulty.so"
    source = Path(__file__).with_name("faulty_delegate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", path, source], check=True)
    return path


def audited(project, delegates, *, timeout="20s"):
    text = (project / "audit.yaml").read_text().replace("[lighting/low_light, noise/gaussian]", "[]")
    text = text.replace("scenario: clean, min", "scenario: clean, delegate: xnnpack, min")
    text = text.replace("measure: {threads: []}", f"measure: {{threads: [], timeout: {timeout}}}")
    (project / "audit.yaml").write_text(f"{text}delegates: {json.dumps(delegates)}\n")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    return result, {cell.delegate: cell for cell in result.cells}


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("create_fail", "skipped", "it was asked to fail"),
        ("create_abort", "failed", "SIGABRT"),
        ("create_exit", "failed", "exit code 127"),
        ("prepare_fail", "skipped", "does not take the model"),
        ("prepare_crash", "failed", "SIGSEGV"),
        ("invoke_fail", "failed", "RuntimeError"),
        ("invoke_abort", "failed", "SIGABRT"),
    ],
)
def test_a_delegate_that_fails_costs_only_its_own_cells(project, library, fault, status, expected):
    result, cells = audited(project, ["xnnpack", {"path": str(library), "options": {"fault": fault}}])
    assert cells["xnnpack"].status == "ok"
    assert (cells["libfaulty.so"].status, expected in cells["libfaulty.so"].error) == (status, True)
    assert "libfaulty.so" in cells["libfaulty.so"].error
    assert any("libfaulty.so" in finding.message for finding in result.findings)
    assert result.verdict == ("incomplete" if status == "failed" else "passed")


@pytest.mark.parametrize(
    "stage", ["invoke", *(pytest.param(part, marks=pytest.mark.long) for part in ("create", "prepare"))]
)
def test_a_delegate_that_hangs_is_stopped(project, library, stage):
    _, cells = audited(
        project, ["xnnpack", {"path": str(library), "options": {"fault": f"{stage}_hang"}}], timeout="3s"
    )
    assert cells["xnnpack"].status == "ok"
    assert cells["libfaulty.so"].status == "failed"
    assert "nothing came back within 3 s" in cells["libfaulty.so"].error


@pytest.mark.parametrize(("fault", "expected"), [("late_hang", "nothing came back within"), ("late_abort", "SIGABRT")])
@pytest.mark.parametrize("executor", ["processes", pytest.param("serial", marks=pytest.mark.long)])
def test_a_delegate_that_fails_once_it_was_trusted(project, library, fault, expected, executor):
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("[lighting/low_light, noise/gaussian]", "[]")
        .replace("[]}", "[], timeout: 4s}")
    )
    delegates = json.dumps(["xnnpack", {"path": str(library), "options": {"fault": fault}, "name": "late"}])
    text = text.replace("scenario: clean, min", "scenario: clean, delegate: xnnpack, min")
    (project / "audit.yaml").write_text(f"{text}delegates: {delegates}\n")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1, executor=executor)
    cells = {cell.delegate: cell for cell in result.cells}
    assert cells["xnnpack"].status == "ok"
    assert cells["late"].status == "failed"
    assert expected in cells["late"].error
    assert result.verdict == "incomplete"


def test_what_a_delegate_takes_is_counted(project, library):
    result, cells = audited(project, ["none", "xnnpack", {"path": str(library), "options": {"fault": "takes_nothing"}}])
    taken = {found.delegate: found.value for found in result.measurements if found.probe == "delegate_ops"}
    total = taken["none"].ops
    assert taken["none"].delegated == taken["libfaulty.so"].delegated == 0
    assert 0.8 * total < taken["xnnpack"].delegated <= total
    assert {cell.status for cell in cells.values()} == {"ok"}
    (finding,) = [finding for finding in result.findings if finding.code == "delegate.took_nothing"]
    assert finding.facts["delegate"] == "libfaulty.so"


def test_a_delegate_that_writes_no_output_is_caught_by_a_canary(project, library):
    result, cells = audited(project, ["xnnpack", {"path": str(library), "options": {"fault": "writes_nothing"}}])
    assert cells["xnnpack"].status == "ok"
    assert cells["libfaulty.so"].status == "failed"
    assert "came back without having written the output" in cells["libfaulty.so"].error
    assert result.verdict == "incomplete"


class Buffer:
    """An output buffer of a CompiledModel."""

    def write(self, values):
        self.values = np.array(values)

    def read(self, count, dtype):
        return self.values[:count].astype(dtype)


@pytest.mark.parametrize("writes", [True, False])
def test_a_compiled_model_that_writes_no_output_is_caught_too(writes):
    from auditor.runtimes.litert.interpreter import _CompiledModel

    class Model:
        def run_by_index(self, _, inputs, outputs):
            if writes:
                outputs[0].write(np.zeros(6, np.float32))

    opened = _CompiledModel.__new__(_CompiledModel)
    opened._model, opened._names, opened._called = Model(), ("out",), ["called"]
    opened._details = {"called": {"shape": [1, 6]}}
    opened._inputs, opened._outputs = [Buffer()], [Buffer()]
    if writes:
        assert opened.invoke(np.zeros(3, np.float32))["out"].shape == (1, 6)
    else:
        with pytest.raises(ModelError, match="without having written the output out"):
            opened.invoke(np.zeros(3, np.float32))


def test_a_delegate_that_computes_zeros_is_told_by_parity(project, library):
    result, cells = audited(project, ["xnnpack", {"path": str(library)}])
    assert cells["libfaulty.so"].status == "ok"
    assert cells["libfaulty.so"].metrics["AP"].value < 0.1
    assert cells["libfaulty.so"].metrics["parity_matched"].value < 0.1
    assert "parity_matched" not in cells["xnnpack"].metrics
    (finding,) = [finding for finding in result.findings if finding.code == "delegate.differs"]
    assert finding.level == "warning"
    page = " ".join((project / "out" / "report.html").read_text().split())
    assert 'src="data:image/jpeg;base64,' in page
    assert "0.0 % match" in page
    taken = {found.delegate: found.value for found in result.measurements if found.probe == "delegate_ops"}
    assert taken["libfaulty.so"].delegated == taken["libfaulty.so"].ops


def test_a_gate_on_parity_looks_at_the_other_delegates_alone(project):
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(text + "  - {metric: parity_matched, min: 0.99}\n")
    result, _ = audited(project, ["xnnpack", "none"])
    assert not [finding for finding in result.findings if finding.facts.get("metric") == "parity_matched"]
    assert result.verdict == "passed"


def test_two_hundred_loads_do_not_grow_memory(project):
    from auditor.executors import run_isolated

    (outcome,) = run_isolated(grown_bytes, [str(project / "detector.tflite")], timeout_s=120)
    assert outcome.error is None, outcome.error
    assert outcome.result < 8e6


def grown_bytes(path: str) -> int:
    """How much more memory is resident after 200 loads than after 20."""
    from auditor.delegate import XNNPACK
    from auditor.measure.speed import _resident_bytes
    from auditor.runtimes.litert.graph import load_graph
    from auditor.runtimes.litert.interpreter import open_model

    names = load_graph(Path(path)).output_names()
    after = []
    for count in (20, 200):
        for _ in range(count):
            open_model(Path(path), delegate=XNNPACK, threads=1, input_shape=None, output_names=names, state=())
        after.append(_resident_bytes("VmRSS"))
    return after[1] - after[0]


def test_a_gpu_that_is_not_there_is_skipped_with_the_reason(project):
    result, cells = audited(project, ["xnnpack", "gpu"])
    assert (cells["xnnpack"].status, cells["gpu"].status) == ("ok", "skipped")
    assert "the runtime has none here" in cells["gpu"].error
    assert "compiled_model" not in cells["gpu"].error  # a reason, not the place in the runtime's source
    assert result.verdict == "passed"
    text = (project / "audit.yaml").read_text().replace("delegate: xnnpack, min: 0.4", "delegate: gpu, min: 0.4")
    (project / "audit.yaml").write_text(text)
    assert run_audit(project / "audit.yaml", output=project / "out", jobs=1).verdict == "incomplete"


def test_a_library_that_is_not_there_is_bad_input(project):
    with pytest.raises(InputError, match=r"delegates\[1\]: .*absent.so: no such file"):
        audited(project, ["xnnpack", {"path": "absent.so"}])
