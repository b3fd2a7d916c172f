"""95 % intervals from resamples of images, by a method for each kind of metric; which were chosen by their coverage in
simulation (`tests/benchmarks/test_interval_coverage.py`).

What they cover is what sets of as many such images give on average. An average precision of few images is higher than
that of many, whatever the interval: `auditor docs gates` says more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIXED", "Bounds", "class_aware", "expanded", "of_rate", "of_share", "quantile_of"]

Bounds = tuple[float, float] | None

FIXED = " (no class dropping out)"
"""What follows the name of a metric whose samples are of all classes always."""
_TAIL = 0.025
_UNSEEN = 2.0
"""So often counts what resamples vary by since rare classes drop out of them: for each class that may drop out there is
about another that the images did not show at all."""


def quantile_of(images: int) -> float:
    """Student's quantile for a standard error that resamples of so few images make too small by sqrt((n - 1) / n)."""
    from scipy.special import stdtrit

    if images < 2:
        return float("inf")
    return float(stdtrit(images - 1, 1 - _TAIL)) * float(np.sqrt(images / (images - 1)))


def class_aware(
    value: float, samples: NDArray[np.float64], fixed: NDArray[np.float64], *, images: int, bounds: Bounds = (0.0, 1.0)
) -> tuple[float, float] | None:
    """The interval of a mean over classes, or of a difference of two: `samples` (R,) are its values on resamples, of
    which rare classes drop out; `fixed` (R,) those with the value on all images in the place of such a class.

    Symmetric: resamples without rare classes lie to one side of the value (on 40 images of COCO 0.01 above it), which
    percentiles take for its error. None where a resample has no class at all.
    """
    if not len(samples) or not np.isfinite(samples).all() or not np.isfinite(fixed).all() or images < 2:
        return None
    within = float(fixed.var())
    error = np.sqrt(within + _UNSEEN * max(0.0, float(samples.var()) - within))
    return _cut(value - quantile_of(images) * error, value + quantile_of(images) * error, bounds)


def expanded(samples: NDArray[np.float64], *, images: int) -> list[tuple[float, float] | None]:
    """Percentiles of each column of (R, M), set apart as far as so few images ask for; None where some are undefined.

    Source: Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789, the expanded percentile interval.
    """
    from scipy.special import ndtr

    if not len(samples) or images < 2:
        return [None] * samples.shape[1]
    tail = float(ndtr(-quantile_of(images)))
    known = np.asarray(np.isfinite(samples).all(axis=0))
    low, high = np.quantile(np.where(known, samples, 0.0), [tail, 1 - tail], axis=0)
    return [(float(low[i]), float(high[i])) if known[i] else None for i in range(samples.shape[1])]


def of_share(value: float, samples: NDArray[np.float64], *, images: int) -> tuple[float, float] | None:
    """The interval of a share of things that are not independent within images: Wilson's, of as many independent ones
    as would vary as the resamples do. Of a share of 0 or 1, which resamples never leave, an image counts as one.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; the effective number is Kish's 1965.
    """
    if not len(samples) or not np.isfinite(samples).all() or images < 2 or not np.isfinite(value):
        return None
    variance = float(samples.var()) * images / (images - 1)
    spread = value * (1 - value)
    count = spread / variance if variance > 0 and spread > 0 else float(images)
    z = quantile_of(images) * np.sqrt((images - 1) / images)
    centre = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(spread / count + z * z / (4 * count * count))
    return _cut(centre - half, centre + half, (0.0, 1.0))


def of_rate(
    value: float, samples: NDArray[np.float64], *, images: int, unit: float = 1.0
) -> tuple[float, float] | None:
    """The interval of a number per image: the exact one of a Poisson count of as many independent events as would vary
    as the resamples do; of none at all, that of no event on so many images. `unit` is what an event on each image would
    be: another than 1 where the number is per hour, or per image of a part of them.

    Source: Garwood 1936, https://doi.org/10.2307/2333958.
    """
    from scipy.special import gammaincinv

    if not len(samples) or not np.isfinite(samples).all() or images < 2 or not np.isfinite(value):
        return None
    variance = float(samples.var()) * images / (images - 1)
    if value <= 0 or variance <= 0:
        return value, value + float(gammaincinv(1.0, 1 - _TAIL)) / images * unit
    events = value * value / variance
    low, high = gammaincinv(events, _TAIL), gammaincinv(events + 1, 1 - _TAIL)
    return float(value * low / events), float(value * high / events)


def _cut(low: float, high: float, bounds: Bounds) -> tuple[float, float]:
    if bounds is None:
        return float(low), float(high)
    return float(max(low, bounds[0])), float(min(high, bounds[1]))
