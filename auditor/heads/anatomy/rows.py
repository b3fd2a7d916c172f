"""Heads whose outputs have one row (or column) a candidate: which axis is which, which grid the candidates are the
cells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xyxy
from auditor.errors import ModelError
from auditor.heads.anatomy.head import Outputs, Seen, listed
from auditor.values import Candidates, Detections, InputContract, Json, ModelSpec

__all__ = [
    "RowView",
    "activated",
    "boxes_first",
    "cells_of",
    "grid",
    "in_pixels",
    "pair_of",
    "rescaled",
    "roles_by_name",
    "row_parts",
    "row_structure",
    "row_view",
    "rows_of",
    "sorted_detections",
    "strides_of",
    "with_objectness",
]

_STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16))


@dataclass(frozen=True)
class RowView:
    """One output (1, a, b) as candidates × channels; `first` where the channels come first. `on_grid` are the strides
    whose cells the candidates are, `on_anchors` those where there are three candidates a cell."""

    shown: str
    first: bool
    channels: int
    count: int
    on_grid: tuple[int, ...] | None
    on_anchors: tuple[int, ...] | None


def row_view(seen: Seen) -> RowView | None:
    """Look at a single output as rows; None where there are several, or it is no table."""
    if len(seen.arrays) != 1 or (pair := pair_of(seen.shapes[0])) is None:
        return None
    first = _channels_first(pair, seen.contract)
    channels, count = pair if first else (pair[1], pair[0])
    return RowView(
        shown=f"one output (1, {pair[0]}, {pair[1]})",
        first=first,
        channels=channels,
        count=count,
        on_grid=strides_of(count, seen.contract, anchors=1),
        on_anchors=strides_of(count, seen.contract, anchors=3),
    )


def row_structure(name: str, seen: Seen, *, least: int, exactly: bool = False) -> tuple[dict[str, Json], int, int]:
    """Settle which axis holds channels and which output boxes; return the options, the channels and the candidates.

    Raises:
        ModelError: the outputs do not have the shapes of the head `name`.
    """
    arrays = seen.arrays
    pairs = {output: pair for output, array in arrays.items() if (pair := pair_of(array.shape)) is not None}
    if len(pairs) != len(arrays):
        raise ModelError(f"decoder {name} expects outputs (1, N, channels) but the model has {listed(arrays)}")
    first = _channels_first(next(iter(pairs.values())), seen.contract)
    channels = sum(pair[0] if first else pair[1] for pair in pairs.values())
    candidates = {pair[1] if first else pair[0] for pair in pairs.values()}
    if len(candidates) != 1:
        raise ModelError(f"decoder {name} expects outputs over the same candidates but the model has {listed(arrays)}")
    options: dict[str, Json] = {"channels_first": first}
    if seen.ordered:
        options["outputs"] = list(pairs)
    elif len(pairs) > 1:  # boxes first, then what is scored
        fours = [output for output, pair in pairs.items() if (pair[0] if first else pair[1]) == 4]
        options["outputs"] = list(boxes_first(seen, fours))
    if channels < least or (exactly and channels != least):
        raise ModelError(
            f"decoder {name} expects {'exactly' if exactly else 'at least'} {least} channels but the model has "
            f"{listed(arrays)}"
        )
    return options, channels, candidates.pop()


def boxes_first(seen: Seen, fours: Sequence[str]) -> list[str]:
    """The outputs of a split head, boxes first: the one of four channels, of several the one that is called so.

    Raises:
        ModelError: it cannot be told.
    """
    boxes = fours[0] if len(fours) == 1 else roles_by_name(seen).get("boxes")
    if boxes is None:
        raise ModelError(
            f"which of the outputs {listed(seen.arrays)} holds the boxes cannot be told; write "
            "`decoder: {name: …, outputs: [boxes, scores]}` with their names",
            field="decoder",
        )
    return [boxes, *(name for name in seen.arrays if name != boxes)]


def roles_by_name(seen: Seen) -> dict[str, str]:
    """The roles that outputs' names, or what a signature calls them, give away; none that two outputs claim."""
    marks = {
        "anchors": ("anchor", "prior"),
        "boxes": ("box", "loc", "regress"),
        "scores": ("score", "class", "conf", "prob"),
    }
    found: dict[str, list[str]] = {role: [] for role in marks}
    for name in seen.arrays:
        called = f"{seen.called.get(name, '')} {name}".lower()
        role = next((role for role, words in marks.items() if any(word in called for word in words)), None)
        if role is not None:
            found[role].append(name)
    return {role: names[0] for role, names in found.items() if len(names) == 1}


def pair_of(shape: Sequence[int]) -> tuple[int, int] | None:
    """The two last dimensions where all before them are 1, else None."""
    return (shape[-2], shape[-1]) if len(shape) >= 2 and all(size == 1 for size in shape[:-2]) else None


