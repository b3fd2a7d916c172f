"""Charts of distributions and of the trade-off as static SVG, made with Vega-Lite: they show and print without
JavaScript. Their colours are those of the light theme; the page gives them its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

__all__ = ["prepare", "size_chart", "spread_chart", "trade_off_chart"]

Encoding = dict[str, object]
"""A part of a Vega-Lite specification."""

_BLUE, _ORANGE = "#2458a6", "#c2571a"

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
    size_chart("nothing", [0.0], [0])


def trade_off_chart(
    title: str, levels: Sequence[Mapping[str, str | float | bool | None]], *, alone: bool
) -> markupsafe.Markup:
    """Draw the levels of one family: the metric (with its interval) over the time of an invocation, the area of a point
    being the file's size. Each of `levels` has `level`, `metric`, `value`, `low`, `high`, `ms`, `megabytes` and
    `dominated`; `alone` says that nothing else ran while they were timed."""
    during = "" if alone else " during the run"
    x: Encoding = {
        "field": "ms",
        "type": "quantitative",
        "scale": {"type": "log", "nice": True},
        "axis": {
            "title": f"median invocation{during}, ms (log)",
            "grid": False,
            "tickCount": 6,
        },
    }
    y: Encoding = {
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
        "layer": _levels(x, y),
        "config": _CONFIG,
    }
    return _svg(spec)


def _levels(x: Encoding, y: Encoding) -> list[Encoding]:
    """The front of the levels that none dominates, and each level with its interval, the area of a point its size."""
    color = {"condition": {"test": "datum.dominated", "value": "#b3b3ae"}, "value": _BLUE}
    return [
        {
            "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [4, 3], "strokeWidth": 1.2},
            "transform": [{"filter": "!datum.dominated"}],
            "encoding": {"x": x, "y": y, "color": {"value": _BLUE}, "order": {"field": "ms"}},
        },
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
    ]


def spread_chart(title: str, sets: Mapping[str, Sequence[float]], *, scale: str) -> markupsafe.Markup:
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
                "scale": {"domain": names, "range": [_BLUE, _ORANGE, "#2e7d4f", "#8a3f9e"][: len(names)]},
                "legend": None,
            },
        },
        "config": _CONFIG,
    }
    return _svg(spec)


def size_chart(title: str, from_px: Sequence[float], counts: Sequence[int]) -> markupsafe.Markup:
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
        "mark": {"type": "bar", "color": _BLUE},
        "encoding": {
            "x": {
                "field": "from",
                "type": "ordinal",
                "sort": labels,
                "axis": {"title": "px at the input, from", "labelAngle": 0},
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


def _svg(spec: Mapping[str, object]) -> markupsafe.Markup:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec), allowed_base_urls=[])
    named = markupsafe.Markup('<svg role="img" aria-label="{}" ').format(spec["description"])
    return markupsafe.Markup(svg.replace("<svg ", named, 1))
