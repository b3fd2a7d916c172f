"""Whether delegates give the same detections, with the image on which they differ most."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    cells = [
        {"cell": cell, "parity": cell.parity, "picture": shown.pictures.get(str(cell.key))}
        for cell in shown.result.cells
        if cell.parity is not None and cell.parity.matched is not None
    ]
    return {"cells": cells} if cells else None


SECTION = Section("agreement", 62, _facts, "agreement.html.j2")
