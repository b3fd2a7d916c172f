"""Judge the detections of one cell: COCO's metrics, AP on every resample, and the counts that the report shows."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.bootstrap import interval
from auditor.tasks.anatomy.task import Evaluated, Judged
from auditor.tasks.detection.coco_ap import NAMES, NOTHING_COUNTS, evaluate_coco, match_all_sizes
from auditor.tasks.detection.parity import SCORE, compare_detections
from auditor.tasks.detection.resampling import resampled_ap
from auditor.tasks.detection.ties import ORDERS, ap_of_orders, has_ties
from auditor.values import Agreement, CellResult, Detections, MetricValue, Ties, iou_metric

__all__ = ["MATCHED", "compare", "evaluate"]

MATCHED = {"delegate": "parity_matched", "level": "level_matched"}
"""The share of detections that two delegates, or two levels, have in common."""
_SAME = 1e-9
"""How far hotcoco's AP may be from pycocotools', which is that of record."""


def evaluate(judged: Judged) -> Evaluated:
    """Evaluate the detections of all images by pycocotools, and AP on each resample."""
    if judged.screens:
        return _screened(judged)
    evaluation = evaluate_coco(judged.truth, judged.predictions, judged.categories, judged.evaluation, judged.prepared)
    first, *others = evaluation.metrics()
    at_iou = {iou_metric(iou): resampled_ap(found, judged.weights) for iou, found in evaluation.at_iou.items()}
    others = [
        dataclasses.replace(metric, interval=interval(at_iou[metric.name])) if metric.name in at_iou else metric
        for metric in others
    ]
    samples = resampled_ap(evaluation.matches, judged.weights)
    ties = None
    if judged.orders and first.value is not None:
        ties, apart = _ties(judged, first.value)
        samples = samples + np.resize(apart, len(samples))
    return Evaluated(
        metrics=(dataclasses.replace(first, interval=interval(samples)), *others),
        samples={NAMES[0]: samples, **at_iou},
        counts={
            "dropped_predictions": judged.dropped,
            "detections": sum(len(found.scores) for found in judged.predictions.values()),
            "truth_boxes": sum(len(found.labels) for found in judged.truth.values()),
            "images_without_truth": sum(len(found.labels) == 0 for found in judged.truth.values()),
        },
        kept=dict(judged.predictions) if judged.keep else None,
        ties=ties,
    )


def _screened(judged: Judged) -> Evaluated:
    """AP alone, from the same matching: what only screens is told by nothing else."""
    matches = match_all_sizes(judged.truth, judged.predictions, judged.categories, judged.prepared)
    everything = np.ones((1, judged.weights.shape[1]), dtype=np.int64)
    (value, *samples) = resampled_ap(matches, np.concatenate([everything, judged.weights]))
    name, images = NAMES[0], len(judged.truth)
    if not np.isfinite(value):
        return Evaluated((MetricValue(name, None, reason=NOTHING_COUNTS, images=images),), {})
    drawn = np.array(samples)
    return Evaluated((MetricValue(name, float(value), interval=interval(drawn), images=images),), {name: drawn})


def _ties(judged: Judged, value: float) -> tuple[Ties, NDArray[np.float64]]:
    """What other orders of equal scores give, and by how much each differs: a part of what AP is uncertain by."""
    nothing = np.zeros(1)
    if not has_ties(judged.predictions):
        return Ties(0, value, value), nothing
    ranked, others = ap_of_orders(judged.truth, judged.predictions, len(judged.categories))
    if abs(ranked - value) > _SAME:
        reason = f"hotcoco's AP is {ranked:.6f} where pycocotools' is {value:.6f}"
        return Ties(ORDERS, None, None, reason), nothing
    return Ties(ORDERS, min(value, float(others.min())), max(value, float(others.max()))), others - value


def compare(
    result: CellResult, mine: dict[int, Detections], theirs: dict[int, Detections], kind: str, against: str
) -> CellResult:
    """Add the share of detections that both have, and where they differ most."""
    found = compare_detections(mine, theirs)
    name = MATCHED[kind]
    reason = None if found.matched is not None else f"neither has a detection of score {SCORE}"
    metric = MetricValue(name, found.matched, reason=reason, images=result.images)
    agreement = Agreement(against, found.score, found.corner_px, found.image, found.matched)
    metrics = {**result.metrics, name: metric}
    if kind == "delegate":
        return dataclasses.replace(result, metrics=metrics, parity=agreement)
    return dataclasses.replace(result, metrics=metrics, level_parity=agreement)
