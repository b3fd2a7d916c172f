"""report.html: one file that opens from disk, from a judgement alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from auditor.report.charts import COLORS, severity_chart, size_chart, spread_chart, trade_off_chart
from auditor.values import CLEAN, AuditResult, CellResult, Judgement, MetricValue, Summary

__all__ = ["page_environment", "render_report", "template_source"]

_STOPS = (
    (0.0, (214, 96, 84)),
    (0.25, (240, 152, 112)),
    (0.5, (250, 205, 145)),
    (0.75, (252, 240, 190)),
    (1.0, (214, 236, 215)),
)
"""Colour of the share of clean AP that is kept: from red over sand to green, all light enough for dark text."""


def render_report(judgement: Judgement) -> str:
    """Render the report as one HTML page without scripts, fonts or pictures from elsewhere."""
    result = judgement.result
    page = page_environment().get_template("report.html.j2")
    text: str = page.render(
        result=result,
        gates=judgement.gates,
        counts=_counts(result),
        packs=_packs(result),
        rows=[_row(result, summary, index) for index, summary in enumerate(result.summaries)],
        charts=_charts(result),
        metrics=" and ".join(dict.fromkeys(summary.clean.name.removesuffix("_clean") for summary in result.summaries)),
        legend=[
            (_label(summary, result), COLORS[index % len(COLORS)]) for index, summary in enumerate(result.summaries)
        ],
        groups=_groups(result),
        families=_families(result),
        inputs=_inputs(result),
        spreads=_spreads(result),
        speeds=_speeds(result),
        parities=[
            cell
            for cell in result.cells
            if (found := cell.metrics.get("parity_matched")) is not None and found.value is not None
        ],
        colors=COLORS,
        css=template_source("report.css"),
    )
    return text


def page_environment() -> Any:
    """Return the jinja2 environment of the package's pages, with their filters."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("auditor.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": lambda value: "–" if value is None else f"{value:.0%}",
        "short": lambda text: str(text)[:12],
    }
    return environment


def template_source(name: str) -> str:
    """Return the text of a file beside the templates."""
    import importlib.resources

    return importlib.resources.files("auditor.report").joinpath("templates", name).read_text(encoding="utf-8")


def _number(metric: MetricValue | float | None) -> str:
    value = metric.value if isinstance(metric, MetricValue) else metric
    return "–" if value is None else f"{value:.3f}"


def _counts(result: AuditResult) -> dict[str, int]:
    declared = [cell for cell in result.cells if cell.cell.input == "declared"]
    return {status: sum(cell.status == status for cell in declared) for status in ("ok", "failed", "skipped")}


def _scenarios(result: AuditResult) -> list[str]:
    return list(dict.fromkeys(cell.cell.scenario for cell in result.cells if cell.cell.scenario != CLEAN))


def _packs(result: AuditResult) -> list[tuple[str, list[str]]]:
    packs: dict[str, list[str]] = {}
    for scenario in _scenarios(result):
        pack, _, name = scenario.partition("/")
        packs.setdefault(pack, []).append(name)
    return list(packs.items())


def _cells_of(result: AuditResult, summary: Summary) -> list[CellResult]:
    wanted = (summary.file, summary.delegate, summary.device)
    return [
        found
        for found in result.cells
        if (found.cell.file, found.cell.delegate, found.cell.device) == wanted and found.cell.input == "declared"
    ]


def _label(summary: Summary, result: AuditResult) -> str:
    several = len({(other.delegate, other.device) for other in result.summaries}) > 1
    tasks = {other.clean.name for other in result.summaries}
    return (
        f"{summary.file} · {summary.quantization}"
        + (f" · {summary.delegate}" if several else "")
        + (f" · {summary.device}" if summary.device != "local" else "")
        + (f" ({summary.clean.name.removesuffix('_clean')})" if len(tasks) > 1 else "")
    )


def _row(result: AuditResult, summary: Summary, index: int) -> dict[str, Any]:
    """One model file on one delegate: its summary, the mean of each scenario, and its severity table."""
    clean = summary.clean.value
    cells = _cells_of(result, summary)
    scenarios = []
    for scenario in _scenarios(result):
        found = sorted((cell for cell in cells if cell.cell.scenario == scenario), key=lambda cell: cell.cell.severity)
        values = [_value(cell) for cell in found]
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if known and len(known) == len(values) else None
        scenarios.append(
            {
                "name": scenario,
                "mean": _shade(mean, clean),
                "severities": [
                    {
                        **_shade(value, clean),
                        "title": _paired(cell),
                        "severity": cell.cell.severity,
                        "status": cell.status,
                        "error": cell.error,
                    }
                    for cell, value in zip(found, values, strict=True)
                ],
            }
        )
    return {
        "label": _label(summary, result),
        "color": COLORS[index % len(COLORS)],
        "summary": summary,
        "scenarios": scenarios,
        "clean": next((cell for cell in cells if cell.cell.scenario == CLEAN), None),
    }


