"""Gates: rules applied to cells, summaries and probes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from auditor.judge.sureness import images_that_decide, is_sure
from auditor.judge.told import Row, Told, as_finding, place_of
from auditor.values import (
    BASELINE,
    BREAKING_POINT,
    CLEAN,
    LOCAL,
    MEASURED_METRICS,
    OVER_SCENARIOS,
    AuditResult,
    BreakingPoint,
    Cell,
    CellResult,
    Finding,
    GateOutcome,
    Json,
    Met,
    MetricValue,
    Place,
    Rule,
    Summary,
    Ties,
    Unjudged,
    digits,
)

__all__ = ["Applied", "Subject", "apply_gates", "limit_of", "subjects_of"]

_AGAIN = "run the audit again with this gate"
_UNJUDGED = "gate.unmeasured"
_HARDLY = 1e-12
"""By so much lies beyond a limit what lies beyond the range that limits are of."""
_OVER_ALL = ("scenario", "severity")
"""Selectors that a metric over all cells of a model has no use for."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """One value a rule looks at: a cell's, a summary's or a probe's metric, and what it is called."""

    cell: Place
    label: str
    metric: MetricValue | None
    reason: str | None
    reference: CellResult | None = None
    ties: Ties | None = None
    unlike: str | None = None
    """Why there is no reference to compare with."""
    early: str | None = None
    """Why it is not the value of all images, where gates were decided before all were measured."""
    change: MetricValue | None = None
    """Its difference from the reference, with a paired interval."""
    harder_is: Literal["higher", "lower"] = "higher"
    """Of a breaking point, which values of the knob are harder."""
    outside: Literal["", "before", "behind"] = ""
    """Whether it lies before, or behind, every limit that it can be held to."""


@dataclasses.dataclass(frozen=True)
class Applied:
    """A rule's outcome with its findings."""

    outcome: GateOutcome
    findings: tuple[Finding, ...]


def apply_gates(result: AuditResult, rules: Sequence[Rule], catalogue: Mapping[str, Row]) -> tuple[Applied, ...]:
    """Apply each rule to every cell (or summary) that it selects; cells of a changed input are never selected.

    The findings of a gate begin with the farthest from its limit.
    """
    return tuple(_apply(result, rule, catalogue) for rule in rules)


def _apply(result: AuditResult, rule: Rule, catalogue: Mapping[str, Row]) -> Applied:
    told: list[Told] = []
    near: list[Told] = []
    met: list[Met] = []
    decided = {item.where: item for item in result.decisions if item.rule.is_same(rule)}
    open_still: list[Subject] = []
    for subject in subjects_of(result, rule):
        early = decided.get(subject.label) if subject.early is not None else None
        if early is not None:
            margin = early.limit - early.value if rule.kind == "max" else early.value - early.limit
            met.append(Met(subject.label, early.value, early.limit, margin, subject.cell))
            if not early.holds:
                shown = dataclasses.replace(subject, metric=MetricValue(rule.metric, early.value))
                told.append(_violation(rule, shown, early.limit, rule.against or ""))
            continue
        if subject.early is not None:
            open_still.append(subject)
            continue
        if subject.metric is None or subject.metric.value is None:
            reason = subject.reason or (subject.metric.reason if subject.metric else "not computed")
            told.append(_unmeasured(rule, subject, reason or "undefined"))
            continue
        limit, why = limit_of(rule, subject)
        if limit is None:
            told.append(_unmeasured(rule, subject, why))
            continue
        value, held = subject.metric.value, _as_held(rule, subject)
        margin = limit - value if held.kind == "max" else value - limit
        if subject.outside:
            margin = min(margin, -_HARDLY) if subject.outside == "before" else max(margin, _HARDLY)
        if rule.confidence is not None and not is_sure(held, _between(rule, subject), margin):
            needed = images_that_decide(held, _between(rule, subject), margin)
            met.append(Met(subject.label, value, limit, margin, subject.cell, undecided=True, enough=needed))
            near.append(_undecided(rule, subject, limit, met[-1]))
            continue
        met.append(Met(subject.label, value, limit, margin, subject.cell))
        if margin < 0:
            told.append(_violation(rule, subject, limit, why))
        near += _tied(rule, subject, limit, value)
    violated = [item for item in told if item.observed is not None]
    if not violated:  # else its gate was decided by others
        told += [_unmeasured(rule, subject, subject.early or "") for subject in open_still]
    violated.sort(key=lambda item: -abs((item.observed or 0.0) - (item.limit or 0.0)))
    told = [*violated, *(item for item in told if item.observed is None)]
    if not met and not told:
        told.append(Told("gate.unmet", {"rule": str(rule), "line": rule.line}, limit=rule.limit))
    findings = tuple(as_finding(item, catalogue) for item in (*told, *near))
    return Applied(_outcome(rule, met, told, findings), findings)


