"""The boxes of a truth as they are written down: read in the order and unit that is declared, and recognised where that
cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import BOX_FORMATS, to_xyxy
from auditor.errors import InputError

__all__ = ["BOX_KEYS", "CORNERS", "BoxReading", "box_reading"]

CORNERS = "corners"
_TURNED = "yxhw"
_FORMATS = (*BOX_FORMATS, _TURNED, CORNERS)
_WHOLE = {"normalized": 1.0, "percent": 100.0, "permille": 1000.0}
"""What the whole side of an image is in a unit that is no pixel."""
_UNITS = ("pixels", *_WHOLE)
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
    _TURNED: "top, left, height, width",
    CORNERS: "two opposite corners in any order",
}

_BEYOND = 0.02
"""Boxes may reach outside of their image by this part of it."""
_RIGHT, _HALF, _ALL, _NEARLY = 0.9, 0.5, 0.95, 0.99
_LEAST, _FEW, _ENOUGH = 3, 10, 20
"""Fewer boxes tell no order, or, where none fits, the first; the last many are no chance."""
_JUNK = 0.002
"""No more fractions among pixels are boxes smaller than a pixel in the corner of their image."""
_NEGATIVE = 0.05
_TURNS = {"xyxy": "yxyx", "xywh": _TURNED}
"""Orders with the axes exchanged: their boxes fit just as well where it is the annotated sizes that are exchanged."""
_EXCHANGED = (
    ". Or it is the width and height of the images that are exchanged in the annotations: compare them with the files "
    "first, and correct those instead"
)
_PAIRS = {"yxyx": "xyxy"}
"""Orders that fit wherever the other does."""
_WITHIN = 0.15
_LARGE_PX = 250
"""In images of at least this side boxes that all lie within the first hundred pixels are no pixels."""
_FRACTION = 1.01


@dataclass(frozen=True)
class BoxReading:
    """The order and unit of a truth's boxes; `given` are the keys that the document says."""

    box_format: str
    box_unit: str
    given: frozenset[str] = frozenset()

    def to_xyxy(self, raw: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Turn (N, 4) boxes of an image of (width, height) pixels into xyxy, in pixels."""
        sizes = np.repeat(np.array([size], dtype=np.float64), len(raw), axis=0)
        return _corners(_in_pixels(raw, sizes, self.box_unit, self.box_format), self.box_format)

    def problem(self, raw: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        """Say what the boxes of a whole set, (N, 4), seem to be instead, of images of `sizes` (N, 2), width and height,
        NaN where it is not known; None where they are as they are read, or cannot be told."""
        known = np.isfinite(raw).all(axis=1) & np.isfinite(sizes).all(axis=1) & (raw[:, 2:] != 0).all(axis=1)
        raw, sizes = raw[known], sizes[known]
        if not len(raw):
            return None
        wrong = self._negative(raw) or self._mixed(raw, sizes)
        if wrong is not None:
            return wrong
        unit = self._other_unit(raw, sizes)
        fits = list(self._fitting(raw, sizes, unit))
        if not fits:
            return None
        told = f"its {len(raw)} boxes hold numbers from {raw.min():.4g} to {raw.max():.4g}; "
        outside = round(len(raw) * (1 - _inside(raw, sizes, self.box_format, self.box_unit)))
        told += f"{outside} of them are no boxes within their image as {_CALLED[self.box_format]} in {self.box_unit}"
        if not outside:
            told += ", and the others lie in a corner of theirs"
        lines = [self._line(form, other) for form, other in fits]
        if len(lines) == 1:
            form, other = fits[0]
            told += f"; they are {_CALLED[form]} in {other}. Write in the data set: `{lines[0]}`"
            return told + (_EXCHANGED if _TURNS.get(self.box_format) == form and other == "pixels" else "")
        choices = " or ".join(f"`{line}`" for line in lines)
        return f"{told}; more than one other reading fits: draw one on its image, and write in the data set {choices}"

    def _line(self, box_format: str, box_unit: str) -> str:
        pairs = (("box_unit", box_unit, self.box_unit), ("box_format", box_format, self.box_format))
        return ", ".join(f"{key}: {value}" for key, value, mine in pairs if value != mine or key in self.given)

    def _negative(self, raw: NDArray[np.float64]) -> str | None:
        """Say where boxes begin at their right or lower side; a few in a set are left out, as boxes without area."""
        negative = int((raw[:, 2:] < 0).any(axis=1).sum())
        if self.box_format not in ("xywh", _TURNED) or negative < _NEGATIVE * len(raw):
            return None
        return (
            f"{negative} of its {len(raw)} boxes have a negative width or height; expected "
            f"{_CALLED[self.box_format]}: write the sides above 0, and the corner that they begin at"
        )

    def _mixed(self, raw: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        """Say where a part of the set is in fractions, and the rest is not."""
        small = (raw.max(axis=1) <= _FRACTION) & (raw % 1 != 0).any(axis=1) & (sizes.min(axis=1) > 16)
        share = float(small.mean())
        if self.box_unit not in ("pixels", "normalized") or not _JUNK < share <= _RIGHT:
            return None
        large = raw.max(axis=1) > 2
        if self.box_unit == "normalized" and (not large.any() or small.sum() < _LEAST):
            return None
        return (
            f"{int(small.sum())} of its {len(raw)} boxes are fractions of their image and the others are not: the set "
            "was joined of two, or these are damaged; write all of them in one unit"
        )

    def _other_unit(self, raw: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
        """The unit that the numbers have by their size alone."""
        most = float(np.quantile(raw.max(axis=1), _RIGHT))
        fractions = (raw % 1 != 0).any()
        if self.box_unit == "pixels":
            if most <= _FRACTION and sizes.max() > 16 and (fractions or len(raw) >= 3):
                return "normalized"
            right = float(np.quantile(to_xyxy(raw, "xywh")[:, 2:].max(axis=1), _NEARLY))
            corner = len(raw) >= _ENOUGH and sizes.min() >= _LARGE_PX and right <= 101 and raw.max() > 30
            return "percent" if corner and "box_unit" not in self.given else None
        if self.box_unit == "normalized" and (raw.max(axis=1) > 2).mean() > _HALF:
            return "percent" if most <= 100.5 and sizes.min() >= _LARGE_PX and len(raw) >= _FEW else "pixels"
        return None

    def _fitting(
        self, raw: NDArray[np.float64], sizes: NDArray[np.float64], unit: str | None
    ) -> Iterator[tuple[str, str]]:
        """The other readings (order, unit) that fit, if this one does not."""
        mine = _inside(raw, sizes, self.box_format, self.box_unit)
        in_unit = unit or self.box_unit
        shares = {
            (form, in_unit): _inside(raw, sizes, form, in_unit)
            for form in _FORMATS
            if (form, in_unit) != (self.box_format, self.box_unit) and form != CORNERS
        }
        if unit is not None and len(raw) < _FEW:
            yield self.box_format, unit
            return
        paired = len(raw) >= _ENOUGH and bool((raw[:, 2:] > raw[:, :2]).all())
        if mine >= _RIGHT:  # sides that begin at the border are longer than nothing
            paired = paired and float(np.median((raw / _whole(sizes, in_unit))[:, :2])) > _WITHIN
        best = max(shares.values())
        tell = len(raw) >= _FEW or (len(raw) >= _LEAST and mine == 0)
        if unit is not None or (mine < _HALF and best >= _ALL and tell):
            least = max(_ALL, best - 0.02)
        elif "box_format" in self.given or len(raw) < _ENOUGH:
            least = 2.0
        else:  # a few per cent outside tell nothing, unless another order leaves none there
            least = _NEARLY if mine < _RIGHT and best - mine >= 1 - _RIGHT else 2.0
        found = [reading for reading, share in shares.items() if share >= least]
        if paired and self.box_format in ("xywh", "cxcywh") and "box_format" not in self.given:
            pairs = [reading for reading in shares if reading[0] in ("xyxy", "yxyx") and shares[reading] >= _NEARLY]
            found = pairs or found  # no chance makes every box a pair of corners
        elif unit is not None and (self.box_format, unit) in found and not paired:
            found = [(self.box_format, unit)]
        if not found and mine < _HALF and tell:
            last = [(CORNERS, in_unit)]
            if self.box_unit == "pixels" and _WHOLE["percent"] < raw.max() <= _WHOLE["permille"] + 0.5:
                last += [(form, "permille") for form in (self.box_format, *BOX_FORMATS)]
            fitting = [reading for reading in last if _inside(raw, sizes, *reading) >= _ALL]
            found = fitting[:1] + [reading for reading in fitting if _PAIRS.get(reading[0]) == fitting[0][0]]
        if not found and unit is not None:
            found = [(self.box_format, unit)]
        strict = {reading: _inside(raw, sizes, *reading, beyond=0.0) for reading in found}
        yield from (reading for reading in found if strict[reading] == max(strict.values()))


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


def _in_pixels(raw: NDArray[np.float64], sizes: NDArray[np.float64], unit: str, box_format: str) -> NDArray[np.float64]:
    """The numbers in pixels, in the order in which they stand."""
    sides = sizes[:, ::-1] if box_format.startswith("y") else sizes
    return raw if unit == "pixels" else np.asarray(raw * np.tile(sides, 2) / _WHOLE[unit])


def _whole(sizes: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """What the whole sides of images (N, 2) are in a unit, (N, 4), left before top."""
    return np.tile(sizes, 2) if unit == "pixels" else np.full((len(sizes), 4), _WHOLE[unit])


def _corners(boxes: NDArray[np.float64], box_format: str) -> NDArray[np.float64]:
    if box_format == _TURNED:
        return to_xyxy(boxes[:, [1, 0, 3, 2]], "xywh")
    if box_format != CORNERS:
        return to_xyxy(boxes, box_format)
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    first, second = array[:, :2], array[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _inside(
    raw: NDArray[np.float64], sizes: NDArray[np.float64], box_format: str, unit: str, *, beyond: float = _BEYOND
) -> float:
    """The share of boxes that have an area and lie within their image."""
    boxes = _corners(_in_pixels(raw, sizes, unit, box_format), box_format)
    limits = np.tile(sizes, 2)
    slack = (2.0 if beyond else 1.0) + beyond * limits
    right = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ((boxes >= -slack) & (boxes <= limits + slack)).all(axis=1)
    return float(right.mean())
