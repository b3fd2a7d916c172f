"""`result.json`: the document of an `AuditResult`, to and from the values; older schemas are migrated on read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.config.migrations import MIGRATIONS
from auditor.errors import StoreError
from auditor.values import AuditResult, CellResult, Comparison, GalleryRecord, Latency, ShardRecord

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "cells_document",
    "comparison_document",
    "gallery_document",
    "latency_of",
    "parse_cells",
    "parse_gallery",
    "parse_result",
    "parse_shard",
    "result_document",
    "result_schema",
]

RESULT_SCHEMA_VERSION = "2.6"


@functools.cache
def _adapter() -> TypeAdapter[AuditResult]:
    return TypeAdapter(AuditResult)


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema of `result.json`."""
    return _adapter().json_schema(mode="serialization")


def result_document(result: AuditResult) -> Any:
    """Turn a result into the plain document that `result.json` holds."""
    return _adapter().dump_python(result, mode="json")


@functools.cache
def _comparison_adapter() -> TypeAdapter[Comparison]:
    return TypeAdapter(Comparison)


def comparison_document(comparison: Comparison) -> Any:
    """Turn a comparison into a plain document."""
    return _comparison_adapter().dump_python(comparison, mode="json")


@functools.cache
def _gallery_adapter() -> TypeAdapter[GalleryRecord]:
    return TypeAdapter(GalleryRecord)


def gallery_document(gallery: GalleryRecord) -> Any:
    """Turn a gallery into a plain document."""
    return _gallery_adapter().dump_python(gallery, mode="json")


def parse_gallery(data: Any) -> GalleryRecord | None:
    """Turn such a document into a gallery; None where it is none."""
    try:
        return _gallery_adapter().validate_python(data)
    except ValidationError:
        return None


@functools.cache
def _cells_adapter() -> TypeAdapter[tuple[CellResult, ...]]:
    return TypeAdapter(tuple[CellResult, ...])


def cells_document(cells: Sequence[CellResult]) -> Any:
    """Turn cells into a plain document."""
    return _cells_adapter().dump_python(tuple(cells), mode="json")


def latency_of(data: Any) -> Latency | None:
    """Turn what a device says of a model's speed into a value; None where it is none."""
    try:
        return TypeAdapter(Latency).validate_python(data)
    except ValidationError:
        return None


def parse_shard(data: Any) -> ShardRecord | None:
    """Turn the document of a shard into its record; None where it is none."""
    try:
        return TypeAdapter(ShardRecord).validate_python(data)
    except ValidationError:
        return None


def parse_cells(data: Any) -> tuple[CellResult, ...] | None:
    """Turn such a document into cells; None where it is none."""
    try:
        return _cells_adapter().validate_python(data)
    except ValidationError:
        return None


def parse_result(data: Any, *, path: Path) -> AuditResult:
    """Turn the document of a `result.json` into a result without findings; older schemas are migrated.

    Raises:
        StoreError: the document is not a result, or was written by a newer auditor.
    """
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), str):
        raise StoreError(f"{path}: expected a result.json of the auditor, with a schema_version, but it has none")
    try:
        while data["schema_version"] in MIGRATIONS:
            data = MIGRATIONS[data["schema_version"]](data)
        known = data["schema_version"] == RESULT_SCHEMA_VERSION
        judged: dict[str, list[Any]] = {"findings": [], "groups": [], "checks": [], "gates": []}
        result = _adapter().validate_python({**data, **judged}) if known else None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"{path}: {field}: {first['msg']}; the file was damaged or edited: run the audit again"
        ) from error
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        StopIteration,
        RecursionError,
    ) as error:  # of a document that is migrated
        raise StoreError(
            f"{path}: it is not the result that its schema_version {data['schema_version']} says "
            f"({type(error).__name__}: {error}); the file was damaged or edited: run the audit again"
        ) from error
    if result is None:
        raise StoreError(
            f"{path}: schema_version {data['schema_version']} is not known; this auditor reads up to "
            f"{RESULT_SCHEMA_VERSION}: update it with `pip install --upgrade tflite-auditor`"
        )
    return dataclasses.replace(result, findings=())
