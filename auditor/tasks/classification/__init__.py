"""Classification: one score for each class of an image, judged by the share of images whose first class is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.evaluate.evaluated import CellEvaluation
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
from auditor.values import CellResult, ClassScores, ClassTruth, LevelTest, MetricValue, Ties

__all__ = ["TASK"]

_MCNEMAR = "McNemar_p"


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
    return Evaluated(
        metrics=(dataclasses.replace(first, interval=interval(samples)), *others),
        samples={next(iter(ABOUT)): samples},
        means={next(iter(ABOUT)): evaluation.correct.astype(np.float64)} if len(images) == len(every) else {},
        ties=ties,
        counts=counts,
        kept=evaluation.correct,
        confused=evaluation.confused,
        images=len(images),
    )


def _compare(
    result: CellResult,
    mine: CellEvaluation,
    theirs: CellEvaluation,
    kind: str,
    against: str,  # noqa: ARG001
) -> CellResult:
    """Whether two levels are equally good, by McNemar's test."""
    if kind != "level" or mine.kept is None or theirs.kept is None or len(mine.kept) != len(theirs.kept):
        return result
    here, there, p = mcnemar(mine.kept, theirs.kept)
    return dataclasses.replace(
        result,
        counts={**result.counts, "right_here_only": here, "right_in_float32_only": there},
        level_test=LevelTest(here, there, p),
        metrics={**result.metrics, _MCNEMAR: MetricValue(_MCNEMAR, p, images=len(mine.kept))},
    )


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
    compared_metrics={_MCNEMAR: "exact two-sided p of McNemar's test against float32, 0 to 1"},
    per_class=(next(iter(ABOUT)),),
    bounds=(0.0, 1.0),
    calibration=next(reversed(ABOUT)),
    things="images",
    evaluation_ms=0.05,
)