def _outcome(rule: Rule, met: Sequence[Met], told: Sequence[Told], findings: Sequence[Finding]) -> GateOutcome:
    """What a rule came to: `told` is what violates it or could not be judged."""
    violated = [item for item in told if item.observed is not None]
    undecided = sum(item.undecided for item in met)
    status: Literal["passed", "failed", "incomplete", "undecided"] = "undecided" if undecided else "passed"
    if told:
        status = "failed" if violated else "incomplete"
    return GateOutcome(
        rule,
        status,
        measured=len(met),
        nearest=min(met, key=lambda item: item.margin, default=None),
        beyond=len(violated),
        unjudged=len(told) - len(violated),
        undecided=undecided,
        messages=tuple(finding.message for finding in findings),
        met=tuple(met),
        lost=tuple(
            Unjudged(str(item.facts["where"]), str(item.facts["reason"])) for item in told if item.code == _UNJUDGED
        ),
    )


def subjects_of(result: AuditResult, rule: Rule) -> Iterator[Subject]:
    """Every value that a rule looks at."""
    if any(rule.metric in summary.metrics for summary in result.summaries):
        for summary in result.summaries:
            metric = summary.metrics.get(rule.metric)
            selected = all(
                _matches(summary, key, wanted) for key, wanted in rule.selectors.items() if key not in _OVER_ALL
            )
            if metric is not None and selected and _is_asked(result, rule, summary.file):
                fields = ("model", "file", "quantization", "delegate", "device")
                place = {name: getattr(summary, name) for name in fields}
                over_all = rule.metric in OVER_SCENARIOS
                made_of = [
                    cell
                    for cell in result.cells
                    if cell.is_declared
                    and (over_all or cell.is_clean)
                    and all(getattr(cell, key) == value for key, value in place.items())
                ]
                yield Subject(place, str(summary), metric, None, early=_early(made_of))
    elif rule.metric in MEASURED_METRICS:
        yield from _measured(result, rule)
    elif rule.metric == BREAKING_POINT:
        yield from _broken(result, rule)
    else:
        yield from _cells(result, rule)


def _cells(result: AuditResult, rule: Rule) -> Iterator[Subject]:
    levels: dict[str, set[str]] = {}
    for cell in result.cells:
        levels.setdefault(cell.model, set()).add(cell.quantization)
    for cell in result.cells:
        if not cell.is_declared or not all(_matches(cell, key, wanted) for key, wanted in rule.selectors.items()):
            continue
        if not _is_asked(result, rule, cell.file):
            continue
        if cell.status == "ok" and rule.metric not in cell.metrics:
            continue  # a metric of another task, or of a comparison that this cell is not part of
        if rule.against == CLEAN and cell.is_clean:
            continue  # clean drops nothing against itself
        if rule.against not in (None, CLEAN, BASELINE) and rule.against not in levels[cell.model] - {cell.quantization}:
            continue  # a level drops nothing against itself, nor a model that has no such level
        reason = None if cell.status == "ok" else f"the cell {cell.status}: {cell.error}"
        reference = _reference(result, rule, cell) if rule.kind == "max_drop" else None
        ties = cell.ties if rule.metric == cell.judged_by else None
        early = _early([cell, *([reference] if reference is not None else [])])
        unlike = None
        if rule.against == BASELINE and result.baseline is not None:
            unlike = result.baseline.left_out.get(str(cell.key), "the baseline has no such cell")
        metric = cell.metrics.get(rule.metric)
        change = cell.metrics.get(f"{rule.metric}_minus_{rule.against}") if rule.kind == "max_drop" else None
        yield Subject(place_of(cell), str(cell.key), metric, reason, reference, ties, unlike, early, change)


