"""What the whole data set would give, from the images of a look: an interval whose error is spent over the looks."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["error_of", "looks_of", "whole_interval"]

_FIRST = 20
"""The first look is at one image of so many; the next at twice as many each time."""
_LEAST_IMAGES = 8
_DRIFT = 2.0
"""AP of few images is too high, since a class counts that has one object. What it lost from the look before to this one
it may lose so many times more up to the whole set: with half as many images each look, a bias that falls as the root of
their number loses 2.4 times that up to a set without end."""


def looks_of(images: int) -> list[int]:
    """On how many images one looks, in turn; the last time on all.

    >>> looks_of(200)
    [10, 20, 40, 80, 160, 200]
    """
    sizes = [min(images, max(_LEAST_IMAGES, images // _FIRST))]
    while sizes[-1] < images:
        sizes.append(min(images, 2 * sizes[-1]))
    return sizes


def error_of(look: int, looks: list[int], error: float) -> float:
    """The part of the `error` that look number `look` (from 0) may spend: about even over what is seen.

    Source: Lan and DeMets 1983, https://doi.org/10.1093/biomet/70.3.659, the spending function of Pocock's type.
    """
    return _spent(looks[look] / looks[-1], error) - (_spent(looks[look - 1] / looks[-1], error) if look else 0.0)


def _spent(share: float, error: float) -> float:
    return error * math.log(1 + (math.e - 1) * share)


def whole_interval(
    value: float,
    samples: NDArray[np.float64],
    *,
    before: float | None,
    images: int,
    of: int,
    error: float,
    paired: bool = False,
) -> tuple[float, float] | None:
    """The interval, each end with `error`, of what all `of` images give, from the `value` of the first `images`, that
    of the look `before` it, and its resamples (R,); None where that cannot be told.

    The standard error is the resamples', by Student's quantile, less for what is a part of the whole (the finite
    population's correction). Where the value is a difference of two that are `paired` by image, images that differ may
    be too rare to be among the first: with probability 1 - `error` no more than -ln(error) / images of all are such,
    and a metric from 0 to 1 is moved by no more than their share. Source: Hanley and Lippman-Hand 1983,
    https://doi.org/10.1001/jama.1983.03330370053031 (the rule of three).
    """
    if images >= of:
        return value, value
    if before is None or not samples.size or not np.isfinite(samples).all() or images < _LEAST_IMAGES:
        return None
    rest = 1 - images / of
    spread = max(float(samples.std()), 1 / (images + 1) / 4) * math.sqrt(rest * images / (images - 1))
    drift = _DRIFT * abs(before - value) * rest
    reach = _student(1 - error, images - 1) * spread
    if paired:
        reach = max(reach, min(1.0, -math.log(error) / images) * rest)
    reach += drift
    return value - reach, value + reach


def _student(probability: float, freedom: int) -> float:
    """A quantile of Student's distribution. Source: Abramowitz and Stegun 1964, 26.7.5."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, start=1)))
