"""Stacked bars as static SVG from one template, in the colours of the page's theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import markupsafe

from auditor.report.frame import page_environment
from auditor.report.line_chart import ticks_of

__all__ = ["Bar", "draw_bars"]

_WIDTH, _LEFT, _ROW, _TOP = 520, 150, 17, 8
_LONGEST = 24


@dataclass(frozen=True)
class Bar:
    """A row of a chart: its name, and what is stacked, one value for each part."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class _Piece:
    part: int
    x: float
    width: float
    title: str


def draw_bars(about: str, parts: Sequence[str], bars: Sequence[Bar], *, title: str) -> markupsafe.Markup:
    """Draw a row of pieces for each bar, what is above 0 to the right and what is below to the left; `about` says what
    they are, to who cannot see them; `title` is that of the axis."""
    most = max((sum(value for value in bar.values if value > 0) for bar in bars), default=0.0) or 1e-6
    least = min((sum(value for value in bar.values if value < 0) for bar in bars), default=0.0)
    across = (_WIDTH - _LEFT - 10) / (most - least)
    zero = _LEFT - least * across
    rows = []
    for number, bar in enumerate(bars):
        right, left, pieces = zero, zero, []
        for part, value in enumerate(bar.values):
            width = abs(value) * across
            left -= width if value < 0 else 0
            if width >= 0.5:
                x = left if value < 0 else right
                pieces.append(_Piece(part, round(x, 1), round(width, 1), f"{parts[part]} {value:+.3f}"))
            right += width if value > 0 else 0
        name = bar.name if len(bar.name) <= _LONGEST else f"{bar.name[: _LONGEST - 1]}…"
        rows.append((name, _TOP + number * _ROW, pieces))
    template = page_environment().get_template("bar_chart.svg.j2")
    return markupsafe.Markup(
        template.render(
            about=about,
            rows=rows,
            size=(_WIDTH, _TOP + len(rows) * _ROW + 34),
            bottom=_TOP + len(rows) * _ROW,
            zero=round(zero, 1),
            ticks=[(value, round(zero + value * across, 1)) for value in ticks_of(most)],
            left=_LEFT,
            middle=(_LEFT + _WIDTH) / 2,
            title=title,
        )
    )
