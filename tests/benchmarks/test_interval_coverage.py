"""How often 95 % intervals cover what sets of as many images give on average: 40, 80 and 300 images of three models.

A population of 6,000 images is drawn once for each model, with classes as rare as COCO's for two of them, objects that
come together, and images that are harder than others; samples of it are audited, and their intervals counted.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.intervals import class_aware, expanded, of_rate, of_share
from auditor.tasks.detection.resampling import ClassMatches, ResampledAP

SAMPLES = int(os.environ.get("AUDITOR_SAMPLES", "200"))
RESAMPLES = 300
IMAGES = 6000
MODELS = {
    "like YOLOX": {"classes": 60, "quality": (3, 2.4), "alarms": 6},
    "like SSD": {"classes": 60, "quality": (1.6, 2.6), "alarms": 6},
    "like the demo's": {"classes": 6, "quality": (30, 2), "alarms": 3},
}
THRESHOLD = 0.45
ENOUGH = 40


def population(classes, quality, alarms):
    """How each class is matched on all images, and again with a quarter of the hits lost and lower scores."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, classes + 1) ** (1.1 if classes > 10 else 0)
    share, each = share / share.sum(), 7 if classes > 10 else 4.5
    good, hard = rng.beta(*quality, classes), rng.normal(0, 0.35, IMAGES)
    found, worse = [], []
    for number in range(classes):
        mean = each * share[number]
        count = np.where(
            rng.random(IMAGES) < min(1.0, mean / 2), 1 + rng.poisson(1.0 if mean < 2 else mean - 1, IMAGES), 0
        )
        image = np.repeat(np.arange(IMAGES), count)
        odds = np.log(good[number] / (1 - good[number])) * 1.3 + 1 + hard[image]
        seen = rng.random(len(image)) < 1 / (1 + np.exp(-odds))
        score = 1 / (1 + np.exp(-(rng.normal(2 * good[number] - 0.8, 1.2, len(image)) + hard[image] / 2)))
        overlap = rng.beta(6, 2.2, len(image)) * 0.6 + 0.4
        false = np.repeat(np.arange(IMAGES), rng.poisson(alarms * share[number] * classes / 8 + 0.05, IMAGES))
        scores = np.concatenate([score[seen], 1 / (1 + np.exp(-rng.normal(-2.2, 1.2, len(false))))])
        hits = overlap[seen] >= np.linspace(0.5, 0.95, 10)[:, np.newaxis]
        hits = np.concatenate([hits, np.zeros((10, len(false)), dtype=bool)], axis=1)
        found.append(ordered(np.concatenate([image[seen], false]), scores, hits, image))
        mine = found[-1]
        kept = ~((rng.random(mine.hit.shape[1]) < 0.25) & mine.hit.any(axis=0))
        dim = mine.score[kept] * np.where(rng.random(kept.sum()) < 0.5, 0.8, 1)
        worse.append(ordered(mine.image[kept], dim, mine.hit[:, kept], image))
    return found, worse


def ordered(image, score, hit, truths):
    order = np.lexsort((-score, image))
    return ClassMatches(image[order], score[order], hit[:, order], np.zeros_like(hit), truths)


def of_images(found, chosen):
    place = np.full(IMAGES, -1)
    place[chosen] = np.arange(len(chosen))
    parts = []
    for mine in found:
        keep, there = place[mine.image] >= 0, place[mine.truths] >= 0
        parts.append(ordered(place[mine.image[keep]], mine.score[keep], mine.hit[:, keep], place[mine.truths[there]]))
    return parts


def counts(found, images):
    """Right and false detections and objects of each image, at a threshold."""
    right, false, objects = np.zeros(images), np.zeros(images), np.zeros(images)
    for mine in found:
        held = mine.score >= THRESHOLD
        right += np.bincount(mine.image[held & mine.hit[0]], minlength=images)
        false += np.bincount(mine.image[held & ~mine.hit[0]], minlength=images)
        objects += np.bincount(mine.truths, minlength=images)
    return right, false, objects


def audited(found, worse, weights):
    """By metric the value of a sample and its interval."""
    images = weights.shape[1]
    here, there = ResampledAP(weights), ResampledAP(weights)
    told = {}
    for number, (mine, other) in enumerate(zip(found, worse, strict=True)):
        drawn = here.add(mine)
        there.add(other)
        if drawn is not None and len(mine.truths) >= ENOUGH:
            own = ResampledAP(weights[:0])
            own.add(mine)
            told[f"class {number}"] = own.of().value, expanded(drawn[:, np.newaxis], images=images)[0]
    for name, point in (("AP", ""), ("AP50", "50"), ("AP75", "75")):
        told[name] = here.of(point).value, here.of(point).interval(images)
    first, second = here.of(), there.of()
    value = second.value - first.value
    apart, fixed = second.values - first.values, second.fixed - first.fixed
    told["AP difference"] = value, class_aware(value, apart, fixed, images=images, bounds=None)
    right, false, objects = counts(found, images)
    one = np.ones(images)
    for name, above, below in (("recall", right, objects), ("precision", right, right + false)):
        value = above.sum() / below.sum()
        told[name] = value, of_share(value, (weights @ above) / (weights @ below), images=images)
    told["fppi"] = false.mean(), of_rate(false.mean(), weights @ false / images, images=images)
    free = ((false == 0) & (right == objects)).astype(float)
    told["error_free"] = free.mean(), of_share(free.mean(), weights @ free / images, images=images)
    less, _, _ = counts(worse, images)
    apart = (weights @ (less - right)) / (weights @ objects)
    told["recall difference"] = (less - right).sum() / objects.sum(), expanded(apart[:, np.newaxis], images=images)[0]
    assert one.sum() == images
    return told


@pytest.mark.parametrize("images", [40, 80, 300])
@pytest.mark.parametrize("model", MODELS)
def test_intervals_cover_what_they_say(benchmark, model, images):
    found, worse = population(**MODELS[model])
    rng = np.random.default_rng(images)

    def sampled():
        told = {}
        for number in range(SAMPLES):
            chosen = rng.choice(IMAGES, images, replace=False)
            weights = draw_weights(images, seed=number, resamples=RESAMPLES)
            for name, item in audited(of_images(found, chosen), of_images(worse, chosen), weights).items():
                told.setdefault(name, []).append(item)
        return told

    told = benchmark.pedantic(sampled, rounds=1)
    covered: dict[str, list[bool]] = {}
    for name, items in told.items():
        truth = np.mean([value for value, _ in items])
        known = [between[0] <= truth <= between[1] for _, between in items if between is not None]
        covered.setdefault(f"classes of {ENOUGH} objects" if name.startswith("class ") else name, []).extend(known)
    print(f"\n{model}, {images} images: " + ", ".join(f"{n} {np.mean(c):.3f}" for n, c in covered.items()))
    for name, items in covered.items():
        spread = 2.6 * np.sqrt(0.95 * 0.05 / min(len(items), SAMPLES))
        assert np.mean(items) > 0.93 - spread, name
    benchmark.extra_info["coverage"] = {name: float(np.mean(items)) for name, items in covered.items()}
