"""What is truly on the frames of a clip, whatever it was written down in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.datasets.truth_boxes import BoxReading, box_reading
from auditor.values import GroundTruth

__all__ = ["ClipRequest", "ClipTruth"]

_AS_COCO = box_reading({}, box_format="xywh", box_unit="pixels")


@dataclass(frozen=True)
class ClipRequest:
    """Which truth is asked for: its file, the clip, the size (width, height) of each of its frames, a file of class
    names, what the clip is called in a file of several, and how boxes are written."""

    path: Path
    clip: Path
    sizes: Sequence[tuple[int, int]]
    labels: Path | None = None
    video: str | None = None
    reading: BoxReading = _AS_COCO
    cut: str = ""
    """What is said where the clip has fewer frames than its file says."""


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """True objects by frame, numbered from 1, with labels that index `categories`. `listed` are the frames that were
    looked at, where not all were: of another frame without an object nothing is known. `counts` says what was met."""

    categories: tuple[str, ...]
    frames: Mapping[int, GroundTruth]
    counts: Mapping[str, int]
    listed: frozenset[int] | None = None

    def of(self, frame: int) -> GroundTruth:
        """What is on a frame."""
        return self.frames.get(frame) or GroundTruth.nothing()
