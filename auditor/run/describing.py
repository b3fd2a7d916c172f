"""Describe the data of a run: evaluation and calibration images, truth, and how large its boxes are for each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.datasets.dataset import Dataset
from auditor.datasets.describe import IMAGE_FACTS, describe_images, describe_truth, sample_of
from auditor.executors import Executor
from auditor.models.contract import geometry_of
from auditor.plan import Plan
from auditor.values import ImageRecord, ModelSpec

__all__ = ["describe_data", "sides_at_input"]

_CHUNK = 25


def describe_data(plan: Plan, runner: Executor) -> dict[str, dict[str, Any]]:
    """Describe each data set (`datasets`), and the calibration images of each model (`calibration`), on a sample of
    images."""
    sets = {("datasets", name): dataset.images for name, dataset in plan.datasets.items()}
    sets |= {("calibration", name): images for name, images in plan.calibration.items()}
    described: dict[str, dict[str, Any]] = {"datasets": {}, "calibration": {}}
    for (kind, name), images in sets.items():
        described[kind][name] = {"facts": _facts(images, runner)}
    for name, dataset in plan.datasets.items():
        described["datasets"][name] |= describe_truth(dataset)
    return described


def sides_at_input(dataset: Dataset, spec: ModelSpec) -> list[float]:
    """How large the true boxes are in the model's input: the square root of each area, in pixels of the input."""
    sides: list[float] = []
    for image in dataset.images:
        boxes = dataset.truth[image.id].boxes
        if image.size is None or not len(boxes) or dataset.task == "classification":
            continue
        scale = geometry_of(image.size, spec.input).scale
        areas = (boxes[:, 2] - boxes[:, 0]) * scale[0] * (boxes[:, 3] - boxes[:, 1]) * scale[1]
        sides += np.sqrt(areas).tolist()
    return sides


def _facts(images: Sequence[ImageRecord], runner: Executor) -> dict[str, list[float]]:
    chosen = sample_of(images)
    chunks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
    found: dict[int, dict[str, list[float]]] = {}
    for outcome in runner.map(describe_images, chunks):
        if outcome.error is None:
            found[outcome.item[0].id] = outcome.result
    parts = [found[chunk[0].id] for chunk in chunks if chunk[0].id in found]
    return {name: [value for part in parts for value in part[name]] for name in IMAGE_FACTS}
