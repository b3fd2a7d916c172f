"""What each quantization level of a family costs in accuracy, and brings in time and size."""

from __future__ import annotations

from dataclasses import asdict

from auditor.report.charts import trade_off_chart
from auditor.report.section import Facts, Section, Shown
from auditor.report.trade_points import Point, choices, families_of

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    chosen = choices(shown.result)
    families = []
    for family in families_of(shown.result):
        if len(family.levels) + len(family.parent) > 1:
            choice = chosen.get((family.name, family.delegate))
            families.append(
                {
                    "name": family.name,
                    "delegate": family.delegate,
                    "levels": [*family.parent, *family.levels],
                    "metric": family.levels[0].metric,
                    "has_parent": bool(family.parent),
                    "tested": any(point.p is not None for point in family.levels),
                    "alone": family.alone,
                    "choice": choice,
                    "svg": trade_off_chart(family.name, [_drawn(point) for point in family.levels], alone=family.alone),
                }
            )
    return {"families": families} if families else None


def _drawn(point: Point) -> dict[str, str | float | bool | None]:
    kept = ("level", "metric", "value", "low", "high", "ms", "dominated")
    return {**{key: value for key, value in asdict(point).items() if key in kept}, "megabytes": point.bytes / 1e6}


SECTION = Section("trade_off", 45, _facts, "trade_off.html.j2", title="Levels")
