"""Gates: rules applied to cells and summaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from auditor.values import (
    CLEAN,
    EVIDENCE_LEVELS,
    MEASURED_METRICS,
    SUMMARY_METRICS,
    AuditResult,
    Cell,
    CellResult,
    Finding,
    GateOutcome,
    MetricValue,
    Rule,
    Summary,
)

__all__ = ["apply_gates"]


@dataclasses.dataclass(frozen=True)
class _Subject:
    """One value a rule looks at: a cell's or a summary's metric, and what it is called."""

    cell: dict[str, Any]
    label: str
    metric: MetricValue | None
    reason: str | None


def apply_gates(result: AuditResult, rules: Sequence[Rule]) -> tuple[GateOutcome, ...]:
    """Apply each rule to every cell (or summary) that it selects; cells of a changed input are never selected.

    The findings of a gate begin with the farthest from its limit.
    """
    return tuple(_apply(result, rule) for rule in rules)


def _apply(result: AuditResult, rule: Rule) -> GateOutcome:
    findings = []
    measured = 0
    for subject in _subjects(result, rule):
        if subject.metric is None or subject.metric.value is None:
            reason = subject.reason or (subject.metric.reason if subject.metric else "not computed")
            findings.append(_unmeasured(rule, subject, reason or "undefined"))
            continue
        limit, why = _limit(result, rule, subject)
        if limit is None:
            findings.append(_unmeasured(rule, subject, why))
            continue
        measured += 1
        value = subject.metric.value
        if (value > limit) if rule.kind == "max" else (value < limit):
            findings.append(_violation(rule, subject, value, limit, why))
    findings.sort(
        key=lambda finding: (
            -abs((finding.observed or 0.0) - (finding.limit or 0.0)) if finding.observed is not None else 1.0
        )
    )
    failed = any(finding.level == "error" and finding.observed is not None for finding in findings)
    if not measured and not findings:
        findings.append(_nothing(rule))
    status = "failed" if failed else "incomplete" if findings else "passed"
    return GateOutcome(rule, status, measured, tuple(findings))


def _subjects(result: AuditResult, rule: Rule) -> Iterator[_Subject]:
    if rule.metric in SUMMARY_METRICS:
        for summary in result.summaries:
            if all(
                _matches(summary, key, wanted)
                for key, wanted in rule.selectors.items()
                if key not in ("scenario", "severity")
            ):
                where = {
                    name: getattr(summary, name) for name in ("model", "file", "quantization", "delegate", "device")
                }
                yield _Subject(where, str(summary), summary.metrics.get(rule.metric), None)
        return
    if rule.metric in MEASURED_METRICS:
        yield from _measured(result, rule)
        return
    for found in result.cells:
        if found.cell.input != "declared" or not all(
            _matches(found.cell, key, wanted) for key, wanted in rule.selectors.items()
        ):
            continue
        if found.cell.quantization in EVIDENCE_LEVELS and "quantization" not in rule.selectors:
            continue
        if found.status == "ok" and rule.metric not in found.metrics:
            continue  # a metric of another task, or of a comparison that this cell is not part of
        if rule.against == CLEAN and found.cell.scenario == CLEAN:
            continue  # clean drops nothing against itself
        if rule.kind == "max_drop" and rule.against == found.cell.quantization:
            continue
        reason = None if found.status == "ok" else f"the cell {found.status}: {found.error}"
        yield _Subject(dataclasses.asdict(found.cell), str(found.cell), found.metrics.get(rule.metric), reason)


def _measured(result: AuditResult, rule: Rule) -> Iterator[_Subject]:
    """What probes found of each file, delegate and number of threads."""
    probe, key = MEASURED_METRICS[rule.metric]
    families = {model["name"]: model["model"] for model in result.models}
    for found in result.measurements:
        where = {
            "model": families.get(found.model, found.model),
            "file": found.model,
            "quantization": found.quantization,
            "delegate": found.delegate,
            "device": found.device,
        }
        others = {
            name: wanted for name, wanted in rule.selectors.items() if name not in ("scenario", "severity", "model")
        }
        chosen = rule.selectors.get("model") in (None, where["model"], where["file"])
        if found.probe != probe or not chosen or any(where[name] != wanted for name, wanted in others.items()):
            continue
        value = found.value if key is None or found.value is None else found.value.get(key)
        metric = MetricValue(
            rule.metric, value, reason=found.error or "not measured", higher_is_better=rule.kind == "min"
        )
        threads = f", {found.threads} threads" if found.threads > 1 else ""
        device = "" if found.device == "local" else f", {found.device}"
        yield _Subject(
            where, f"{found.model} ({found.quantization}, {found.delegate}{threads}{device})", metric, found.error
        )


def _matches(subject: Cell | Summary, key: str, wanted: str | float) -> bool:
    if key == "model":
        return wanted in (subject.model, subject.file)
    if key == "scenario" and isinstance(subject, Cell):
        return wanted in (subject.scenario, subject.pack)
    return bool(getattr(subject, key) == wanted)


def _limit(result: AuditResult, rule: Rule, subject: _Subject) -> tuple[float | None, str]:
    """The limit a value is held against, and for a drop what it is a drop from."""
    if rule.kind != "max_drop":
        return rule.limit, ""
    reference = _reference(result.cells, rule, subject.cell)
    if reference is None:
        return None, f"there is no {rule.against} cell to compare with"
    metric = reference.metrics.get(rule.metric)
    if metric is None or metric.value is None:
        return None, f"{reference.cell} has no {rule.metric} to compare with"
    return metric.value - rule.limit, f"{rule.against} ({metric.value:.3f})"


def _reference(cells: Sequence[CellResult], rule: Rule, key: dict[str, Any]) -> CellResult | None:
    """`against: clean` is the same file, delegate and device; a level is the family's, in the same scenario and
    severity."""
    same = ["model", "delegate", "device"]
    wanted: dict[str, Any] = {}
    if rule.against == CLEAN:
        same.append("file")
        wanted = {"scenario": CLEAN}
    else:
        same += ["scenario", "severity"]
        wanted = {"quantization": rule.against}
        if "parent" in (rule.against, key.get("quantization")):  # which runs in TensorFlow, on no delegate
            same.remove("delegate")
    for found in cells:
        cell = found.cell
        matched = all(getattr(cell, name) == key.get(name) for name in same)
        if matched and cell.input == "declared" and all(getattr(cell, name) == value for name, value in wanted.items()):
            return found
    return None


def _violation(rule: Rule, subject: _Subject, value: float, limit: float, why: str) -> Finding:
    side = "above" if rule.kind == "max" else "below"
    message = f"{rule.metric} {value:.3f} is {side} {limit:.3f}: {subject.label}"
    if rule.kind == "max_drop":
        message = f"{rule.metric} {value:.3f} is {limit + rule.limit - value:.3f} below {why}; the limit is {rule.limit:g}: {subject.label}"
    return Finding(
        check="gate",
        level="error",
        message=message,
        remedy="Do not deploy for these conditions, or improve the model for them and audit again; a limit that was "
        "set wrongly is changed in `gates:` and judged again with `auditor judge`.",
        cell=subject.cell,
        observed=value,
        limit=limit,
    )


def _unmeasured(rule: Rule, subject: _Subject, reason: str) -> Finding:
    return Finding(
        check="gate",
        level="error",
        message=f"{rule.metric} could not be judged: {subject.label}: {reason}",
        remedy="Mend what kept it from being measured (see the `run` findings) and run the audit again.",
        cell=subject.cell,
        limit=rule.limit,
    )


def _nothing(rule: Rule) -> Finding:
    line = f" in line {rule.line}" if rule.line else ""
    return Finding(
        check="gate",
        level="error",
        message=f"the gate{line} on {rule} met no measured cell",
        remedy="Check its metric and selectors against the models, scenarios and severities of the audit.",
        limit=rule.limit,
    )
