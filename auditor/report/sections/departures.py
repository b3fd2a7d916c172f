"""At which op delegates and levels depart from their references."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    return {"drifts": shown.result.drifts} if shown.result.drifts else None


SECTION = Section("departures", 63, _facts, "departures.html.j2")
