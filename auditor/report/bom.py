"""A CycloneDX ML-BOM of a run: each model file with its hash, what it was judged on, and what was measured of it.

Source of the form: https://cyclonedx.org/docs/1.6/json/#components_items_modelCard. The library knows no model cards,
so these are put into its document, which is then held against the schema that it ships.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from auditor.errors import InputError
from auditor.values import AuditResult, CellResult, Json, MetricValue, ModelRecord

__all__ = ["render_bom"]


def render_bom(result: AuditResult) -> str:
    """Render a result as CycloneDX 1.6 JSON.

    Raises:
        InputError: cyclonedx-python-lib is not installed.
    """
    try:
        from cyclonedx.model import HashAlgorithm, HashType
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise InputError(
            f"a BOM needs cyclonedx-python-lib ({error}): install it with `pip install 'tflite-auditor[bom]'`"
        ) from error
    bom = Bom()
    root = Component(name=result.name, type=ComponentType.APPLICATION, bom_ref="audit")
    bom.metadata.component = root
    bom.metadata.tools.components.add(
        Component(name="tflite-auditor", type=ComponentType.APPLICATION, version=result.provenance.auditor)
    )
    for model in result.models:
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=model.sha256)]
        kind = ComponentType.MACHINE_LEARNING_MODEL
        bom.components.add(Component(name=model.name, type=kind, bom_ref=f"model/{model.name}", hashes=hashes))
    for name in result.datasets:
        bom.components.add(Component(name=name, type=ComponentType.DATA, bom_ref=f"dataset/{name}"))
    bom.register_dependency(root, list(bom.components))
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    cards = {f"model/{model.name}": _card(result, model) for model in result.models}
    for component in document["components"]:
        if component["bom-ref"] in cards:
            component["modelCard"] = cards[component["bom-ref"]]
    text = json.dumps(document, indent=2, ensure_ascii=False)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"expected a document of CycloneDX 1.6 but got {wrong.data}")
    return text + "\n"


def _card(result: AuditResult, model: ModelRecord) -> dict[str, Json]:
    told = [found for found in result.findings if model.name in (found.cell.get("file"), found.cell.get("model"))]
    contract = ", ".join(f"{key} {value}" for key, value in model.input.settings.items())
    return {
        "modelParameters": {
            "task": model.task,
            "architectureFamily": model.decoder.name,
            "modelArchitecture": model.quantization,
            "datasets": [{"ref": f"dataset/{model.dataset}"}],
            "inputs": [{"format": f"image, {model.input.height} x {model.input.width}; {contract}"}],
            "outputs": [{"format": f"{model.task} of {len(model.classes_judged)} judged classes"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(result, model))},
        "considerations": {"technicalLimitations": [finding.message for finding in told]},
    }


def _metrics(result: AuditResult, model: ModelRecord) -> Iterator[dict[str, Json]]:
    for cell in result.cells:
        if cell.file == model.name and cell.is_declared and cell.status == "ok":
            for metric in cell.metrics.values():
                if metric.value is not None and "_minus_" not in metric.name:
                    yield _metric(metric, _slice(cell))
    for summary in result.summaries:
        if summary.file == model.name:
            for metric in summary.metrics.values():
                if metric.value is not None:
                    yield _metric(metric, f"all scenarios, {summary.delegate}, {summary.device}")


def _slice(cell: CellResult) -> str:
    severity = "" if cell.is_clean else f" at severity {cell.severity:g}"
    return f"{cell.scenario}{severity}, {cell.delegate}, {cell.device}, {cell.images} images"


def _metric(metric: MetricValue, slice_: str) -> dict[str, Json]:
    told: dict[str, Json] = {"type": metric.name, "value": f"{metric.value:.6g}", "slice": slice_}
    if metric.interval is not None:
        low, high = metric.interval
        told["confidenceInterval"] = {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
    return told
