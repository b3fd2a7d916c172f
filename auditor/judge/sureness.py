"""On which side of a gate's limit a value surely is."""

from __future__ import annotations

import math
from statistics import NormalDist

from auditor.values import MetricValue, Rule

__all__ = ["images_that_decide", "is_sure"]

_NORMAL = NormalDist()
_OF_INTERVAL = _NORMAL.inv_cdf(0.975)
"""How many standard errors a 95 % interval reaches to either side."""
_MOST_IMAGES = 10_000_000


def is_sure(rule: Rule, value: MetricValue | None, margin: float) -> bool:
    """Whether images of this kind lie on the value's side of the limit with the gate's confidence. `margin` is how far
    it is within; of a value without an interval nothing is sure."""
    reach = _reach(rule, value, margin)
    return reach is not None and abs(margin) > reach


def images_that_decide(rule: Rule, value: MetricValue | None, margin: float) -> int | None:
    """About how many images would decide, if the value stayed what it is: errors fall with the root of their number.
    None where nothing is known of the error, or no number of images would."""
    reach = _reach(rule, value, margin)
    if reach is None or value is None or margin == 0 or not value.images:
        return None
    needed = value.images * (reach / abs(margin)) ** 2
    return math.ceil(needed) if needed <= _MOST_IMAGES else None


def _reach(rule: Rule, value: MetricValue | None, margin: float) -> float | None:
    """How far the value may be from its place towards the limit, with the gate's confidence on one side."""
    if value is None or value.value is None or value.interval is None or rule.confidence is None:
        return None
    low, high = value.interval
    towards_low = (margin > 0) != (rule.kind == "max")  # a limit that is held lies below, but that of a `max`
    half = value.value - low if towards_low else high - value.value
    return max(0.0, half) / _OF_INTERVAL * _NORMAL.inv_cdf(rule.confidence)