def _value(cell: CellResult) -> float | None:
    return cell.value if cell.status == "ok" else None


def _paired(cell: CellResult) -> str:
    """What a cell lost against clean, with its paired interval, in words."""
    metric = cell.difference("clean")
    if metric is None or metric.value is None:
        return ""
    interval = (
        "" if metric.interval is None else f" (95 %: {metric.interval[0]:+.3f} to {metric.interval[1]:+.3f}, paired)"
    )
    return f"{metric.value:+.3f} against clean{interval}"


def _shade(value: float | None, clean: float | None) -> dict[str, Any]:
    kept = value / clean if value is not None and clean else None
    return {"title": "", "value": value, "kept": kept, "background": _color(kept)}


def _color(kept: float | None) -> str:
    if kept is None:
        return "transparent"
    kept = min(max(kept, 0.0), 1.0)
    for (low, first), (high, second) in itertools.pairwise(_STOPS):
        if kept <= high:
            share = (kept - low) / (high - low)
            return "rgb({}, {}, {})".format(*(round(a + (b - a) * share) for a, b in zip(first, second, strict=True)))
    raise AssertionError(kept)


def _charts(result: AuditResult) -> list[dict[str, Any]]:
    names = [_label(summary, result) for summary in result.summaries]
    clean = {name: summary.clean.value for name, summary in zip(names, result.summaries, strict=True)}
    values = [value for cell in result.cells if (value := _value(cell)) is not None]
    top = min(1.0, (int(max(values, default=0.1) * 10) + 1) / 10)
    scenarios = {scenario["key"]: scenario for scenario in result.plan["scenarios"]}
    charts = []
    for scenario in _scenarios(result):
        series: dict[str, list[tuple[float, float]]] = {}
        for name, summary in zip(names, result.summaries, strict=True):
            start = clean[name]
            points = [] if start is None else [(0.0, start)]
            points += [
                (cell.cell.severity, value)
                for cell in _cells_of(result, summary)
                if cell.cell.scenario == scenario and (value := _value(cell)) is not None
            ]
            if points:
                series[name] = points
        about = scenarios.get(scenario, {})
        charts.append(
            {
                "name": scenario,
                "unit": about.get("unit", ""),
                "about": about.get("about", ""),
                "svg": severity_chart(
                    scenario,
                    series,
                    top=top,
                    names=names,
                    metric=" or ".join(
                        dict.fromkeys(summary.clean.name.removesuffix("_clean") for summary in result.summaries)
                    ),
                ),
            }
        )
    return charts


def _families(result: AuditResult) -> list[dict[str, Any]]:
    """Each family of two levels or more, on each delegate: its levels with AP, time and size, and their chart."""
    sizes = {model["name"]: model["size_bytes"] for model in result.models}
    times = {
        (found.model, found.delegate): found.value["p50"]
        for found in result.measurements
        if found.probe == "invoke_ms_in_run" and found.error is None
    }
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for found in result.cells:
        cell, metric = found.cell, found.primary
        key = cell.file, cell.delegate
        if (
            cell.scenario == CLEAN
            and (cell.input, cell.device) == ("declared", "local")
            and metric is not None
            and metric.value is not None
            and key in times
        ):
            low, high = metric.interval or (metric.value, metric.value)
            loss = found.difference("float32")
            conversion = found.difference("parent")
            groups.setdefault((cell.model, cell.delegate), []).append(
                {
                    "file": cell.file,
                    "level": cell.quantization,
                    "value": metric.value,
                    "metric": metric.name,
                    "p": found.metrics.get("McNemar_p"),
                    "low": low,
                    "high": high,
                    "loss": loss,
                    "conversion": conversion,
                    "ms": times[key],
                    "bytes": sizes[cell.file],
                    "megabytes": sizes[cell.file] / 1e6,
                }
            )
    parents = {
        name: group[0] | {"dominated": False} for (name, delegate), group in groups.items() if delegate == _TENSORFLOW
    }
    families = []
    for (name, delegate), levels in groups.items():
        if delegate == _TENSORFLOW:
            continue
        for level in levels:
            level["dominated"] = any(_dominates(other, level) for other in levels)
        parent = [parents[name]] if name in parents else []
        if len(levels) + len(parent) > 1:
            drawn = [
                {key: value for key, value in level.items() if key not in ("loss", "conversion", "p")}
                for level in levels
            ]
            families.append(
                {"name": name, "delegate": delegate, "levels": parent + levels, "svg": trade_off_chart(name, drawn)}
            )
    return families


