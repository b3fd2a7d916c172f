"""What quantization did to each level, and why, from the facts that the files themselves show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.values import CLEAN, AuditResult, CellResult, Finding

__all__ = ["breaks_in_head", "check_quantization", "loses"]

_FEW_CODES = 20
"""With fewer codes for scores from 0 to 1, detections can hardly be ranked."""
_LOSS = 0.02
"""A level that loses more AP than this against float32 is named; in AP, the default of the audit's contract."""
_CODES_USED = 192
_SATURATED = 0.01
_CLIPPED = 0.01
_FLOAT_HEAD = "int8_float_head"


def check_quantization(result: AuditResult) -> Iterator[Finding]:
    """Name levels that could not be made, causes that a file's own codes show, losses against float32, and the remedy."""
    for model in result.models:
        where = {"model": model["model"], "file": model["name"], "quantization": model["quantization"]}
        facts = model.get("diagnosis") or {}
        for output in facts.get("outputs", []):
            yield from _output(result, model, output, where)
        if "input" in facts:
            yield from _input(model, facts["input"], where)
        yield from _loss(result, model, where)
        yield from _layers(model, facts, where)
    skipped: dict[tuple[str, str], CellResult] = {}
    for cell in result.cells:
        if cell.status == "skipped":
            skipped.setdefault((cell.cell.file, cell.cell.quantization), cell)
    for (file, level), cell in skipped.items():
        yield Finding(
            check="quantization",
            level="info",
            message=f"the level {level} ({file}) was skipped: {cell.error}",
            remedy="Mend the reason, or take the level out of `quantize: levels`.",
            cell={"file": file, "quantization": level},
        )


def loses(cell: CellResult) -> bool:
    """Whether a clean cell loses more than the set amount against its family's reference."""
    metric = cell.metrics.get("AP_minus_float32")
    return cell.cell.scenario == CLEAN and metric is not None and metric.value is not None and metric.value <= -_LOSS


def breaks_in_head(facts: Mapping[str, Any]) -> bool:
    """Whether one scale serves boxes and scores so that the scores are lost: keeping the head in float may mend that."""
    return any(_one_scale(output) for output in facts.get("outputs", []))


def _one_scale(output: Mapping[str, Any]) -> bool:
    return "zero_scores" in output and 1 / output["scale"] < _FEW_CODES


