"""What models saw: the images on which most is lost, with what is true and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["GalleryImage", "GalleryRecord", "Mark", "Marked", "SeenImage", "picture_key"]

_STRICT = {"extra": "forbid"}

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A true object, or what a model says: its class, its box xyxy in pixels of the original image (None: the whole
    image), how confident the model is (None: it is true), and the position of the true object that it is matched with
    (None: of none)."""

    __pydantic_config__ = _STRICT
    label: str
    box: Corners | None = None
    score: float | None = None
    partner: int | None = None


@dataclass(frozen=True)
class Marked:
    """What is true of an image, and what a model says of it, by descending score."""

    truth: tuple[Mark, ...]
    found: tuple[Mark, ...]
    held: tuple[bool, ...]
    """Which of `found` are kept at the operating point."""

    @property
    def hits(self) -> tuple[bool, ...]:
        """Which true objects are found at the operating point."""
        there = {mark.partner for mark, keep in zip(self.found, self.held, strict=True) if keep}
        return tuple(position in there for position in range(len(self.truth)))

    @property
    def alarms(self) -> tuple[float, ...]:
        """The scores of false detections that are kept."""
        pairs = zip(self.found, self.held, strict=True)
        return tuple(mark.score or 0.0 for mark, keep in pairs if keep and mark.partner is None)


@dataclass(frozen=True)
class GalleryImage:
    """An image of a data set: its name and size, and what is true of it. `pictures` are the names of its picture files
    by `scenario@severity`."""

    __pydantic_config__ = _STRICT
    dataset: str
    id: int
    name: str
    width: int
    height: int
    truth: tuple[Mark, ...]
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenImage:
    """What a model says of an image of a gallery (its position there) in one scenario and severity: how many objects it
    loses there (that it finds on the clean image; on that itself, misses), and its false detections at the operating
    point."""

    __pydantic_config__ = _STRICT
    file: str
    delegate: str
    scenario: str
    severity: float
    image: int
    lost: int
    alarms: int
    found: tuple[Mark, ...]


@dataclass(frozen=True)
class GalleryRecord:
    """A gallery: of each cell the images on which most is lost. `width` is that of its pictures in pixels, None where
    there are none; `left_out` is how many pictures did not fit into `megabytes`."""

    __pydantic_config__ = _STRICT
    images: tuple[GalleryImage, ...]
    seen: tuple[SeenImage, ...]
    width: int | None
    megabytes: float
    left_out: int = 0
    has_boxes: bool = True


def picture_key(scenario: str, severity: float) -> str:
    """The name of a condition among an image's pictures.

    >>> picture_key("noise/shot", 3.0)
    'noise/shot@3'
    """
    return f"{scenario}@{severity:g}"