def _early(cells: Sequence[CellResult]) -> str | None:
    """Why a value of these cells is not that of all images, if it is not."""
    for cell in cells:
        if cell.cause == "decided":
            return f"the cell {cell.key} was not measured, since no other gate needed it; {_AGAIN}"
        if cell.of_images is not None:
            return f"{cell.key} was measured on {cell.images} of {cell.of_images} images for another gate; {_AGAIN}"
    return None


def _is_asked(result: AuditResult, rule: Rule, file: str) -> bool:
    """Whether a gate is about a file: one that the auditor made unasked, to show what would help, only by its name."""
    model = result.model(file)
    if model is None or model.role not in ("remedy", "evidence"):
        return True
    return rule.selectors.get("quantization") == model.quantization or rule.selectors.get("model") == file


def _measured(result: AuditResult, rule: Rule) -> Iterator[Subject]:
    """What probes found of each file, delegate and number of threads."""
    probe, key, _ = MEASURED_METRICS[rule.metric]
    families = {model.name: model.model for model in result.models}
    for found in result.measurements:
        where: dict[str, str | int | float] = {
            "model": families.get(found.model, found.model),
            "file": found.model,
            "quantization": found.quantization,
            "delegate": found.delegate,
            "device": found.device,
        }
        others = {name: wanted for name, wanted in rule.selectors.items() if name not in (*_OVER_ALL, "model")}
        chosen = rule.selectors.get("model") in (None, where["model"], where["file"])
        chosen = chosen and _is_asked(result, rule, found.model)
        if found.probe != probe or not chosen or any(where[name] != wanted for name, wanted in others.items()):
            continue
        value = found.value if key is None else getattr(found.value, key, None)
        number = float(value) if isinstance(value, int | float) else None
        metric = MetricValue(
            rule.metric, number, reason=found.error or "not measured", higher_is_better=rule.kind == "min"
        )
        threads = f", {found.threads} threads" if found.threads > 1 else ""
        device = "" if found.device == LOCAL else f", {found.device}"
        label = f"{found.model} ({found.quantization}, {found.delegate}{threads}{device})"
        yield Subject(where, label, metric, found.error)


def _broken(result: AuditResult, rule: Rule) -> Iterator[Subject]:
    """Where each file breaks in the scenario of a rule: the knob's value, or the end of its range that it passes."""
    for found in result.breaking_points:
        if not all(_matches(found, key, wanted) for key, wanted in rule.selectors.items()):
            continue
        if not _is_asked(result, rule, found.file):
            continue
        value = {"reached": found.at, "never": found.range[1], "already": found.range[0]}.get(found.outcome)
        interval = None
        if found.interval is not None:
            infinite = math.inf if found.rises else -math.inf
            milder, harder = found.interval
            ends = (-infinite if milder is None else milder, infinite if harder is None else harder)
            interval = (min(ends), max(ends))
        metric = MetricValue(rule.metric, value, reason=found.reason, interval=interval, images=found.images)
        told = {"never": f", never reached up to {found.range[1]:g}", "already": ", reached at the mildest already"}
        yield Subject(
            found.place,
            f"{found}{told.get(found.outcome, '')}",
            metric,
            found.reason,
            harder_is="higher" if found.rises else "lower",
            outside={"already": "before", "never": "behind"}.get(found.outcome, ""),  # type: ignore[arg-type]
        )


def _as_held(rule: Rule, subject: Subject) -> Rule:
    """A rule with its kind as numbers are held against its limit: of a breaking point a harder value is within."""
    if rule.kind != "at_least":
        return rule
    return dataclasses.replace(rule, kind="min" if subject.harder_is == "higher" else "max")


