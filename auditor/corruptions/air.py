"""What is between the scene and the lens: haze, rain, snow, insects; distances by `depth`."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from auditor.corruptions.builtin import Image, NotNegative, Positive, Share, image_of_light, light_of
from auditor.corruptions.depth import away_m, focal_px
from auditor.corruptions.over_time import each_frame

__all__ = ["haze", "insects", "rain", "snowfall"]

Field = NDArray[np.float32]
Numbers = NDArray[np.float64]
Rate = Annotated[float, Gt(0), Le(500)]
"""mm of water an hour."""


def haze(
    image: Image,
    *,
    rng: np.random.Generator,
    visibility: Positive,
    height: Positive = 3.0,
    horizon: Annotated[float, Ge(-5), Le(1)] = 0.35,
    far: Positive = 60.0,
) -> Image:
    """Fog or haze in which black is seen against the sky no farther than `visibility` metres (5 % contrast): light of
    the scene fades with the distance, and light of the air comes in its place, as bright as the sky. The camera is
    `height` metres above level ground, with the horizon at a share of the picture's height; nothing is farther than
    `far` metres.

    Source: Koschmieder 1924, Theorie der horizontalen Sichtweite; 5 % by WMO-No. 8, Guide to Instruments and Methods of
    Observation (meteorological optical range).
    """
    away = away_m(image.shape, height=height, horizon=horizon, far=far)
    return image_of_light(_behind_air(light_of(image), -math.log(0.05) / visibility, away))


def _behind_air(light: Field, extinction: float, away: Field, *, airlight: float | None = None) -> Field:
    """Light behind air that takes a share of `extinction` of it on each metre, and is itself as bright as `airlight`,
    of white; None: as the sky."""
    left = np.exp(-np.float32(extinction) * away)[:, np.newaxis, np.newaxis]
    own = _of_sky(light) if airlight is None else airlight
    return np.asarray(light * left + (1 - left) * np.float32(own), dtype=np.float32)


def _of_sky(light: Field) -> float:
    """How bright a cloudy sky is, and the air before it: as the brightest of the upper half of a picture, within what a
    camera exposes that to, since nothing that it lights is brighter."""
    return float(np.clip(np.quantile(light[: max(1, light.shape[0] // 2) : 4, ::4].mean(axis=2), 0.9), 0.4, 0.8))


def rain(
    image: Image,
    *,
    rng: np.random.Generator,
    rate: Rate,
    exposure: Positive = 3.0,
    lamp: NotNegative = 0.0,
    time_s: float = 0.0,
) -> Image:
    """Rain of `rate` mm an hour: streaks of the drops within four metres (by a lamp within two, which it shows), as
    long as they fall in an `exposure` of so many milliseconds, there for as long as the drop takes to pass; and the
    veil of all of them. A drop shows nearly all of the sky, so that by day it is as bright as that, before whatever it
    is; by a `lamp` beside the lens so bright, of white, at 0.6 m, and less with the square of the distance, and the
    veil is dark. Shadows of the sun and a dry road stay as they are.

    Sources: Marshall and Palmer 1948 (sizes: 8000 exp(-4.1 R^-0.21 D) a cubic metre and millimetre); Atlas et al. 1973,
    https://doi.org/10.1029/RG011i001p00001 (speeds: 9.65 - 10.3 exp(-0.6 D) m/s); Garg and Nayar 2007,
    https://doi.org/10.1007/s11263-006-0028-6 (how bright a streak is). The veil takes twice the drops' cross-section.
    """
    slope = 4.1 * rate**-0.21
    drops = _before_lens(rng, 8000 / slope * math.exp(-slope * _SMALLEST_MM), slope, farthest=2.2 if lamp else 4.0)
    speeds = 9.65 - 10.3 * np.exp(-0.6 * drops.sizes)
    ways = speeds * exposure * 1e-3
    shares = np.minimum(1, drops.sizes * 1e-3 / ways)
    veil = math.pi / 2 * 8000 * 2 / slope**3 * 1e-6
    away = away_m(image.shape, height=3.0, horizon=0.35, far=60.0)
    seen = _behind_air(light_of(image), veil, away, airlight=0.02 if lamp else None)
    lean = rng.normal(0, 0.1)
    drops = _fallen(drops, speeds * time_s, lean=lean, size=(image.shape[1], image.shape[0]))
    return _with_streaks(seen, drops, ways, shares, lamp=lamp, lean=lean)


def snowfall(
    image: Image, *, rng: np.random.Generator, rate: Rate, exposure: Positive = 5.0, time_s: float = 0.0
) -> Image:
    """Snow of `rate` mm of water an hour: the flakes between 0.6 and eight metres, as white as the sky makes them,
    falling by 0.6 to 1.4 metres a second during an `exposure` of so many milliseconds, and the veil of all of them.

    Source: Gunn and Marshall 1958, The Distribution with Size of Aggregate Snowflakes (of melted diameters:
    3800 R^-0.87 exp(-2.55 R^-0.48 D) a cubic metre and millimetre). A flake is taken to have a tenth of water's
    density; the veil takes twice the flakes' cross-section.
    """
    slope, most = 2.55 * rate**-0.48, 3800 * rate**-0.87
    flakes = _before_lens(rng, most / slope * math.exp(-slope * _SMALLEST_MM), slope, farthest=8.0)
    near = flakes.depth < _NEAREST_FLAKE_M
    flakes = Drops(flakes.sizes[~near] * _FLUFFY, flakes.depth[~near], flakes.places[~near])
    lean = rng.normal(0, 0.3)
    speeds = _FLAKES_M_S[0] + (_FLAKES_M_S[1] - _FLAKES_M_S[0]) * (977 * flakes.depth % 1)
    flakes = _fallen(flakes, speeds * time_s, lean=lean, size=(image.shape[1], image.shape[0]))
    veil = math.pi / 2 * _FLUFFY**2 * most * 2 / slope**3 * 1e-6
    away = away_m(image.shape, height=3.0, horizon=0.35, far=60.0)
    seen = _behind_air(light_of(image), veil, away)
    ways = speeds * exposure * 1e-3
    return _with_streaks(seen, flakes, ways, np.full(len(ways), 0.85), lamp=0.0, lean=lean)


_SMALLEST_MM = 0.8
"""Smaller drops are not drawn: nobody sees one."""
_FLUFFY = 10 ** (1 / 3)
_FLAKES_M_S = (0.6, 1.4)
_NEAREST_M, _NEAREST_FLAKE_M = 0.3, 0.6
_MOST_DRAWN = 80_000
_LINES = 400
"""So many of the widest are drawn as lines, all others, which are no wider than a pixel, as points along theirs."""
_MOST_POINTS = 48
_FIELD, _MARGIN = (1.2, 1.3), (0.1, 0.15)
"""Drops begin in a field so much wider and higher than the picture, from so much left of it and above."""
_ELSEWHERE = (math.sqrt(5) - 1) / 2
"""By how much of the field a drop comes in again beside where it came in before: the golden section repeats no way."""
_BINS = (0.3, 0.5, 0.8, 1.3, 10.0)
"""Depths in metres between which streaks are drawn at once, the nearer ones blurred more."""
_TURBULENCE = 0.04
"""By so much, of their way down, drops lean apart."""


@dataclass(frozen=True, eq=False)
class Drops:
    """Drops or flakes before the lens: diameters in mm, distances in metres, and places (N, 2) of 0 to 1."""

    sizes: Numbers
    depth: Numbers
    places: Numbers


def _before_lens(rng: np.random.Generator, count: float, slope: float, *, farthest: float) -> Drops:
    """Of `count` drops a cubic metre those before the lens, the first of one list for every rate."""
    drawn = rng.random((_MOST_DRAWN, 4), dtype=np.float32).astype(np.float64)
    volume = (2 * math.tan(math.radians(30))) ** 2 * 0.75 * (farthest**3 - _NEAREST_M**3) / 3
    mine = drawn[: min(_MOST_DRAWN, max(1, round(count * volume)))]
    depth = np.cbrt(_NEAREST_M**3 + mine[:, 0] * (farthest**3 - _NEAREST_M**3))
    return Drops(_SMALLEST_MM - np.log(1 - mine[:, 1]) / slope, depth, mine[:, 2:])


def _fallen(drops: Drops, fallen: Numbers, *, lean: float, size: tuple[int, int]) -> Drops:
    """Drops after they fell so many metres each, in a picture of (width, height) pixels: what leaves it below comes in
    above as another, elsewhere."""
    scale = focal_px(size[0]) / drops.depth
    down = drops.places[:, 1] + fallen * scale / (_FIELD[1] * size[1])
    times = np.floor(down)
    across = drops.places[:, 0] + lean * fallen * scale / (_FIELD[0] * size[0]) + times * _ELSEWHERE
    return Drops(drops.sizes, drops.depth, np.stack([across % 1, down - times], axis=1))


def _with_streaks(seen: Field, drops: Drops, ways: Numbers, shares: Numbers, *, lamp: float, lean: float) -> Image:
    """A scene behind drops that fall `ways` metres during the exposure, each place on their way covered for a share of
    it."""
    height, width = seen.shape[:2]
    focal = focal_px(width)
    wide, long = drops.sizes * 1e-3 * focal / drops.depth, ways * focal / drops.depth
    field, margin = np.multiply(_FIELD, [width, height]), np.multiply(_MARGIN, [width, height])
    starts = drops.places * field - margin
    leans = lean + _TURBULENCE * np.sin(977 * drops.depth)
    ends = starts + np.stack([long * leans, long], axis=1)
    levels = np.clip(shares * np.minimum(1, wide), 0, 1)
    lines = np.zeros(len(levels), dtype=bool)
    lines[np.argsort(-wide)[:_LINES]] = True
    lines &= wide > _POINT_PX
    streaks = Streaks(starts, ends, wide, levels, drops.depth)
    dark, lit = _as_points(streaks, ~lines, (height, width))
    through, shine = 1 - dark, lit * np.float32(lamp)
    for nearest, farthest in itertools.pairwise(_BINS):
        mine = np.flatnonzero(lines & (drops.depth >= nearest) & (drops.depth < farthest))
        layer = _as_lines(streaks, mine, (height, width), blur=max(0.6, 0.0012 * width / nearest))
        through *= 1 - layer
        shine = shine * (1 - layer) + layer * np.float32(lamp * (0.6 / nearest) ** 2)
    light = seen * through[..., np.newaxis]
    own = shine if lamp else (1 - through) * np.float32(_of_sky(seen))
    return image_of_light(np.asarray(light + own[..., np.newaxis], dtype=np.float32))


_POINT_PX = 0.7
"""What is narrower is drawn as points."""


@dataclass(frozen=True, eq=False)
class Streaks:
    """Where drops were during the exposure: `starts` and `ends` (N, 2) in pixels, how `wide` in pixels, which share of
    the light of a place they take (`levels`), and their `depth` in metres."""

    starts: Numbers
    ends: Numbers
    wide: Numbers
    levels: Numbers
    depth: Numbers


def _as_lines(streaks: Streaks, mine: NDArray[np.intp], size: tuple[int, int], *, blur: float) -> Field:
    """Some streaks, out of focus, with ends that fade since a drop comes and goes."""
    layer = np.zeros(size, dtype=np.uint8)
    top = float(streaks.levels[mine].max(initial=0.0))
    if top <= 0:
        return layer.astype(np.float32)
    order = mine[np.argsort(streaks.levels[mine])]
    levels, thick = 255 * streaks.levels[order] / top, np.maximum(1, np.rint(streaks.wide[order])).astype(int)
    ways = streaks.ends[order] - streaks.starts[order]
    for inset, share in ((0.0, 0.4), (0.12, 0.75), (0.25, 1.0)):
        ends = [np.rint((streaks.starts[order] + ways * part) * 16).astype(int) for part in (inset, 1 - inset)]
        drawn = zip(ends[0].tolist(), ends[1].tolist(), (levels * share).tolist(), thick.tolist(), strict=True)
        for begin, end, level, wide in drawn:
            cv2.line(layer, begin, end, level, wide, cv2.LINE_AA, 4)
    soft = np.asarray(cv2.GaussianBlur(layer, (0, 0), blur), dtype=np.float32)
    return np.asarray(soft * np.float32(top / 255), dtype=np.float32)


def _as_points(streaks: Streaks, mine: NDArray[np.bool_], size: tuple[int, int]) -> tuple[Field, Field]:
    """Streaks that are narrower than a pixel: the share of light that they take from each place, and of a lamp's light
    that they give there."""
    height, width = size
    starts, ways = streaks.starts[mine], streaks.ends[mine] - streaks.starts[mine]
    steps = np.clip(np.ceil(ways[:, 1]), 1, _MOST_POINTS).astype(int)
    weights = streaks.levels[mine] * np.maximum(1, ways[:, 1]) / steps
    whose = np.repeat(np.arange(len(steps)), steps)
    along = (np.arange(len(whose)) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / steps[whose]
    points = (starts[whose] + ways[whose] * along[:, np.newaxis]).astype(int)
    here = (points >= 0).all(axis=1) & (points < [width, height]).all(axis=1)
    places = points[here, 1] * width + points[here, 0]
    taken = weights[whose[here]]
    back = (0.6 / streaks.depth[mine][whose[here]]) ** 2
    dark, lit = (np.bincount(places, each, height * width).reshape(size) for each in (taken, taken * back))
    soft = [cv2.GaussianBlur(each.astype(np.float32), (0, 0), 0.6) for each in (dark, lit)]
    return np.minimum(np.asarray(soft[0]), 1), np.asarray(soft[1])


@each_frame
def insects(
    image: Image, *, rng: np.random.Generator, count: Annotated[float, Ge(0), Le(60)], lit: Share = 1.0
) -> Image:
    """So many insects before the lens, lit by the camera's lamp: half of them trails that taper to their ends, with
    beads of the beating wings; the others out of focus, brighter to one side, the larger the fainter. A part of one is
    a fainter one."""
    height, width = image.shape[:2]
    total = np.zeros((height, width), dtype=np.float32)
    for number in range(math.ceil(count)):
        layer = np.zeros((height, width), dtype=np.uint8)
        start, turn, bright = rng.random(2) * [width, height], rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 1)
        long, bend, beads = rng.uniform(0.03, 0.14) * width, rng.normal(0, 0.5), rng.uniform(6, 15)
        thick, radius = rng.uniform(0.004, 0.011) * width, rng.uniform(0.004, 0.03) * width
        if number % 2:
            bright *= min(1.0, (0.008 * width / radius) ** 2 + 0.12)
            for part in (1.0, 0.85, 0.7, 0.5, 0.3):
                place = np.rint((start + radius * (1 - part) * np.array([math.cos(turn), math.sin(turn)])) * 16)
                level = 255 * (1.15 - 0.9 * part)
                cv2.circle(
                    layer, place.astype(int).tolist(), max(16, round(radius * part * 16)), level, -1, cv2.LINE_AA, 4
                )
        else:
            along = np.linspace(0, 1, 40)
            angles = turn + bend * along
            way = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * long / 40
            points = np.rint(way * 16).astype(int).tolist()
            taper = np.sin(math.pi * along)
            beat = 0.6 + 0.4 * np.cos(2 * math.pi * beads * along)
            for place in range(39):
                wide = max(1, round(thick * taper[place]))
                cv2.line(layer, points[place], points[place + 1], 255 * float(beat[place]), wide, cv2.LINE_AA, 4)
        share = bright * min(1.0, count - number)
        np.maximum(total, layer.astype(np.float32) * np.float32(share / 255), out=total)
    soft = np.asarray(cv2.GaussianBlur(total, (0, 0), max(0.6, width * 0.0025)))[..., np.newaxis]
    return image_of_light(np.asarray(light_of(image) + soft * np.float32(lit), dtype=np.float32))
