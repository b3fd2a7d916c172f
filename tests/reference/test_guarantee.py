"""A recall with a confidence holds on other images as often as it says; binomial tests are scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditor.evaluate.guarantee import design_effect, images_that_suffice, p_of_misses
from auditor.tasks.detection.point_choice import choose
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import PointChoice

ASKED = PointChoice("recall", 0.9, 0.95)


@pytest.mark.parametrize(("misses", "objects", "rate"), [(0, 30, 0.1), (3, 60, 0.1), (40, 500, 0.1), (7, 20, 0.5)])
def test_the_p_value_is_that_of_scipys_binomial_test(misses, objects, rate):
    expected = stats.binomtest(misses, objects, rate, alternative="less").pvalue
    assert p_of_misses(misses, objects, rate) == pytest.approx(expected, rel=1e-9)


def drawn(rng, images, *, together):
    """Objects of some images with the scores they are found by: uniform, so that a threshold t misses a share t / 1.05
    of them on average; where they go `together`, images are hard or easy as a whole."""
    count = 1 + rng.poisson(2.0, images)
    image = np.repeat(np.arange(images), count)
    own, shared = rng.random(len(image)), rng.random(images)[image]
    score = np.where(rng.random(len(image)) < (0.6 if together else 0.0), shared, own) * 1.05 - 0.05
    seen = np.nonzero(score > 0)[0]
    order = seen[np.lexsort((-score[seen], image[seen]))]
    boxes = np.zeros((len(order), 4))
    return PointMatches(
        "a", image[order], score[order], boxes, order, image, np.zeros((len(image), 4)), np.full(len(image), -1)
    )


def recall_at(threshold):
    return 1 - (threshold + 0.05) / 1.05


@pytest.mark.parametrize("together", [False, True])
def test_it_holds_on_other_images_in_95_of_100_tries(together):
    rng = np.random.default_rng(int(together))
    held, unsure, thresholds = 0, 0, []
    for _ in range(500):
        point = choose(ASKED, [drawn(rng, 150, together=together)], images=150, model="m", chosen_on="clean")
        threshold = point.thresholds.single
        thresholds.append(threshold)
        held += recall_at(threshold) >= 0.9
        unsure += len(point.unreached)
    assert held >= stats.binom.ppf(0.01, 500, 0.95)
    assert np.mean(thresholds) > 0.005  # it is no empty promise: without it, 0.055 would have this recall
    assert unsure < 100


def test_few_images_do_not_suffice_and_it_is_said_how_many_would():
    rng = np.random.default_rng(3)
    point = choose(ASKED, [drawn(rng, 6, together=False)], images=6, model="m", chosen_on="clean")
    assert point.unreached == ("others",)
    assert 6 < point.enough < 400
    enough = choose(
        ASKED, [drawn(rng, 2 * point.enough, together=False)], images=2 * point.enough, model="m", chosen_on="clean"
    )
    assert not enough.unreached
    assert enough.enough is None


def test_no_number_of_images_helps_a_model_that_misses_more():
    assert images_that_suffice(20, 100, 0.1, 0.05, 50) is None
    assert images_that_suffice(0, 10, 0.1, 0.05, 10) == 29  # 29 objects without a miss: 0.9 ** 29 = 0.047


def test_objects_that_are_missed_together_count_for_fewer():
    objects = np.full(50, 4.0)
    apart = np.tile([1.0, 0.0], 25)
    together = np.tile([4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 5) / 2
    assert design_effect(apart, objects) == 1.0
    assert design_effect(together, objects) > 1.5
    assert design_effect(np.zeros(50), objects) == 1.0
