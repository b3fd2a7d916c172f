"""Comparisons with the declared input: the chance that any of them is called better by chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.comparison import FAMILY_ERROR, compare_with_declared, error_of_look, is_hopeless, simultaneous
from auditor.evaluate.evaluated import CellEvaluation
from auditor.values import WORTH, Cell, CellResult, MetricValue


def alarms(rng, *, variants: int, images: int, gain: float, looks: int) -> bool:
    """One audit of a mean of per-image values: whether any variant is called better. All are equally good but for
    `gain`."""
    common = rng.normal(0, 0.3, (images, 1))
    values = rng.normal(0, 1, (images, variants)) * 0.3 + 0.3 * common + gain
    values[:, variants // 2 :] -= 0.3  # as usual, half of the variants are clearly worse
    for look in range(1, looks + 1):
        size = images // 2 ** (looks - look)
        part = values[:size]
        samples = draw_weights(size, seed=look, resamples=400) @ part / size
        differences = part.mean(axis=0)
        low = simultaneous(differences, samples, error=error_of_look(look, looks))[:, 0]
        if ((low > 0) & (differences >= WORTH)).any():
            return True
        if not ((low <= 0) & (differences >= WORTH)).any():
            return False
    return False


@pytest.mark.parametrize("looks", [1, 2])
def test_the_chance_of_any_false_alarm_is_within_the_family_error(looks):
    rng = np.random.default_rng(11)
    found = sum(alarms(rng, variants=20, images=80, gain=0.0, looks=looks) for _ in range(400))
    assert found / 400 <= FAMILY_ERROR + 2 * np.sqrt(FAMILY_ERROR * (1 - FAMILY_ERROR) / 400)


def test_a_real_gain_is_found():
    rng = np.random.default_rng(12)
    assert sum(alarms(rng, variants=20, images=80, gain=0.3, looks=2) for _ in range(20)) == 20


def test_the_looks_share_the_error():
    assert sum(error_of_look(look, 4) for look in range(1, 5)) == pytest.approx(FAMILY_ERROR)
    assert error_of_look(1, 1) == FAMILY_ERROR
    assert error_of_look(4, 4) > 0.5 * FAMILY_ERROR


def test_identical_predictions_have_an_interval_of_nothing():
    assert simultaneous(np.zeros(2), np.zeros((5, 2)), error=0.05).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def evaluation(value, images, samples):
    metric = MetricValue("AP", value, images=images)
    cell = Cell("m", "m", "float32", "xnnpack", "clean", 0)
    result = CellResult.of(cell, status="ok", images=images, judged_by="AP", metrics={"AP": metric})
    return CellEvaluation(result, {"AP": samples})


@pytest.mark.parametrize(("images", "judged"), [(3, False), (40, True)])
def test_few_images_decide_nothing(images, judged):
    rng = np.random.default_rng(0)
    (value,) = compare_with_declared(
        evaluation(0.1, images, rng.normal(0.1, 0.001, 100)),
        [evaluation(0.9, images, rng.normal(0.9, 0.001, 100))],
        error=0.05,
    )
    assert (value.interval is not None) == judged


def test_no_interval_is_narrower_than_that_of_one_comparison():
    """All are clearly worse, so none can be called better by chance; their intervals say what is known all the same."""
    samples = np.random.default_rng(1).normal(-0.5, 0.05, (1000, 3))
    low, high = simultaneous(np.full(3, -0.5), samples, error=0.05)[0]
    assert high - low == pytest.approx(2 * 1.96 * samples[:, 0].std())


@pytest.mark.parametrize(("blocks", "between"), [(None, True), (5, True), (4, False), (1, False)])
def test_a_few_seconds_of_a_clip_have_no_interval(blocks, between):
    """A clip of one block is drawn the same every time, and any gain would be sure."""
    first, second = (evaluation(value, 40, np.full(9, value)) for value in (0.5, 0.6))
    second = dataclasses.replace(second, result=dataclasses.replace(second.result, blocks=blocks))
    (found,) = compare_with_declared(first, [second], error=0.05)
    assert (found.value, found.interval is not None) == (pytest.approx(0.1), between)
    worse = dataclasses.replace(second.result, metrics={"AP": MetricValue("AP", 0.5, images=40)})
    assert not is_hopeless(first, second)
    assert is_hopeless(first, dataclasses.replace(second, result=worse)) == (not between)
