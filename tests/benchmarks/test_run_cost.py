"""What a run costs beyond what it must: `pytest tests/benchmarks --benchmark-only -s`. Ratios within one run; no
limits.

Uses YOLOX-Nano and COCO images where AUDITOR_REAL names them, else the demo's detector and scenes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DEMO_MODEL, write_scenes

from auditor.demo.scenes import CLASSES

SCENARIOS = "scenarios: [lighting/low_light, resolution/defocus, noise/gaussian]\nseverities: [1, 3]\n"


def write_audit(folder: Path, *, limit: int, scenarios: str, repeat: int = 1) -> Path:
    real = os.environ.get("AUDITOR_REAL")
    folder.mkdir(parents=True, exist_ok=True)
    if real:
        data, model, labels = (
            Path(real).absolute() / "data" / "coco-val79",
            Path(real).absolute() / "models" / "yolox_nano_float32.tflite",
            "coco80",
        )
        if repeat > 1:
            repeated(data / "instances.json", folder / "instances.json", repeat)
        annotations = folder / "instances.json" if repeat > 1 else data / "instances.json"
        images = data / "images"
    else:
        write_scenes(folder, 79, repeat=repeat)
        images, annotations, model = folder / "images", folder / "instances.json", DEMO_MODEL
        (folder / "labels.txt").write_text("\n".join(CLASSES))
        labels = "labels.txt"
    audit = folder / "audit.yaml"
    dataset = f"dataset: {{format: coco, images: {images}, annotations: {annotations}, limit: {limit}}}\n"
    audit.write_text(
        f"name: benchmark\n{dataset}models:\n  - {{name: m, path: {model}, labels: {labels}}}\n{scenarios}measure: "
        f"{{threads: []}}\n"
    )
    return audit


def repeated(source: Path, target: Path, times: int) -> None:
    """The same images `times` over, under ids of their own."""
    document = json.loads(source.read_text())
    step = 1 + max(image["id"] for image in document["images"])
    images = [{**image, "id": image["id"] + step * turn} for turn in range(times) for image in document["images"]]
    annotations = [
        {**item, "image_id": item["image_id"] + step * turn}
        for turn in range(times)
        for item in document["annotations"]
    ]
    target.write_text(json.dumps(document | {"images": images, "annotations": annotations}))


def timed(audit: Path, output: Path) -> tuple[float, float, dict[str, float]]:
    """Wall seconds of one `auditor run`, the largest process's peak memory in MB, and seconds by stage."""
    begin = time.perf_counter()
    code = (
        "import resource, sys; from auditor.cli import main\n"
        f"try: main(['run', {str(audit)!r}, '-o', {str(output)!r}, '--fresh', '--quiet'])\n"
        "finally: print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, "
        "resource.RUSAGE_CHILDREN)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wall = time.perf_counter() - begin
    return (
        wall,
        int(done.stdout.split()[-1]) / 1024,
        json.loads((output / "result.json").read_text())["provenance"]["seconds"],
    )


def test_overhead_of_a_run(benchmark, tmp_path):
    full = write_audit(tmp_path / "full", limit=79, scenarios=SCENARIOS)
    least = write_audit(tmp_path / "least", limit=1, scenarios="scenarios: []\n")
    start_up = min(timed(least, tmp_path / "out1")[0] for _ in range(3))
    runs = []
    benchmark.pedantic(lambda: runs.append(timed(full, tmp_path / "out2")), rounds=3, iterations=1)
    wall, _, seconds = min(runs, key=lambda run: run[0])
    must = (seconds["invoke"] + seconds["evaluate"]) / 2
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "auditor", "report", str(tmp_path / "out2")], check=True, capture_output=True)
    render = time.perf_counter() - begin
    print(f"\nwhole run {wall:.2f} s, start-up {start_up:.2f} s (the same command on one clean image)")
    print(
        "seconds by stage, summed over workers: "
        + ", ".join(f"{stage} {spent:.2f}" for stage, spent in seconds.items())
    )
    print(f"rendering the report alone, in a process of its own: {render:.2f} s")
    print(f"(run - start-up) / ((invoke + evaluate) / 2 cores) = {(wall - start_up) / must:.2f}")
    benchmark.extra_info["ratio"] = (wall - start_up) / must


