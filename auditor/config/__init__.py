"""Documents: text a person or a program wrote -> validated values, every problem with its file and line."""

from pydantic import BaseModel

from auditor.config.audit import (
    AuditConfig,
    CalibrationConfig,
    DatasetConfig,
    DecoderConfig,
    ExternalDelegateConfig,
    GateConfig,
    GatesConfig,
    InputConfig,
    ModelConfig,
    PostprocessConfig,
    delegate_name,
    load_audit,
    load_gates,
    rule_of,
)
from auditor.config.pack import PackConfig, load_pack, specs_of
from auditor.config.result import RESULT_SCHEMA_VERSION, ResultDocument, parse_result, result_document
from auditor.config.source import Source, nearest

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "AuditConfig",
    "CalibrationConfig",
    "DatasetConfig",
    "DecoderConfig",
    "ExternalDelegateConfig",
    "GateConfig",
    "GatesConfig",
    "InputConfig",
    "ModelConfig",
    "PackConfig",
    "PostprocessConfig",
    "ResultDocument",
    "Source",
    "delegate_name",
    "load_audit",
    "load_gates",
    "load_pack",
    "nearest",
    "parse_result",
    "result_document",
    "rule_of",
    "schema",
    "specs_of",
]


def schema(document: str) -> dict[str, object]:
    """Return the JSON Schema of a document: `audit`, `pack` or `result`."""
    models: dict[str, type[BaseModel]] = {"audit": AuditConfig, "pack": PackConfig, "result": ResultDocument}
    if document not in models:
        raise ValueError(f"expected a document of {', '.join(models)} but got {document!r}")
    return models[document].model_json_schema()
