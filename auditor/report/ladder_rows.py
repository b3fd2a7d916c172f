"""What several sections show of a result: a row for each summary, its cells, and the shade of what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.report.markup import shade_class
from auditor.values import LOCAL, AuditResult, CellResult, ScenarioRecord, Summary

__all__ = [
    "Row",
    "Shade",
    "at_knob",
    "is_judged",
    "judged_metrics",
    "label_of",
    "rows_of_result",
    "scenario_names",
    "shaded",
]

_SHADES_OF_A_FAMILY = 5


@dataclass(frozen=True)
class Shade:
    """A value, the share of clean that it keeps, the class of that, and whether it is worse beyond chance."""

    value: float | None
    kept: float | None
    shade: str
    worse: bool = False


@dataclass(frozen=True)
class Row:
    """One model file on one delegate: its number, what it is called in whole and in `short`, its family's number and
    its own among these, its summary and cells; `clean` is its clean cell."""

    number: int
    label: str
    short: str
    family: int
    level: int
    summary: Summary
    cells: tuple[CellResult, ...]

    @property
    def clean(self) -> CellResult | None:
        return next((cell for cell in self.cells if cell.is_clean), None)

    @property
    def hue(self) -> str:
        """The classes of its lines and dots: its family's colour, in a shade of its own."""
        return f"c{self.family % 8} s{self.level % _SHADES_OF_A_FAMILY}"

    def of(self, scenario: str) -> list[CellResult]:
        """The cells of a scenario by ascending severity."""
        return sorted((cell for cell in self.cells if cell.scenario == scenario), key=lambda cell: cell.severity)

    def is_broken(self, result: AuditResult) -> bool:
        """Whether it finds next to nothing on clean images, so that what is kept of that says nothing."""
        model, clean = result.model(self.summary.file), self.summary.clean.value
        least = model.judging.broken_below if model is not None else None
        return clean is not None and least is not None and clean < least

    @property
    def document(self) -> dict[str, str | int]:
        """What the page's scripts know of it."""
        return {
            "file": self.summary.file,
            "label": self.label,
            "level": self.summary.quantization,
            "family": self.summary.model,
            "hue": self.hue,
        }


def rows_of_result(result: AuditResult) -> list[Row]:
    """A row for each summary, in their order, which fixes the colours."""
    families = list(dict.fromkeys(summary.model for summary in result.summaries))
    cells: dict[tuple[str, str, str], list[CellResult]] = {}
    for cell in result.cells:
        if cell.is_declared:
            cells.setdefault((cell.file, cell.delegate, cell.device), []).append(cell)
    levels: dict[str, int] = {}
    rows = []
    for number, summary in enumerate(result.summaries):
        level = levels[summary.model] = levels.get(summary.model, -1) + 1
        mine = cells.get((summary.file, summary.delegate, summary.device), [])
        family = families.index(summary.model)
        label = label_of(summary, result)
        rows.append(Row(number, label, _short(summary, result) or label, family, level, summary, tuple(mine)))
    return rows


def _short(summary: Summary, result: AuditResult) -> str:
    """The level, or the file, where that alone tells a summary from the others; else nothing."""
    for name in ("quantization", "file", "delegate"):
        values = [getattr(other, name) for other in result.summaries]
        if len(set(values)) == len(values):
            return str(getattr(summary, name))
    return ""


def label_of(summary: Summary, result: AuditResult) -> str:
    """What a summary is called where there are others."""
    several = len({(other.delegate, other.device) for other in result.summaries}) > 1
    tasks = {other.judged_by for other in result.summaries}
    return (
        f"{summary.file} · {summary.quantization}"
        + (f" · {summary.delegate}" if several else "")
        + ("" if summary.device == LOCAL else f" · {summary.device}")
        + (f" ({summary.judged_by})" if len(tasks) > 1 else "")
    )


def is_judged(result: AuditResult) -> bool:
    """Whether any data set has truth, so that there are metrics of accuracy to show."""
    return not result.datasets or any(dataset.is_labelled for dataset in result.datasets.values())


def scenario_names(result: AuditResult) -> list[str]:
    """The scenarios that were run, in their order, without clean."""
    return list(dict.fromkeys(cell.scenario for cell in result.cells if not cell.is_clean))


def judged_metrics(result: AuditResult) -> list[str]:
    """The metrics that the models are judged by."""
    return list(dict.fromkeys(summary.judged_by for summary in result.summaries))


def shaded(value: float | None, clean: float | None, *, worse: bool = False) -> Shade:
    """Shade a value by the share of the clean one that it keeps."""
    kept = value / clean if value is not None and clean else None
    return Shade(value, kept, shade_class(kept), worse)


def at_knob(scenario: ScenarioRecord | None, severity: float) -> str:
    """A severity in the scenario's own unit; between two of its values, and without a knob, the severity itself.

    >>> at_knob(ScenarioRecord("n/s", 1, "", "exposure, stops", {"stops": (-1.0, -2.0)}, ()), 2)
    'exposure -2 stops'
    >>> at_knob(ScenarioRecord("n/s", 1, "", "photons at full white", {"photons": (200.0, 80.0)}, ()), 1)
    'photons at full white: 200'
    """
    values = next(iter(scenario.knobs.values()), ()) if scenario is not None else ()
    place = int(severity) - 1
    if scenario is None or severity != int(severity) or not 0 <= place < len(values):
        return f"severity {severity:g}"
    what, comma, unit = scenario.unit.partition(", ")
    return f"{what} {values[place]:g} {unit}" if comma and unit != "factor" else f"{scenario.unit}: {values[place]:g}"
