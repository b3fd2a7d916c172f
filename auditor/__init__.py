"""Tell before deployment whether a TensorFlow Lite (LiteRT) vision model is accurate and reliable enough, and if not,
why.

    import auditor
    result = auditor.run_audit(Path("audit.yaml"))
    result.verdict, result.findings

Importing this package imports nothing heavy; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.config import load_audit, load_gates
    from auditor.corruptions.corrupt import corrupt
    from auditor.corruptions.packs import load_scenarios
    from auditor.errors import AuditorError, DataError, DelegateError, InputError, ModelError, ScenarioError, StoreError
    from auditor.run import judge_run, load_run, report_run, run_audit
    from auditor.values import AuditResult, Candidates, Detections, Finding, GroundTruth, MetricValue, ModelSpec

__all__ = [
    "AuditResult",
    "AuditorError",
    "Candidates",
    "DataError",
    "DelegateError",
    "Detections",
    "Finding",
    "GroundTruth",
    "InputError",
    "MetricValue",
    "ModelError",
    "ModelSpec",
    "ScenarioError",
    "StoreError",
    "corrupt",
    "judge_run",
    "load_audit",
    "load_gates",
    "load_run",
    "load_scenarios",
    "report_run",
    "run_audit",
]

_HOMES = {
    "auditor.config": ("load_audit", "load_gates"),
    "auditor.corruptions.corrupt": ("corrupt",),
    "auditor.corruptions.packs": ("load_scenarios",),
    "auditor.run": ("judge_run", "load_run", "report_run", "run_audit"),
    "auditor.values": ("AuditResult", "Candidates", "Detections", "Finding", "GroundTruth", "MetricValue", "ModelSpec"),
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = next((module for module, names in _HOMES.items() if name in names), "auditor.errors")
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
