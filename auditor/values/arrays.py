"""What lies on an image, in truth and in a model's words: read-only arrays of boxes, scores and labels, and their
geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AS_FOUND",
    "Candidates",
    "ClassScores",
    "ClassTruth",
    "Detections",
    "FrozenArrays",
    "Geometry",
    "GroundTruth",
    "ImageRecord",
    "Meant",
]


class FrozenArrays:
    """Make every array field read-only, on construction and after unpickling."""

    def __post_init__(self) -> None:
        self._freeze()

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._freeze()

    def _freeze(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


@dataclass(frozen=True, eq=False)
class GroundTruth(FrozenArrays):
    """The true objects of one image: `boxes` (N, 4), `labels` (N,) int64 class indices of the data set,
    `area` (N,) square pixels (COCO's segmentation area where it is given), `iscrowd` (N,) bool; `tracks` (N,) which
    object each is over the frames of a clip, where that is known."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    area: NDArray[np.float64]
    iscrowd: NDArray[np.bool_]
    tracks: NDArray[np.int64] | None = None

    @classmethod
    def nothing(cls) -> GroundTruth:
        """No object."""
        return cls(np.zeros((0, 4)), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=bool))


@dataclass(frozen=True)
class ClassTruth:
    """The true class of one image, an index of the data set's categories; None where it is none of those that are
    judged."""

    label: int | None

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class as an array of one, or none."""
        return np.array([] if self.label is None else [self.label], dtype=np.int64)


@dataclass(frozen=True)
class Meant:
    """How the document says that images are meant: white of a deeper image has so many `bits`; an EXIF orientation is
    to `apply`, or to `ignore`. None is what the files themselves tell."""

    bits: int | None = None
    exif: Literal["apply", "ignore"] | None = None


AS_FOUND = Meant()
"""Images are what their files say."""


@dataclass(frozen=True)
class Moment:
    """Where a frame is in its clip: `time_s` seconds after the first, shown at `pts` in the time base of its stream, of
    the `clip` with such a SHA-256; `darker` is by which factor its scene, up to now, is darker than the clip's mean."""

    time_s: float
    pts: int
    clip: str
    darker: float = 1.0


@dataclass(frozen=True)
class ImageRecord:
    """Where one image is: `size` is (width, height) as annotated, None where the annotations do not say, or as it is
    read, where it is not `sized` by them; `sha256` is None where the file is missing; `index` is the image's place in a
    file that holds many (IDX, or of a video, that has its `moment` too)."""

    id: int
    path: Path
    size: tuple[int, int] | None
    sha256: str | None
    index: int | None = None
    sized: bool = True
    meant: Meant = AS_FOUND
    moment: Moment | None = None

    @property
    def called(self) -> str:
        """What it is called where it is shown: a frame by its number, from 1 on as in a gt.txt, and its second."""
        if self.moment is not None:
            return f"{self.path.name} frame {self.id}, {self.moment.time_s:.2f} s"
        return self.path.name if self.index is None else f"{self.path.name} #{self.index}"


@dataclass(frozen=True, eq=False)
class Candidates(FrozenArrays):
    """What a detection head proposes before NMS: `boxes` (N, 4) in input pixels, `scores` (N, C) in [0, 1]."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Detections(FrozenArrays):
    """Detected objects by descending score: `boxes` (N, 4), `scores` (N,) in [0, 1], `labels` (N,) int64 class
    indices."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassScores(FrozenArrays):
    """What a classifier says of one image: `scores` (C,) in [0, 1], by its own class indices."""

    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """Where a pixel of the original image lands in the model's input: `input = original * scale + offset`.

    `scale` and `offset` are (x, y).
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_original(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 4) xyxy boxes from input pixels to pixels of the original image.

        >>> Geometry((0.5, 0.5), (0.0, 10.0)).to_original(np.array([[10.0, 20.0, 30.0, 40.0]])).tolist()
        [[20.0, 20.0, 60.0, 60.0]]
        """
        return np.asarray((boxes - np.array(self.offset * 2)) / np.array(self.scale * 2))
