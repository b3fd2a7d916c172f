"""The boxes of a truth as they are written down: read in the order and unit that is declared, and recognised where that
cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import BOX_FORMATS, to_xyxy
from auditor.errors import InputError

__all__ = ["BOX_KEYS", "CORNERS", "BoxReading", "box_reading"]

CORNERS = "corners"
_FORMATS = (*BOX_FORMATS, CORNERS)
_UNITS = ("pixels", "normalized")
BOX_KEYS = {
    "box_format": f"how its boxes are written, one of {', '.join(_FORMATS)} (two opposite corners in any order)",
    "box_unit": f"what they are written in, one of {', '.join(_UNITS)}",
}
"""The keys of a data set that say how its boxes are written."""
_CALLED = {
    "xyxy": "left, top, right, bottom",
    "yxyx": "top, left, bottom, right",
    "xywh": "left, top, width, height",
    "cxcywh": "centre x, centre y, width, height",
    CORNERS: "two opposite corners in any order",
}

_BEYOND = 0.02
"""Boxes may reach outside of their image by this part of it."""
_LEAST, _MOST, _ALL = 0.9, 0.5, 0.95
_ENOUGH = 20
"""Boxes from which on it is no chance that every one would be a pair of corners too."""


@dataclass(frozen=True)
class BoxReading:
    """The order and unit of a truth's boxes; `given` are the keys that the document says."""

    box_format: str
    box_unit: str
    given: frozenset[str] = frozenset()

    def to_xyxy(self, raw: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Turn (N, 4) boxes of an image of (width, height) pixels into xyxy, in pixels."""
        sides: Any = np.array([*size, *size], dtype=np.float64)
        return _corners(raw * sides if self.box_unit == "normalized" else raw, self.box_format)

    def problem(self, raw: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        """Say what the boxes of a whole set, (N, 4), seem to be instead, of images of `sizes` (N, 2), width and height,
        NaN where it is not known; None where they are as they are read, or cannot be told."""
        known = np.isfinite(raw).all(axis=1) & np.isfinite(sizes).all(axis=1) & (raw[:, 2:] != 0).all(axis=1)
        raw, sizes = raw[known], sizes[known]
        if not len(raw):
            return None
        unit = self._other_unit(raw, sizes)
        scaled = raw * np.tile(sizes, 2) if (unit or self.box_unit) == "normalized" else raw
        order = self._other_format(scaled, sizes)
        if unit is None and order is None:
            return None
        told, lines = [], []
        if unit is not None:
            of = f"{raw.min():.4g} to {raw.max():.4g}"
            told.append(f"its {len(raw)} boxes hold numbers from {of}: they are {unit}, not in {self.box_unit}")
            lines.append(f"box_unit: {unit}")
        if order is not None:
            within = round(len(raw) * (1 - _inside(scaled, sizes, self.box_format)))
            told.append(
                f"{within} of its {len(raw)} boxes are no boxes within their image as {_CALLED[self.box_format]}, and "
                f"are as {_CALLED[order]}"
            )
            lines.append(f"box_format: {order}")
        return f"{'; '.join(told)}. Write in the data set: `{', '.join(lines)}` (or write what is there, to keep it)"

    def _other_unit(self, raw: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        if "box_unit" in self.given:
            return None
        if self.box_unit == "pixels":
            return "normalized" if raw.max() <= 1.01 and sizes.max() > 16 else None
        return "pixels" if (raw.max(axis=1) > 2).mean() > _MOST else None

    def _other_format(self, scaled: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        if "box_format" in self.given:
            return None
        mine = _inside(scaled, sizes, self.box_format)
        if mine >= _LEAST:
            return None
        others = {name: _inside(scaled, sizes, name) for name in _FORMATS if name != self.box_format}
        if len(scaled) >= _ENOUGH and others.get("xyxy") == 1.0:  # no chance makes every box a pair of corners
            return "xyxy"
        best = max(others, key=lambda name: others[name])
        return best if mine < _MOST and others[best] >= _ALL else None


def box_reading(options: Mapping[str, Any], *, box_format: str, box_unit: str) -> BoxReading:
    """How a format's boxes are read, where the document's `options` do not say otherwise.

    Raises:
        InputError: they say what is not known.
    """
    known = {"box_format": _FORMATS, "box_unit": _UNITS}
    problems = [
        f"`{key}` is {options[key]!r}; expected one of {', '.join(words)}"
        for key, words in known.items()
        if key in options and options[key] not in words
    ]
    if problems:
        raise InputError(problems)
    given = frozenset(key for key in known if key in options)
    return BoxReading(options.get("box_format", box_format), options.get("box_unit", box_unit), given)


def _corners(boxes: NDArray[np.float64], box_format: str) -> NDArray[np.float64]:
    if box_format != CORNERS:
        return to_xyxy(boxes, box_format)
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    first, second = array[:, :2], array[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _inside(scaled: NDArray[np.float64], sizes: NDArray[np.float64], box_format: str) -> float:
    """The share of boxes that have an area and lie within their image."""
    boxes = _corners(scaled, box_format)
    limits = np.tile(sizes, 2)
    slack = 2 + _BEYOND * limits
    right = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ((boxes >= -slack) & (boxes <= limits + slack)).all(axis=1)
    return float(right.mean())
