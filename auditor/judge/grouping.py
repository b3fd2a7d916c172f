"""Findings by code and cause: what explains others first, and alike ones as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from auditor.judge.told import Row
from auditor.values import Finding, FindingGroup, some

__all__ = ["group_findings"]

_ORDER = {"error": 0, "warning": 1, "info": 2}
_NAMED = 4

_Key = tuple[str, tuple[str, ...], "int | None"]


def group_findings(findings: Sequence[Finding], catalogue: Mapping[str, Row]) -> tuple[FindingGroup, ...]:
    """Group the findings of checks; those of gates stand beside their gates. A finding that another one explains goes
    below that, with others that it explains."""
    own = [index for index, finding in enumerate(findings) if not _of_gate(finding)]
    causes = {index: _cause(index, own, findings, catalogue) for index in own}
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    for index in own:  # alike causes are one, so what they explain is too
        first.setdefault(_alike(findings[index], catalogue), index)
    members: dict[_Key, list[int]] = {}
    for index in own:
        cause = causes[index]
        of = None if cause is None else first[_alike(findings[cause], catalogue)]
        members.setdefault((*_alike(findings[index], catalogue), of), []).append(index)
    groups = {key: _group(found, findings, catalogue[key[0]]) for key, found in members.items()}
    explaining = {of for *_, of in groups if of is not None}

    def rank(key: _Key) -> tuple[int, bool, bool, int]:
        group = groups[key]
        has_fix = any(findings[index].fix is not None for index in group.findings)
        return _ORDER[group.level], not explaining & set(members[key]), not has_fix, -len(group.findings)

    return _linked(sorted(groups, key=rank), groups, members)


def _linked(
    order: Sequence[_Key], groups: Mapping[_Key, FindingGroup], members: Mapping[_Key, Sequence[int]]
) -> tuple[FindingGroup, ...]:
    """The groups in their order, each with its cause and what it explains."""
    place = {index: number for number, key in enumerate(order) for index in members[key]}
    causes = [None if key[2] is None else place[key[2]] for key in order]
    return tuple(
        dataclasses.replace(
            groups[key],
            cause=causes[number],
            follow=tuple(other for other, cause in enumerate(causes) if cause == number),
        )
        for number, key in enumerate(order)
    )


def _of_gate(finding: Finding) -> bool:
    return finding.check == "gate"


def _alike(finding: Finding, catalogue: Mapping[str, Row]) -> tuple[str, tuple[str, ...]]:
    """What is alike of findings that are told as one."""
    return finding.code, tuple(str(finding.facts.get(name)) for name in catalogue[finding.code].scope)


def _cause(index: int, own: Sequence[int], findings: Sequence[Finding], catalogue: Mapping[str, Row]) -> int | None:
    """The finding that explains another, followed to the first cause; None where nothing does."""
    seen = {index}
    found = None
    here: int | None = index
    while here is not None:
        place = findings[here]
        every = [
            other
            for other in own
            if other not in seen
            and place.code in catalogue[findings[other].code].explains
            and _is_there(findings[other], place)
        ]
        same = [other for other in every if _scenario(findings[other]) == _scenario(place)]
        here = next(iter([*same, *every]), None)
        if here is not None:
            seen.add(here)
            found = here
    return found


def _is_there(cause: Finding, other: Finding) -> bool:
    """Whether two findings are of one file, or of one model, or the first is of all."""
    for name in ("file", "model"):
        if name in cause.cell and name in other.cell:
            return cause.cell[name] == other.cell[name]
    return not {"file", "model"} & set(cause.cell)


def _scenario(finding: Finding) -> object:
    """The scenario that a finding is of."""
    return finding.cell.get("scenario") or finding.facts.get("missing")


def _group(found: Sequence[int], findings: Sequence[Finding], row: Row) -> FindingGroup:
    def rank(index: int) -> tuple[int, float]:
        finding = findings[index]
        return _ORDER[finding.level], 0.0 if finding.observed is None else finding.observed

    ranked = sorted(found, key=rank)
    worst = [findings[index] for index in ranked]
    first = worst[0]
    message = first.message
    if len(worst) > 1:
        message = row.together(worst) if row.together is not None else _in_general(worst, row)
    return FindingGroup(first.code, first.check, first.level, message, first.remedy, row.page, tuple(ranked))


def _in_general(worst: Sequence[Finding], row: Row) -> str:
    """What several findings mean, and of what they are."""
    names = list(dict.fromkeys(_named(finding) for finding in worst))
    return f"{row.about.rstrip('.')}: {some([name for name in names if name], _NAMED)}"


def _named(finding: Finding) -> str:
    """What a finding is of."""
    for name in ("label", "file", "model", "entry", "dataset", "cell"):
        value = finding.facts.get(name)
        if isinstance(value, str):
            return value
    return str(finding.cell.get("file") or finding.cell.get("model") or "")
