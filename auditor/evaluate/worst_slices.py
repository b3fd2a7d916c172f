"""Which parts of a data set are worse than the rest beyond chance, over all parts that were tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.comparison import simultaneous
from auditor.evaluate.counted import Seen
from auditor.values import Cell, Slice

__all__ = ["Sliced", "worst_slices"]

_LEAST = 20
"""A slice of fewer objects, or with fewer beside it, is not tried."""
_WORTH = 0.05
"""A smaller loss is no slice worth naming."""
_MOST = 10


@dataclass(frozen=True, eq=False)
class Sliced:
    """G objects: their images' positions, which are found, and by attribute the group of each (empty: unknown)."""

    image: NDArray[np.int64]
    found: NDArray[np.bool_]
    groups: Mapping[str, NDArray[np.str_]]


def worst_slices(cell: Cell, objects: Sliced, seen: Seen, *, error: float) -> list[Slice]:
    """The slices of a cell whose objects are found less often than all others, beyond chance: simultaneous over all
    slices that are tried, on resamples of images. At most ten, those that lose most objects first."""
    masks = {
        (by, group): values == group
        for by, values in objects.groups.items()
        for group in np.unique(values[values != ""]).tolist()
    }
    known = {by: values != "" for by, values in objects.groups.items()}
    tried = {
        key: mask for key, mask in masks.items() if mask.sum() >= _LEAST and (known[key[0]] & ~mask).sum() >= _LEAST
    }
    if not tried:
        return []
    images, weights = len(seen.positions), seen.weights.astype(np.float32)
    sums, losses = [], []
    for (by, _), mask in tried.items():
        rest = known[by] & ~mask
        parts = [mask, mask & objects.found, rest, rest & objects.found]
        counts = np.stack([np.bincount(objects.image[part], minlength=images) for part in parts], axis=1)
        sums.append(weights @ counts.astype(np.float32))
        losses.append(_loss(counts.sum(axis=0)[np.newaxis].astype(np.float64))[0])
    samples = np.stack([_loss(part.astype(np.float64)) for part in sums], axis=1)
    whole = np.asarray(np.isfinite(samples).all(axis=0))
    keys = [key for key, there in zip(tried, whole.tolist(), strict=True) if there]
    if not keys:
        return []
    values = np.array(losses)[whole]
    between = simultaneous(values, samples[:, whole], error=error)
    worse = []
    for key, value, (low, high) in zip(keys, values.tolist(), between.tolist(), strict=True):
        mask = tried[key]
        if low <= 0 or value < _WORTH:
            continue
        rest = known[key[0]] & ~mask
        worse.append(
            Slice(
                cell.file,
                cell.quantization,
                cell.delegate,
                *key,
                objects=int(mask.sum()),
                images=len(np.unique(objects.image[mask])),
                found=float(objects.found[mask].mean()),
                others=float(objects.found[rest].mean()),
                loss=value,
                interval=(low, high),
                tried=len(keys),
            )
        )
    worse.sort(key=lambda item: -item.loss * item.objects)
    return worse[:_MOST]


def _loss(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much less is found of a slice than of the rest: (R,), from (R, 4) sums."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[:, 3] / sums[:, 2] - sums[:, 1] / sums[:, 0])
