"""Parts of a data set on which a model does worse than on the rest, and what may be wrong in its truth."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Slice", "Suspect"]

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class Slice:
    """Objects (or images) of one kind, `by` what and of which `group`: how many on how many images, the share that a
    file finds of them and of all `others`, and by how much that is less, with an interval that holds for all slices
    that were tried at once."""

    __pydantic_config__ = _STRICT
    file: str
    quantization: str
    delegate: str
    by: str
    group: str
    objects: int
    images: int
    found: float
    others: float
    loss: float
    interval: tuple[float, float]
    tried: int


@dataclass(frozen=True)
class Suspect:
    """A place where every one of these `files` is confident of an object, and the truth has none: perhaps one that was
    forgotten. `image` is its name, `box` xyxy in its pixels, `score` the least of all."""

    __pydantic_config__ = _STRICT
    dataset: str
    image: str
    image_id: int
    label: str
    box: tuple[float, float, float, float]
    score: float
    files: tuple[str, ...]
