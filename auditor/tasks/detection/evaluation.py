"""Judge the detections of one cell: COCO's metrics, AP on every resample, and the counts that the report shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.evaluate.counted import measured
from auditor.tasks.anatomy.task import Evaluated, Judged
from auditor.tasks.detection.coco_ap import NAMES, NOTHING_COUNTS, evaluate_parts, match_parts
from auditor.tasks.detection.coco_truth import CocoTruth, prepare_truth
from auditor.tasks.detection.columns import Columns, in_parts
from auditor.tasks.detection.error_types import error_types
from auditor.tasks.detection.held import hold
from auditor.tasks.detection.point_matches import PointMatches
from auditor.tasks.detection.resampling import ClassMatches, ResampledAP, resampled_ap
from auditor.tasks.detection.tied_ap import TiedAP
from auditor.tasks.detection.ties import ORDERS
from auditor.values import MetricValue, Ties, iou_metric

__all__ = ["evaluate"]

_SAME = 1e-9
"""How far hotcoco's AP may be from pycocotools', which is that of record."""


def evaluate(judged: Judged) -> Evaluated:
    """Evaluate the detections of all images by pycocotools, and AP on each resample."""
    known = judged.prepared or prepare_truth(judged.truth, judged.categories, judged.evaluation)
    if judged.screens:
        return _screened(judged, known)
    tied = TiedAP(known)
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
    held = hold(judged, at_point)
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
        errors=error_types(known, judged) if judged.orders else None,
        kept=held.objects,
    )


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
