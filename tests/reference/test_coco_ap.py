"""AP against hotcoco and vernier (other implementations), against pycocotools over all classes at once, and by hand."""

from __future__ import annotations

import contextlib
import io

import hotcoco
import numpy as np
import pytest
import vernier
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from auditor.tasks.detection.coco_ap import NAMES, evaluate_coco, match_parts
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.resampling import resampled_ap
from auditor.values import Detections, Evaluation, GroundTruth

CLASSES = tuple(f"class {index}" for index in range(19))


def scenes(seed, images=12):
    rng = np.random.default_rng(seed)
    truth, predictions = {}, {}
    for image_id in rng.permutation(1000)[:images].tolist():
        count = int(rng.integers(0, 9))
        low = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(4, 200, (count, 2))], axis=1)
        labels = rng.integers(0, len(CLASSES) - 2, count)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * rng.uniform(0.4, 1, count)
        truth[image_id] = GroundTruth(boxes, labels, area, rng.random(count) < 0.15)
        seen = np.concatenate([boxes + rng.normal(0, 6, boxes.shape), boxes + rng.normal(0, 40, boxes.shape)])
        found = np.concatenate([labels, rng.integers(0, len(CLASSES), count)])
        order = np.argsort(-(scores := rng.random(len(found)).round(2)), kind="stable")
        predictions[image_id] = Detections(seen[order], scores[order], found[order])
    ordered = sorted(truth)  # as pycocotools orders images
    return {image: truth[image] for image in ordered}, {image: predictions[image] for image in ordered}


def documents(truth, predictions, classes=CLASSES):
    annotations = [
        {
            "id": 0,
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": [*box[:2], *(box[2:] - box[:2])],
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for image, found in truth.items()
        for box, label, area, crowd in zip(found.boxes, found.labels, found.area, found.iscrowd, strict=True)
    ]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1
        annotation["bbox"] = [float(x) for x in annotation["bbox"]]
    results = [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": [float(x) for x in (*box[:2], *(box[2:] - box[:2]))],
            "score": float(score),
        }
        for image, found in predictions.items()
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
    ]
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(classes)]
    return {
        "images": [{"id": image, "width": 600, "height": 600} for image in truth],
        "annotations": annotations,
        "categories": categories,
    }, results


def plain_evaluation(document, results, change=lambda params: None, engine=COCOeval):
    """pycocotools alone, as its users call it; or another engine in its place."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = document
        data.createIndex()
        said = COCO()
        boxes = [item["bbox"] for item in results]
        said.dataset = {
            **document,
            "annotations": [
                {**item, "id": number, "area": width * height, "iscrowd": 0}
                for number, (item, (_, _, width, height)) in enumerate(zip(results, boxes, strict=True), start=1)
            ],
        }
        said.createIndex()
        evaluation = engine(data, said, "bbox")
        change(evaluation.params)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("library", ["pycocotools", "hotcoco", "vernier"])
def test_all_twelve_metrics_agree(seed, library):
    truth, predictions = scenes(seed)
    document, results = documents(truth, predictions)
    if library == "hotcoco":
        data = hotcoco.COCO(document)
        evaluation = hotcoco.COCOeval(data, data.load_res(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    else:
        evaluation = plain_evaluation(
            document, results, engine=COCOeval if library == "pycocotools" else vernier.COCOeval
        )
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    ours = {metric.name: metric.value for metric in evaluate_coco(truth, predictions, CLASSES).metrics()}
    assert [ours[name] if ours[name] is not None else -1 for name in NAMES] == pytest.approx(
        list(evaluation.stats), abs=1e-9
    )


def one(boxes, labels=None, scores=None):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels)
    if scores is None:
        return GroundTruth(boxes, labels, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.zeros(len(boxes), bool))
    return Detections(boxes, np.array(scores, dtype=np.float64), labels)


def metric(truth, predictions, name, classes=("a",)):
    return next(value for value in evaluate_coco(truth, predictions, classes).metrics() if value.name == name)


def test_by_hand():
    truth = {1: one([[0, 0, 100, 100], [200, 200, 300, 300]])}
    # a hit, a false alarm, a hit: precision 1 up to recall 0.5, then 2/3; 51 of 101 recall points are up to 0.5
    predictions = {1: one([[0, 0, 100, 100], [400, 400, 500, 500], [200, 200, 300, 300]], scores=[0.9, 0.8, 0.7])}
    assert metric(truth, predictions, "AP").value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    # IoU of 100 × 100 against 100 × 72 is 0.72: a hit at 0.50 to 0.70, five of ten thresholds
    assert metric({1: one([[0, 0, 100, 100]])}, {1: one([[0, 0, 100, 72]], scores=[0.9])}, "AP").value == pytest.approx(
        0.5
    )


def test_undefined_is_none_with_a_reason_and_nothing_found_is_0():
    empty = {1: one([])}
    value = metric(empty, {1: one([[0, 0, 9, 9]], scores=[0.5])}, "AP")
    assert (value.value, value.reason) == (None, "no true object counts here")
    assert metric({1: one([[0, 0, 50, 50]])}, {1: one([], scores=[])}, "AP").value == 0
    assert metric({1: one([[0, 0, 50, 50]])}, {1: one([], scores=[])}, "AP_large").value is None
    with pytest.raises(ValueError, match="expected predictions for"):
        evaluate_coco(empty, {}, ("a",))


@pytest.mark.parametrize("seed", range(3))
def test_what_only_screens_is_the_same_ap(seed):
    """AP from the matching over all sizes alone, as other inputs are screened by: a third engine agrees."""
    truth, predictions = scenes(seed)
    document, results = documents(truth, predictions)
    evaluation = plain_evaluation(document, results, engine=vernier.COCOeval)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    matches = match_parts(prepare_truth(truth, CLASSES, Evaluation()), [Columns.of(predictions.items())])
    (value,) = resampled_ap(matches, np.ones((1, len(truth)), dtype=np.int64))
    assert value == pytest.approx(evaluation.stats[0], abs=1e-12)
