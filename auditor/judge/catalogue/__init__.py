"""Every finding by its code: its check, its level, what it means, what to do, and where the manual says more."""

from auditor.judge.catalogue import (
    device_words,
    drift_words,
    feeding_words,
    level_words,
    picture_words,
    point_words,
    verdict_words,
)
from auditor.judge.catalogue import group_words as group_words  # after the rows that it adds to
from auditor.judge.catalogue.row import CATALOGUE

__all__ = [
    "CATALOGUE",
    "device_words",
    "drift_words",
    "feeding_words",
    "group_words",
    "level_words",
    "picture_words",
    "point_words",
    "verdict_words",
]
