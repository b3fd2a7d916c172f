"""What images look like and what is wrong with a truth, in numbers: for judging whether data resembles its purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.datasets.dataset import Dataset
from auditor.datasets.image_files import read_record
from auditor.errors import DataError
from auditor.values import GroundTruth, ImageRecord

__all__ = ["IMAGE_FACTS", "SAMPLE", "describe_images", "describe_truth", "sample_of"]

SAMPLE = 200
"""Images that are looked at, spread evenly over a larger set."""
IMAGE_FACTS = ("shorter_side_px", "brightness", "contrast", "sharpness")

_BEYOND_PX = 1.0
_SHARPNESS_SIDE = 512
_MANY, _CORNER = 20, 0.67
"""This many boxes that all end within this part of both sides are no chance."""


def sample_of(images: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Choose at most `SAMPLE` images, evenly spread over `images`."""
    steps: Any = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)) if images else []
    return [images[step] for step in steps]


def describe_images(images: Sequence[ImageRecord]) -> dict[str, list[float]]:
    """Measure images that can be read: the shorter side in pixels, brightness and contrast (mean and standard deviation
    of luma, 0 to 1) and sharpness (variance of the Laplacian of luma in 8-bit units, the longer side at most 512
    pixels).

    Source of the last: Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548.
    """
    facts: dict[str, list[float]] = {name: [] for name in IMAGE_FACTS}
    for record in images:
        try:
            image = read_record(record)
        except DataError:
            continue  # counted when it is measured
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        ratio = _SHARPNESS_SIDE / max(luma.shape)
        small = cv2.resize(luma, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) if ratio < 1 else luma
        values = (min(luma.shape), luma.mean() / 255, luma.std() / 255, cv2.Laplacian(small, cv2.CV_64F).var())
        for name, value in zip(IMAGE_FACTS, values, strict=True):
            facts[name].append(round(float(value), 4))
    return facts


def describe_truth(dataset: Dataset) -> dict[str, Any]:
    """Count instances by category, images that stand twice (by content), boxes that stand twice, boxes that reach
    outside of their image by more than a pixel, and all boxes where every one lies in one corner."""
    contents = Counter(image.sha256 for image in dataset.images if image.sha256)
    instances: Counter[int] = Counter()
    twice = outside = 0
    reached: list[NDArray[np.float64]] = []
    for image in dataset.images:
        found = dataset.truth[image.id]
        instances.update(found.labels.tolist())
        if not isinstance(found, GroundTruth):
            continue
        keys = Counter(
            (label, *box) for label, box in zip(found.labels.tolist(), found.boxes.round(3).tolist(), strict=True)
        )
        twice += sum(count - 1 for count in keys.values())
        if image.size is not None and len(found.boxes):
            limit = np.array([*image.size, *image.size]) + _BEYOND_PX
            outside += int(((found.boxes < -_BEYOND_PX) | (found.boxes > limit)).any(axis=1).sum())
            reached.append(found.boxes[:, 2:] / image.size)
    return {
        "instances": {category: instances.get(index, 0) for index, category in enumerate(dataset.categories)},
        "duplicate_images": sum(count - 1 for count in contents.values()),
        "duplicate_boxes": twice,
        "boxes_outside": outside,
        "boxes_in_corner": _in_corner(reached),
    }


def _in_corner(reached: Sequence[NDArray[np.float64]]) -> int:
    """How many boxes there are, if all end in the upper left of their image: objects are not found in one corner, but
    boxes drawn on smaller images are. `reached` are right and lower ends, in parts of the image."""
    ends = np.concatenate([np.zeros((0, 2)), *reached])
    return len(ends) if len(ends) >= _MANY and ends.max() <= _CORNER else 0
