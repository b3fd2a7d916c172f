"""A data set in memory: where each image is, what is truly on it, and a fingerprint of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from auditor.provenance import digest
from auditor.values import GroundTruth, ImageRecord

__all__ = ["Dataset", "DatasetLoader", "DatasetRequest", "class_truth"]


@dataclass(frozen=True)
class DatasetRequest:
    """What `audit.yaml` says of a data set, paths made absolute; which of them a format needs, its loader says. `split`
    is taken of annotations that name several; `limit` are the first images by id."""

    name: str
    images: Path | None = None
    annotations: Path | None = None
    labels: Path | None = None
    split: str = "val"
    limit: int | None = None


@dataclass(frozen=True)
class Dataset:
    """Images by ascending id, truth by image id with labels that index `categories`. `counts` says what was met on
    loading (zero-area boxes, crowds, missing files, …). `listed` are the image ids in the order of the annotations,
    where that is another. For the task `classification` the truth of an image is one label whose box means nothing."""

    name: str
    format: str
    images: tuple[ImageRecord, ...]
    truth: Mapping[int, GroundTruth]
    categories: tuple[str, ...]
    counts: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[int, ...] = ()
    task: str = "detection"

    @property
    def fingerprint(self) -> str:
        """A digest of the images' contents and of the truth."""
        truth = [
            [image.id, self.truth[image.id].boxes.tolist(), self.truth[image.id].labels.tolist()]
            for image in self.images
        ]
        return digest([image.sha256 for image in self.images], truth, list(self.categories))


def class_truth(label: int) -> GroundTruth:
    """The truth of an image to classify: one label."""
    return GroundTruth(np.zeros((1, 4)), np.array([label], dtype=np.int64), np.zeros(1), np.zeros(1, dtype=bool))


class DatasetLoader(Protocol):
    """The extension point `auditor.datasets`."""

    def __call__(self, request: DatasetRequest) -> Dataset:
        """Load a data set.

        Raises:
            InputError: with every problem that makes the set unusable.
        """