def test_memory_does_not_grow_with_images(benchmark, tmp_path):
    peaks = {}
    for times in (1, 10):
        audit = write_audit(
            tmp_path / str(times),
            limit=79 * times,
            scenarios="scenarios: [noise/gaussian]\nseverities: [3]\n",
            repeat=times,
        )
        peaks[79 * times] = timed(audit, tmp_path / f"out{times}")[1]
    benchmark.pedantic(lambda: None, rounds=1)
    print(
        "\npeak memory of the largest process: "
        + ", ".join(f"{images} images {peak:.0f} MB" for images, peak in peaks.items())
    )
    print(f"difference {peaks[790] - peaks[79]:.0f} MB")


def test_help_beside_a_bare_interpreter(benchmark):
    def spent(*arguments: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - begin

    bare = min(spent("-c", "pass") for _ in range(5))
    shown = benchmark.pedantic(lambda: spent("-m", "auditor", "--help"), rounds=5)
    print(f"\nauditor --help {shown:.3f} s, {shown / bare:.1f} × a bare interpreter ({bare:.3f} s)")


def test_resampling_beside_evaluating_again(benchmark):
    """1,000 resamples of a cell of 79 images beside one evaluation by pycocotools, of which they would take a
    thousand."""
    import numpy as np

    from auditor.evaluate.bootstrap import draw_weights
    from auditor.tasks.detection.coco_ap import evaluate_coco
    from auditor.tasks.detection.resampling import resampled_ap
    from auditor.values import Detections, GroundTruth

    rng = np.random.default_rng(0)
    truth, predictions = {}, {}
    for image in range(79):
        low = rng.uniform(0, 400, (8, 2))
        boxes = np.concatenate([low, low + rng.uniform(10, 200, (8, 2))], axis=1)
        truth[image] = GroundTruth(
            boxes, rng.integers(0, 80, 8), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.zeros(8, bool)
        )
        seen = np.concatenate([boxes + rng.normal(0, 9, boxes.shape), rng.uniform(0, 400, (92, 4))])
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 1)
        labels = np.concatenate([truth[image].labels, rng.integers(0, 80, 92)])
        predictions[image] = Detections(seen, np.sort(rng.random(100))[::-1].copy(), labels)
    begin = time.perf_counter()
    evaluation = evaluate_coco(truth, predictions, [str(label) for label in range(80)])
    once = time.perf_counter() - begin
    weights = draw_weights(79, seed=0)
    begin = time.perf_counter()
    benchmark.pedantic(lambda: resampled_ap(evaluation.matches, weights), rounds=3)
    spent = (time.perf_counter() - begin) / 3
    print(f"\n1,000 resamples {spent:.2f} s, one evaluation {once:.2f} s: {spent / once:.1f} × in place of 1,000 ×")


@pytest.mark.parametrize("name", ["lighting", "resolution", "noise"])
def test_corruptions_beside_the_model(benchmark, name):
    """Each scenario's cost at severity 3 on a 640 × 480 image, as a share of one invocation of the demo's detector."""
    import numpy as np

    from auditor.config import load_pack, specs_of
    from auditor.corruptions.corrupt import corrupt
    from auditor.corruptions.packs import built_in_packs
    from auditor.delegate import XNNPACK
    from auditor.runtimes.litert.interpreter import open_model

    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    runner = open_model(DEMO_MODEL, delegate=XNNPACK, threads=1, input_shape=None, output_names=("out",))
    tensor = np.zeros((1, 160, 160, 3), np.float32)

    def spent(call) -> float:
        call()
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        return sorted(times)[2]

    invoke = spent(lambda: runner.invoke(tensor))
    path = built_in_packs()[name]
    costs = {
        spec.name: spent(lambda spec=spec: corrupt(image, spec, severity=3, seed=1))
        for spec in specs_of(load_pack(path)[0], folder=path.parent)
    }
    benchmark.pedantic(lambda: None, rounds=1)
    print(
        f"\none invocation {1e3 * invoke:.1f} ms; "
        + ", ".join(f"{scenario} {1e3 * cost:.1f} ms ({cost / invoke:.1f} ×)" for scenario, cost in costs.items())
    )
