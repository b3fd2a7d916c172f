"""What quantization did to each level, and why, from the facts that the files themselves show."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

from auditor.judge.delegates import departs
from auditor.judge.rounding import equal_scores, half_codes
from auditor.judge.told import NotRun, Told
from auditor.values import (
    AuditResult,
    CellResult,
    Diagnosis,
    InputCodes,
    Json,
    LayerError,
    ModelRecord,
    OutputCodes,
    Patch,
    Place,
)
from auditor.values.levels import FLOAT32, FLOAT_HEAD, PARENT

__all__ = ["breaks_in_head", "check_quantization", "loses", "of_outputs"]

_FEW_CODES = 20
"""With fewer codes for scores from 0 to 1, detections can hardly be ranked."""
_LOSS = 0.02
"""A level that loses more than this against float32 is named, where `checks: quantization` does not say otherwise."""
_CODES_USED = 192
_SATURATED = 0.01
_CLIPPED = 0.01
_SHOWN = 3
_FEW_OBJECTS = 10
"""A class with fewer objects may be missed by chance."""


def check_quantization(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name levels that could not be made, causes that a file's own codes show, losses against float32, and the
    remedy."""
    if len({model.quantization for model in result.models}) < 2 and not any(m.diagnosis.outputs for m in result.models):
        yield NotRun("there is one level alone, in float: name others of its family, or let `quantize:` make them")
    for model in result.models:
        where = {"model": model.model, "file": model.name, "quantization": model.quantization}
        remedy = functools.partial(_head_remedy, result, model)
        yield from of_outputs(model.name, model.diagnosis, where, remedy=remedy, fix=_float_head(result, model))
        for output in model.diagnosis.outputs:
            yield from _silent(result, model, output, where)
        if model.diagnosis.input is not None:
            yield from _input(model, model.diagnosis.input, where)
            yield from half_codes(model, model.diagnosis.input, where)
        yield from _conversion(result, model, where)
        yield from _loss(result, model, where)
        yield from _layers(model, where)
        yield from equal_scores(result, model, where)
    for drift in result.drifts:
        if drift.kind == "level":
            yield departs("quantization.departs", drift)
    for entry, calibration in result.plan.calibration.items():
        if calibration.unreadable:
            yield Told(
                "quantization.unreadable_calibration",
                {"entry": entry, "unreadable": calibration.unreadable, "images": calibration.images},
                {"model": entry},
                observed=float(calibration.unreadable),
            )
    skipped: dict[tuple[str, str], CellResult] = {}
    for cell in result.cells:
        if cell.status == "skipped" and cell.cause == "level":
            skipped.setdefault((cell.file, cell.quantization), cell)
    for (file, level), cell in skipped.items():
        yield Told(
            "quantization.skipped",
            {"file": file, "level": level, "reason": cell.error or ""},
            {"file": file, "quantization": level},
        )


def loses(cell: CellResult, limit: float) -> bool:
    """Whether a clean cell loses at least `limit` against its family's reference."""
    metric = cell.difference(FLOAT32)
    return cell.is_clean and metric is not None and metric.value is not None and metric.value < -limit


def _limit(result: AuditResult) -> float:
    return result.plan.option("quantization", "max_loss", _LOSS)


def breaks_in_head(facts: Diagnosis) -> bool:
    """Whether one scale serves boxes and scores so that the scores are lost: keeping the head in float may mend
    that."""
    return any(_is_one_scale(output) for output in facts.outputs)


def _is_one_scale(output: OutputCodes) -> bool:
    return output.zero_scores is not None and 1 / output.scale < _FEW_CODES


def of_outputs(
    file: str, facts: Diagnosis, where: Place, *, remedy: Callable[[], str], fix: Patch | None = None
) -> Iterator[Told]:
    """What the codes of a file's outputs show without any truth; `remedy` says how to make it without one scale for
    boxes and scores, and `fix` is what to write for that."""
    for output in facts.outputs:
        for told in _output(file, output, where, remedy):
            yield dataclasses.replace(told, fix=fix) if _is_one_scale(output) else told


def _output(file: str, output: OutputCodes, where: Place, remedy: Callable[[], str]) -> Iterator[Told]:
    named = {"file": file, "output": output.name}
    if output.high <= 0:
        yield Told(
            "quantization.never_positive",
            {**named, "high": output.high, "scale": output.scale, "zero_point": output.zero_point},
            where,
            observed=output.high,
            limit=0.0,
        )
    elif _is_one_scale(output):
        yield Told(
            "quantization.one_scale",
            facts={
                **named,
                "scale": output.scale,
                "box_high": output.box_values[1] if output.box_values else 0.0,
                "zero": output.zero_scores or 0.0,
                "distinct": output.distinct_scores or 0,
                "remedy": remedy(),
            },
            cell=where,
            observed=1 / output.scale,
            limit=float(_FEW_CODES),
        )
    elif output.constant_classes:
        facts: dict[str, Json] = {**named, "columns": list(output.constant_classes)}
        yield Told("quantization.constant_class", facts, where, observed=float(len(output.constant_classes)))
    elif output.score_values is not None and output.high < 0.9 and _reaches(output):
        yield Told("quantization.saturates", {**named, "high": output.high}, where, observed=output.high, limit=0.9)


