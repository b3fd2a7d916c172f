"""Resampled AP against evaluating the resampled images themselves with pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from test_coco_ap import CLASSES, scenes

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.counted import Counted, Seen
from auditor.evaluate.intervals import class_aware, expanded, of_rate, of_share
from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.resampling import ResampledAP, resampled_ap
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
    assert expanded(np.array([[0.1], [np.nan]]), images=9) == [None]
    assert class_aware(0.1, np.array([0.1, np.nan]), np.array([0.1, 0.1]), images=9) is None
    assert of_share(0.1, np.array([0.1, np.nan]), images=9) is None
    assert of_rate(0.1, np.array([0.1, np.nan]), images=9) is None


def test_single_points_and_no_class_dropping_out_are_those_of_the_classes():
    """AP50 and AP75 of resamples are resampled as AP is; `fixed` keeps the value of a class that is not drawn."""
    truth, predictions = scenes(5, images=15)
    found = evaluate_coco(truth, predictions, CLASSES)
    values = {metric.name: metric.value for metric in found.metrics()}
    weights = draw_weights(15, seed=5, resamples=40)
    resampled = ResampledAP(weights)
    alone = [resampled.add(match) for match in found.matches]
    for name, point in (("AP", ""), ("AP50", "50"), ("AP75", "75")):
        assert resampled.of(point).value == pytest.approx(values[name], abs=1e-12)
    mine = np.array([row for row in alone if row is not None])
    own = np.array([values[f"AP/{name}"] for name in sorted(CLASSES) if values[f"AP/{name}"] is not None])
    kept = np.where(np.isnan(mine), np.sort(own)[:, np.newaxis] * 0, mine)
    assert np.isnan(mine).any()
    assert resampled.of().values == pytest.approx(np.nansum(kept, axis=0) / (~np.isnan(mine)).sum(axis=0))
    ones = np.array([np.nan if row is None else 0.0 for row in alone])
    assert len(own) == (~np.isnan(ones)).sum()
    assert resampled.of().fixed.mean() == pytest.approx(
        np.where(np.isnan(mine), own[:, np.newaxis], mine).mean(axis=0).mean(), abs=1e-12
    )


def test_shares_and_rates_of_independent_things_have_the_known_intervals():
    """Each image one thing: Wilson's interval with Student's quantile, and Garwood's of a Poisson count."""
    rng = np.random.default_rng(0)
    right = (np.arange(100) < 80).astype(float)
    weights = rng.multinomial(100, np.full(100, 0.01), size=20_000)
    low, high = of_share(0.8, weights @ right / 100, images=100)
    assert (low, high) == pytest.approx((0.7112, 0.8666), abs=0.004)
    events = rng.poisson(0.2, 100).astype(float)
    low, high = of_rate(events.mean(), weights @ events / 100, images=100)
    exact = stats.chi2.ppf([0.025, 0.975], [2 * events.sum(), 2 * events.sum() + 2]) / 200
    assert (low, high) == pytest.approx(tuple(exact), rel=0.1)
    assert of_rate(0.0, np.zeros(10), images=40) == pytest.approx((0.0, 3.689 / 40), abs=1e-4)
    low, high = of_share(1.0, np.ones(10), images=40)
    assert (low, high) == (pytest.approx(0.907, abs=0.005), 1.0)


def test_what_is_counted_is_packed_whatever_lies_between():
    """Images without any count may lie between others, more of them than 32 bits of places."""
    image, column = np.array([0, 3, 3, 4_000_000]), np.array([1, 0, 0, 2_999])
    found = Counted.of(
        Seen(np.arange(1), 1, 0), [], lambda sums: sums, columns=3_000, entries=(image, column, np.ones(4))
    )
    assert {index: total for index, total in enumerate(found.sums.tolist()) if total} == {0: 2, 1: 1, 2_999: 1}
