"""Classification: one score for each class of an image, judged by the share of images whose first class is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import Counted, Named, Seen, measured
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import of_share
from auditor.tasks.anatomy.task import Column, Evaluated, Framed, Judged, Task
from auditor.tasks.classification.accuracy import (
    ABOUT,
    FirstClasses,
    evaluate_classes,
    first_classes_of,
    mcnemar,
    resampled_top1,
    top1_of_orders,
)
from auditor.tasks.classification.first_marks import marked, said
from auditor.values import CellResult, ClassScores, ClassTruth, LevelTest, MetricValue, Ties

__all__ = ["TASK"]

_MCNEMAR = "McNemar_p"
_FLIPS = "flips"


@dataclasses.dataclass(frozen=True, eq=False)
class _Scores:
    """The scores (C,) of the model's classes, and the judged index of each."""

    scores: NDArray[np.float64]
    to_judged: NDArray[np.int64]


def _finish(decoded: ClassScores, framed: Framed) -> Mapping[str, NDArray[Any]]:  # noqa: ARG001
    return {"scores": decoded.scores}


def _to_scores(values: Mapping[str, NDArray[Any]], table: NDArray[np.int64], offset: int) -> tuple[_Scores, int]:
    scores = values["scores"]
    lines = np.arange(len(scores)) + offset
    inside = (lines >= 0) & (lines < len(table))
    return _Scores(scores, np.where(inside, table[np.clip(lines, 0, len(table) - 1)], -1)), 0


class _FirstClasses:
    """Of each image that is put in, what its metrics need of its scores: no more than a few numbers."""

    def __init__(self, predictions: Mapping[int, _Scores] | None = None) -> None:
        self._found: dict[int, FirstClasses] = {}
        for image_id, found in (predictions or {}).items():
            self[image_id] = found

    def __setitem__(self, image_id: int, found: _Scores) -> None:
        self._found[image_id] = first_classes_of(found.scores, found.to_judged)

    def of(self, images: Sequence[int]) -> list[FirstClasses]:
        """Those of some images."""
        return [self._found[image_id] for image_id in images]


def _restrict(found: ClassTruth, judged: Mapping[int, int]) -> ClassTruth:
    return ClassTruth(judged.get(found.label) if found.label is not None else None)


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """The first class (N,) of each image, which of them are right (None without truth), and which images these are."""

    first: NDArray[np.int32]
    correct: NDArray[np.bool_] | None
    seen: Seen | None


def _evaluate_alone(judged: Judged) -> Evaluated:
    """Keep the first class of every image: without truth nothing is right or wrong."""
    said: Any = judged.predictions
    first = (said if isinstance(said, _FirstClasses) else _FirstClasses(said)).of(list(judged.truth))
    name = next(iter(ABOUT))
    unknown = MetricValue(name, None, reason="the data set has no truth", images=len(first))
    return Evaluated((unknown,), {}, kept=_Kept(_ranked_first(first), None, judged.seen))


def _ranked_first(images: Sequence[FirstClasses]) -> NDArray[np.int32]:
    return np.array([image.ranked[0] for image in images], dtype=np.int32)


def _evaluate(judged: Judged) -> Evaluated:
    """Judge the scores of every image whose true class the model knows."""
    every = list(judged.truth)
    images = [image_id for image_id in every if judged.truth[image_id].label is not None]
    counts = {"images_of_classes_not_judged": len(every) - len(images)}
    if not images:
        return Evaluated((), {}, counts=counts, error="no image is of a class that the model knows")
    present = [position for position, image_id in enumerate(every) if judged.truth[image_id].label is not None]
    weights = judged.weights[:, present]
    said: Any = judged.predictions
    first_classes = (said if isinstance(said, _FirstClasses) else _FirstClasses(said)).of(images)
    labels = np.array([judged.truth[image_id].label for image_id in images])
    evaluation = evaluate_classes(first_classes, labels, judged.categories, weights)
    first, *others = evaluation.metrics
    samples = resampled_top1(evaluation.correct, weights)
    ties = None
    if judged.orders and first.value is not None:
        drawn = top1_of_orders(first_classes, labels)
        ties = Ties(len(drawn), min(first.value, *drawn), max(first.value, *drawn))
        samples = samples + np.resize(np.array(drawn) - first.value, len(samples))
    between = of_share(first.value, samples, images=len(images)) if first.value is not None else None
    return Evaluated(
        metrics=(dataclasses.replace(first, interval=between), *others),
        samples={next(iter(ABOUT)): samples},
        means={next(iter(ABOUT)): evaluation.correct.astype(np.float64)} if len(images) == len(every) else {},
        ties=ties,
        counts=counts,
        kept=_Kept(_ranked_first(first_classes), evaluation.correct, _of(judged.seen, present)),
        confused=evaluation.confused,
        images=len(images),
    )


