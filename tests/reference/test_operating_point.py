"""Figures at the operating point against a matching written anew from its definition, hotcoco's calibration, and the
resampled images themselves."""

from __future__ import annotations

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from reference.test_coco_ap import documents
from reference.test_coco_bits import CLASSES, sets

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.counted import Seen, measured
from auditor.tasks.detection.at_point import AT_POINT, OVER_FRAMES, count
from auditor.tasks.detection.coco_ap import evaluate_parts
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.point_choice import choose, values_at
from auditor.tasks.detection.point_matches import Curve
from auditor.values import Detections, Evaluation, GroundTruth, OperatingPoint, PointChoice, Thresholds

TENTHS = (0.0, 0.2, 0.35, 0.6, 1.0)


def matches(truth, said, iou=0.5, classes=CLASSES):
    asked = Evaluation(point_iou=iou)
    known = prepare_truth(truth, classes, asked)
    found = []
    evaluate_parts(known, [Columns.of(said.items())], asked, lambda mine: found.append(mine.at_point))
    return found


def at(thresholds, fps=None, iou=0.5):
    return OperatingPoint(model="m", by="threshold", thresholds=thresholds, iou=iou, fps=fps)


def counted(truth, said, thresholds, iou=0.5, seed=1):
    images = len(truth)
    return count(at(thresholds, iou=iou), matches(truth, said, iou), Seen(np.arange(images), images, seed))


