"""What quantization did to each level, and why, from the facts that the files themselves show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.values import CLEAN, AuditResult, CellResult, Finding

__all__ = ["breaks_in_head", "check_quantization", "loses"]

_FEW_CODES = 20
"""With fewer codes for scores from 0 to 1, detections can hardly be ranked."""
_LOSS = 0.02
"""A level that loses more than this against float32 is named, where `checks: quantization` does not say otherwise."""
_CODES_USED = 192
_SATURATED = 0.01
_CLIPPED = 0.01
_FLOAT_HEAD = "int8_float_head"
_FLOAT_MORE = "int8_float_more"


def check_quantization(result: AuditResult) -> Iterator[Finding]:
    """Name levels that could not be made, causes that a file's own codes show, losses against float32, and the
    remedy."""
    for model in result.models:
        where = {"model": model["model"], "file": model["name"], "quantization": model["quantization"]}
        facts = model.get("diagnosis") or {}
        for output in facts.get("outputs", []):
            yield from _output(result, model, output, where)
        if "input" in facts:
            yield from _input(model, facts["input"], where)
        yield from _conversion(result, model, where)
        yield from _loss(result, model, where)
        yield from _layers(model, facts, where)
    for name, calibration in result.plan.get("calibration", {}).items():
        if calibration["unreadable"]:
            yield Finding(
                check="quantization",
                level="warning",
                message=f"{calibration['unreadable']} calibration images of {name} cannot be read; its levels are "
                f"calibrated on the other {calibration['images']}",
                remedy="Replace or remove the damaged files.",
                cell={"model": name},
                observed=float(calibration["unreadable"]),
            )
    skipped: dict[tuple[str, str], CellResult] = {}
    for cell in result.cells:
        if cell.status == "skipped" and cell.cell.file not in {model["name"] for model in result.models}:
            skipped.setdefault((cell.cell.file, cell.cell.quantization), cell)
    for (file, level), cell in skipped.items():
        yield Finding(
            check="quantization",
            level="warning",
            message=f"the level {level} ({file}) was skipped: {cell.error}",
            remedy="Mend the reason, or take the level out of `quantize: levels`.",
            cell={"file": file, "quantization": level},
        )


def loses(cell: CellResult, limit: float) -> bool:
    """Whether a clean cell loses at least `limit` against its family's reference."""
    metric = cell.difference("float32")
    return cell.cell.scenario == CLEAN and metric is not None and metric.value is not None and metric.value < -limit


def _limit(result: AuditResult) -> float:
    options = result.plan.get("checks", {}).get("quantization") or {}
    return float(options.get("max_loss", _LOSS))


def breaks_in_head(facts: Mapping[str, Any]) -> bool:
    """Whether one scale serves boxes and scores so that the scores are lost: keeping the head in float may mend
    that."""
    return any(_one_scale(output) for output in facts.get("outputs", []))


def _one_scale(output: Mapping[str, Any]) -> bool:
    return "zero_scores" in output and 1 / output["scale"] < _FEW_CODES


def _output(
    result: AuditResult, model: Mapping[str, Any], output: Mapping[str, Any], where: dict[str, Any]
) -> Iterator[Finding]:
    codes = 1 / output["scale"]
    if output["high"] <= 0:
        yield Finding(
            check="quantization",
            level="error",
            message=f"{model['name']}: its output {output['name']} can never be positive (largest code is "
            f"{output['high']:.4g}, scale {output['scale']:.4g}, zero point {output['zero_point']})",
            remedy="Calibrate again on images that the model detects something on; the range of this output was never "
            "seen.",
            cell=where,
            observed=output["high"],
            limit=0.0,
        )
    elif _one_scale(output):
        yield Finding(
            check="quantization",
            level="error",
            message=(
                f"{model['name']}: one scale of {output['scale']:.4g} serves boxes (up to "
                f"{output['box_values'][1]:.4g}) and scores (0 to 1) in the output {output['name']}: "
                f"{output['zero_scores']:.3%} of the scores round to 0, and {output['distinct_scores']} different "
                f"score{'s' if output['distinct_scores'] != 1 else ''} can be told apart"
            ),
            remedy=_head_remedy(result, model),
            cell=where,
            observed=codes,
            limit=float(_FEW_CODES),
        )
    elif (
        "score_values" in output
        and output["high"] < 0.9
        and output["score_values"][1] >= output["high"] - output["scale"]
    ):
        yield Finding(
            check="quantization",
            level="warning",
            message=f"{model['name']}: its output {output['name']} saturates at {output['high']:.3f}, so no score can "
            "be higher",
            remedy="Calibrate on images with confident detections.",
            cell=where,
            observed=output["high"],
            limit=0.9,
        )


