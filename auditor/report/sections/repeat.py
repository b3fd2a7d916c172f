"""What was run: how to repeat it, by which versions, on which machine."""

from __future__ import annotations

from auditor.report.section import Facts, Section, Shown
from auditor.values import DeviceFacts

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts:
    result = shown.result
    devices = {found.device: found.value for found in result.measurements if isinstance(found.value, DeviceFacts)}
    return {"provenance": result.provenance, "devices": devices}


SECTION = Section("repeat", 100, _facts, "repeat.html.j2", title="Trust")