def _of(seen: Seen | None, present: Sequence[int]) -> Seen | None:
    """Some of the images."""
    return None if seen is None else dataclasses.replace(seen, positions=seen.positions[list(present)])


def _compare(
    result: CellResult,
    mine: CellEvaluation,
    theirs: CellEvaluation,
    kind: str,
    against: str,  # noqa: ARG001
) -> CellResult:
    """On which share of images the first class is another than the reference's, and whether two levels are equally
    good, by McNemar's test."""
    here, there = mine.kept, theirs.kept
    if here is None or there is None:
        return result
    if kind == "clean" or (kind == "level" and result.is_clean):
        result = _with_flips(result, here, there)
    if kind != "level" or here.correct is None or there.correct is None or len(here.correct) != len(there.correct):
        return result
    right_here, right_there, p = mcnemar(here.correct, there.correct)
    return dataclasses.replace(
        result,
        counts={**result.counts, "right_here_only": right_here, "right_in_float32_only": right_there},
        level_test=LevelTest(right_here, right_there, p),
        metrics={**result.metrics, _MCNEMAR: MetricValue(_MCNEMAR, p, images=len(here.correct))},
    )


def _with_flips(result: CellResult, here: _Kept, there: _Kept) -> CellResult:
    if here.seen is None or there.seen is None or not here.seen.is_same(there.seen):
        return result
    changed = (here.first != there.first).astype(np.float32)
    named = [Named(_FLIPS, "there is no image", higher_is_better=False)]
    entries = np.arange(len(changed)), np.zeros(len(changed), dtype=np.int64), changed
    counted = Counted.of(here.seen, named, _Share(len(changed)), columns=1, entries=entries)
    (value,) = measured(counted, len(changed))
    return dataclasses.replace(result, metrics={**result.metrics, _FLIPS: value})


@dataclasses.dataclass(frozen=True)
class _Share:
    """Sums over images as a share of these: a resample has as many as there are."""

    images: int

    def __call__(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums / self.images


TASK = Task(
    name="classification",
    about="one score for each class of an image",
    truths=("classification",),
    columns={"scores": Column("float64", 0, "of all the model's classes, in its own order")},
    metrics=ABOUT,
    primary=next(iter(ABOUT)),
    finish=_finish,
    to_prediction=_to_scores,
    restrict=_restrict,
    evaluate=_evaluate,
    gathers=_FirstClasses,
    compare=_compare,
    evaluate_alone=_evaluate_alone,
    needs_truth=(_MCNEMAR,),
    without_interval=(_MCNEMAR, next(reversed(ABOUT))),
    beside_clean=(_FLIPS,),
    compared_metrics={
        _FLIPS: "share of images whose first class is another than the reference's",
        _MCNEMAR: "exact two-sided p of McNemar's test against float32, 0 to 1",
    },
    per_class=(next(iter(ABOUT)),),
    bounds=(0.0, 1.0),
    moved=lambda truth, *_: truth,
    marked=marked,
    said=said,
    decided_by=(next(iter(ABOUT)),),
    calibration=next(reversed(ABOUT)),
    things="images",
    evaluation_ms=0.05,
)
