"""Which classes a model and a data set share, by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ClassMatch", "match_classes", "match_own", "normal_name"]


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
_WORDNET = re.compile(r"(n\d{8})[\s_:,]+(\S.*)")
"""A WordNet id before the words of a class, as ImageNet's lists have them."""
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
    short list of aliases (`aeroplane` is `airplane`) is followed where the name itself is not there. Of several
    synonyms (`tench, Tinca tinca`) the first counts.

    >>> match_classes(["Traffic_Light", None, "kite"], ["traffic light", "dog"])  # doctest: +NORMALIZE_WHITESPACE
    ClassMatch(to_category=(0, None, None), judged=('traffic light',), only_model=('kite',), only_truth=('dog',),
    aliases=())
    >>> match_classes(["airplane"], ["aeroplane"]).aliases
    (('airplane', 'aeroplane'),)
    """
    known = {normal_name(category): index for index, category in enumerate(categories)}
    short: dict[str, int] = {}
    for index, category in enumerate(categories):
        for name in _first_names(category):
            short.setdefault(name, index)
    aliases = {_ALIASES[name]: index for name, index in known.items() if name in _ALIASES}
    own = {normal_name(label) for label in labels if label is not None}

    def category_of(label: str) -> int | None:
        name = normal_name(label)
        if name in known:
            return known[name]
        for first in (name, *_first_names(label)):
            found = known.get(first, short.get(first))
            if found is not None and normal_name(categories[found]) not in own:
                return found
        index = aliases.get(_ALIASES[name]) if name in _ALIASES else None
        return None if index is not None and normal_name(categories[index]) in own else index

    found = tuple(category_of(label) if label is not None else None for label in labels)
    exact = {normal_name(category) for category in categories}
    reached = Counter(
        index for label, index in zip(labels, found, strict=True) if label and normal_name(label) not in exact
    )
    # Two labels with one first synonym (ImageNet has two cranes) are told apart by nothing: neither is taken.
    found = tuple(
        None if label and normal_name(label) not in exact and index is not None and reached[index] > 1 else index
        for label, index in zip(labels, found, strict=True)
    )
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


def _first_names(label: str) -> list[str]:
    """Other names of one class: the first of several synonyms, and what stands before or after a WordNet id.

    >>> _first_names("n01440764 tench, Tinca tinca")
    ['n01440764', 'tench, tinca tinca', 'tench']
    """
    found = []
    numbered = _WORDNET.fullmatch(label.strip())
    if numbered:
        found += [numbered[1], numbered[2]]
        label = numbered[2]
    first = re.split(r"[,;|]", label, maxsplit=1)[0]
    if first != label:
        found.append(first)
    return [normal_name(name) for name in found if name.strip()]


def match_own(labels: Sequence[str | None]) -> ClassMatch:
    """A model's labels matched with themselves, where no truth says which are judged.

    >>> match_own(["a", None, "b"]).to_category
    (0, None, 1)
    """
    judged = tuple(dict.fromkeys(label for label in labels if label is not None))
    places = {label: index for index, label in enumerate(judged)}
    return ClassMatch(tuple(None if label is None else places[label] for label in labels), judged, (), ())


def normal_name(name: str) -> str:
    """Fold case and separators of a class name.

    >>> normal_name("Traffic_Light"), normal_name("hot-dog")
    ('traffic light', 'hot dog')
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
