"""Documents: text a person or a program wrote -> validated values, every problem with its file and line."""

from collections.abc import Callable
from typing import Any

from pydantic_core import to_jsonable_python

from auditor.config.audit import (
    AuditConfig,
    DecoderConfig,
    ExternalDelegateConfig,
    InputConfig,
    ModelConfig,
    PostprocessConfig,
    load_audit,
    load_gates,
    read_audit,
    read_judging,
)
from auditor.config.call_arguments import Parameters, parameters_of
from auditor.config.data_config import CalibrationConfig, DatasetConfig
from auditor.config.gallery_config import GalleryConfig
from auditor.config.gates_config import GateConfig, GatesConfig, rule_of
from auditor.config.given import text_of
from auditor.config.pack import PackConfig, load_pack, read_pack, specs_of
from auditor.config.result import (
    RESULT_SCHEMA_VERSION,
    cells_document,
    comparison_document,
    gallery_document,
    latency_of,
    parse_cells,
    parse_gallery,
    parse_result,
    parse_shard,
    result_document,
    result_schema,
)
from auditor.config.yaml_file import YamlFile, nearest, without_repeats

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "AuditConfig",
    "CalibrationConfig",
    "DatasetConfig",
    "DecoderConfig",
    "ExternalDelegateConfig",
    "GalleryConfig",
    "GateConfig",
    "GatesConfig",
    "InputConfig",
    "ModelConfig",
    "PackConfig",
    "Parameters",
    "PostprocessConfig",
    "YamlFile",
    "cells_document",
    "comparison_document",
    "gallery_document",
    "latency_of",
    "load_audit",
    "load_gates",
    "load_pack",
    "nearest",
    "parameters_of",
    "parse_cells",
    "parse_gallery",
    "parse_result",
    "parse_shard",
    "plain",
    "read_audit",
    "read_judging",
    "read_pack",
    "result_document",
    "rule_of",
    "schema",
    "specs_of",
    "text_of",
    "without_repeats",
]


def schema(document: str) -> dict[str, object]:
    """Return the JSON Schema of a document: `audit`, `pack` or `result`."""
    makers: dict[str, Callable[[], dict[str, object]]] = {
        "audit": AuditConfig.model_json_schema,
        "pack": PackConfig.model_json_schema,
        "result": result_schema,
    }
    if document not in makers:
        raise ValueError(f"expected a document of {', '.join(makers)} but got {document!r}")
    return makers[document]()


def plain(value: object) -> Any:
    """Turn a value of dataclasses into what JSON can hold."""
    return to_jsonable_python(value)
