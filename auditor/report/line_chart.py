"""Line charts as static SVG from one template: lines with bands and a name at their ends, which show and print without
JavaScript, in the colours of the page's theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import markupsafe

from auditor.report.frame import page_environment

__all__ = ["Line", "Tick", "draw_lines", "ticks_of"]

_LEFT, _TOP, _BOTTOM = 34, 22, 36
_LABEL = 12
"""How far apart the names at the ends of lines are, at least."""
_LETTER = 6.0
"""About how wide a letter of a name is."""
_LONGEST = 22
_LEAST = 54
"""Room for the title of the upper axis."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line: its name, classes of its colour, and points (x, y) by ascending x; `band` are (x, low, high). `number` is
    the row that it is of."""

    name: str
    hue: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()
    number: int | None = None


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what stands there; `above` is what stands on the upper axis."""

    at: float
    text: str
    above: str = ""


@dataclass(frozen=True)
class _Drawn:
    line: Line
    path: str
    band: str
    dots: Sequence[Point]
    end: Point
    label: Point
    text: str


@dataclass(frozen=True)
class _Frame:
    """Where values land: `x` and `y` are the ends of the axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float
    height: float
    right: float = field(default=0.0)

    def of(self, x: float, y: float) -> Point:
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return (
            round(_LEFT + across * (self.width - _LEFT - self.right), 1),
            round(self.height - _BOTTOM - up * (self.height - _TOP - _BOTTOM), 1),
        )


def draw_lines(
    about: str,
    lines: Sequence[Line],
    *,
    ticks: Sequence[Tick],
    top: float,
    titles: tuple[str, str, str] = ("", "", ""),
    marked: Sequence[Tick] = (),
    size: tuple[int, int] = (330, 210),
) -> markupsafe.Markup:
    """Draw lines from 0 to `top` over the places of `ticks` as SVG. `about` says what they are, to who cannot see them;
    `titles` are those of the lower, the left and the upper axis; at the places of `marked` stands a line."""
    longest = max((len(line.name[:_LONGEST]) for line in lines if line.points), default=0)
    right = max(longest * _LETTER + 18, _LEAST)
    ends = [tick.at for tick in ticks]
    frame = _Frame((min(ends), max(ends)), (0.0, top), size[0], size[1], right)
    drawn = [_drawn(line, frame) for line in lines if line.points]
    named = [item for item in drawn if item.text]
    apart = _apart([item.end[1] for item in named], low=_TOP - 6, high=size[1] - _BOTTOM - 3)
    across = round(size[0] - right + 12, 1)
    placed = [replace(item, label=(across, y)) for item, y in zip(named, apart, strict=True)]
    placed = [item for item in drawn if not item.text] + placed
    template = page_environment().get_template("line_chart.svg.j2")
    return markupsafe.Markup(
        template.render(
            about=about,
            lines=placed,
            size=size,
            inside=(frame.of(frame.x[0], 0), frame.of(frame.x[1], top)),
            ticks=[(tick, frame.of(tick.at, 0)[0]) for tick in ticks],
            rows=[(value, frame.of(frame.x[0], value)[1]) for value in ticks_of(top)],
            marked=[(tick, frame.of(tick.at, 0)[0]) for tick in marked],
            titles=titles,
        )
    )


def _drawn(line: Line, frame: _Frame) -> _Drawn:
    dots = [frame.of(x, min(y, frame.y[1])) for x, y in line.points]
    ahead = [frame.of(x, min(high, frame.y[1])) for x, _, high in line.band]
    back = [frame.of(x, max(low, 0.0)) for x, low, _ in reversed(line.band)]
    text = line.name if len(line.name) <= _LONGEST else f"{line.name[: _LONGEST - 1]}…"
    return _Drawn(line, _path(dots), _path([*ahead, *back]), dots, dots[-1], dots[-1], text)


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _apart(places: Sequence[float], *, low: float, high: float) -> list[float]:
    """Move the names of lines apart, in their order, no further than they must.

    >>> _apart([50, 51, 90], low=0, high=100)
    [44.5, 56.5, 90.0]
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    step = min(_LABEL, (high - low) / max(1, len(places) - 1))
    groups: list[tuple[list[int], float]] = []
    for index in order:
        group, middle = [index], float(places[index])
        while groups:
            known, other = groups[-1]
            if other + (len(known) - 1) * step / 2 + step <= middle - (len(group) - 1) * step / 2:
                break
            groups.pop()
            middle = (other * len(known) + middle * len(group)) / (len(known) + len(group))
            group = known + group
        half = (len(group) - 1) * step / 2
        groups.append((group, min(max(middle, low + half), high - half)))
    found = [0.0] * len(places)
    for group, middle in groups:
        for number, index in enumerate(group):
            found[index] = round(middle + (number - (len(group) - 1) / 2) * step, 1)
    return found


def ticks_of(top: float) -> list[float]:
    """Round values from 0 to `top`, four or five of them.

    >>> ticks_of(1.0), ticks_of(0.3)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.1, 0.2, 0.3])
    """
    if top <= 0:
        return [0.0]
    raw = top / 4
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    return [round(step * number, 10) for number in range(int(top / step + 1e-6) + 1)]
