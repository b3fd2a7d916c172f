"""Judge the detections of one cell: COCO's metrics, AP on every resample, and the counts that the report shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.evaluate.counted import Counted, measured
from auditor.evaluate.evaluated import CellEvaluation
from auditor.tasks.anatomy.task import Evaluated, Judged
from auditor.tasks.detection.at_point import count, moved
from auditor.tasks.detection.coco_ap import NAMES, NOTHING_COUNTS, evaluate_parts, match_parts
from auditor.tasks.detection.coco_truth import CocoTruth, prepare_truth
from auditor.tasks.detection.columns import Columns, in_parts
from auditor.tasks.detection.parity import SCORE, compare_detections
from auditor.tasks.detection.point_choice import choose
from auditor.tasks.detection.point_matches import PointMatches
from auditor.tasks.detection.resampling import ClassMatches, ResampledAP, resampled_ap
from auditor.tasks.detection.tied_ap import TiedAP
from auditor.tasks.detection.ties import ORDERS
from auditor.values import (
    Agreement,
    CellResult,
    MetricValue,
    Moved,
    OperatingPoint,
    PointChoice,
    Ties,
    iou_metric,
)

__all__ = ["MATCHED", "compare", "evaluate"]

MATCHED = {"delegate": "parity_matched", "level": "level_matched"}
"""The share of detections that two delegates, or two levels, have in common."""
_SAME = 1e-9
"""How far hotcoco's AP may be from pycocotools', which is that of record."""


def evaluate(judged: Judged) -> Evaluated:
    """Evaluate the detections of all images by pycocotools, and AP on each resample."""
    known = judged.prepared or prepare_truth(judged.truth, judged.categories, judged.evaluation)
    if judged.screens:
        return _screened(judged, known)
    tied = TiedAP(judged.truth, len(judged.categories))
    resampled = ResampledAP(judged.weights)
    at_iou = {iou_metric(iou): ResampledAP(judged.weights) for iou in judged.evaluation.iou}

    at_point: list[PointMatches] = []

    def took(found: ClassMatches, further: Mapping[float, ClassMatches], mine: PointMatches) -> None:
        resampled.add(found)
        at_point.append(mine)
        for iou, other in further.items():
            at_iou[iou_metric(iou)].add(other)

    detections = 0

    def parts() -> Iterator[Columns]:
        nonlocal detections
        for part in _parts(judged, known):
            detections += len(part.found)
            if judged.orders:
                tied.add(part)
            yield part

    first, *others = evaluate_parts(known, parts(), judged.evaluation, took).metrics()
    further = {name: found.values for name, found in at_iou.items()}
    others = [
        dataclasses.replace(metric, interval=interval(further[metric.name])) if metric.name in further else metric
        for metric in others
    ]
    samples, ties = resampled.values, None
    if judged.orders and first.value is not None:
        ties, apart = _ties(tied, first.value)
        samples = samples + np.resize(apart, len(samples))
    held = _held(judged, at_point)
    at_held = measured(held.counted, len(judged.truth)) if held.counted is not None else []
    return Evaluated(
        metrics=(dataclasses.replace(first, interval=interval(samples)), *others, *at_held),
        samples={NAMES[0]: samples, **further},
        counts={
            "dropped_predictions": judged.dropped,
            "detections": detections,
            "truth_boxes": sum(len(found.labels) for found in judged.truth.values()),
            "images_without_truth": sum(len(found.labels) == 0 for found in judged.truth.values()),
        },
        ties=ties,
        counted=held.counted,
        point=held.point,
        moved=held.moved,
        kept=np.concatenate([np.zeros(0, dtype=np.float32), *(found.found for found in at_point)]),
    )


@dataclass(frozen=True, eq=False)
class _Held:
    """The operating point, and what a cell is there."""

    point: OperatingPoint | None = None
    counted: Counted | None = None
    moved: Moved | None = None


def _held(judged: Judged, found: Sequence[PointMatches]) -> _Held:
    """Hold a cell at its operating point, which is chosen on it where it is not there yet."""
    point, cell, images = judged.point, judged.cell, len(judged.truth)
    if point is None or judged.seen is None or cell is None:
        return _Held()
    if isinstance(point, PointChoice):
        point = choose(point, found, images=images, model=cell.model, chosen_on=str(cell))
    mine = point.at(cell.quantization)
    return _Held(point, count(mine, found, judged.seen), moved(mine, found, images))


def _parts(judged: Judged, known: CocoTruth) -> Iterator[Columns]:
    return in_parts(judged.predictions, judged.again, np.argsort(known.place).tolist())


def _screened(judged: Judged, known: CocoTruth) -> Evaluated:
    """AP alone, from the same matching: what only screens is told by nothing else."""
    everything = np.ones((1, judged.weights.shape[1]), dtype=judged.weights.dtype)
    weights = np.concatenate([everything, judged.weights])
    (value, *samples) = resampled_ap(match_parts(known, _parts(judged, known)), weights)
    name, images = NAMES[0], len(judged.truth)
    if not np.isfinite(value):
        return Evaluated((MetricValue(name, None, reason=NOTHING_COUNTS, images=images),), {})
    drawn = np.array(samples)
    return Evaluated((MetricValue(name, float(value), interval=interval(drawn), images=images),), {name: drawn})


def _ties(tied: TiedAP, value: float) -> tuple[Ties, NDArray[np.float64]]:
    """What other orders of equal scores give, and by how much each differs: a part of what AP is uncertain by."""
    nothing = np.zeros(1)
    if not tied.tied:
        return Ties(0, value, value), nothing
    ranked, others = tied.values
    if abs(ranked - value) > _SAME:
        reason = f"hotcoco's AP is {ranked:.6f} where pycocotools' is {value:.6f}"
        return Ties(ORDERS, None, None, reason), nothing
    return Ties(ORDERS, min(value, float(others.min())), max(value, float(others.max()))), others - value


def compare(result: CellResult, mine: CellEvaluation, theirs: CellEvaluation, kind: str, against: str) -> CellResult:
    """Add by how much the scores of objects differ that both find; and of delegates and levels the share of detections
    that both have, and where they differ most, image by image."""
    result = _shifted(result, mine, theirs, kind)
    if kind == "clean" or mine.said is None or theirs.said is None:
        return result
    found = compare_detections(mine.said, theirs.said)
    name = MATCHED[kind]
    reason = None if found.matched is not None else f"neither has a detection of score {SCORE}"
    metric = MetricValue(name, found.matched, reason=reason, images=result.images)
    agreement = Agreement(against, found.score, found.corner_px, found.image, found.matched)
    metrics = {**result.metrics, name: metric}
    if kind == "delegate":
        return dataclasses.replace(result, metrics=metrics, parity=agreement)
    return dataclasses.replace(result, metrics=metrics, level_parity=agreement)


def _shifted(result: CellResult, mine: CellEvaluation, theirs: CellEvaluation, kind: str) -> CellResult:
    """Add the median difference of the scores of objects that both cells find, where both are of the same images."""
    same = mine.counted is not None and theirs.counted is not None and mine.counted.seen.is_same(theirs.counted.seen)
    if kind == "delegate" or result.moved is None or not same:
        return result
    differences = mine.kept.astype(np.float64) - theirs.kept
    both = differences[np.isfinite(differences)]
    if not len(both):
        return result
    shift = float(np.median(both))
    if kind == "clean":
        return dataclasses.replace(result, moved=dataclasses.replace(result.moved, score_shift=shift))
    return dataclasses.replace(result, moved=dataclasses.replace(result.moved, score_shift_of_level=shift))
