"""Which classes a model and a data set share, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ClassMatch", "match_classes", "normal_name"]


@dataclass(frozen=True)
class ClassMatch:
    """`to_category` gives for each label index of the model the category index of the data set, or None."""

    to_category: tuple[int | None, ...]
    judged: tuple[str, ...]
    only_model: tuple[str, ...]
    only_truth: tuple[str, ...]


def match_classes(labels: Sequence[str | None], categories: Sequence[str]) -> ClassMatch:
    """Match a model's labels with a data set's categories; case, spaces, hyphens and underscores do not count.

    >>> match_classes(["Traffic_Light", None, "kite"], ["traffic light", "dog"])
    ClassMatch(to_category=(0, None, None), judged=('traffic light',), only_model=('kite',), only_truth=('dog',))
    """
    known = {normal_name(category): index for index, category in enumerate(categories)}
    found = tuple(known.get(normal_name(label)) if label is not None else None for label in labels)
    shared = {index for index in found if index is not None}
    return ClassMatch(
        to_category=found,
        judged=tuple(category for index, category in enumerate(categories) if index in shared),
        only_model=tuple(label for label, index in zip(labels, found, strict=True) if label is not None and index is None),
        only_truth=tuple(category for index, category in enumerate(categories) if index not in shared),
    )


def normal_name(name: str) -> str:
    """Fold case and separators of a class name.

    >>> normal_name("Traffic_Light"), normal_name("hot-dog")
    ('traffic light', 'hot dog')
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
