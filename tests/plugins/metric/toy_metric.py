"""A metric of its own: how far the best detection's centre lies from the nearest true one, in pixels."""

from __future__ import annotations

import numpy as np

from auditor.tasks.anatomy.task import Metric


def per_image(truth, prediction, categories):
    """Return the distance of one image, and whether it has one."""
    if not len(truth.boxes) or not len(prediction.boxes):
        return (0.0, 0.0)
    centers = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
    best = prediction.boxes[int(np.argmax(prediction.scores))]
    return (float(np.linalg.norm(centers - (best[:2] + best[2:]) / 2, axis=1).min()), 1.0)


def reduce(statistics, weights):
    """Average (N, 2) statistics under (R, N) weights."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ statistics[:, 0]) / (weights @ statistics[:, 1])


METRIC = Metric(
    name="center_error",
    about="mean distance of the best detection's centre from the nearest true one, pixels",
    per_image=per_image,
    reduce=reduce,
    task="detection",
    higher_is_better=False,
)
