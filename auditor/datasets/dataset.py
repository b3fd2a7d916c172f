"""A data set in memory: where each image is, what is truly on it, and a fingerprint of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from auditor.provenance import digest
from auditor.values import GroundTruth, ImageRecord

__all__ = ["Dataset", "DatasetLoader"]


@dataclass(frozen=True)
class Dataset:
    """Images by ascending id, truth by image id with labels that index `categories`. `counts` says what was met on
    loading (zero-area boxes, crowds, missing files, …). `listed` are the image ids in the order of the annotations, where
    that is another."""

    name: str
    format: str
    images: tuple[ImageRecord, ...]
    truth: Mapping[int, GroundTruth]
    categories: tuple[str, ...]
    counts: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A digest of the images' contents and of the truth."""
        truth = [[image.id, self.truth[image.id].boxes.tolist(), self.truth[image.id].labels.tolist()] for image in self.images]
        return digest([image.sha256 for image in self.images], truth, list(self.categories))


class DatasetLoader(Protocol):
    """The extension point `auditor.datasets`."""

    def __call__(self, *, name: str, images: Path, annotations: Path, limit: int | None) -> Dataset:
        """Load a data set.

        Raises:
            InputError: with every problem that makes the set unusable.
        """
