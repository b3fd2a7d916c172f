"""Charts as static SVG, made with Vega-Lite: they show and print without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["COLORS", "prepare", "severity_chart"]

COLORS = ("#2458a6", "#c2571a", "#2e7d4f", "#8a3f9e", "#8b6d00", "#00798c", "#b0245c", "#555555")
"""Told apart in common forms of colour blindness, and on white; after these they repeat with another dash."""
_DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])


def prepare() -> None:
    """Start the chart engine, which takes a third of a second, so that the first chart need not wait for it."""
    severity_chart("nothing", {"none": [(0.0, 0.0)]}, top=1.0, names=["none"])


def severity_chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, top: float, names: Sequence[str]) -> str:
    """Draw AP over severity for one scenario as SVG: one line per model.

    `series` maps a model's name to its (severity, AP) points, severity 0 being clean; `top` is the end of the AP axis,
    shared by the charts of one report; `names` fixes each model's colour.
    """
    rows = [{"model": name, "severity": x, "AP": y} for name, points in series.items() for x, y in points]
    scale = {"domain": list(names), "range": [COLORS[index % len(COLORS)] for index in range(len(names))]}
    dash = {"domain": list(names), "range": [_DASHES[index // len(COLORS) % len(_DASHES)] for index in range(len(names))]}
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": f"AP over severity for {title}",
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
                "field": "AP",
                "type": "quantitative",
                "scale": {"domain": [0, top]},
                "axis": {"tickCount": 4, "gridColor": "#e4e4e0", "title": "AP"},
            },
            "color": {"field": "model", "type": "nominal", "scale": scale, "legend": None},
            "strokeDash": {"field": "model", "type": "nominal", "scale": dash, "legend": None},
        },
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {"labelColor": "#444", "titleColor": "#444", "titleFontWeight": "normal", "domainColor": "#999", "tickColor": "#999"},
        },
    }
    return _svg(spec)


def _svg(spec: Mapping[str, Any]) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec), allowed_base_urls=[])
    return svg
