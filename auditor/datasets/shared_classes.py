"""Which classes a model and a data set share, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ClassMatch", "match_classes", "normal_name"]


_SPELLINGS = (
    ("aeroplane", "airplane"),
    ("motorbike", "motorcycle"),
    ("sofa", "couch"),
    ("tvmonitor", "tv", "tv monitor", "television"),
    ("diningtable", "dining table"),
    ("pottedplant", "potted plant"),
    ("hair drier", "hair dryer"),
    ("donut", "doughnut"),
    ("cell phone", "mobile phone"),
    ("gray", "grey"),
)
"""Names of one class: Pascal VOC's beside COCO's, and American beside British spelling."""
_ALIASES = {name: names[0] for names in _SPELLINGS for name in names}


@dataclass(frozen=True)
class ClassMatch:
    """`to_category` gives for each label index of the model the category index of the data set, or None. `aliases` are
    the pairs (label, category) that are one class under two names."""

    to_category: tuple[int | None, ...]
    judged: tuple[str, ...]
    only_model: tuple[str, ...]
    only_truth: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = field(default=())


def match_classes(labels: Sequence[str | None], categories: Sequence[str]) -> ClassMatch:
    """Match a model's labels with a data set's categories; case, spaces, hyphens and underscores do not count, and a
    short list of aliases (`aeroplane` is `airplane`) is followed where the name itself is not there.

    >>> match_classes(["Traffic_Light", None, "kite"], ["traffic light", "dog"])  # doctest: +NORMALIZE_WHITESPACE
    ClassMatch(to_category=(0, None, None), judged=('traffic light',), only_model=('kite',), only_truth=('dog',),
    aliases=())
    >>> match_classes(["airplane"], ["aeroplane"]).aliases
    (('airplane', 'aeroplane'),)
    """
    known = {normal_name(category): index for index, category in enumerate(categories)}
    aliases = {_ALIASES[name]: index for name, index in known.items() if name in _ALIASES}
    own = {normal_name(label) for label in labels if label is not None}

    def category_of(label: str) -> int | None:
        name = normal_name(label)
        if name in known or name not in _ALIASES:
            return known.get(name)
        index = aliases.get(_ALIASES[name])
        return None if index is not None and normal_name(categories[index]) in own else index

    found = tuple(category_of(label) if label is not None else None for label in labels)
    shared = {index for index in found if index is not None}
    return ClassMatch(
        to_category=found,
        judged=tuple(category for index, category in enumerate(categories) if index in shared),
        only_model=tuple(
            label for label, index in zip(labels, found, strict=True) if label is not None and index is None
        ),
        only_truth=tuple(category for index, category in enumerate(categories) if index not in shared),
        aliases=tuple(
            (label, categories[index])
            for label, index in zip(labels, found, strict=True)
            if label is not None and index is not None and normal_name(label) != normal_name(categories[index])
        ),
    )


def normal_name(name: str) -> str:
    """Fold case and separators of a class name.

    >>> normal_name("Traffic_Light"), normal_name("hot-dog")
    ('traffic light', 'hot dog')
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