def _output(result: AuditResult, model: Mapping[str, Any], output: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    codes = 1 / output["scale"]
    if output["high"] <= 0:
        yield Finding(
            check="quantization",
            level="error",
            message=f"{model['name']}: its output {output['name']} can never be positive (largest code is {output['high']:.4g}, scale {output['scale']:.4g}, zero point {output['zero_point']})",
            remedy="Calibrate again on images that the model detects something on; the range of this output was never seen.",
            cell=where,
            observed=output["high"],
            limit=0.0,
        )
    elif _one_scale(output):
        yield Finding(
            check="quantization",
            level="error",
            message=(
                f"{model['name']}: one scale of {output['scale']:.4g} serves boxes (up to {output['box_values'][1]:.4g}) and scores (0 to 1) in the output {output['name']}: "
                f"{output['zero_scores']:.3%} of the scores round to 0, and {output['distinct_scores']} different score{'s' if output['distinct_scores'] != 1 else ''} can be told apart"
            ),
            remedy=_head_remedy(result, model),
            cell=where,
            observed=codes,
            limit=float(_FEW_CODES),
        )
    elif "score_values" in output and output["high"] < 0.9 and output["score_values"][1] >= output["high"] - output["scale"]:
        yield Finding(
            check="quantization",
            level="warning",
            message=f"{model['name']}: its output {output['name']} saturates at {output['high']:.3f}, so no score can be higher",
            remedy="Calibrate on images with confident detections.",
            cell=where,
            observed=output["high"],
            limit=0.9,
        )


def _head_remedy(result: AuditResult, model: Mapping[str, Any]) -> str:
    """What keeping the head in float brought, where it was measured."""
    remedied = next((other for other in result.models if other["model"] == model["model"] and other["quantization"] == _FLOAT_HEAD), None)
    before, after, reference = (_clean_ap(result, name) for name in (model["name"], remedied and remedied["name"], model["model"]))
    if remedied is None or after is None:
        return "Export the model with boxes divided by the input size, or with boxes and scores as two outputs, or keep the ops from the outputs back to the last convolutions in float."
    text = f"Keep the head in float, as {remedied['name']} does: AP {_shown(before)} becomes {_shown(after)} at {remedied['size_bytes']:,} bytes instead of {model['size_bytes']:,}"
    if reference is not None and reference - after > _LOSS:
        text += (
            f"; {reference - after:.3f} of the float32 AP {reference:.3f} stay lost, in the 8-bit activations before the head: "
            "train with quantization in the loop, calibrate on more images, or take int16x8, dynamic or weight_only"
        )
    return text + "."


def _input(model: Mapping[str, Any], facts: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    if facts["codes_used"] >= _CODES_USED and facts["clipped"] <= _CLIPPED:
        return
    yield Finding(
        check="quantization",
        level="warning",
        message=(
            f"{model['name']}: its input holds {facts['low']:.4g} to {facts['high']:.4g}, but is fed {facts['fed_low']:.4g} to {facts['fed_high']:.4g}: "
            f"{facts['codes_used']} of its 256 codes are used, and {facts['clipped']:.1%} of the values are clipped"
        ),
        remedy="It was calibrated on other preprocessing than it is fed: calibrate with this `input:`, or write the `input: {mean, std}` that it was calibrated with.",
        cell=where,
        observed=float(facts["codes_used"]),
        limit=float(_CODES_USED),
    )


def _loss(result: AuditResult, model: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    for cell in result.cells:
        if cell.cell.file != model["name"] or not loses(cell):
            continue
        metric = cell.metrics["AP_minus_float32"]
        value = metric.value or 0.0
        interval = metric.interval
        noise = interval is not None and interval[1] >= 0
        shown = (
            "" if interval is None else f" (95 % {interval[0]:+.3f} to {interval[1]:+.3f}, paired{', which may be noise' if noise else ''})"
        )
        yield Finding(
            check="quantization",
            level="info" if noise else "warning",
            message=f"{model['name']} ({model['quantization']}, {cell.cell.delegate}) loses {-value:.3f} AP against its family's reference on clean images{shown}",
            remedy="Take a level of the trade-off that loses less, train with quantization in the loop, or calibrate on images like those of the deployment.",
            cell=where,
            observed=value,
            limit=-_LOSS,
        )


def _layers(model: Mapping[str, Any], facts: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    """Where the error arises, and whether calibration saw what the evaluation shows."""
    layers, images = facts.get("layers", []), facts.get("layer_images", 0)
    if layers:
        worst = "; ".join(f"{row['op']} {row['tensor']} {row['sqnr_db']:.1f} dB" for row in layers[:3])
        yield Finding(
            check="quantization",
            level="info",
            message=f"{model['name']}: the lowest signal-to-quantization-noise ratios against the float model, on {images} images: {worst}",
            remedy=f"Keep these ops in float, or train with quantization in the loop; `diagnosis.layers` of {model['name']} in result.json has the worst ten.",
            cell=where,
            observed=layers[0]["sqnr_db"],
        )
    saturating = [row for row in facts.get("saturating", []) if row["saturated"] > _SATURATED]
    if saturating:
        worst = "; ".join(f"{row['op']} {row['tensor']} {row['saturated']:.1%}" for row in saturating[:3])
        yield Finding(
            check="quantization",
            level="warning",
            message=f"{model['name']}: activations lie outside of their calibrated range in {len(saturating)} or more tensors, worst: {worst} of the values",
            remedy="Calibrate on more images, and on images like those that are evaluated.",
            cell=where,
            observed=saturating[0]["saturated"],
            limit=_SATURATED,
        )


def _clean_ap(result: AuditResult, file: Any) -> float | None:
    for cell in result.cells:
        if cell.cell.file == file and cell.cell.scenario == CLEAN and cell.status == "ok":
            return cell.metrics["AP"].value
    return None


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