def strides_of(count: int, contract: InputContract, *, anchors: int) -> tuple[int, ...] | None:
    """The strides whose cells, times `anchors`, number `count`; None where no usual set does."""
    for strides in _STRIDE_SETS:
        if anchors * len(grid(contract, strides)[0]) == count:
            return strides
    return None


def _channels_first(pair: tuple[int, int], contract: InputContract) -> bool:
    """Whether (a, b) is channels × candidates: by which of the two counts the cells of a grid, else the shorter is
    channels."""
    known = [strides_of(count, contract, anchors=1) or strides_of(count, contract, anchors=3) for count in pair]
    if (known[0] is None) != (known[1] is None):
        return known[0] is None
    return pair[0] < pair[1]


# ------------------------------------------------------------------------------------------------------------- decoding


def in_pixels(boxes: NDArray[Any], spec: ModelSpec, *, default_format: str) -> NDArray[np.float64]:
    """Turn a head's (N, 4) boxes into xyxy input pixels, by the options `box_format` and `box_unit`."""
    xyxy = to_xyxy(boxes, str(spec.decoder_options.get("box_format", default_format)))
    if spec.decoder_options.get("box_unit") == "pixels":
        return xyxy
    return xyxy * np.array([spec.input.width, spec.input.height] * 2, dtype=np.float64)


def grid(contract: InputContract, strides: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """List the cells of all strides, row by row: (N, 2) cell x, y and (N, 1) strides. A partial cell counts.

    >>> cells, strides = grid(InputContract(height=16, width=32), (8, 16))
    >>> len(cells), cells[1].tolist(), strides[-1].tolist()
    (10, [1.0, 0.0], [16.0])
    """
    cells, sizes = [], []
    for stride in strides:
        rows, columns = -(-contract.height // stride), -(-contract.width // stride)
        ys, xs = np.mgrid[:rows, :columns]
        cells.append(np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64))
        sizes.append(np.full((rows * columns, 1), float(stride)))
    return np.concatenate(cells), np.concatenate(sizes)


def activated(values: NDArray[Any], activation: str) -> NDArray[Any]:
    """Apply `none`, `sigmoid` or `softmax` (over the last axis).

    >>> activated(np.array([[0.0, 0.0]]), "softmax").tolist()
    [[0.5, 0.5]]
    """
    if activation == "none":
        return values
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(values.astype(np.float64), -700, 700))))
    if activation == "softmax":
        powers = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    raise ValueError(f"expected an activation of none, sigmoid or softmax but got {activation!r}")


def with_objectness(boxes: NDArray[Any], rows: NDArray[Any], spec: ModelSpec) -> Candidates:
    """Score each class by objectness × class. A candidate whose objectness is below the score floor cannot reach it
    with any class and is left out, which spares most of the work."""
    objectness, classes = rescaled(rows[:, 4:5], spec), rows[:, 5:]
    kept = np.nonzero(objectness[:, 0] > spec.postprocess.score_floor)[0]
    scores = objectness[kept] * rescaled(classes[kept], spec)
    return Candidates(in_pixels(boxes[kept], spec, default_format="cxcywh"), scores)


def rescaled(scores: NDArray[Any], spec: ModelSpec) -> NDArray[Any]:
    """Scores, or objectness, as 0 to 1: what the model gives times the option `score_scale`."""
    scale: Any = spec.decoder_options.get("score_scale")
    return scores if scale is None else scores * float(scale)


def rows_of(outputs: Outputs, spec: ModelSpec) -> NDArray[Any]:
    """One row per candidate; a head split over several outputs is joined along its channels."""
    chosen = spec.decoder_options.get("outputs", list(outputs))
    arrays = [outputs[str(name)] for name in chosen] if isinstance(chosen, list) else []
    first = spec.decoder_options.get("channels_first", False)
    flat = [array.reshape(array.shape[-2:]) for array in arrays]
    rows = [array.T if first else array for array in flat]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def row_parts(array: NDArray[Any], spec: ModelSpec) -> tuple[NDArray[Any], NDArray[Any]]:
    """Boxes (N, 4) and whatever scores there are of one output whose rows hold both."""
    rows = array.reshape(array.shape[-2:])
    rows = rows.T if spec.decoder_options.get("channels_first") else rows
    return rows[:, :4], rows[:, 4:]


def cells_of(rows: NDArray[Any], spec: ModelSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cell and stride of each candidate.

    Raises:
        ValueError: the candidates are not the cells of the option `strides`.
    """
    given: Any = spec.decoder_options.get("strides", (8, 16, 32))
    sizes = tuple(given)
    cells, strides = grid(spec.input, sizes)
    if len(cells) != len(rows):
        raise ValueError(
            f"expected {len(rows)} candidates to be the cells of the strides {sizes}, but those are {len(cells)}"
        )
    return cells, strides


def sorted_detections(boxes: NDArray[np.float64], scores: NDArray[Any], labels: NDArray[Any]) -> Detections:
    """Detections by descending score, class ids being whole numbers in whatever type."""
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order].astype(np.float64), np.rint(labels[order]).astype(np.int64))