def _matches(subject: Cell | Summary | BreakingPoint, key: str, wanted: str | int | float) -> bool:
    if key == "model":
        return wanted in (subject.model, subject.file)
    if key == "scenario" and isinstance(subject, Cell):
        return wanted in (subject.scenario, subject.pack)
    return bool(getattr(subject, key, LOCAL) == wanted)  # a breaking point is of this machine


def limit_of(rule: Rule, subject: Subject) -> tuple[float | None, str]:
    """The limit a value is held against, and for a drop what it is a drop from."""
    if rule.kind != "max_drop":
        return rule.limit, ""
    if subject.reference is None:
        return None, subject.unlike or f"there is no {rule.against} cell to compare with"
    metric = subject.reference.metrics.get(rule.metric)
    if metric is None or metric.value is None:
        return None, f"{subject.reference.key} has no {rule.metric} to compare with"
    return metric.value - rule.limit, f"{rule.against} ({digits(metric.value)})"


def _reference(result: AuditResult, rule: Rule, cell: CellResult) -> CellResult | None:
    """`against: clean` is the same file, delegate and device; a level is the family's, in the same scenario and
    severity.
    A source that no device can run on is compared whatever the delegate."""
    if rule.against == BASELINE:
        return result.baseline.cells.get(str(cell.key)) if result.baseline is not None else None
    everywhere = {delegate.name for delegate in result.plan.delegates if not delegate.is_deployable}
    for other in result.cells:
        if (other.model, other.device, other.input) != (cell.model, cell.device, cell.input):
            continue
        if rule.against == CLEAN:
            if (other.file, other.delegate, other.scenario) == (cell.file, cell.delegate, CLEAN):
                return other
            continue
        alike = other.delegate == cell.delegate or {other.delegate, cell.delegate} & everywhere
        if alike and (other.quantization, other.scenario, other.severity) == (
            rule.against,
            cell.scenario,
            cell.severity,
        ):
            return other
    return None


def _between(rule: Rule, subject: Subject) -> MetricValue | None:
    """The value whose interval says how sure a gate is: of a drop the difference, which is paired."""
    return subject.change if rule.kind == "max_drop" else subject.metric


def _undecided(rule: Rule, subject: Subject, limit: float, met: Met) -> Told:
    """What is said of a value that may lie on either side of its limit."""
    facts: dict[str, Json] = {
        "metric": rule.metric,
        "value": met.value,
        "limit": limit,
        "where": subject.label,
        "confidence": rule.confidence,
        "images": subject.metric.images if subject.metric is not None else 0,
        "enough": met.enough,
        "known": (between := _between(rule, subject)) is not None and between.interval is not None,
    }
    return Told("gate.undecided", facts, subject.cell, observed=met.value, limit=limit)


def _violation(rule: Rule, subject: Subject, limit: float, why: str) -> Told:
    value = (subject.metric.value if subject.metric is not None else None) or 0.0
    return Told(
        "gate.violated",
        facts={
            "metric": rule.metric,
            "value": value,
            "limit": limit,
            "kind": rule.kind,
            "where": subject.label,
            "against": why,
            "drop": rule.limit,
        },
        cell=subject.cell,
        observed=value,
        limit=limit,
        level=rule.level,
    )


def _tied(rule: Rule, subject: Subject, limit: float, value: float) -> list[Told]:
    """What is said where the order of equal scores decides on which side of its limit a value is."""
    ties = subject.ties
    if ties is None or ties.low is None or ties.high is None or not ties.low < limit <= ties.high:
        return []
    facts: dict[str, Json] = {
        "metric": rule.metric,
        "value": value,
        "limit": limit,
        "where": subject.label,
        "between": [ties.low, ties.high],
    }
    return [Told("gate.ties", facts, subject.cell, observed=value, limit=limit)]


def _unmeasured(rule: Rule, subject: Subject, reason: str) -> Told:
    facts = {"metric": rule.metric, "where": subject.label, "reason": reason}
    return Told(_UNJUDGED, facts, subject.cell, limit=rule.limit, level=rule.level)
