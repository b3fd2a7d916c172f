"""Judge the detections of one cell: COCO's metrics, AP on every resample, and the counts that the report shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import measured
from auditor.tasks.anatomy.task import Evaluated, Judged
from auditor.tasks.detection.coco_ap import NAMES, NOTHING_COUNTS, Matched, evaluate_parts, match_parts
from auditor.tasks.detection.coco_truth import CocoTruth, prepare_truth
from auditor.tasks.detection.columns import Columns, in_parts
from auditor.tasks.detection.error_types import error_types
from auditor.tasks.detection.held import hold
from auditor.tasks.detection.point_matches import PointMatches
from auditor.tasks.detection.resampled_cell import Resamples
from auditor.tasks.detection.resampling import ResampledAP
from auditor.tasks.detection.tied_ap import TiedAP
from auditor.tasks.detection.ties import ORDERS
from auditor.values import MetricValue, Ties

__all__ = ["evaluate"]

_SAME = 1e-9
"""How far hotcoco's AP may be from pycocotools', which is that of record."""


def evaluate(judged: Judged) -> Evaluated:
    """Evaluate the detections of all images by pycocotools, and AP on each resample."""
    known = judged.prepared or prepare_truth(judged.truth, judged.categories, judged.evaluation)
    if judged.screens:
        return _screened(judged, known)
    is_clean = judged.cell is None or judged.cell.is_clean
    tied, resamples, images = TiedAP(known), Resamples(judged.weights, sizes=is_clean), len(judged.truth)
    at_point: list[PointMatches] = []

    def took(found: Matched) -> None:
        resamples.take(found)
        at_point.append(found.at_point)

    detections = 0

    def parts() -> Iterator[Columns]:
        nonlocal detections
        for part in _parts(judged, known):
            detections += len(part.found)
            if judged.orders:
                tied.add(part)
            yield part

    first, *others = evaluate_parts(known, parts(), judged.evaluation, took).metrics()
    ties = None
    if judged.orders and first.value is not None:
        ties, apart = _ties(tied, first.value)
        resamples.spread(apart)
    held = hold(judged, at_point)
    at_held = measured(held.counted, images) if held.counted is not None else []
    intervals = resamples.intervals(judged.independent)
    metrics = [dataclasses.replace(metric, interval=intervals.get(metric.name)) for metric in (first, *others)]
    return Evaluated(
        metrics=(*metrics, *at_held),
        samples=resamples.samples,
        fixed=resamples.fixed,
        stored=resamples.stored,
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
    resampled, name, images = ResampledAP(judged.weights), NAMES[0], len(judged.truth)
    for found in match_parts(known, _parts(judged, known)):
        resampled.add(found)
    drawn = resampled.of()
    if not np.isfinite(drawn.value):
        return Evaluated((MetricValue(name, None, reason=NOTHING_COUNTS, images=images),), {})
    metric = MetricValue(name, drawn.value, interval=drawn.interval(judged.independent), images=images)
    return Evaluated((metric,), {name: drawn.values}, fixed={name: drawn.fixed})


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
