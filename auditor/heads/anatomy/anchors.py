"""Anchors of SSD heads: from a file, from generator parameters, in whatever format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xyxy
from auditor.errors import ModelError
from auditor.files import whole_text

__all__ = ["as_corners", "generate_anchors", "load_anchors"]


def load_anchors(path: Path) -> NDArray[np.float64]:
    """Load (N, 4) anchors from a `.npy` file, or from text with four numbers a line, in the file's own format.

    Raises:
        ModelError: the file cannot be read or holds something else.
    """
    try:
        raw = (
            np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=_delimiter(path))
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"anchors {path}: cannot be read ({error}); expected .npy or four numbers a line") from error
    if raw.size == 0 or raw.size % 4:
        raise ModelError(f"anchors {path}: expected (N, 4) numbers but the file holds an array of shape {raw.shape}")
    return np.asarray(raw.reshape(-1, 4), dtype=np.float64)


def as_corners(anchors: NDArray[np.float64], anchor_format: str) -> NDArray[np.float64]:
    """Turn anchors of a box format, or of TensorFlow's `cycxhw`, into xyxy."""
    if anchor_format == "cycxhw":
        return to_xyxy(anchors[:, [1, 0, 3, 2]], "cxcywh")
    return to_xyxy(anchors, anchor_format)


def generate_anchors(parameters: Mapping[str, Any]) -> NDArray[np.float64]:
    """Generate the anchors of an SSD as xyxy in [0, 1], layer by layer, cell by cell.

    `feature_maps` is [[rows, columns], …] from the finest; `min_scale`, `max_scale` and `aspect_ratios` as in the SSD
    paper; `interpolated` adds a square of the geometric mean of two neighbouring scales; `reduce_lowest` gives the
    finest layer only the three anchors that TensorFlow's SSD gives it.
    Source: arXiv:1512.02325, eq. 4; object_detection/anchor_generators/multiple_grid_anchor_generator.py of
    https://github.com/tensorflow/models.
    """
    unknown = sorted(
        set(parameters) - {"feature_maps", "min_scale", "max_scale", "aspect_ratios", "interpolated", "reduce_lowest"}
    )
    if unknown:
        raise ValueError(f"unknown generator parameters {', '.join(unknown)}")
    maps = [tuple(size) for size in parameters["feature_maps"]]
    low, high = float(parameters.get("min_scale", 0.2)), float(parameters.get("max_scale", 0.95))
    ratios = [float(ratio) for ratio in parameters.get("aspect_ratios", (1.0, 2.0, 0.5, 3.0, 1 / 3))]
    steps = max(len(maps) - 1, 1)
    scales = [low + (high - low) * index / steps for index in range(len(maps))] + [1.0]
    layers = []
    for index, (rows, columns) in enumerate(maps):
        if index == 0 and parameters.get("reduce_lowest", True):
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            shapes = [(scales[index], ratio) for ratio in ratios]
            if parameters.get("interpolated", True):
                shapes.append((float(np.sqrt(scales[index] * scales[index + 1])), 1.0))
        layers.append(_layer(rows, columns, shapes))
    return np.concatenate(layers)


def _layer(rows: int, columns: int, shapes: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    ys, xs = np.mgrid[:rows, :columns]
    centres = np.stack([(xs.ravel() + 0.5) / columns, (ys.ravel() + 0.5) / rows], axis=1)
    sizes = np.array([[scale * np.sqrt(ratio), scale / np.sqrt(ratio)] for scale, ratio in shapes])
    half = np.tile(sizes, (len(centres), 1)) / 2
    centres = np.repeat(centres, len(shapes), axis=0)
    return np.concatenate([centres - half, centres + half], axis=1)


def _delimiter(path: Path) -> str | None:
    return "," if "," in whole_text(path)[:200] else None