def _silent(result: AuditResult, model: ModelRecord, output: OutputCodes, where: Place) -> Iterator[Told]:
    """Classes that are there and never found, since their scores never leave 0."""
    if _is_one_scale(output):
        return  # that is the cause, and is told
    offset = model.decoder.options.get("label_offset", 0)
    cell = next((cell for cell in result.cells if cell.file == model.name and cell.is_clean and cell.is_declared), None)
    dataset = result.datasets.get(model.dataset)
    if cell is None or dataset is None or not isinstance(offset, int):
        return
    instances = dataset.instances
    lost = {}
    for column in output.silent_classes:
        at = column + offset
        label = model.labels[at] if 0 <= at < len(model.labels) else None
        metric = cell.metrics.get(f"{cell.judged_by}/{label}")
        if label is not None and metric is not None and metric.value == 0 and instances.get(label, 0) >= _FEW_OBJECTS:
            lost[label] = instances[label]
    if lost:
        facts: dict[str, Json] = {
            "file": model.name,
            "output": output.name,
            "classes": [f"{label} ({count})" for label, count in lost.items()],
        }
        yield Told("quantization.silent_class", facts, where, observed=float(len(lost)))


def _reaches(output: OutputCodes) -> bool:
    """Whether the scores of the first images reach the largest code."""
    return output.score_values is not None and output.score_values[1] >= output.high - output.scale


def _head_remedy(result: AuditResult, model: ModelRecord) -> str:
    """What keeping the head in float brought, where it was measured."""
    family = [other for other in result.models if other.model == model.model]
    remedied = next((other for other in family if other.role == "remedy" or other.quantization == FLOAT_HEAD), None)
    after = _clean_value(result, remedied.name) if remedied is not None else None
    if remedied is None or after is None:
        return (
            "Export the model with boxes divided by the input size, or with boxes and scores as two outputs, or keep "
            "the "
            "ops from the outputs back to the last convolutions in float."
        )
    before, reference = _clean_value(result, model.name), _clean_value(result, model.model)
    metric = model.judging.primary
    if before is not None and after <= before + _limit(result):
        return (
            f"Keeping the head in float does not help here ({remedied.name}: {metric} {after:.3f} instead of "
            f"{before:.3f}): {_other_levels(result, model)}."
        )
    text = (
        f"Keep the head in float, as {remedied.name} does: {metric} {_shown(before)} becomes {after:.3f} at "
        f"{remedied.size_bytes:,} bytes instead of {model.size_bytes:,}"
    )
    if _tool(remedied) != _tool(model):
        text += f" (made with {_tool(remedied)} of the float32 file, where this level was made with {_tool(model)})"
    if reference is not None and reference - after > _limit(result):
        lost = f"{reference - after:.3f} of the float32 {metric} {reference:.3f} stay lost"
        text += f"; {lost}. {_more_float(result, model, after)}"
    return text + "."


def _float_head(result: AuditResult, model: ModelRecord) -> Patch | None:
    """What makes the level that keeps the head in float in place of this one, where that was measured to help."""
    head = next(
        (other for other in result.models if (other.model, other.quantization) == (model.model, FLOAT_HEAD)), None
    )
    after, before = _clean_value(result, head.name) if head is not None else None, _clean_value(result, model.name)
    if model.made is None or after is None or (before is not None and after <= before + _limit(result)):
        return None
    return Patch({"quantize": {"levels": [FLOAT_HEAD]}}, model=model.model, keep=("calibration",))


def _more_float(result: AuditResult, model: ModelRecord, after: float) -> str:
    """What keeping still more ops in float brings, where it was measured: whether the rest of the loss sits in the
    head."""
    others, metric = _other_levels(result, model), model.judging.primary
    family = [other for other in result.models if other.model == model.model]
    more = next((other for other in family if other.role == "evidence"), None)
    brought = _clean_value(result, more.name) if more is not None else None
    if more is None or brought is None:
        return f"To mend the rest, {others}"
    if brought - after > _limit(result):
        return (
            f"More float helps: {more.name}, with four more weighted ops of each path in float, has {metric} "
            f"{brought:.3f} at {more.size_bytes:,} bytes"
        )
    return (
        f"More float does not help: with four more weighted ops of each path in float ({more.name}) {metric} is "
        f"{brought:.3f}, so the rest is lost in the 8-bit activations of the backbone: {others}"
    )


