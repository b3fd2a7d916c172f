"""What evaluating a cell costs beside plain pycocotools: 79 images, 7,300 detections. Ratios in one run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from collections.abc import Callable

import numpy as np
from reference.test_coco_ap import documents, plain_evaluation

from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.counted import Seen, paired
from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.evaluation import evaluate
from auditor.tasks.detection.resampling import resampled_ap
from auditor.values import Cell, Detections, Evaluation, GroundTruth, PointChoice

CLASSES = tuple(f"class {index:02d}" for index in range(80))


def like_coco(images: int = 79, found: int = 92):
    """Truth and predictions as a small detector gives on COCO: 7 objects an image, `found` detections."""
    rng = np.random.default_rng(0)
    truth, predictions = {}, {}
    for image in range(1, images + 1):
        low = rng.uniform(0, 400, (7, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 250, (7, 2))], axis=1)
        labels = np.minimum(rng.geometric(0.05, 7) - 1, 79)
        truth[image] = GroundTruth(boxes, labels, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), rng.random(7) < 0.02)
        near = rng.integers(0, 7, found // 2)
        seen = np.concatenate(
            [boxes[near] + rng.normal(0, 15, (len(near), 4)), rng.uniform(0, 500, (found - len(near), 4))]
        )
        seen = np.concatenate([np.minimum(seen[:, :2], seen[:, 2:]), np.maximum(seen[:, :2], seen[:, 2:])], axis=1)
        names = np.concatenate([labels[near], rng.integers(0, 80, found - len(near))])
        scores = np.sort(rng.random(found) ** 3)[::-1]
        predictions[image] = Detections(seen, scores.copy(), names)
    return truth, predictions


def least(work: Callable[[], object], rounds: int = 3) -> float:
    spent = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return min(spent)


def test_evaluating_beside_plain_pycocotools(benchmark):
    truth, predictions = like_coco()
    prepared = prepare_truth(truth, CLASSES, Evaluation())
    document, results = documents(truth, predictions, CLASSES)
    with contextlib.redirect_stdout(io.StringIO()):
        plain = least(lambda: plain_evaluation(document, results))
    ours = benchmark.pedantic(
        lambda: least(lambda: evaluate_coco(truth, predictions, CLASSES, prepared=prepared)), rounds=1
    )
    found = evaluate_coco(truth, predictions, CLASSES, prepared=prepared)
    weights = draw_weights(len(truth), seed=0)
    resampled = least(lambda: resampled_ap(found.matches, weights))
    print(f"\nplain pycocotools {plain:.3f} s, ours {ours:.3f} s: {ours / plain:.3f} of it; goal 0.25 / 0.95 = 0.263")
    print(f"1,000 resamples {resampled:.3f} s: {resampled / plain:.3f} of plain pycocotools")
    benchmark.extra_info["ratio"] = ours / plain


def test_all_that_is_said_beside_ap(benchmark, monkeypatch):
    """What else a cell of a scenario is told costs at most a fifth of its evaluation: matching, AP, its resamples and
    other orders of its ties."""
    truth, predictions = like_coco()
    seen = Seen(np.arange(len(truth)), len(truth), 0)
    prepared = prepare_truth(truth, CLASSES, Evaluation())
    clean, dark = (
        Cell("m", "m", "float32", "xnnpack", name, severity) for name, severity in (("clean", 0), ("x/y", 3))
    )
    plain = Judged(CLASSES, truth, predictions, seen.weights, orders=True, prepared=prepared, cell=dark, seen=seen)
    choosing = dataclasses.replace(plain, cell=clean, point=PointChoice())
    chosen = evaluate(choosing)
    held = dataclasses.replace(plain, point=chosen.point)
    more = benchmark.pedantic(lambda: least(lambda: evaluate(held), rounds=5), rounds=1)
    once = least(lambda: evaluate(choosing), rounds=5)
    monkeypatch.setattr("auditor.tasks.detection.evaluation.error_types", lambda *_: None)
    alone = least(lambda: evaluate(plain), rounds=5)
    counted = chosen.counted
    assert counted is not None
    comparing = least(
        lambda: paired(counted.forgotten(), counted.forgotten(), against="clean", images=79, of_classes=True)
    )
    print(f"\nAP alone {alone:.3f} s, all that is said {more:.3f} s: {more / alone - 1:+.1%}; goal +20 %")
    print(f"once a family, choosing: {once / alone - 1:+.1%}; comparing two cells {comparing / alone:.1%}")
    benchmark.extra_info["ratio"] = more / alone