def _head_remedy(result: AuditResult, model: Mapping[str, Any]) -> str:
    """What keeping the head in float brought, where it was measured."""
    remedied = next(
        (other for other in result.models if other["model"] == model["model"] and other["quantization"] == _FLOAT_HEAD),
        None,
    )
    before, after, reference = (
        _clean_ap(result, name) for name in (model["name"], remedied and remedied["name"], model["model"])
    )
    if remedied is None or after is None:
        return "Export the model with boxes divided by the input size, or with boxes and scores as two outputs, or keep the ops from the outputs back to the last convolutions in float."
    if before is not None and after <= before + _limit(result):
        return f"Keeping the head in float does not help here ({remedied['name']}: AP {_shown(after)} instead of {_shown(before)}): {_other_levels(result, model)}."
    text = f"Keep the head in float, as {remedied['name']} does: AP {_shown(before)} becomes {_shown(after)} at {remedied['size_bytes']:,} bytes instead of {model['size_bytes']:,}"
    if _tool(remedied) != _tool(model):
        text += f" (made with {_tool(remedied)} of the float32 file, where this level was made with {_tool(model)})"
    if reference is not None and reference - after > _limit(result):
        text += f"; {reference - after:.3f} of the float32 AP {reference:.3f} stay lost. {_more_float(result, model, after)}"
    return text + "."


def _more_float(result: AuditResult, model: Mapping[str, Any], after: float) -> str:
    """What keeping still more ops in float brings, where it was measured: whether the rest of the loss sits in the
    head."""
    other = _other_levels(result, model)
    more = next(
        (other for other in result.models if other["model"] == model["model"] and other["quantization"] == _FLOAT_MORE),
        None,
    )
    brought = _clean_ap(result, more["name"]) if more else None
    if more is None or brought is None:
        return f"To mend the rest, {other}"
    if brought - after > _limit(result):
        return f"More float helps: {more['name']}, with four more weighted ops of each path in float, has AP {_shown(brought)} at {more['size_bytes']:,} bytes"
    return (
        f"More float does not help: with four more weighted ops of each path in float ({more['name']}) AP is "
        f"{_shown(brought)}, "
        f"so the rest is lost in the 8-bit activations of the backbone: {other}"
    )


def _other_levels(result: AuditResult, model: Mapping[str, Any]) -> str:
    """What else to do: the levels of the family that were measured to lose little, and training."""
    losses = {
        cell.cell.file: cell.difference("float32")
        for cell in result.cells
        if cell.cell.model == model["model"]
        and cell.cell.scenario == CLEAN
        and cell.cell.input == "declared"
        and cell.status == "ok"
    }
    sizes = {other["name"]: (other["size_bytes"], other["quantization"]) for other in result.models}
    good = [
        f"{file} ({loss.value:+.3f}, {sizes[file][0]:,} bytes)"
        for file, loss in losses.items()
        if loss is not None
        and loss.value is not None
        and loss.value >= -_limit(result)
        and sizes[file][1] not in ("float32", "parent")
    ]
    return (
        f"take {' or '.join(good)}, or train with quantization in the loop"
        if good
        else "train with quantization in the loop"
    )


def _tool(model: Mapping[str, Any]) -> str:
    """The program that made a level, as its source says; for another's file nothing is known."""
    source = str(model.get("sources", {}).get("quantization", ""))
    return source.partition(" with ")[2].partition(",")[0] or "another program"


