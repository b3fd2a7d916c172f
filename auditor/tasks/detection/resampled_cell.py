"""What the average precisions of a cell are on every resample, and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.intervals import FIXED, class_aware, expanded
from auditor.tasks.detection.coco_ap import NAMES, Matched, per_class
from auditor.tasks.detection.resampling import ResampledAP
from auditor.values import iou_metric

__all__ = ["Resamples"]

_ENOUGH = 40
"""Of fewer objects of a class there is too little to say how sure its AP is: intervals of 20 cover 89 to 95 %."""
_FEW = 200
"""So many resamples tell how wide the interval of a size is, which is compared with no other cell."""


class Resamples:
    """AP over all classes on each resample, at single IoUs, of single sizes and of single classes, as classes come."""

    def __init__(self, weights: NDArray[np.integer[Any]], *, sizes: bool) -> None:
        """Of single `sizes` only where that is asked: they cost a quarter of a cell's evaluation."""
        self._weights, self._with_sizes = weights, sizes
        self._all = ResampledAP(weights)
        self._further: dict[str, ResampledAP] = {}
        self._sizes: dict[str, ResampledAP] = {}
        self._classes: dict[str, tuple[float, float] | None] = {}
        self._apart = np.zeros(1)

    def take(self, found: Matched) -> None:
        """Take how a class was matched."""
        mine = self._all.add(found.coco)
        if mine is not None and len(found.coco.truths) >= _ENOUGH:
            images = self._weights.shape[1]
            self._classes[per_class(found.at_point.category)] = expanded(mine[:, np.newaxis], images=images)[0]
        for iou, other in found.further.items():
            self._further.setdefault(iou_metric(iou), ResampledAP(self._weights)).add(other)
        for name, other in found.sizes.items() if self._with_sizes else ():
            self._sizes.setdefault(f"AP_{name}", ResampledAP(self._weights[:_FEW])).add(other)

    def spread(self, apart: NDArray[np.float64]) -> None:
        """Let AP vary by what other orders of equal scores make of it, too."""
        self._apart = apart

    @property
    def samples(self) -> dict[str, NDArray[np.float64]]:
        """Those that are compared between cells, on each resample."""
        plain = self._all.of().values
        further = {name: found.values for name, found in self._further.items()}
        return {NAMES[0]: plain + np.resize(self._apart, len(plain)), **further}

    @property
    def fixed(self) -> dict[str, NDArray[np.float64]]:
        """The same, no class dropping out."""
        plain = self._all.of().fixed
        further = {name: found.of().fixed for name, found in self._further.items()}
        return {NAMES[0]: plain + np.resize(self._apart, len(plain)), **further}

    @property
    def stored(self) -> dict[str, NDArray[np.float64]]:
        """AP at IoU 0.50 and 0.75 on each resample, and no class dropping out."""
        found = {f"{NAMES[0]}{point}": self._all.of(point) for point in ("50", "75")}
        plain = {name: drawn.values for name, drawn in found.items()}
        return {**plain, **{f"{name}{FIXED}": drawn.fixed for name, drawn in found.items()}}

    def intervals(self, images: int) -> dict[str, tuple[float, float] | None]:
        """By name, of all that has one."""
        everything = self._all.of()
        found: dict[str, tuple[float, float] | None] = {
            NAMES[0]: class_aware(everything.value, self.samples[NAMES[0]], self.fixed[NAMES[0]], images=images)
        }
        found |= {f"{NAMES[0]}{point}": self._all.of(point).interval(images) for point in ("50", "75")}
        others = {**self._further, **self._sizes}
        return {**found, **{name: other.of().interval(images) for name, other in others.items()}, **self._classes}
