"""The data sets: their size, what was met on loading, and how images and boxes are spread."""

from __future__ import annotations

import markupsafe

from auditor.report.charts import size_chart, spread_chart
from auditor.report.section import Facts, Section, Shown
from auditor.values import AuditResult

__all__ = ["SECTION"]

_SCALES = {"brightness": "linear", "contrast": "linear", "sharpness": "log", "shorter_side_px": "log"}


def _facts(shown: Shown) -> Facts:
    result = shown.result
    things = {model.dataset: model.judging.things for model in result.models}
    return {"spreads": _spreads(result), "things": things}


def _spreads(result: AuditResult) -> list[dict[str, object]]:
    """For each data set what is drawn, and the plots: how images and box sizes are spread."""
    drawn: list[dict[str, object]] = []
    for name, dataset in result.datasets.items():
        facts = {"evaluated": dataset.facts}
        for entry, calibration in result.plan.calibration.items():
            model = result.model(entry)
            if model is not None and model.dataset == name and calibration.facts:
                facts[f"calibration of {entry}"] = calibration.facts
        plots = []
        for fact, scale in _SCALES.items():
            sets = {label: values[fact] for label, values in facts.items() if len(set(values.get(fact, ()))) > 1}
            if sets:
                plots.append(spread_chart(fact.replace("_", " "), sets, scale=scale))
        plots += _sizes(result, name)
        if plots:
            legend = [(label, index) for index, label in enumerate(facts)]
            drawn.append({"name": name, "legend": legend, "plots": plots})
    return drawn


def _sizes(result: AuditResult, dataset: str) -> list[markupsafe.Markup]:
    """How large the boxes of a data set are in each input that models have."""
    plots = {}
    for model in result.models:
        size = (model.input.width, model.input.height, model.input.resize)
        if model.dataset == dataset and model.boxes_at_input is not None and size not in plots:
            boxes = model.boxes_at_input
            plots[size] = size_chart(model.name, boxes.from_px, boxes.counts)
    return list(plots.values())


SECTION = Section("data_spread", 120, _facts, "data_spread.html.j2")
