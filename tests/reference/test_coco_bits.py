"""Precision and recall bit for bit those of plain pycocotools, on whatever sets: what is spared changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.test_coco_ap import documents, plain_evaluation

from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.values import Detections, Evaluation, GroundTruth

CLASSES = ("a", "b", "c", "d", "e")
"""Named in the order of their ids, so that our classes stand as pycocotools' do."""
LATTICE = st.integers(0, 12).map(lambda step: 9.0 * step)
SIDES = st.sampled_from([0.0, 3.0, 9.0, 27.0, 90.0, 120.0, 31.999999999])


MORE = Evaluation(iou=(0.3,), areas={"tiny": (0.0, 81.0)}, max_detections=(3, 300))


@st.composite
def boxes(draw, most):
    """Boxes of few places and sizes, so that overlaps tie, and lie on COCO's limits of area."""
    found = draw(st.lists(st.tuples(LATTICE, LATTICE, SIDES, SIDES), max_size=most))
    array = np.array(found, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


@st.composite
def sets(draw):
    truth, predictions = {}, {}
    for image in range(1, draw(st.integers(1, 5)) + 1):
        true = draw(boxes(6))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        area = np.prod(true[:, 2:] - true[:, :2], axis=1) * rng.choice([1.0, 0.5, 1.3], len(true))
        labels = rng.integers(0, 4, len(true))
        truth[image] = GroundTruth(true, labels, area, rng.random(len(true)) < 0.25)
        found = np.concatenate(
            [true[rng.random(len(true)) < 0.8], draw(boxes(5)), true + rng.choice([-9.0, 0, 9], true.shape)]
        )
        found = np.concatenate([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])], axis=1)
        found = np.repeat(found, draw(st.sampled_from([1, 1, 2, 30])), axis=0)
        scores = np.sort(rng.integers(1, 6, len(found)) / 5)[::-1].copy()
        predictions[image] = Detections(found, scores, rng.integers(0, 5, len(found)))
    return truth, predictions


def bits(truth, predictions, classes, asked):
    document, results = documents(truth, predictions, classes)

    def change(params):
        params.iouThrs = np.array([*params.iouThrs, *asked.iou])
        params.areaRng = [*params.areaRng, *(list(limits) for limits in asked.areas.values())]
        params.areaRngLbl = [*params.areaRngLbl, *asked.areas]
        params.maxDets = sorted({*params.maxDets, *asked.max_detections})

    plain = plain_evaluation(document, results, change)
    ours = evaluate_coco(truth, predictions, classes, asked)
    assert ours.precision.tobytes() == plain.eval["precision"].tobytes()
    assert ours.recall.tobytes() == plain.eval["recall"].tobytes()


@settings(max_examples=60, deadline=None)
@given(
    sets(),
    st.sampled_from([Evaluation(), Evaluation(iou=(0.3,), areas={"tiny": (0.0, 81.0)}, max_detections=(3, 300))]),
)
def test_every_bit_is_that_of_plain_pycocotools(drawn, asked):
    bits(*drawn, CLASSES, asked)


def test_truth_that_was_prepared_serves_many_cells():
    rng = np.random.default_rng(3)
    box = np.array([[0.0, 0, 50, 50], [60, 60, 90, 95]])
    truth = {7: GroundTruth(box, np.array([0, 1]), np.array([2500.0, 1050]), np.array([False, False]))}
    prepared = prepare_truth(truth, ("a", "b"), Evaluation())
    for _ in range(3):
        said = {7: Detections(box + rng.normal(0, 4, box.shape), np.array([0.9, 0.8]), rng.integers(0, 2, 2))}
        again, fresh = evaluate_coco(truth, said, ("a", "b"), prepared=prepared), evaluate_coco(truth, said, ("a", "b"))
        assert again.precision.tobytes() == fresh.precision.tobytes()


@pytest.mark.real
def test_every_bit_on_coco(real):
    """79 images of COCO and what a model might say of them, at 100 and more detections an image."""
    document = json.loads((real / "data" / "coco-val79" / "instances.json").read_text())
    names = tuple(category["name"] for category in sorted(document["categories"], key=lambda item: item["name"]))
    index = {item["id"]: names.index(item["name"]) for item in document["categories"]}
    rng, truth, predictions = np.random.default_rng(0), {}, {}
    for image in sorted(item["id"] for item in document["images"]):
        mine = [item for item in document["annotations"] if item["image_id"] == image]
        box = np.array([item["bbox"] for item in mine], dtype=np.float64).reshape(-1, 4)
        box[:, 2:] += box[:, :2]
        labels = np.array([index[item["category_id"]] for item in mine], dtype=np.int64)
        area = np.array([item["area"] for item in mine], dtype=np.float64)
        truth[image] = GroundTruth(box, labels, area, np.array([bool(item["iscrowd"]) for item in mine], dtype=bool))
        near = rng.integers(0, len(mine), 120) if mine else np.zeros(0, dtype=np.int64)
        said = np.sort((box[near] + rng.normal(0, 8, (len(near), 4))).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        scores = np.sort(rng.integers(1, 200, len(near)) / 200)[::-1].copy()
        predictions[image] = Detections(said, scores, np.where(rng.random(len(near)) < 0.7, labels[near], 3))
    bits(truth, predictions, names, Evaluation())
