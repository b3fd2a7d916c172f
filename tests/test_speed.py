"""Speed and memory: percentiles of what is measured, sustained load, limits that a model does not fit, and gates on
them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from conftest import DEMO_MODEL

from auditor.delegate import XNNPACK
from auditor.executors import run_isolated
from auditor.measure.latency import warm_up
from auditor.measure.speed import LimitRequest, SpeedRequest, fits_in_memory, measure_speed, sustain, trend
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.run import run_audit

IMAGES = tuple(np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8))


def spec():
    return resolve_model(
        ModelRequest("m", "m", str(DEMO_MODEL), "d", ".", decoder="yolov8", need_labels=False, images=IMAGES)
    )


def test_what_is_measured(tmp_path):
    request = SpeedRequest(spec(), XNNPACK, 1, IMAGES, sustained_s=1.2, streams=2)
    (outcome,) = run_isolated(measure_speed, [request], timeout_s=60)
    assert outcome.error is None, outcome.error
    latency = outcome.result.latency_ms
    assert 0 < latency.p50 <= latency.p90 <= latency.p99
    low, high = latency.p50_interval
    assert low <= latency.p50 <= high
    assert latency.invocations >= 100
    assert latency.throughput_fps <= 1000 / (latency.p50 * 0.5)
    assert 0.5 < outcome.result.peak_memory_mb < 200
    assert len(outcome.result.sustained.throughput_fps) == 12
    assert outcome.result.streams.streams == 2
    assert outcome.result.streams.throughput_fps > 0


def test_warm_up_ends_when_two_windows_agree():
    assert warm_up(lambda step: 1.0) == 20
    assert warm_up(lambda step: 100 / (1 + step // 10) if step < 50 else 10.0) == 70
    assert warm_up(lambda step: 2.0 ** (step // 10)) == 300


@pytest.mark.parametrize(("slower", "verdict"), [(0.0, "steady"), (0.06, "degrading")])
def test_a_throttle_is_told_from_noise(slower, verdict):
    """A process that is slowed on purpose, on a clock of its own."""
    rng = np.random.default_rng(3)
    now = [0.0]

    def invoke(step):
        now[0] += 0.01 * (1 + slower * now[0]) * rng.uniform(0.95, 1.05)

    found = sustain(invoke, 12.0, clock=lambda: now[0])
    assert found.verdict == verdict
    assert (found.drift < -0.05) == (verdict == "degrading")


def test_a_throttle_on_the_real_clock():
    begin = time.perf_counter()
    found = sustain(lambda step: time.sleep(0.002 + 0.004 * (time.perf_counter() - begin)), 1.5)
    assert found.verdict == "degrading"


def test_the_trend_is_mann_s():
    """Hand-worked: 1 2 3 4 5 has all ten pairs rising; variance 5*4*15/18, z = 9 / 4.082."""
    score, p = trend([1, 2, 3, 4, 5])
    assert score == 10
    assert p == pytest.approx(0.0275, abs=1e-3)


@pytest.mark.parametrize(("limit", "fits"), [(0.1, False), (500.0, True)])
def test_a_memory_limit(limit, fits):
    (outcome,) = run_isolated(fits_in_memory, [LimitRequest(spec(), XNNPACK, limit)], timeout_s=60)
    if outcome.error is None:
        assert outcome.result.fits is fits
    else:
        assert outcome.died
        assert not fits


def test_an_audit_measures_and_gates(project):
    text = (project / "audit.yaml").read_text().replace("[lighting/low_light, noise/gaussian]", "[]")
    text = text.replace("measure: {threads: []}", "measure: {threads: [1], memory_limit: 100KB}")
    gates = """\
  - {metric: latency_p99_ms, max: 10000}
  - {metric: throughput_fps, min: 1}
  - {metric: peak_memory_mb, max: 500}
  - {metric: file_mb, max: 0.1}
"""
    (project / "audit.yaml").write_text(text + gates)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    probes = {found.probe: found for found in result.measurements}
    assert probes["file_mb"].value == pytest.approx(DEMO_MODEL.stat().st_size / 1e6)
    assert probes["latency_ms"].value.p99 > 0
    assert probes["memory_limit"].value.fits is False
    (memory,) = [finding for finding in result.findings if finding.code == "memory.limit"]
    assert (memory.facts["fits"], memory.facts["limit_mb"]) == (False, 0.1)
    assert result.verdict == "failed"
    (violated,) = [finding for finding in result.findings if finding.code == "gate.violated"]
    assert violated.facts["metric"] == "file_mb"
    assert (violated.observed, violated.limit) == (pytest.approx(0.804, abs=1e-3), 0.1)
    page = " ".join((project / "out" / "report.html").read_text().split())
    assert "Speed and memory" in page
    assert "holds for this machine only" in page
