"""Charts as static SVG, made with Vega-Lite: they show and print without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["COLORS", "prepare", "severity_chart", "size_chart", "spread_chart", "trade_off_chart"]

COLORS = ("#2458a6", "#c2571a", "#2e7d4f", "#8a3f9e", "#8b6d00", "#00798c", "#b0245c", "#555555")
"""Told apart in common forms of colour blindness, and on white; after these they repeat with another dash."""
_DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])

_CONFIG: dict[str, Any] = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#444",
        "titleColor": "#444",
        "titleFontWeight": "normal",
        "domainColor": "#999",
        "tickColor": "#999",
    },
}


def prepare() -> None:
    """Start the chart engine, which takes a third of a second, so that the first chart need not wait for it."""
    severity_chart("nothing", {"none": [(0.0, 0.0)]}, top=1.0, names=["none"], metric="")


def severity_chart(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    top: float,
    names: Sequence[str],
    metric: str,
) -> str:
    """Draw `metric` over severity for one scenario as SVG: one line per model.

    `series` maps a model's name to its (severity, value) points, severity 0 being clean; `top` is the end of the axis,
    shared by the charts of one report; `names` fixes each model's colour.
    """
    rows = [{"model": name, "severity": x, "value": y} for name, points in series.items() for x, y in points]
    scale = {"domain": list(names), "range": [COLORS[index % len(COLORS)] for index in range(len(names))]}
    dash = {
        "domain": list(names),
        "range": [_DASHES[index // len(COLORS) % len(_DASHES)] for index in range(len(names))],
    }
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": f"{metric} over severity for {title}",
        "width": 220,
        "height": 120,
        "padding": 4,
        "background": "transparent",
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"size": 28, "filled": True}, "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "severity",
                "type": "quantitative",
                "axis": {"values": [0, 1, 2, 3, 4, 5], "grid": False, "title": "severity (0: clean)"},
                "scale": {"domain": [0, 5]},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "scale": {"domain": [0, top]},
                "axis": {"tickCount": 4, "gridColor": "#e4e4e0", "title": metric},
            },
            "color": {"field": "model", "type": "nominal", "scale": scale, "legend": None},
            "strokeDash": {"field": "model", "type": "nominal", "scale": dash, "legend": None},
        },
        "config": _CONFIG,
    }
    return _svg(spec)


def trade_off_chart(title: str, levels: Sequence[Mapping[str, str | float | bool | None]], *, alone: bool) -> str:
    """Draw the levels of one family: the metric (with its interval) over the time of an invocation, the area of a point
    being the file's size. Each of `levels` has `level`, `metric`, `value`, `low`, `high`, `ms`, `megabytes` and
    `dominated`; `alone` says that nothing else ran while they were timed."""
    color = {"condition": {"test": "datum.dominated", "value": "#b3b3ae"}, "value": COLORS[0]}
    during = "" if alone else " during the run"
    x = {
        "field": "ms",
        "type": "quantitative",
        "scale": {"type": "log", "nice": True},
        "axis": {
            "title": f"median invocation{during}, ms (log)",
            "grid": False,
            "tickCount": 6,
        },
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "axis": {"title": f"{levels[0]['metric']} on clean images, 95 %", "gridColor": "#e4e4e0", "tickCount": 5},
        "scale": {"zero": False, "nice": True},
    }
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": f"accuracy over time and size of the levels of {title}",
        "width": 460,
        "height": 230,
        "padding": 6,
        "background": "transparent",
        "data": {"values": list(levels)},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color},
            },
            {
                "mark": {"type": "circle", "opacity": 0.85},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": color,
                    "size": {
                        "field": "megabytes",
                        "type": "quantitative",
                        "legend": None,
                        "scale": {"range": [40, 420], "zero": True},
                    },
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 12, "dy": -6, "fontSize": 11},
                "encoding": {"x": x, "y": y, "text": {"field": "level"}, "color": color},
            },
        ],
        "config": _CONFIG,
    }
    return _svg(spec)


def spread_chart(title: str, sets: Mapping[str, Sequence[float]], *, scale: str) -> str:
    """Draw how one measure of images is spread, an area for each of `sets` (evaluated, calibration); `scale` is linear
    or log."""
    rows = [{"set": name, "value": value} for name, values in sets.items() for value in values]
    names = list(sets)
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": f"distribution of {title}",
        "width": 200,
        "height": 80,
        "padding": 4,
        "background": "transparent",
        "data": {"values": rows},
        "transform": [
            {"calculate": "log(datum.value + 1) / log(10)" if scale == "log" else "datum.value", "as": "x"},
            {"density": "x", "groupby": ["set"], "as": ["x", "density"]},
        ],
        "mark": {"type": "area", "fillOpacity": 0.25, "line": True},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "axis": {"title": f"log10 of {title}" if scale == "log" else title, "grid": False, "tickCount": 5},
            },
            "y": {"field": "density", "type": "quantitative", "stack": None, "axis": None},
            "color": {
                "field": "set",
                "type": "nominal",
                "scale": {"domain": names, "range": list(COLORS[: len(names)])},
                "legend": None,
            },
        },
        "config": _CONFIG,
    }
    return _svg(spec)


def size_chart(title: str, from_px: Sequence[float], counts: Sequence[int]) -> str:
    """Draw how many true boxes have which size in a model's input, by powers of two."""
    labels = [f"{low:g}" for low in from_px]
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": f"true boxes by size in the input of {title}",
        "width": 200,
        "height": 80,
        "padding": 4,
        "background": "transparent",
        "data": {"values": [{"from": label, "boxes": count} for label, count in zip(labels, counts, strict=True)]},
        "mark": {"type": "bar", "color": COLORS[0]},
        "encoding": {
            "x": {
                "field": "from",
                "type": "ordinal",
                "sort": labels,
                "axis": {"title": f"px at the input of {title}, from", "labelAngle": 0},
            },
            "y": {
                "field": "boxes",
                "type": "quantitative",
                "axis": {"title": "boxes", "tickCount": 3, "gridColor": "#e4e4e0"},
            },
        },
        "config": _CONFIG,
    }
    return _svg(spec)


def _svg(spec: Mapping[str, object]) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec), allowed_base_urls=[])
    return svg
