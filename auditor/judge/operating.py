"""Whether the threshold that a deployment holds suits each level, and what it finds there in the worst scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from auditor.judge.told import NotRun, Told, place_of
from auditor.values import (
    BEST_F1,
    LOCAL,
    OTHERS,
    AtThreshold,
    AuditResult,
    CellResult,
    Json,
    OperatingPoint,
    Patch,
    Thresholds,
)
from auditor.values.levels import FLOAT32

__all__ = ["check_operating_point"]

_LEAST_LOSS = 0.02
"""A smaller loss of recall or precision is not worth a threshold of its own."""
_OPTIMISM = 0.02
_DETECTIONS = "detections"
_CEILING = 0.95
"""Of the first level's highest score another level reaches less."""
_IOU = 0.5
_MIDDLE = 3
"""The severity at which scenarios are compared."""


def check_operating_point(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name levels whose scores moved against the held threshold, targets that are not reached, thresholds that flatter
    since they were chosen on the same images, and what is missed and falsely found in the worst scenarios."""
    if not result.operating_points:
        yield NotRun("no model has an operating point: its task has none, or there is no truth to choose it by")
    for point in result.operating_points:
        where = {"model": point.model}
        if point.reason is not None:
            yield Told("point.unknown", {"model": point.model, "reason": point.reason}, where)
            continue
        if point.unreached and point.confidence is not None:
            yield _unsure(point)
        elif point.unreached:
            facts: dict[str, Json] = {
                "model": point.model,
                "by": point.by,
                "target": point.target or 0.0,
                "classes": list(point.unreached),
                "reached": point.clean.get(point.by),
            }
            yield Told("point.unreached", facts, where, limit=point.target)
        optimism = point.optimism.get("F1", 0.0)
        if optimism >= _OPTIMISM:
            at = {name: point.clean[name] for name in ("precision", "recall", "F1")}
            fitted = {name: (value or 0.0) - point.optimism.get(name, 0.0) for name, value in at.items()}
            yield Told("point.optimistic", {"model": point.model, "here": dict(at), "others": dict(fitted)}, where)
        yield from _nothing(result, point)
        for cell in _clean_cells(result, point):
            mine = point.at(cell.quantization)
            yield from _out_of_reach(result, mine, cell)
            yield from _moved(mine, cell)
            yield from _weakest(result, cell)


def _nothing(result: AuditResult, point: OperatingPoint) -> Iterator[Told]:
    """A file without truth to hold it against that finds nothing at all at its threshold."""
    for cell in result.cells:
        if cell.model == point.model and cell.is_clean and cell.is_declared and _value(cell, _DETECTIONS) == 0:
            held = _json(point.at(cell.quantization).thresholds)
            yield Told("point.nothing", {"label": _label(cell), "held": held}, place_of(cell), observed=0.0)


def _unsure(point: OperatingPoint) -> Told:
    """A recall that these images cannot promise."""
    facts: dict[str, Json] = {
        "model": point.model,
        "target": point.target or 0.0,
        "confidence": point.confidence or 0.0,
        "recall": point.clean.get("recall"),
        "images": point.images,
        "enough": point.enough,
    }
    return Told("point.unsure", facts, {"model": point.model}, observed=point.clean.get("recall"), limit=point.target)


def _clean_cells(result: AuditResult, point: OperatingPoint) -> Iterator[CellResult]:
    for cell in result.cells:
        model = result.model(cell.file)
        shown = model is not None and model.role != "evidence"
        if shown and cell.model == point.model and cell.is_clean and cell.is_declared and cell.moved is not None:
            yield cell


def _value(cell: CellResult, metric: str) -> float | None:
    found = cell.metrics.get(metric)
    return found.value if found is not None else None


def _is_beyond_chance(cell: CellResult, metric: str) -> bool:
    """Whether a metric is worse than the first level's by more than chance explains, and by enough to matter."""
    found = cell.metrics.get(f"{metric}_minus_{FLOAT32}")
    if found is None or found.value is None or found.interval is None:
        return False
    return found.value <= -_LEAST_LOSS and found.interval[1] < 0


def _moved(point: OperatingPoint, cell: CellResult) -> Iterator[Told]:
    """A level that finds less, or more wrongly, at the held threshold, and would not at another."""
    held = _value(cell, "F1")
    if cell.moved is None or held is None:
        return
    for metric, other in (("recall", cell.moved.restores_recall), ("precision", cell.moved.restores_precision)):
        if other is None or other.f1 is None or not _is_beyond_chance(cell, metric) or other.f1 <= held:
            continue
        now = _value(cell, metric)
        change = (_value(cell, f"{metric}_minus_{FLOAT32}") or 0.0) if now is not None else 0.0
        yield Told(
            "point.moved",
            facts={
                "label": _label(cell),
                "metric": metric,
                "before": (now or 0.0) - change,
                "now": now,
                "held": _json(point.thresholds),
                "better": _json(_other(point, other)),
                "restored": other.recall if metric == "recall" else other.precision,
                "alarms": other.fppi - (_value(cell, "fppi") or 0.0),
                "found": None if other.recall is None else other.recall - (_value(cell, "recall") or 0.0),
            },
            cell=place_of(cell, "model", "file", "quantization", "delegate", "scenario"),
            observed=now,
            limit=(now or 0.0) - change,
            fix=_fix(point, cell.quantization, _other(point, other)),
        )
        return


def _other(point: OperatingPoint, at: AtThreshold) -> Thresholds:
    return Thresholds(at.threshold) if at.threshold is not None else point.thresholds.scaled(at.factor)


def _fix(point: OperatingPoint, level: str, better: Thresholds) -> Patch:
    """What to write so that a level has its own threshold."""
    keys: dict[str, Json] = {}
    if point.by == "threshold":
        keys["threshold"] = _json(point.thresholds)
    elif point.by == BEST_F1:
        keys["threshold"] = BEST_F1
    elif point.confidence is not None:
        keys[point.by] = {"at_least": point.target, "confidence": point.confidence}
    else:
        keys[point.by] = point.target
    if point.iou != _IOU:
        keys["iou"] = point.iou
    if point.fps is not None:
        keys["fps"] = point.fps
    levels: Mapping[str, Thresholds] = {**point.levels, level: better}
    keys["levels"] = {name: _json(found) for name, found in levels.items()}
    return Patch({"operating_point": keys}, model=point.model)


def _json(thresholds: Thresholds) -> Json:
    document = thresholds.document
    return document if isinstance(document, float) else dict(document)


def _out_of_reach(result: AuditResult, point: OperatingPoint, cell: CellResult) -> Iterator[Told]:
    """A level whose highest score is below a threshold, or far below the first level's."""
    ceiling = cell.moved.ceiling if cell.moved is not None else None
    if ceiling is None:
        return
    given = {
        **point.thresholds.by_class,
        **({} if point.thresholds.others is None else {OTHERS: point.thresholds.others}),
    }
    lost = [name for name, threshold in given.items() if threshold > ceiling]
    where = place_of(cell, "model", "file", "quantization", "delegate")
    if lost:
        facts: dict[str, Json] = {
            "label": _label(cell),
            "ceiling": ceiling,
            "lost": list(lost),
            "held": min(given[n] for n in lost),
        }
        yield Told("point.out_of_reach", facts, where, observed=ceiling, limit=min(given[n] for n in lost))
        return
    first = next(iter(_clean_cells(result, point)))
    highest = first.moved.ceiling if first.moved is not None else None
    if highest is not None and ceiling < _CEILING * highest:
        facts = {"label": _label(cell), "ceiling": ceiling, "first": _label(first), "highest": highest}
        yield Told("point.ceiling", facts, where, observed=ceiling, limit=highest)


def _weakest(result: AuditResult, clean: CellResult) -> Iterator[Told]:
    """The scenarios, at a middle severity, in which a model misses most, and finds most that is not there."""
    cells = [
        cell
        for cell in result.cells
        if (cell.file, cell.delegate, cell.device, cell.input)
        == (clean.file, clean.delegate, clean.device, clean.input)
        and not cell.is_clean
        and _value(cell, "recall") is not None
        and _value(cell, "fppi") is not None
    ]
    if not cells or clean.device != LOCAL:
        return
    middle = [cell for cell in cells if cell.severity <= _MIDDLE] or cells
    severity = max(cell.severity for cell in middle)
    asked = [cell for cell in middle if cell.severity == severity]
    missing = min(asked, key=lambda cell: _value(cell, "recall") or 0.0)
    false = max(asked, key=lambda cell: _value(cell, "fppi") or 0.0)
    yield Told(
        "point.weakest",
        facts={
            "label": _label(clean),
            "severity": severity,
            "missing": missing.scenario,
            "recall": _value(missing, "recall"),
            "clean_recall": _value(clean, "recall"),
            "false": false.scenario,
            "fppi": _value(false, "fppi"),
            "clean_fppi": _value(clean, "fppi"),
        },
        cell=place_of(clean, "model", "file", "quantization", "delegate"),
        observed=_value(missing, "recall"),
    )


def _label(cell: CellResult) -> str:
    device = "" if cell.device == LOCAL else f", {cell.device}"
    return f"{cell.file} ({cell.quantization}, {cell.delegate}{device})"