def _other_levels(result: AuditResult, model: ModelRecord) -> str:
    """What else to do: the levels of the family that were measured to lose little, and training."""
    sizes = {other.name: other.size_bytes for other in result.models}
    good = {}
    for cell in result.cells:
        loss = cell.difference(FLOAT32)
        measured = cell.model == model.model and cell.is_clean and cell.is_declared and cell.status == "ok"
        if not measured or loss is None or loss.value is None or cell.quantization in (FLOAT32, PARENT):
            continue
        if loss.value >= -_limit(result):
            good[cell.file] = f"{cell.file} ({loss.value:+.3f}, {sizes[cell.file]:,} bytes)"
    training = "train with quantization in the loop"
    return f"take {' or '.join(good.values())}, or {training}" if good else training


def _tool(model: ModelRecord) -> str:
    """The program that made a level; of another's file nothing is known."""
    return "another program" if model.made is None else f"{model.made.tool} {model.made.version}"


def _input(model: ModelRecord, facts: InputCodes, where: Place) -> Iterator[Told]:
    if facts.codes_used >= _CODES_USED and facts.clipped <= _CLIPPED:
        return
    yield Told(
        "quantization.input_codes",
        facts={
            "file": model.name,
            "low": facts.low,
            "high": facts.high,
            "fed_low": facts.fed_low,
            "fed_high": facts.fed_high,
            "codes_used": facts.codes_used,
            "clipped": facts.clipped,
            "inherited": (source := model.sources.get("input.mean")) is not None and source.origin == "family",
        },
        cell=where,
        observed=float(facts.codes_used),
        limit=float(_CODES_USED),
    )


def _loss(result: AuditResult, model: ModelRecord, where: Place) -> Iterator[Told]:
    for cell in result.cells:
        metric = cell.difference(FLOAT32)
        if cell.file != model.name or metric is None or not loses(cell, _limit(result)):
            continue
        interval, value = metric.interval, metric.value or 0.0
        noise = interval is not None and interval[1] >= 0
        test = cell.level_test
        yield Told(
            "quantization.loss",
            facts={
                "file": model.name,
                "level": model.quantization,
                "delegate": cell.delegate,
                "metric": cell.judged_by,
                "lost": -value,
                "interval": None if interval is None else list(interval),
                "noise": noise,
                "right_here": test.right_here if test is not None else None,
                "right_there": test.right_there if test is not None else None,
                "p": test.p if test is not None else None,
            },
            cell=where,
            observed=value,
            limit=-_limit(result),
            level="info" if noise else None,
        )


def _conversion(result: AuditResult, model: ModelRecord, where: Place) -> Iterator[Told]:
    """What the conversion from the Keras or SavedModel parent to float32 cost, apart from what quantization costs."""
    for cell in result.cells:
        metric = cell.difference(PARENT)
        if cell.file != model.name or not cell.is_clean or cell.quantization != FLOAT32:
            continue
        if metric is None or metric.value is None:
            continue
        lost = metric.value < -_limit(result)
        yield Told(
            "quantization.conversion",
            facts={
                "file": model.name,
                "delegate": cell.delegate,
                "metric": cell.judged_by,
                "change": metric.value,
                "interval": None if metric.interval is None else list(metric.interval),
                "lost": lost,
            },
            cell=where,
            observed=metric.value,
            limit=-_limit(result),
            level="warning" if lost else None,
        )


def _layers(model: ModelRecord, where: Place) -> Iterator[Told]:
    """Where the error arises, and whether calibration saw what the evaluation shows."""
    facts = model.diagnosis
    if facts.layers:
        worst = [f"{row.op} {row.tensor} {row.sqnr_db or 0.0:.1f} dB" for row in facts.layers[:_SHOWN]]
        yield Told(
            "quantization.layers",
            {"file": model.name, "images": facts.layer_images, "worst": list(worst)},
            where,
            observed=facts.layers[0].sqnr_db,
        )
    saturating: list[LayerError] = [row for row in facts.saturating if row.saturated > _SATURATED]
    if saturating:
        worst = [f"{row.op} {row.tensor} {row.saturated:.1%}" for row in saturating[:_SHOWN]]
        yield Told(
            "quantization.saturating",
            {"file": model.name, "tensors": facts.saturating_tensors, "worst": list(worst)},
            where,
            observed=saturating[0].saturated,
            limit=_SATURATED,
        )


def _clean_value(result: AuditResult, file: str) -> float | None:
    for cell in result.cells:
        if cell.file == file and cell.is_clean and cell.is_declared and cell.status == "ok":
            return cell.value
    return None


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
