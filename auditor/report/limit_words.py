"""Where a model breaks, in words: a value of the scenario's knob, and between which values it lies."""

from __future__ import annotations

from auditor.values import BreakingPoint

__all__ = ["between_words", "limit_words", "returns", "sentence_of"]


def limit_words(point: BreakingPoint) -> str:
    """The limit itself.

    >>> limit_words(_example())
    '-2.72'
    """
    if point.outcome == "reached" and point.at is not None:
        return _short(point.at)
    return {
        "never": f"never up to {point.range[1]:g}",
        "already": f"already at {point.range[0]:g}",
    }.get(point.outcome, "not known")


def between_words(point: BreakingPoint) -> str:
    """Between which values it lies with 95 %; why it is not known; empty where nothing can be said.

    >>> between_words(_example())
    '95 % -2.24 to beyond -5'
    """
    if point.reason is not None:
        return point.reason
    if point.interval is None:
        return ""
    milder, harder = point.interval
    if milder is None and harder is None:
        return ""
    begin = f"before {point.range[0]:g}" if milder is None else _short(milder)
    end = f"beyond {point.range[1]:g}" if harder is None else _short(harder)
    return f"95 % {begin} to {end}"


def sentence_of(point: BreakingPoint) -> str:
    """Both in one, with what is odd about it.

    >>> sentence_of(_example())
    '-2.72 (95 % -2.24 to beyond -5)'
    """
    between = between_words(point)
    return limit_words(point) + (f" ({between})" if between else "") + returns(point)


def returns(point: BreakingPoint) -> str:
    """What is said of a metric that gets better again with severity."""
    if point.better_again is None:
        return ""
    return f"; better again at severity {point.better_again:.3g}"


def _short(value: float) -> str:
    """Three digits, and no power of ten.

    >>> _short(2362.5), _short(-2.71875)
    ('2360', '-2.72')
    """
    return f"{float(f'{value:.3g}'):g}"


def _example() -> BreakingPoint:
    return BreakingPoint(
        *("m", "m", "int8", "cpu", "lighting/low_light", "recall", 0.1, "reached", "stops", "exposure, stops"),
        range=(-1, -5),
        at=-2.71875,
        interval=(-2.2357, None),
    )
