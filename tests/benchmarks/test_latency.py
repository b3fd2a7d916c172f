"""The latency that an audit measures beside a loop of an interpreter alone, in one run. `pytest tests/benchmarks
--benchmark-only -s`."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from conftest import DEMO_MODEL

from auditor.delegate import XNNPACK
from auditor.executors import run_isolated
from auditor.measure.speed import SpeedRequest, measure_speed
from auditor.resolve.model import ModelRequest, resolve_model

IMAGES = tuple(np.random.default_rng(0).integers(0, 256, (4, 160, 160, 3), dtype=np.uint8))


def alone(path) -> float:
    """The median milliseconds of an invocation, copying input and output included, by an interpreter and a clock."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    index, output = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    tensor = IMAGES[0][np.newaxis].astype(np.float32) / 255
    times = []
    for _ in range(400):
        begin = time.perf_counter()
        interpreter.set_tensor(index, tensor)
        interpreter.invoke()
        interpreter.get_tensor(output)
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times[100:]))


@pytest.mark.benchmark
def test_latency_is_that_of_an_independent_loop(benchmark):
    spec = resolve_model(
        ModelRequest("m", "m", str(DEMO_MODEL), "d", ".", decoder="yolov8", need_labels=False, images=IMAGES)
    )
    request = SpeedRequest(spec, XNNPACK, 1, IMAGES)

    def both():
        (outcome,) = run_isolated(measure_speed, [request], timeout_s=60)
        return outcome.result.latency_ms.p50 / alone(DEMO_MODEL)

    ratios = [both() for _ in range(4)]
    ratio = benchmark.pedantic(both, rounds=1)
    print(f"\naudited p50 / independent p50: {ratio:.3f} (before: {', '.join(f'{found:.3f}' for found in ratios)})")