def _input(model: Mapping[str, Any], facts: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    if facts["codes_used"] >= _CODES_USED and facts["clipped"] <= _CLIPPED:
        return
    yield Finding(
        check="quantization",
        level="warning",
        message=(
            f"{model['name']}: its input holds {facts['low']:.4g} to {facts['high']:.4g}, but is fed "
            f"{facts['fed_low']:.4g} to {facts['fed_high']:.4g}: "
            f"{facts['codes_used']} of its 256 codes are used, and {facts['clipped']:.1%} of the values are clipped"
        ),
        remedy="It was calibrated on other preprocessing than it is fed: calibrate with this `input:`, or write the "
        "`input: {mean, std}` that it was calibrated with.",
        cell=where,
        observed=float(facts["codes_used"]),
        limit=float(_CODES_USED),
    )


def _loss(result: AuditResult, model: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    for cell in result.cells:
        if cell.cell.file != model["name"] or not loses(cell, _limit(result)):
            continue
        metric = cell.difference("float32")
        value = metric.value or 0.0 if metric else 0.0
        interval = metric.interval if metric else None
        noise = interval is not None and interval[1] >= 0
        shown = (
            ""
            if interval is None
            else f" (95 % {interval[0]:+.3f} to {interval[1]:+.3f}, paired{', which may be noise' if noise else ''})"
        )
        yield Finding(
            check="quantization",
            level="info" if noise else "warning",
            message=f"{model['name']} ({model['quantization']}, {cell.cell.delegate}) loses {-value:.3f} "
            f"{_metric(cell)} against its family's reference on clean images{shown}{_mcnemar(cell)}",
            remedy="Take a level of the trade-off that loses less, train with quantization in the loop, or calibrate "
            "on images like those of the deployment.",
            cell=where,
            observed=value,
            limit=-_limit(result),
        )


def _conversion(result: AuditResult, model: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    """What the conversion from the Keras or SavedModel parent to float32 cost, apart from what quantization costs."""
    for cell in result.cells:
        metric = cell.difference("parent")
        if cell.cell.file != model["name"] or cell.cell.scenario != CLEAN or cell.cell.quantization != "float32":
            continue
        if metric is None or metric.value is None:
            continue
        lost = metric.value < -_limit(result)
        shown = f" (95 % {metric.interval[0]:+.3f} to {metric.interval[1]:+.3f}, paired)" if metric.interval else ""
        yield Finding(
            check="quantization",
            level="warning" if lost else "info",
            message=f"{model['name']} ({cell.cell.delegate}): the conversion from the parent to float32 changes "
            f"{_metric(cell)} by {metric.value:+.3f}{shown}; what lower levels lose beyond that, quantization "
            "costs",
            remedy="Compare the outputs of the parent and the converted file op by op: an op was converted to another "
            "one, or the parent runs in training mode."
            if lost
            else "Nothing: the float32 file is what was trained.",
            cell=where,
            observed=metric.value,
            limit=-_limit(result),
        )


def _layers(model: Mapping[str, Any], facts: Mapping[str, Any], where: dict[str, Any]) -> Iterator[Finding]:
    """Where the error arises, and whether calibration saw what the evaluation shows."""
    layers, images = facts.get("layers", []), facts.get("layer_images", 0)
    if layers:
        worst = "; ".join(f"{row['op']} {row['tensor']} {row['sqnr_db']:.1f} dB" for row in layers[:3])
        yield Finding(
            check="quantization",
            level="info",
            message=f"{model['name']}: the lowest signal-to-quantization-noise ratios against the float model, on "
            f"{images} images: {worst}",
            remedy="Keep these ops in float, or train with quantization in the loop; `diagnosis.layers` of "
            f"{model['name']} in result.json has the worst ten.",
            cell=where,
            observed=layers[0]["sqnr_db"],
        )
    saturating = [row for row in facts.get("saturating", []) if row["saturated"] > _SATURATED]
    if saturating:
        worst = "; ".join(f"{row['op']} {row['tensor']} {row['saturated']:.1%}" for row in saturating[:3])
        yield Finding(
            check="quantization",
            level="warning",
            message=f"{model['name']}: activations lie outside of their calibrated range in "
            f"{facts.get('saturating_tensors', len(saturating))} tensors, worst: {worst} of the values",
            remedy="Calibrate on more images, and on images like those that are evaluated; where they are alike "
            "already, the quantizer's moving average cuts the ends off: take a wider range, or int16x8.",
            cell=where,
            observed=saturating[0]["saturated"],
            limit=_SATURATED,
        )


def _clean_ap(result: AuditResult, file: Any) -> float | None:
    for cell in result.cells:
        if (
            cell.cell.file == file
            and cell.cell.scenario == CLEAN
            and cell.cell.input == "declared"
            and cell.status == "ok"
        ):
            return cell.value
    return None


def _metric(cell: CellResult) -> str:
    return cell.primary.name if cell.primary is not None else "AP"


def _mcnemar(cell: CellResult) -> str:
    """What McNemar's test says of a classifier's level beside float32."""
    found = cell.metrics.get("McNemar_p")
    if found is None or found.value is None:
        return ""
    here, there = cell.counts["right_here_only"], cell.counts["right_in_float32_only"]
    return f"; {there} images are right in float32 only and {here} in this level only (McNemar's exact p = {found.value:.3g})"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
