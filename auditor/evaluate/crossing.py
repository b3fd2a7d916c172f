"""From a metric's drop at a few severities to where it crosses a limit, and to the severity that is worth measuring
next."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.intervals import quantile_of

__all__ = ["MOST", "Curve", "Limit", "better_again", "limit_of_curve", "next_severity"]

MOST = 7
"""So many cells are measured for one breaking point."""
_FIRST, _LAST = 1.0, 5.0
_MIDDLE = 3.0
_STEPS = 64
"""Severities are tried in steps of 1/64, so that searches of several levels meet in the same cells."""
_NARROW = 1 / 8
"""A bracket so narrow is narrow enough: between its ends the drop is taken to be a line."""
_OF_INTERVAL = 0.25
"""So is one of this share of the interval, which more severities cannot narrow."""
_WIDE = 0.5
"""The ends of the interval are measured too where nothing known lies within so much of them."""
_ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Curve:
    """The drop from clean at K `severities`, ascending: `drops` (K,), and on each of R resamples `samples` (R, K),
    (0, K) where there are none; of `images` that say something of their own."""

    severities: NDArray[np.float64]
    drops: NDArray[np.float64]
    samples: NDArray[np.float64]
    images: int


@dataclass(frozen=True)
class Limit:
    """The severity at which a drop is reached: -inf where it is at the first already, inf where at none; and the ends
    of its 95 % interval, which may be either; None without resamples."""

    severity: float
    interval: tuple[float, float] | None


def limit_of_curve(curve: Curve, most: float) -> Limit:
    """Where the drop reaches `most` first.

    Both the drop and its resamples are made monotone by least squares first, unless the drop surely gets better again:
    chance at one of several severities would else take for reached what is not yet. Between two severities the drop is
    a line. The interval is the expanded percentile one of the crossings on resamples; those that lie outside of the
    range are before or behind all others.

    Source of the fit: Barlow et al. 1972, Statistical Inference under Order Restrictions (pool adjacent violators).
    """
    is_monotone = better_again(curve) is None
    severity = _crossing(curve.severities, _monotone(curve.drops) if is_monotone else curve.drops, most)
    if not len(curve.samples) or not np.isfinite(curve.samples).all() or curve.images < 2:
        return Limit(severity, None)
    rows = (_monotone(row) if is_monotone else row for row in curve.samples)
    crossings = np.array([_crossing(curve.severities, row, most) for row in rows])
    tail = NormalDist().cdf(-quantile_of(curve.images))
    low, high = np.quantile(crossings, [tail, 1 - tail], method="inverted_cdf")
    return Limit(severity, (float(low), float(high)))


def _monotone(drops: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(drops).x)


def _crossing(severities: NDArray[np.float64], drops: NDArray[np.float64], most: float) -> float:
    beyond = np.flatnonzero(drops >= most)
    if not len(beyond):
        return math.inf
    index = int(beyond[0])
    if index == 0:
        return -math.inf
    low, high = float(drops[index - 1]), float(drops[index])
    share = (most - low) / (high - low)
    return float(severities[index - 1] + share * (severities[index] - severities[index - 1]))


def better_again(curve: Curve) -> float | None:
    """The first severity at which the drop is surely smaller than at a lower one; None where there is none.

    Each pair is a paired test on the resamples, one-sided, all of them together with an error of 5 % (Bonferroni).
    """
    pairs = list(itertools.combinations(range(len(curve.severities)), 2))
    if not len(curve.samples) or not pairs or curve.images < 2 or not np.isfinite(curve.samples).all():
        return None
    limit = NormalDist().inv_cdf(1 - _ALPHA / len(pairs)) * math.sqrt(curve.images / (curve.images - 1))
    found = [
        float(curve.severities[later])
        for before, later in pairs
        if (gain := curve.drops[before] - curve.drops[later]) > 0
        and gain > limit * float((curve.samples[:, before] - curve.samples[:, later]).std())
    ]
    return min(found, default=None)


def next_severity(curve: Curve, most: float, *, left: int) -> float | None:
    """The severity to measure next, of so many that are `left`; None where the limit is known well enough.

    First the ends of the range and its middle, so that a drop that comes and goes is seen; then the middle of the
    bracket in which the limit lies, until it is narrow; last the ends of the interval, where nothing near is known.
    """
    known = curve.severities.tolist()
    if left <= 0:
        return None
    for wanted in (_FIRST, _LAST):
        if wanted not in known:
            return wanted
    if not any(_FIRST < severity < _LAST for severity in known):
        return _MIDDLE
    limit = limit_of_curve(curve, most)
    ends = limit.interval or (limit.severity, limit.severity)
    low, high = (min(max(end, _FIRST), _LAST) for end in ends)
    if math.isfinite(limit.severity):
        before, behind = _bracket(known, limit.severity)
        narrow = max(_NARROW, _OF_INTERVAL * (high - low))
        if behind - before > narrow:
            return _stepped((before + behind) / 2)
    for end in (low, high):
        before, behind = _bracket(known, end)
        tried = _stepped(end)
        if behind - before > _WIDE and before < tried < behind and min(tried - before, behind - tried) >= _NARROW:
            return tried
    return None


def _bracket(known: list[float], severity: float) -> tuple[float, float]:
    """The known severities before and behind one."""
    before = max((item for item in known if item <= severity), default=_FIRST)
    behind = min((item for item in known if item >= severity), default=_LAST)
    return before, behind


def _stepped(severity: float) -> float:
    return round(severity * _STEPS) / _STEPS
