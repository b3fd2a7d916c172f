"""What several sections show of a result: a row for each summary, its cells, and the colour of what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from auditor.report.charts import COLORS
from auditor.values import LOCAL, AuditResult, CellResult, Summary

__all__ = ["Row", "Shade", "is_judged", "judged_metrics", "label_of", "rows_of_result", "scenario_names", "shaded"]

_STOPS = (
    (0.0, (214, 96, 84)),
    (0.25, (240, 152, 112)),
    (0.5, (250, 205, 145)),
    (0.75, (252, 240, 190)),
    (1.0, (214, 236, 215)),
)
"""Colour of the share of the clean value that is kept: from red over sand to green, all light enough for dark text."""


@dataclass(frozen=True)
class Shade:
    """A value, the share of clean that it keeps, and the colour of that; `title` says more."""

    value: float | None
    kept: float | None
    background: str
    title: str = ""


@dataclass(frozen=True)
class Row:
    """One model file on one delegate: its summary, colour and cells; `clean` is its clean cell."""

    label: str
    color: str
    summary: Summary
    cells: tuple[CellResult, ...]

    @property
    def clean(self) -> CellResult | None:
        return next((cell for cell in self.cells if cell.is_clean), None)

    def of(self, scenario: str) -> list[CellResult]:
        """The cells of a scenario by ascending severity."""
        return sorted((cell for cell in self.cells if cell.scenario == scenario), key=lambda cell: cell.severity)


def rows_of_result(result: AuditResult) -> list[Row]:
    """A row for each summary, in their order, which fixes the colours."""
    return [
        Row(
            label_of(summary, result),
            COLORS[index % len(COLORS)],
            summary,
            tuple(cell for cell in result.cells if summary.holds(cell)),
        )
        for index, summary in enumerate(result.summaries)
    ]


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


def shaded(value: float | None, clean: float | None, title: str = "") -> Shade:
    """Colour a value by the share of the clean one that it keeps."""
    kept = value / clean if value is not None and clean else None
    return Shade(value, kept, _color(kept), title)


def _color(kept: float | None) -> str:
    if kept is None:
        return "transparent"
    kept = min(max(kept, 0.0), 1.0)
    stops: Sequence[tuple[tuple[float, tuple[int, ...]], tuple[float, tuple[int, ...]]]] = [*itertools.pairwise(_STOPS)]
    (low, first), (high, second) = next(pair for pair in stops if kept <= pair[1][0])
    share = (kept - low) / (high - low)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return f"rgb({red}, {green}, {blue})"
