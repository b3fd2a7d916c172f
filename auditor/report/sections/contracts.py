"""Other ways to feed and to read each model, beside the declared one."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.report.section import Facts, Section, Shown
from auditor.values import WORTH, Gain, yaml_flow

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    found: dict[str, list[tuple[float, dict[str, object]]]] = {}
    for cell in result.cells:
        value = cell.difference("declared")
        if cell.compared is not None and cell.status == "ok" and value is not None:
            sure = Gain.of(value, changes=len(cell.compared.factors)).is_sure
            row = {"cell": cell, "difference": value, "better": sure}
            gain = -2.0 if value.value is None else value.value
            found.setdefault(cell.file, []).append((gain, row))
    compared = {cell.file: cell.compared.comparisons for cell in result.cells if cell.compared is not None}
    models = []
    for file, ranked in found.items():
        rows = [row for _, row in sorted(ranked, key=lambda item: -item[0])]
        model = result.model(file)
        if model is not None:
            declared = yaml_flow(model.input.settings).strip("{}")
            better = [row for row in rows if row["better"]]
            models.append(
                {
                    "file": file,
                    "declared": declared,
                    "rows": rows,
                    "comparisons": compared[file],
                    "better": bool(better),
                    "told": f"{len(better)} surely better" if better else _told(ranked),
                }
            )
    return {"models": models} if models else None


def _told(ranked: Sequence[tuple[float, object]]) -> str:
    """What to say where nothing is surely better: whether a gain worth having may be there all the same."""
    open_ones = sum(gain >= WORTH for gain, _ in ranked)
    return f"none surely better, {open_ones} undecided" if open_ones else "none better"


SECTION = Section("contracts", 64, _facts, "contracts.html.j2", title="Input")
