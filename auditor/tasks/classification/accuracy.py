"""Classification metrics of one cell: accuracy, calibration error, and which classes are taken for which."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import drawn_sums
from auditor.evaluate.intervals import of_share
from auditor.values import Confusion, MetricValue

__all__ = [
    "ABOUT",
    "ClassificationEvaluation",
    "FirstClasses",
    "evaluate_classes",
    "expected_calibration_error",
    "first_classes_of",
    "mcnemar",
    "per_class_top1",
    "resampled_top1",
    "top1_of_orders",
]

ABOUT = {
    "top1": "share of images whose first class is the true one",
    "top5": "share of images whose true class is among the first five",
    "ECE": "expected calibration error over 15 bins",
}
"""The metrics, the primary one first."""

_BINS = 15
_ORDERS = 20
_FIRST = 5
_MOST_CONFUSED = 10


@dataclass(frozen=True, eq=False)
class ClassificationEvaluation:
    """The metrics of N images, `correct` (N,) whether each image's first class is the true one, `confused` the pairs of
    classes that are most often taken for each other."""

    metrics: tuple[MetricValue, ...]
    correct: NDArray[np.bool_]
    confused: tuple[Confusion, ...]


class FirstClasses(NamedTuple):
    """What the metrics need of an image's C scores: the judged classes (-1: not judged) of its first five by descending
    score, the highest score, and the judged classes of all that have it."""

    ranked: NDArray[np.int32]
    confidence: float
    highest: NDArray[np.int32]
    classes: int


def first_classes_of(scores: NDArray[np.float64], to_judged: NDArray[np.int64]) -> FirstClasses:
    """Rank the `scores` (C,) of an image; `to_judged` (C,) maps the model's classes to judged ones, -1 where a class is
    not judged, and then it is never right."""
    ranked = np.argsort(-scores, kind="stable")[:_FIRST]
    highest = to_judged[scores == scores[ranked[0]]]
    return FirstClasses(
        to_judged[ranked].astype(np.int32), float(scores[ranked[0]]), highest.astype(np.int32), len(scores)
    )


def evaluate_classes(
    images: Sequence[FirstClasses],
    truth: NDArray[np.int64],
    judged: Sequence[str],
    weights: NDArray[np.integer[Any]],
) -> ClassificationEvaluation:
    """Evaluate the first classes of N images against `truth` (N,), indices of `judged`; `weights` (R, N) are the
    resamples.

    top1 and top5 are shares of images; top5 is None for a model of five classes or fewer. ECE is the expected
    calibration error over 15 bins of equal width: the mean over images of |accuracy - confidence| of each image's bin.
    Source: Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """
    predicted = np.stack([image.ranked for image in images])
    correct = predicted[:, 0] == truth
    count, classes_of_model = len(truth), images[0].classes
    top1 = _share("top1", correct, weights)
    if classes_of_model > _FIRST:
        within = (predicted == truth[:, np.newaxis]).any(axis=1)
        top5 = _share("top5", within, weights)
    else:
        top5 = MetricValue("top5", None, reason=f"the model has {classes_of_model} classes", images=count)
    confidence = np.array([image.confidence for image in images])
    ece = MetricValue("ECE", expected_calibration_error(confidence, correct), higher_is_better=False, images=count)
    classes = []
    for index, name in enumerate(judged):
        mine = truth == index
        if mine.any():
            classes.append(MetricValue(per_class_top1(name), float(correct[mine].mean()), images=int(mine.sum())))
        else:
            classes.append(MetricValue(per_class_top1(name), None, reason="no image of this class"))
    wrong = Counter((int(t), int(p)) for t, p in zip(truth[~correct], predicted[~correct, 0], strict=True))
    confused = tuple(
        Confusion(judged[t], judged[p] if p >= 0 else "a class that is not judged", images)
        for (t, p), images in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CONFUSED]
    )
    return ClassificationEvaluation((top1, top5, ece, *classes), correct, confused)


def top1_of_orders(images: Sequence[FirstClasses], truth: NDArray[np.int64]) -> list[float]:
    """top1 with equal highest scores in 20 random orders, the first being taken; as it is, once, where none tie."""
    correct = np.array([image.ranked[0] == label for image, label in zip(images, truth.tolist(), strict=True)])
    tied = [position for position, image in enumerate(images) if len(image.highest) > 1]
    if not tied:
        return [float(correct.mean())]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_ORDERS):
        for position in tied:
            correct[position] = rng.choice(images[position].highest) == truth[position]
        drawn.append(float(correct.mean()))
    return drawn


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of (N,) confidences in [0, 1], bins being (0, 1/15], … (14/15, 1].

    >>> round(expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])), 3)
    0.4
    """
    bins = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, weights=correct.astype(np.float64) - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Compare two classifiers on the same images: how many only `first` has right, how many only `second`, and the
    exact two-sided p-value that both are equally good.

    Source: McNemar 1947, https://doi.org/10.1007/BF02295996, with the binomial distribution in place of its chi-square.

    >>> mcnemar(np.array([True] * 6), np.array([False] * 6))
    (6, 0, 0.03125)
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count = only_first + only_second
    tail = sum(math.comb(count, k) for k in range(min(only_first, only_second) + 1))
    return only_first, only_second, min(1.0, 2 * tail / 2**count)


def per_class_top1(category: str) -> str:
    """Name the accuracy of one class.

    >>> per_class_top1("cat")
    'top1/cat'
    """
    return f"top1/{category}"


def resampled_top1(correct: NDArray[np.bool_], weights: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The share of right images of each resample: (R,)."""
    return _shares(correct, weights)


def _shares(right: NDArray[np.bool_], weights: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(drawn_sums(weights, right.astype(np.int64)) / weights.sum(axis=1))


def _share(name: str, right: NDArray[np.bool_], weights: NDArray[np.integer[Any]]) -> MetricValue:
    value, count = float(right.mean()), len(right)
    return MetricValue(name, value, interval=of_share(value, _shares(right, weights), images=count), images=count)
