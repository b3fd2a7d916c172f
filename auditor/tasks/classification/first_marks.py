"""What is true and what is said of single images: the true class, and the classes that rank first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from auditor.tasks.anatomy.task import Judged
from auditor.values import Mark, Marked

__all__ = ["marked"]

_FIRST = 3


def marked(judged: Judged) -> Mapping[int, Marked]:
    """The marks of each image whose true class the model knows: the first classes of its scores, the first of which is
    what it says."""
    marks = {}
    for image_id, said in judged.again():
        label = judged.truth[image_id].label
        if label is not None:
            marks[image_id] = _of(said, label, judged.categories)
    return marks


def _of(said: Any, label: int, categories: tuple[str, ...]) -> Marked:
    order = np.argsort(-said.scores, kind="stable")[:_FIRST].tolist()
    found = []
    for index in order:
        judged = int(said.to_judged[index])
        name = categories[judged] if judged >= 0 else "a class that is not judged"
        found.append(Mark(name, None, round(float(said.scores[index]), 4), 0 if judged == label else None))
    held = tuple(position == 0 for position in range(len(found)))
    return Marked((Mark(categories[label]),), tuple(found), held)