def overlap(a, b):
    """Intersection over union of two boxes; over the first alone where `b` is a crowd's."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inside = float(np.prod(np.clip(sides, 0, None)))
    return inside, float(np.prod(a[2:] - a[:2])), float(np.prod(b[2:] - b[:2]))


def by_hand(truth, said, label, threshold, iou):
    """Right and false detections and objects of a class, image by image: those above the threshold alone, the most
    confident first, each with the free object that it overlaps most."""
    rows = []
    for image, real in truth.items():
        mine = np.nonzero(real.labels == label)[0]
        mine = [*(i for i in mine if not real.iscrowd[i]), *(i for i in mine if real.iscrowd[i])]
        free = {int(i) for i in mine}
        found = said[image]
        keep = [i for i in range(len(found.scores)) if found.labels[i] == label][:100]
        right = false = 0
        for i in sorted((i for i in keep if found.scores[i] >= threshold), key=lambda i: -found.scores[i]):
            best, chosen = min(iou, 1 - 1e-10), None
            for j in mine:
                crowd = bool(real.iscrowd[j])
                if (j not in free and not crowd) or (chosen is not None and not real.iscrowd[chosen] and crowd):
                    continue
                inside, one, other = overlap(found.boxes[i], real.boxes[j])
                union = one if crowd else one + other - inside
                share = inside / union if union else 0.0
                if share >= best:
                    best, chosen = share, j
            if chosen is None:
                false += 1
            elif not real.iscrowd[chosen]:
                right += 1
                free.discard(int(chosen))
        rows.append((right, false, int(sum(not real.iscrowd[j] for j in mine))))
    return np.array(rows)


def values(truth, said, thresholds, iou=0.5):
    return {value.name: value.value for value in measured(counted(truth, said, thresholds, iou), len(truth))}


def share(above, below):
    return above / below if below else None


@settings(max_examples=40, deadline=None)
@given(sets())
def test_every_figure_is_that_of_a_matching_by_hand(drawn):
    truth, said = drawn
    for threshold, iou in zip(TENTHS, (0.5, 0.5, 0.3, 0.75, 0.5), strict=True):
        rows = np.stack([by_hand(truth, said, label, threshold, iou) for label in range(len(CLASSES))])
        right, false, objects = rows.sum(axis=(0, 1)).tolist()
        got, images = values(truth, said, Thresholds(threshold), iou), len(truth)
        errors = rows[..., 1].sum(axis=0) + (rows[..., 2] - rows[..., 0]).sum(axis=0)
        empty = rows[..., 2].sum(axis=0) == 0
        expected = {
            "precision": share(right, right + false),
            "recall": share(right, objects),
            "F1": share(2 * right, right + false + objects),
            "fppi": false / images,
            "missed": (objects - right) / images,
            "error_free": (errors == 0).mean(),
            "fppi_background": share(rows[:, empty, 1].sum(), empty.sum()),
        }
        for label, name in enumerate(CLASSES):
            hits, alarms, there = rows[label].sum(axis=0).tolist()
            if hits or alarms or there:
                expected |= {f"recall/{name}": share(hits, there), f"precision/{name}": share(hits, hits + alarms)}
                expected |= {f"fppi/{name}": alarms / images, f"missed/{name}": (there - hits) / images}
                expected |= {f"F1/{name}": share(2 * hits, hits + alarms + there)}
        assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-6)
        assert set(got) == {*expected, "D-ECE"}


@settings(max_examples=15, deadline=None)
@given(sets())
def test_calibration_is_hotcocos(drawn):
    truth, said = drawn
    said = {
        image: Detections(*(getattr(found, part)[found.scores >= 0.35] for part in ("boxes", "scores", "labels")))
        for image, found in said.items()
    }
    document, results = documents(truth, said, CLASSES)
    if not results:
        return
    data = hotcoco.COCO(document)
    evaluation = hotcoco.COCOeval(data, data.load_res(results), "bbox")
    evaluation.evaluate()
    theirs = evaluation.calibration(n_bins=10, iou_threshold=0.5)
    got = values(truth, said, Thresholds(0.35))["D-ECE"]
    if theirs["num_detections"]:
        assert got == pytest.approx(theirs["ece"], abs=1e-6)
    else:
        assert got is None


def scenes(seed, images=30):
    """Images of three classes, of which the last is rare, some without an object."""
    rng = np.random.default_rng(seed)
    truth, said = {}, {}
    for image in range(images):
        low = rng.uniform(0, 200, (rng.integers(0, 5), 2))
        boxes = np.concatenate([low, low + 40], axis=1)
        labels = rng.choice(3, len(boxes), p=[0.5, 0.45, 0.05])
        truth[image] = GroundTruth(boxes, labels, np.full(len(boxes), 1600.0), np.zeros(len(boxes), bool))
        others = rng.uniform(0, 200, (4, 2))
        found = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), np.concatenate([others, others + 40], axis=1)])
        scores = np.concatenate([rng.beta(4, 2, len(boxes)), rng.beta(2, 4, 4)])
        order = np.argsort(-scores)
        kinds = np.concatenate([labels, rng.integers(0, 3, 4)])
        said[image] = Detections(found[order], scores[order], kinds[order])
    return truth, said


@pytest.mark.parametrize("seed", [0, 1])
def test_resamples_are_those_of_the_images_themselves(seed):
    truth, said = scenes(seed, images=12)
    point = Thresholds(None, {"a": 0.5, "b": 0.4})
    found = counted(truth, said, point, seed=seed)
    names = [named.name for named in found.metrics]
    for row, weights in zip(found.samples[:20], draw_weights(12, seed=seed)[:20], strict=True):
        drawn = [image for image, many in enumerate(weights.tolist()) for _ in range(many)]
        again = {place: truth[image] for place, image in enumerate(drawn)}
        expected = values(again, {place: said[image] for place, image in enumerate(drawn)}, point)
        for name, value in zip(names, row.tolist(), strict=True):
            known = expected.get(name)
            assert (np.isnan(value) and known is None) or value == pytest.approx(known, abs=1e-6), name


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_threshold_is_the_best_of_all_that_there_are(seed):
    truth, said = scenes(seed, images=60)
    found = matches(truth, said, classes=("a", "b", "c"))
    scores = {item.category: sorted(set(item.score.tolist())) for item in found}

    def of(category, threshold):
        return values_at(Thresholds(None, {category: threshold}), found, len(truth))

    def chosen(**choice):
        return choose(PointChoice(**choice), found, images=len(truth), model="m", chosen_on="clean")

    best = chosen()
    assert set(best.thresholds.by_class) == {"a", "b"}
    for name, threshold in best.thresholds.by_class.items():
        every = scores[name]
        assert of(name, threshold)["F1"] == max(of(name, other)["F1"] for other in every)
        reached = chosen(by="recall", target=0.8).thresholds.by_class[name]
        assert of(name, reached)["recall"] >= 0.8
        assert all(of(name, other)["recall"] < 0.8 for other in every if other > min(s for s in every if s >= reached))
        exact = chosen(by="precision", target=0.9).thresholds.by_class[name]
        assert of(name, exact)["precision"] >= 0.9
        assert all((of(name, other)["precision"] or 0) < 0.9 for other in every if other < exact)
    few = chosen(by="fppi", target=0.1)
    assert few.thresholds.single is not None
    assert few.clean["fppi"] <= 0.1
    lower = [other for found_scores in scores.values() for other in found_scores if other < few.thresholds.single]
    assert values_at(Thresholds(max(lower)), found, len(truth))["fppi"] > 0.1


def test_a_target_that_nothing_reaches_is_come_nearest_to_and_said():
    truth, said = scenes(3)
    found = matches(truth, said, classes=("a", "b", "c"))
    all_kept = values_at(Thresholds(0.0), found, len(truth))
    point = choose(PointChoice("recall", 0.999), found, images=len(truth), model="m", chosen_on="clean")
    assert all_kept["recall"] < 0.999
    assert point.unreached
    assert point.clean["recall"] == all_kept["recall"]


def test_what_choosing_flatters_by_is_what_other_images_show():
    """Over many sets of few images, the cross-fitted F1 is what the chosen threshold gives on images like them."""
    fitted, real, here = [], [], []
    others, said_of_others = scenes(1000, images=600)
    unseen = matches(others, said_of_others, classes=("a", "b", "c"))
    for seed in range(40):
        truth, said = scenes(seed + 100)
        found = matches(truth, said, classes=("a", "b", "c"))
        point = choose(PointChoice(), found, images=len(truth), model="m", chosen_on="clean")
        here.append(point.clean["F1"])
        fitted.append(point.clean["F1"] - point.optimism["F1"])
        real.append(values_at(point.thresholds, unseen, 600)["F1"])
    flattered = np.mean(here) - np.mean(real)
    assert flattered > 0.005
    assert abs(np.mean(fitted) - np.mean(real)) < flattered


def test_a_threshold_is_written_in_few_digits_and_keeps_the_same():
    curve = Curve.of(np.array([0.9, 0.81, 0.80, 0.1]), np.array([True, False, True, True]), objects=4, images=1)
    for step in range(1, 5):
        threshold = curve.threshold(step)
        assert curve.at(threshold) == step
        assert len(f"{threshold:g}") <= 5
    assert curve.at(curve.threshold(0)) == 0


def test_every_metric_is_described():
    truth, said = scenes(4)
    point = OperatingPoint(model="m", by="threshold", thresholds=Thresholds(0.5), iou=0.5, fps=10)
    found = count(point, matches(truth, said, classes=("a", "b", "c")), Seen(np.arange(30), 30, 0))
    got = {value.name: value for value in measured(found, 30)}
    assert [name for name in got if "/" not in name] == [name for name in AT_POINT if name not in OVER_FRAMES]
    assert got["false_alarms_per_hour"].value == pytest.approx(got["fppi"].value * 36_000)
    assert not got["fppi"].higher_is_better
