"""Resampled AP against evaluating the resampled images themselves with pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from test_coco_ap import CLASSES, scenes

from auditor.evaluate.bootstrap import draw_weights, interval
from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.resampling import resampled_ap
from auditor.values import Detections


def recomputed(truth, predictions, weights):
    """AP of the resampled set: each image stands as often as it was drawn, under ids of its own."""
    images = list(truth)
    copies = [(image, copy) for image, count in zip(images, weights, strict=True) for copy in range(count)]
    own = {number: pair[0] for number, pair in enumerate(copies)}
    evaluation = evaluate_coco(
        {n: truth[i] for n, i in own.items()}, {n: predictions[i] for n, i in own.items()}, CLASSES
    )
    return next(metric.value for metric in evaluation.metrics() if metric.name == "AP")


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [3, 4])
def test_it_equals_recomputing_on_twenty_resamples(seed, ties):
    truth, predictions = scenes(seed, images=15)
    rng = np.random.default_rng(seed)
    for image, found in predictions.items():
        scores = np.sort(rng.choice([0.2, 0.4, 0.6], len(found.scores)) if ties else rng.random(len(found.scores)))[
            ::-1
        ]
        predictions[image] = Detections(found.boxes, scores.copy(), found.labels)
    weights = draw_weights(15, seed=seed, resamples=20)
    got = resampled_ap(evaluate_coco(truth, predictions, CLASSES).matches, weights)
    assert got == pytest.approx([recomputed(truth, predictions, row) for row in weights], abs=1e-12)
    everything = resampled_ap(evaluate_coco(truth, predictions, CLASSES).matches, np.ones((1, 15), dtype=np.int64))
    assert everything[0] == pytest.approx(recomputed(truth, predictions, np.ones(15, dtype=int)), abs=1e-12)


def test_resamples_are_seeded_and_undefined_is_nan():
    assert (draw_weights(9, seed=1) == draw_weights(9, seed=1)).all()
    assert (draw_weights(9, seed=1) != draw_weights(9, seed=2)).any()
    truth, predictions = scenes(0, images=3)
    assert np.isnan(
        resampled_ap(evaluate_coco(truth, predictions, CLASSES).matches, np.zeros((1, 3), dtype=np.int64))
    ).all()
    assert interval(np.array([0.1, np.nan])) is None
