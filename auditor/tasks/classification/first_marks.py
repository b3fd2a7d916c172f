"""What is true and what is said of single images: the true class, and the classes that rank first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.tasks.anatomy.task import Judged
from auditor.values import Mark, Marked

__all__ = ["marked", "said"]

_FIRST = 3


def marked(judged: Judged) -> Mapping[int, Marked]:
    """The marks of each image whose true class the model knows: the first classes of its scores, the first of which is
    what it says."""
    marks = {}
    for image_id, scored in judged.again():
        label = judged.truth[image_id].label
        if label is not None:
            marks[image_id] = _of(scored, label, judged.categories)
    return marks


def said(values: Mapping[str, NDArray[Any]], labels: Sequence[str | None], offset: int) -> tuple[Mark, ...]:
    """The first classes of one image, by the model's own labels."""
    scores = values["scores"]
    found = []
    for index in np.argsort(-scores, kind="stable")[:_FIRST].tolist():
        name = labels[index + offset] if 0 <= index + offset < len(labels) else None
        found.append(Mark(name or f"class {index}", None, round(float(scores[index]), 4)))
    return tuple(found)


def _of(scored: Any, label: int, categories: tuple[str, ...]) -> Marked:
    order = np.argsort(-scored.scores, kind="stable")[:_FIRST].tolist()
    found = []
    for index in order:
        judged = int(scored.to_judged[index])
        name = categories[judged] if judged >= 0 else "a class that is not judged"
        found.append(Mark(name, None, round(float(scored.scores[index]), 4), 0 if judged == label else None))
    held = tuple(position == 0 for position in range(len(found)))
    return Marked((Mark(categories[label]),), tuple(found), held)
