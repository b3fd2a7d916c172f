"""The one order of a data set's images and true objects, whatever format, file order or ids it came by."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.dataset import Dataset, Truth
from auditor.datasets.shared_classes import normal_name
from auditor.provenance import digest
from auditor.values import GroundTruth

__all__ = ["in_canonical_order"]

_PLACES = 2
"""Decimals of a pixel by which boxes are ordered: what a format's rounding moves less than this keeps its place."""


def in_canonical_order(dataset: Dataset) -> Dataset:
    """Order images by their content, copies of one image by their truth, and the objects of an image by their boxes.

    Equal scores are ranked in this order, so that one set gives one AP to the last bit however it is written down.
    `listed` keeps the order that the images came in. Frames of a clip stay in theirs, which is their own.
    """
    truth = {image_id: _ordered(found) for image_id, found in dataset.truth.items()}
    names = [normal_name(category) for category in dataset.categories]

    def place(image: Any) -> tuple[str, str, str]:
        return image.sha256 or "", digest(_told(truth[image.id], names)), image.path.name

    clip = any(image.moment is not None for image in dataset.images)
    images = dataset.images if clip else tuple(sorted(dataset.images, key=place))
    return dataclasses.replace(
        dataset,
        images=images,
        truth={image.id: truth[image.id] for image in images},
        listed=dataset.listed or tuple(image.id for image in dataset.images),
    )


def _ordered(found: Truth) -> Truth:
    if not isinstance(found, GroundTruth) or len(found.boxes) < 2:
        return found
    order = np.lexsort((*_columns(found.boxes), *_columns(found.boxes.round(_PLACES))))
    fields: dict[str, NDArray[Any]] = {
        name: getattr(found, name)[order] for name in ("boxes", "labels", "area", "iscrowd")
    }
    return GroundTruth(**fields, tracks=None if found.tracks is None else found.tracks[order])


def _columns(boxes: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Sort keys of boxes, the last the first to look at."""
    return [boxes[:, index] for index in (3, 2, 1, 0)]


def _told(found: Truth, names: list[str]) -> list[Any]:
    labels = [names[label] if label < len(names) else str(label) for label in found.labels.tolist()]
    return [found.boxes.round(_PLACES).tolist() if isinstance(found, GroundTruth) else [], labels]
