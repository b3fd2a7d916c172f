"""A data set in memory: where each image is, what is truly on it, and a fingerprint of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.provenance import digest
from auditor.values import AS_FOUND, ClassTruth, GroundTruth, ImageRecord, Meant

__all__ = ["Dataset", "DatasetRequest", "Format"]

_ALIKE_S = 2.0
"""For so long a scene is taken to stay alike: an object stays in it, or is not found."""

Truth = GroundTruth | ClassTruth


@dataclass(frozen=True)
class DatasetRequest:
    """What `audit.yaml` says of a data set, paths made absolute; which of them a format needs, its loader says. `split`
    is taken of annotations that name several; `limit` are the first images by id; `options` are keys of the format's
    own; `meant` is how its images are read. What is not `judged` by its truth (calibration
    images) needs none that can be meant."""

    name: str
    images: Path | None = None
    annotations: Path | None = None
    labels: Path | None = None
    split: str = "val"
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    meant: Meant = AS_FOUND
    judged: bool = True


@dataclass(frozen=True)
class Dataset:
    """Images by ascending id, truth by image id with labels that index `categories`. `counts` says what was met on
    loading (zero-area boxes, crowds, missing files, …). `listed` are the image ids in the order of the annotations,
    where that is another. `task` is the one whose truth it holds. A set without truth has empty truth of every image,
    and no categories: the classes of each model are its own."""

    name: str
    format: str
    images: tuple[ImageRecord, ...]
    truth: Mapping[int, Truth]
    categories: tuple[str, ...]
    counts: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[int, ...] = ()
    task: str = "detection"
    is_labelled: bool = True
    """Whether its truth is known."""
    table: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What else is known of images: by name a value of each, in their order; empty where it is unknown."""

    @property
    def fingerprint(self) -> str:
        """A digest of the images' contents and of the truth."""
        truth = [[image.id, _listed(self.truth[image.id])] for image in self.images]
        return digest([image.sha256 for image in self.images], truth, list(self.categories))

    @property
    def block(self) -> int:
        """How many consecutive images are alike, and are drawn together for intervals: one, of a clip the frames of two
        seconds, and at least the cube root of all (the order that Hall, Horowitz and Jing 1995,
        https://doi.org/10.1093/biomet/82.3.561, found best)."""
        times = [image.moment.time_s for image in self.images if image.moment is not None]
        if len(times) < 2 or times[-1] <= times[0]:
            return 1
        a_second = (len(times) - 1) / (times[-1] - times[0])
        return min(len(times), max(round(_ALIKE_S * a_second), math.ceil(math.cbrt(len(times)))))

    @property
    def times(self) -> dict[int, float]:
        """By image id, the seconds of each frame after the first, where all its objects have tracks; else empty."""
        found = [item for item in self.truth.values() if isinstance(item, GroundTruth) and len(item.labels)]
        tracked = bool(found) and all(item.tracks is not None for item in found)
        return {image.id: image.moment.time_s for image in self.images if image.moment is not None} if tracked else {}


def _listed(truth: Truth) -> list[Any]:
    return [truth.boxes.tolist() if isinstance(truth, GroundTruth) else [], truth.labels.tolist()]


@dataclass(frozen=True)
class Format:
    """A way that data sets lie on disk: the keys of `dataset:` that it takes, each with what is expected; how to
    recognise it in a folder (`detect` gives those keys, None where it is not there; formats are asked by ascending
    `rank`), and how to load it, which raises InputError with every problem that makes the set unusable. `paths` are
    keys that are paths. `task` is empty where there is no truth."""

    name: str
    task: str
    about: str
    keys: Mapping[str, str]
    load: Callable[[DatasetRequest], Dataset]
    detect: Callable[[Path], dict[str, Path | str] | None]
    rank: int = 100
    paths: tuple[str, ...] = ("images", "annotations", "labels")
    truth_beside: bool = True
    """Whether truth lies beside the images: without `annotations` a folder of images is then images alone."""
    deep: bool = True
    """Whether its images may have more than 8 bits."""
