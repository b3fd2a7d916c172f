"""Other ways to feed and to read each model, beside the declared one."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown
from auditor.values import yaml_flow

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result = shown.result
    found: dict[str, list[tuple[float, dict[str, object]]]] = {}
    for cell in result.cells:
        value = cell.difference("declared")
        if cell.compared is not None and cell.status == "ok" and value is not None:
            better = value.interval is not None and value.interval[0] > 0
            row = {"cell": cell, "difference": value, "better": better}
            gain = -2.0 if value.value is None else value.value
            found.setdefault(cell.file, []).append((gain, row))
    models = []
    for file, ranked in found.items():
        rows = [row for _, row in sorted(ranked, key=lambda item: -item[0])]
        model = result.model(file)
        if model is not None:
            declared = yaml_flow(model.input.settings).strip("{}")
            count = sum(bool(row["better"]) for row in rows)
            models.append({"file": file, "declared": declared, "rows": rows, "better": count})
    return {"models": models} if models else None


SECTION = Section("contracts", 60, _facts, "contracts.html.j2")