_TENSORFLOW = "tensorflow"
"""The delegate of a parent, which stands in a family's table and in no plot: it cannot be deployed."""


_SAME_TIME = 1.1
"""Times measured while other workers ran differ by some percent for nothing: less than this ratio is no difference."""


def _dominates(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether `first` is at least as good in AP, size and time, and better in one of them."""
    no_worse = (
        first["value"] >= second["value"]
        and first["bytes"] <= second["bytes"]
        and first["ms"] <= second["ms"] * _SAME_TIME
    )
    better = (
        first["value"] > second["value"] or first["bytes"] < second["bytes"] or first["ms"] * _SAME_TIME < second["ms"]
    )
    return bool(no_worse and better)


def _inputs(result: AuditResult) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """The comparisons of each model with its declared input contract, the best first."""
    declared = {model["name"]: model["input"] for model in result.models}
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in result.cells:
        value = cell.difference("declared")
        if cell.cell.input != "declared" and cell.status == "ok" and value is not None and cell.primary is not None:
            better = value.interval is not None and value.interval[0] > 0
            row = {
                "name": cell.cell.input,
                "metric": cell.primary.name,
                "value": cell.value,
                "difference": value,
                "images": cell.images,
            }
            found.setdefault(cell.cell.file, []).append(row | {"better": better})
    shown = ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation")
    return [
        (
            file,
            ", ".join(f"{key}: {_flow(declared[file][key])}" for key in shown),
            sorted(rows, key=lambda row: -(row["difference"].value if row["difference"].value is not None else -2.0)),
        )
        for file, rows in found.items()
        if file in declared
    ]


def _flow(value: Any) -> str:
    """A setting as YAML writes it."""
    if isinstance(value, list | tuple):
        return f"{value[0]:g}" if len(value) == 1 else f"[{', '.join(f'{item:g}' for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _speeds(result: AuditResult) -> list[dict[str, Any]]:
    """One row for each file, delegate and number of threads: latency, memory and what the delegate took."""
    values = {
        (found.probe, found.model, found.delegate, found.device): found.value
        for found in result.measurements
        if found.error is None
    }
    rows = []
    for found in result.measurements:
        if found.probe != "latency_ms":
            continue
        key = found.model, found.delegate, found.device
        rows.append(
            {
                "file": found.model,
                "delegate": found.delegate,
                "device": found.device,
                "threads": found.threads,
                "latency": found.value,
                "error": found.error,
                **{
                    name: values.get((name, *key))
                    for name in (
                        "peak_memory_mb",
                        "arena_mb",
                        "file_mb",
                        "delegate_ops",
                        "sustained",
                        "streams",
                        "memory_limit",
                    )
                },
            }
        )
    return rows


_FACTS = {"brightness": "linear", "contrast": "linear", "sharpness": "log", "shorter_side_px": "log"}


def _spreads(result: AuditResult) -> list[tuple[str, list[str], list[str]]]:
    """For each data set its name, the sets that are drawn, and the plots: how images and box sizes are spread."""
    drawn = []
    for name, dataset in result.datasets.items():
        facts = {"evaluated": dataset.get("facts", {})}
        for model, calibration in result.plan.get("calibration", {}).items():
            judged = next((other["dataset"] for other in result.models if other["name"] == model), None)
            if judged == name and calibration.get("facts"):
                facts[f"calibration of {model}"] = calibration["facts"]
        plots = []
        for fact, scale in _FACTS.items():
            sets = {label: values[fact] for label, values in facts.items() if len(set(values.get(fact, []))) > 1}
            if sets:
                plots.append(spread_chart(fact.replace("_", " "), sets, scale=scale))
        seen = set()
        for model in result.models:
            boxes, size = (
                model.get("boxes_at_input") or {},
                (model["input"]["width"], model["input"]["height"], model["input"]["resize"]),
            )
            if model["dataset"] == name and boxes and size not in seen:
                seen.add(size)
                plots.append(size_chart(model["name"], boxes["from_px"], boxes["counts"]))
        if plots:
            drawn.append((name, list(facts), plots))
    return drawn


def _groups(result: AuditResult) -> list[tuple[str, list[dict[str, Any]]]]:
    """The settings of each model with where each came from, for the table of what was run."""
    groups = []
    for model in result.models:
        settings = []
        for part in ("input", "decoder", "postprocess"):
            for key, value in model[part].items():
                if key == "name":
                    source = model["sources"].get("decoder", "")
                    settings.append({"name": "decoder", "value": value, "source": source})
                else:
                    settings.append(
                        {"name": f"{part}.{key}", "value": value, "source": model["sources"].get(f"{part}.{key}", "")}
                    )
        groups.append((model["name"], settings))
    return groups
