"""What matters most of a judged result, in plain words: what decides the verdict, what to do, and where it shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from auditor.report.outcome import WITHOUT_GATES, gate_text
from auditor.values import AuditResult, Finding, FindingGroup, GateOutcome, Place

__all__ = ["FirstReason", "first_reasons", "place_link"]

_MOST = 3


@dataclass(frozen=True)
class FirstReason:
    """Why the verdict is what it is, or what to know before acting on it: what it is (`title`), in a sentence, what to
    do, and the fragment of its evidence on the page."""

    title: str
    text: str
    remedy: str
    link: str


def first_reasons(result: AuditResult, most: int = _MOST) -> list[FirstReason]:
    """The most important first: what explains other findings as an error, gates that do not hold, findings that count,
    what could not be measured, then warnings."""
    found: list[FirstReason] = []
    for reason in _every(result):
        if all(reason.text != other.text for other in found):
            told = any(reason.remedy == other.remedy for other in found)
            found.append(replace(reason, remedy="") if told else reason)
    return found[:most]


def _every(result: AuditResult) -> Iterator[FirstReason]:
    roots = [group for group in result.groups if group.cause is None]
    errors = [group for group in roots if group.level == "error"]
    yield from (_of_group(result, group) for group in errors if group.follow)
    order = ("failed", "incomplete", "undecided")
    failed = sorted((gate for gate in result.gates if gate.status in order), key=lambda gate: order.index(gate.status))
    told = [_of_gate(result, gate) for gate in failed]
    yield from told
    remedies = {reason.remedy for reason in told}
    counts = [group for group in roots if any(result.fails_on(result.findings[index]) for index in group.findings)]
    yield from (_of_group(result, group) for group in (*counts, *errors))
    if result.verdict == "not judged":
        yield FirstReason("no gates", WITHOUT_GATES, "", "")
    warnings = [group for group in roots if group.level == "warning" and group.remedy not in remedies]
    yield from (_of_group(result, group) for group in warnings)


def _of_group(result: AuditResult, group: FindingGroup) -> FirstReason:
    number = result.groups.index(group)
    return FirstReason(group.code, group.message, group.remedy, f"finding-{number}")


def _of_gate(result: AuditResult, gate: GateOutcome) -> FirstReason:
    """A gate, with what to do about the worst that it met: what a check says of that, else what the gate does."""
    own = [item for item in result.findings if item.check == "gate" and item.message in gate.messages]
    worst = own[0] if own else None
    group = _about(result, worst) if worst is not None else None
    remedy = group.remedy if group is not None else worst.remedy if worst is not None else ""
    link = place_link(result, worst.cell, gate.rule.metric) if worst is not None else ""
    return FirstReason(f"{gate.rule}: {gate.status}", gate_text(gate), remedy, link or "gate_table")


def _about(result: AuditResult, worst: Finding) -> FindingGroup | None:
    """The finding of a check, of the same file, that explains others, or is of the same scenario."""

    def is_of(group: FindingGroup, name: str) -> bool:
        value = worst.cell.get(name)
        return value is not None and any(result.findings[i].cell.get(name) == value for i in group.findings)

    mine = [group for group in result.groups if group.cause is None and is_of(group, "file")]
    explaining = [group for group in mine if group.level == "error" and group.follow]
    alike = [group for group in mine if is_of(group, "scenario")]
    return next(iter([*explaining, *alike]), None)


def place_link(result: AuditResult, place: Place, metric: str = "") -> str:
    """The fragment of the matrix as it shows a cell and a metric, that which models are judged by where none is named;
    empty where it shows no such cell."""
    files = [summary.file for summary in result.summaries]
    scenarios = {cell.scenario for cell in result.cells if not cell.is_clean}
    if place.get("file") not in files or place.get("scenario") not in scenarios:
        return ""
    known = {name for cell in result.cells for name in cell.metrics}
    view = {"file": str(place["file"]), "scenario": str(place["scenario"]), "metric": metric if metric in known else ""}
    if place.get("severity"):
        view["at"] = f"{float(place['severity']):g}"
    return f"matrix?{urlencode(view)}"
