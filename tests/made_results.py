"""Results written by hand: small, typed, complete."""

from __future__ import annotations

import dataclasses
from typing import Any

from auditor.config import RESULT_SCHEMA_VERSION
from auditor.evaluate.robustness import summarize
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.told import Told, as_finding
from auditor.values import (
    AuditResult,
    Cell,
    CellResult,
    DatasetRecord,
    DecoderRecord,
    Diagnosis,
    InputContract,
    Judging,
    Machine,
    MetricValue,
    ModelRecord,
    OutputCodes,
    PlanRecord,
    Postprocess,
    Provenance,
)

PROVENANCE = Provenance(
    auditor="0", command="auditor run", seed=0, started="", finished="", python="3.11", versions={},
    machine=Machine("Linux", "x86_64", "a processor", 2),
)  # fmt: skip
MODEL = ModelRecord(
    name="m",
    model="m",
    file="m.tflite",
    sha256="0" * 64,
    size_bytes=1000,
    quantization="float32",
    output_dtypes=("float32",),
    task="detection",
    dataset="default",
    input=InputContract(height=32, width=32),
    decoder=DecoderRecord("yolox"),
    postprocess=Postprocess(),
    labels=("a", "b"),
    classes_judged=("a", "b"),
    classes_only_model=(),
    classes_only_truth=(),
    class_aliases=(),
    sources={},
    judging=Judging("AP", broken_below=0.02, things="boxes"),
)
DATASET = DatasetRecord(
    format="coco", task="detection", images=400, boxes=900, categories=("a", "b"), counts={}, fingerprint="f"
)


def model(**changed: Any) -> ModelRecord:
    return dataclasses.replace(MODEL, **changed)


def made_result(cells: Any = (), **parts: Any) -> AuditResult:
    """A result of `cells`, summarized; `parts` are other fields of it."""
    cells = tuple(cells)
    judged_by = {cell.file: cell.judged_by or "AP" for cell in cells}
    given = {"plan": PlanRecord(), "models": (MODEL,), "datasets": {}, **parts}
    summaries = given.pop("summaries", None) or summarize(cells, judged_by=judged_by)
    return AuditResult(RESULT_SCHEMA_VERSION, "r", PROVENANCE, cells=cells, summaries=summaries, **given)


def made_cell(scenario: str, severity: float, value: float | None, **changed: Any) -> CellResult:
    """A cell of the metric AP; `changed` are other fields of its key, or of its result."""
    status = changed.get("status", "ok")
    reason = None if value is not None else "nothing true"
    key = {field.name for field in dataclasses.fields(Cell)} & changed.keys()
    cell = dataclasses.replace(
        Cell("m", "m", "float32", "xnnpack", scenario, severity), **{name: changed.pop(name) for name in key}
    )
    given = {
        "status": status,
        "images": 10,
        "judged_by": "AP",
        "metrics": {"AP": MetricValue("AP", value, reason=reason)} if status == "ok" else {},
        "error": None if status == "ok" else "it broke",
        **changed,
    }
    return CellResult.of(cell, **given)


def worded(told: Any) -> list[Any]:
    """What a check tells, as findings."""
    return [as_finding(item, CATALOGUE) for item in told if isinstance(item, Told)]


def findings_of(check: Any, result: AuditResult) -> list[Told]:
    """What a check tells; not what it could not look at."""
    return [item for item in check(result) if isinstance(item, Told)]


def codes(check: Any, result: AuditResult) -> list[str]:
    """The codes that a check tells, in its order."""
    return [item.code for item in check(result) if isinstance(item, Told)]


def only(check: Any, result: AuditResult, code: str) -> Any:
    """The one thing of that code that a check tells; its facts fill the catalogue's row."""
    (found,) = [item for item in check(result) if isinstance(item, Told) and item.code == code]
    assert worded([found])[0].message
    return found


def minus(reference: str, value: float | None, *interval: float) -> dict[str, MetricValue]:
    """The difference of AP from a reference, as a cell's metrics."""
    name = f"AP_minus_{reference}"
    reason = None if value is not None else "undefined"
    return {name: MetricValue(name, value, reason=reason, interval=interval or None)}


def cell_of(value: float | None, metrics: Any = (), **facts: Any) -> CellResult:
    """A clean cell of this AP, with other metrics beside it."""
    cell = made_cell("clean", 0, value, **facts)
    return dataclasses.replace(cell, metrics={**cell.metrics, **dict(metrics)})


BROKEN_HEAD = Diagnosis(outputs=(OutputCodes("o", "int8", 0.1, 0, 0.0, 25.0, zero_scores=0.9),))
"""An 8-bit file whose one scale lost its scores."""
