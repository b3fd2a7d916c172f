"""The op where a delegate or a level departs, measured against values that are worked by hand."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from conftest import DEMO_MODEL, write_project
from made_results import made_result, only, worded

from auditor.delegate import NONE, XNNPACK
from auditor.judge.delegates import check_delegates
from auditor.judge.quantization import check_quantization
from auditor.measure.drift import DriftRequest, _added, _row, measure_drift
from auditor.run import run_audit
from auditor.runtimes.anatomy.runtime import facts_of, runtime_of
from auditor.runtimes.litert.exposed import exposed_content
from auditor.values import Drift, InputContract, ModelSpec, OpDrift, Postprocess


def spec_of(path, **contract):
    facts = facts_of(path)
    first = facts.inputs[0]
    given = {"height": first.shape[1], "width": first.shape[2], "dtype": first.dtype, "std": (255.0,), **contract}
    return ModelSpec(
        path.stem, "m", str(path), "", task="detection", quantization=facts.level, input=InputContract(**given),
        decoder="yolov8", decoder_options={}, labels=(), postprocess=Postprocess(), size_bytes=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(2))


def test_measures_are_those_of_their_definitions():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=50), rng.normal(size=50)
    row = _row(3, "ADD", "t", _added(_added(np.zeros(5), x[:20], y[:20]), x[20:], y[20:]))
    assert row.sqnr_db == pytest.approx(10 * np.log10((x @ x) / ((x - y) @ (x - y))))
    assert row.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    assert row.largest == pytest.approx(np.abs(x - y).max())
    broken = y.copy()
    broken[[3, 4]] = np.nan, np.inf
    assert _row(1, "ADD", "t", _added(np.zeros(5), x, broken)).nan == 2
    same = _row(1, "ADD", "t", _added(np.zeros(5), x, x))
    assert (same.sqnr_db, same.cosine) == (None, pytest.approx(1.0))


def test_every_op_of_a_delegate_is_read_and_float_kernels_agree(images):
    spec = spec_of(DEMO_MODEL)
    found = measure_drift(DriftRequest(spec, XNNPACK, spec, "itself", images))
    assert found.kind == "delegate"
    assert found.compared == found.ops == len(runtime_of(DEMO_MODEL).inspect(spec).ops)
    assert found.first is None
    assert min(row.sqnr_db for row in found.worst if row.sqnr_db is not None) > 90


def test_the_exposed_copy_gives_what_the_file_gives(images):
    """Its outputs on the delegate are the tensors that the runtime's own kernels leave behind."""
    path = DEMO_MODEL.parent / "detector_int8.tflite"
    spec = spec_of(path)
    runtime = runtime_of(path)
    assert len(exposed_content(path)) > path.stat().st_size // 2
    found = measure_drift(DriftRequest(spec, XNNPACK, spec, "itself", images))
    assert found.compared == found.ops
    assert found.first is None  # rounding by a code is no departure
    assert runtime.expose(spec, NONE).ops == runtime.inspect(spec).ops


def test_a_level_that_departs_is_told_at_its_first_op(images, tmp_path):
    """A copy of the file that is fed four times as dark departs at its first op."""
    spec = spec_of(DEMO_MODEL)
    other = dataclasses.replace(spec, name="other", path=str(shutil.copy(DEMO_MODEL, tmp_path)))
    dark = dataclasses.replace(other, input=dataclasses.replace(other.input, std=(1020.0,)))
    found = measure_drift(DriftRequest(dark, NONE, spec, "detector", images))
    assert found.kind == "level"
    assert found.first is not None
    assert found.first.number == min(row.number for row in (found.first, *found.worst))
    assert found.first.sqnr_db < 10


def test_findings_name_the_op_or_why_there_is_none():
    first = OpDrift(20, "CONV_2D", "a/b", 0.9, 9.3, 0.99, 0)
    told = Drift("m8", "xnnpack", "m", "level", 4, 10.0, compared=60, ops=67, first=first, worst=(first,))
    result = made_result([], summaries=(), drifts=(told, dataclasses.replace(told, kind="delegate", first=None)))
    (level,) = worded([only(check_quantization, result, "quantization.departs")])
    assert "the first op that departs is number 20 of 67, CONV_2D a/b (9.3 dB, cosine 0.9900" in level.message
    (delegate,) = worded([only(check_delegates, result, "delegate.departs")])
    assert "no op departs by itself; the farthest is number 20" in delegate.message
    lost = Drift("m8", "gpu", "m", "delegate", 0, 0.0, reason="gpu: its tensors cannot be read")
    (unknown,) = worded([only(check_delegates, made_result([], summaries=(), drifts=(lost,)), "delegate.departs")])
    assert "is not known: gpu: its tensors cannot be read" in unknown.message


@pytest.mark.slow
def test_a_level_that_loses_on_two_delegates_is_compared_once(tmp_path):
    """Its tensors are read on the own kernels, so they are the same whichever delegate it loses on."""
    folder = write_project(tmp_path)
    shutil.copy(DEMO_MODEL.parent / "detector_int8.tflite", folder / "int8.tflite")
    (folder / "audit.yaml").write_text(
        "name: drift\ndataset: {format: coco, images: images, annotations: instances.json}\nmodels:\n"
        "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
        "  - {name: small, path: int8.tflite, variant_of: detector}\n"
        "scenarios: []\ndelegates: [xnnpack, none]\nchecks: {quantization: {max_loss: 0.0001}}\n"
        "measure: {threads: []}\n"
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out", executor="serial")
    assert [(drift.file, drift.delegate) for drift in result.drifts if drift.kind == "level"] == [("small", "none")]
    (told,) = [finding for finding in result.findings if finding.code == "quantization.departs"]
    assert told.cell == {"file": "small"}
