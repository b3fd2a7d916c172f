"""A cell beside another: what became of the objects that the other finds, and which detections both have."""

from __future__ import annotations

import dataclasses

import numpy as np

from auditor.evaluate.evaluated import CellEvaluation
from auditor.tasks.detection.alone import KeptDetections, flips_alone
from auditor.tasks.detection.flips import FLIPS, flips
from auditor.tasks.detection.parity import SCORE, compare_detections
from auditor.values import Agreement, CellResult, MetricValue

__all__ = ["FLIPS", "MATCHED", "compare"]

MATCHED = {"delegate": "parity_matched", "level": "level_matched"}
"""The share of detections that two delegates, or two levels, have in common."""


def compare(result: CellResult, mine: CellEvaluation, theirs: CellEvaluation, kind: str, against: str) -> CellResult:
    """Add what became of the objects that the reference finds, clean or of the first level, and by how much their
    scores differ; and of delegates and levels the share of detections that both have, and where they differ most, image
    by image."""
    if kind == "clean" or (kind == "level" and result.is_clean):
        result = _with_flips(result, mine, theirs, kind)
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


def _with_flips(result: CellResult, mine: CellEvaluation, theirs: CellEvaluation, kind: str) -> CellResult:
    """Add flips, and the median difference of the scores of objects that both cells find, where both are of the same
    objects."""
    here, there = mine.kept, theirs.kept
    if isinstance(here, KeptDetections) and isinstance(there, KeptDetections):
        same = (
            mine.counted is not None and theirs.counted is not None and mine.counted.seen.is_same(theirs.counted.seen)
        )
        values = flips_alone(here, there, mine.counted.seen) if same and mine.counted is not None else []
        return dataclasses.replace(result, metrics={**result.metrics, **{value.name: value for value in values}})
    if here is None or there is None or mine.counted is None or theirs.counted is None or result.moved is None:
        return result
    if not mine.counted.seen.is_same(theirs.counted.seen) or len(here.state) != len(there.state):
        return result
    metrics = {value.name: value for value in flips(here, there, mine.counted.seen)}
    differences = here.score.astype(np.float64) - there.score
    both = differences[np.isfinite(differences)]
    shift = float(np.median(both)) if len(both) else None
    moved = dataclasses.replace(result.moved, score_shift=shift)
    if kind == "level":
        moved = dataclasses.replace(result.moved, score_shift_of_level=shift)
    return dataclasses.replace(result, moved=moved, metrics={**result.metrics, **metrics})
