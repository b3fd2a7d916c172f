"""How often the input contract check raises a false alarm: many audits of the demo's detector, each on other scenes.

The declared contract is the one that the detector was trained with. Run with `pytest tests/benchmarks --benchmark-only
-s`.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DEMO_MODEL

from auditor.datasets.shared_classes import match_classes
from auditor.delegate import XNNPACK
from auditor.demo.scenes import CLASSES, render_scene
from auditor.encoding import encode, geometry_of
from auditor.evaluate.comparison import FAMILY_ERROR, error_of_look, simultaneous
from auditor.measure.predict import decoded
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.resolve.variants import input_variants, readings
from auditor.runtimes.anatomy.runtime import open_spec
from auditor.tasks.anatomy.task import Framed
from auditor.tasks.detection import TASK
from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.resampling import resampled_ap
from auditor.values import WORTH, Detections

SCENES, AUDITS, SIZES, RESAMPLES = 400, 100, (40, 80), 500


def matches_of(tmp_path):
    """How the detections of the declared contract, and of every other, match the truth of all scenes."""
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    scenes = [render_scene(20_000 + index) for index in range(SCENES)]
    images = tuple(image for image, _ in scenes)
    truth = dict(enumerate(found for _, found in scenes))
    spec = resolve_model(
        ModelRequest(
            "m",
            "m",
            str(DEMO_MODEL),
            "d",
            str(tmp_path),
            labels="labels.txt",
            input={"resize": "letterbox"},
            images=images[:4],
        )
    )
    opened = open_spec(spec, delegate=XNNPACK, threads=1)

    def detect(contract):
        found = {}
        for index, image in enumerate(images):
            tensor, geometry = encode(image, contract)
            found[index] = decoded(spec, opened.invoke(tensor), geometry, image.shape[:2])
        return found

    declared = detect(spec.input)
    said = [
        detections(found) for found in (declared, *(detect(v.spec.input) for v in input_variants(spec, images[:4])))
    ]
    for reading in readings(spec, CLASSES):
        seen = {}
        for index, values in declared.items():
            size = images[index].shape[:2]
            framed = Framed(spec, geometry_of(size[::-1], spec.input), size)
            seen[index] = TASK.reread(values, reading, framed) if reading.kind == "boxes" else values
        table = match_classes(reading.labels, CLASSES).to_category
        said.append({index: relabelled(item, table, reading.label_offset) for index, item in detections(seen).items()})
    return [evaluate_coco(truth, found, CLASSES).matches for found in said]


def detections(found):
    return {index: Detections(**values) for index, values in found.items()}


def relabelled(item, table, offset):
    labels = np.array(
        [table[label + offset] if 0 <= label + offset < len(table) else -1 for label in item.labels], dtype=np.int64
    )
    keep = labels >= 0
    return Detections(item.boxes[keep], item.scores[keep], labels[keep])


def false_alarm(rng, matches) -> bool:
    order = rng.permutation(SCENES)
    for look, size in enumerate(SIZES, start=1):
        chosen = order[:size]
        weights = np.zeros((RESAMPLES + 1, SCENES), dtype=np.int64)
        weights[0, chosen] = 1
        weights[1:, chosen] = rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
        values = np.stack([resampled_ap(found, weights) for found in matches], axis=1)
        differences = values[:, 1:] - values[:, :1]
        low = simultaneous(differences[0], differences[1:], error=error_of_look(look, len(SIZES)))[:, 0]
        worth = differences[0] >= WORTH
        if (worth & (low > 0)).any():
            return True
        if not worth.any():
            return False
    return False


@pytest.mark.benchmark
def test_false_alarms_of_a_right_contract(benchmark, tmp_path):
    matches = matches_of(tmp_path)
    rng = np.random.default_rng(3)
    found = benchmark.pedantic(lambda: sum(false_alarm(rng, matches) for _ in range(AUDITS)), rounds=1)
    print(
        f"\nfalse alarms: {found} of {AUDITS} audits of {len(matches) - 1} comparisons each (at most "
        f"{FAMILY_ERROR:.0%} are allowed)"
    )
