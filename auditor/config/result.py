"""`result.json`: the document's shape, to and from the values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from auditor.errors import StoreError
from auditor.values import AuditResult, Cell, CellResult, Measurement, MetricValue, Summary

__all__ = ["RESULT_SCHEMA_VERSION", "ResultDocument", "parse_result", "result_document"]

RESULT_SCHEMA_VERSION = "1.0"

_MIGRATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a schema version to the function that turns its document into the next version's."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MetricDocument(_Part):
    """A metric by its name in the mapping that holds it."""

    value: float | None
    reason: str | None = None
    interval: tuple[float, float] | None = None
    higher_is_better: bool = True
    images: int = 0


class CellDocument(_Part):
    """One cell; `clean` is severity 0."""

    model: str
    file: str
    quantization: str
    delegate: str
    device: str
    input: str
    scenario: str
    severity: float
    status: Literal["ok", "failed", "skipped"]
    images: int
    metrics: dict[str, MetricDocument]
    counts: dict[str, int]
    error: str | None
    details: dict[str, Any] = {}


class SummaryDocument(_Part):
    """Metrics over the cells of one model file on one delegate."""

    model: str
    file: str
    quantization: str
    delegate: str
    device: str
    metrics: dict[str, MetricDocument]


class MeasurementDocument(_Part):
    """One probe of one model."""

    probe: str
    model: str
    quantization: str
    delegate: str
    device: str
    threads: int
    value: Any
    unit: str
    error: str | None


class FindingDocument(_Part):
    """Written for readers of the file; recomputed by `judge`, never read back."""

    check: str
    level: Literal["error", "warning", "info"]
    cell: dict[str, Any]
    observed: float | None
    limit: float | None
    message: str
    remedy: str


class ResultDocument(_Part):
    """The whole of `result.json`."""

    schema_version: str
    name: str
    verdict: Literal["passed", "failed", "incomplete"]
    provenance: dict[str, Any]
    plan: dict[str, Any]
    models: list[dict[str, Any]]
    datasets: dict[str, dict[str, Any]]
    cells: list[CellDocument]
    summaries: list[SummaryDocument]
    measurements: list[MeasurementDocument]
    findings: list[FindingDocument]


def result_document(result: AuditResult) -> dict[str, Any]:
    """Turn a result into the plain document that `result.json` holds."""
    return {
        "schema_version": result.schema_version,
        "name": result.name,
        "verdict": result.verdict,
        "provenance": dict(result.provenance),
        "plan": dict(result.plan),
        "models": [dict(model) for model in result.models],
        "datasets": {name: dict(dataset) for name, dataset in result.datasets.items()},
        "cells": [
            {
                **dataclasses.asdict(cell.cell),
                "status": cell.status,
                "images": cell.images,
                "metrics": _metrics_out(cell.metrics),
                "counts": dict(cell.counts),
                "error": cell.error,
                "details": dict(cell.details),
            }
            for cell in result.cells
        ],
        "summaries": [
            {
                **{f.name: getattr(summary, f.name) for f in dataclasses.fields(summary)},
                "metrics": _metrics_out(summary.metrics),
            }
            for summary in result.summaries
        ],
        "measurements": [dataclasses.asdict(measurement) for measurement in result.measurements],
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
    }


def parse_result(data: Any, *, path: Path) -> AuditResult:
    """Turn the document of a `result.json` into a result without findings; older schemas are migrated.

    Raises:
        StoreError: the document is not a result, or was written by a newer auditor.
    """
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), str):
        raise StoreError(f"{path}: expected a result.json of the auditor, with a schema_version, but it has none")
    while data["schema_version"] in _MIGRATIONS:
        data = _MIGRATIONS[data["schema_version"]](data)
    if data["schema_version"] != RESULT_SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema_version {data['schema_version']} is not known; this auditor reads up to "
            f"{RESULT_SCHEMA_VERSION}: update it with `pip install --upgrade tflite-auditor`"
        )
    try:
        document = ResultDocument.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"{path}: {field}: {first['msg']}; the file was damaged or edited: run the audit again"
        ) from error
    return AuditResult(
        schema_version=document.schema_version,
        name=document.name,
        provenance=document.provenance,
        plan=document.plan,
        models=tuple(document.models),
        datasets=document.datasets,
        cells=tuple(_cell_in(cell) for cell in document.cells),
        summaries=tuple(
            Summary(**{**summary.model_dump(exclude={"metrics"}), "metrics": _metrics_in(summary.metrics)})
            for summary in document.summaries
        ),
        measurements=tuple(Measurement(**measurement.model_dump()) for measurement in document.measurements),
        findings=(),
    )


def _cell_in(document: CellDocument) -> CellResult:
    key = {field.name: getattr(document, field.name) for field in dataclasses.fields(Cell)}
    key["severity"] = int(key["severity"]) if key["severity"] == int(key["severity"]) else key["severity"]
    return CellResult(
        cell=Cell(**key),
        status=document.status,
        images=document.images,
        metrics=_metrics_in(document.metrics),
        counts=document.counts,
        error=document.error,
        details=document.details,
    )


def _metrics_out(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in dataclasses.asdict(metric).items() if key != "name"}
        for name, metric in metrics.items()
    }


def _metrics_in(metrics: Mapping[str, MetricDocument]) -> dict[str, MetricValue]:
    return {name: MetricValue(name=name, **metric.model_dump()) for name, metric in metrics.items()}
