import numpy as np
import pytest

from auditor.boxes import iou
from auditor.tasks.detection.postprocess import postprocess, suppress
from auditor.values import Candidates, Detections, Geometry, Postprocess

SAME = Geometry((1.0, 1.0), (0.0, 0.0))


def plain_nms(boxes, scores, labels, threshold, most):
    """Greedy NMS as it is defined, one box after another."""
    kept = []
    for index in range(len(boxes)):
        rivals = [other for other in kept if labels[other] == labels[index]]
        if not rivals or iou(boxes[index : index + 1], boxes[rivals]).max() <= threshold:
            kept.append(index)
    return kept[:most]


@pytest.mark.parametrize(("count", "most"), [(50, 100), (700, 20), (1500, 100), (900, 1000)])
def test_suppression_equals_its_definition(count, most):
    rng = np.random.default_rng(count)
    low = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 60, (count, 2))], axis=1)
    scores = np.sort(rng.random(count).astype(np.float32).astype(np.float64))[::-1]
    labels = rng.integers(0, 3, count)
    assert suppress(boxes, scores, labels, iou=0.5, most=most).tolist() == plain_nms(boxes, scores, labels, 0.5, most)


def test_multi_label_and_best_class():
    decoded = Candidates(np.array([[0.0, 0.0, 10.0, 10.0]]), np.array([[0.6, 0.7, 0.0005]]))
    both = postprocess(decoded, Postprocess(), geometry=SAME, image_size=(20, 20))
    assert (both.labels.tolist(), both.scores.tolist()) == ([1, 0], [0.7, 0.6])
    best = postprocess(decoded, Postprocess(multi_label=False), geometry=SAME, image_size=(20, 20))
    assert best.labels.tolist() == [1]


def test_class_wise_or_across_classes():
    decoded = Candidates(np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]]), np.array([[0.9, 0.0], [0.0, 0.8]]))
    assert len(postprocess(decoded, Postprocess(), geometry=SAME, image_size=(20, 20)).scores) == 2
    assert len(postprocess(decoded, Postprocess(class_wise=False), geometry=SAME, image_size=(20, 20)).scores) == 1


def test_limit_clip_and_geometry():
    boxes = np.array([[-5.0, 0.0, 15.0, 30.0], [40.0, 40.0, 50.0, 50.0]])
    decoded = Candidates(boxes, np.array([[0.9], [0.8]]))
    got = postprocess(
        decoded,
        Postprocess(max_detections=1, clip=True),
        geometry=Geometry((0.5, 0.5), (0.0, 5.0)),
        image_size=(40, 25),
    )
    assert got.boxes.tolist() == [[0.0, 0.0, 25.0, 40.0]]


def test_what_is_not_finite_is_dropped():
    decoded = Candidates(np.array([[np.nan, 0.0, 1.0, 1.0], [0.0, 0.0, 9.0, 9.0]]), np.array([[0.9], [0.8]]))
    assert postprocess(decoded, Postprocess(), geometry=SAME, image_size=(20, 20)).scores.tolist() == [0.8]
    inside = Detections(
        np.array([[np.inf, 0.0, 1.0, 1.0], [0.0, 0.0, 9.0, 9.0]]), np.array([0.9, 0.8]), np.array([0, 0])
    )
    assert postprocess(inside, Postprocess(), geometry=SAME, image_size=(20, 20)).scores.tolist() == [0.8]
