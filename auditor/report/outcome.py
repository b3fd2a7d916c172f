"""The outcome of an audit in words, alike on the page, in a terminal, in JUnit and in the summary: what each gate met,
why the verdict is what it is, and which findings come first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from auditor.values import AuditResult, Finding, FindingGroup, GateOutcome, Met, Patch, Rule, digits

__all__ = [
    "WITHOUT_GATES",
    "Reason",
    "fixes",
    "gate_text",
    "met_text",
    "notable",
    "notable_groups",
    "reasons",
    "remedy_of",
    "worst_groups",
]

WITHOUT_GATES = (
    "The audit sets no gates, so nothing was judged. Write `gates:` with what the deployment needs into audit.yaml and "
    "run it again (what is measured is kept), or judge this run by `auditor judge RUN --gates FILE`"
)

_MOST = 3


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is: the gate, where it is one, and what was met."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}" if self.rule else self.text


def gate_text(gate: GateOutcome) -> str:
    """What a gate met: where it holds the value nearest to its limit with the margin, else the worst of it."""
    told = gate.messages[0] if gate.messages else ""
    if gate.status == "passed":
        return _held(gate) + (f". {told}" if told else "")
    if gate.status == "undecided":
        return f"undecided in {gate.undecided} of {gate.measured}. First: {told}" if gate.measured > 1 else told
    if gate.status == "incomplete":
        return told + (f" (and {gate.unjudged - 1} more)" if gate.unjudged > 1 else "")
    more = f"; {gate.unjudged} could not be judged" if gate.unjudged else ""
    return f"beyond in {gate.beyond} of {gate.measured}{more}. Worst: {told}" if gate.measured > 1 else told + more


def _held(gate: GateOutcome) -> str:
    met = gate.nearest
    if met is None:
        return "nothing was measured"
    value, margin, limit = (_number(met, number) for number in (met.value, met.margin, met.limit))
    if gate.rule.kind == "max_drop":
        fell = round(gate.rule.limit - met.margin, 3)
        drop = f"{abs(fell):.3f} {'above' if fell < 0 else 'below'} {gate.rule.against}"
        limit = f"{gate.rule.limit:g}"
        value = f"{value} is {drop}"
    among = f"nearest of {gate.measured}: " if gate.measured > 1 else ""
    if gate.rule.kind == "at_least":
        return f"{among}holds to {met.value:.3g}, {abs(met.margin):.2g} beyond {met.limit:g}: {met.where}"
    return f"{among}{gate.rule.metric} {value}, {margin} within the limit {limit}: {met.where}"


def met_text(rule: Rule, met: Met) -> str:
    """One value that a gate met, and on which side of its limit it is.

    >>> met_text(Rule("AP", "min", 0.5), Met("m on clean", 0.4, 0.5, -0.1))
    'AP 0.400 is 0.100 below the limit 0.500'
    """
    if rule.kind == "at_least":
        return f"holds to {met.value:.3g}, {'beyond' if met.margin >= 0 else 'milder than'} the limit {met.limit:g}"
    value, margin, limit = (_number(met, number) for number in (met.value, abs(met.margin), met.limit))
    if rule.kind == "max_drop":
        value = f"{value} ({_number(met, rule.limit - met.margin)} below {rule.against})"
    if met.margin >= 0:
        return f"{rule.metric} {value}, {margin} within the limit {limit}"
    return f"{rule.metric} {value} is {margin} {'above' if rule.kind == 'max' else 'below'} the limit {limit}"


def _number(met: Met, value: float) -> str:
    """A value that a gate met, or its margin, with the digits that its size asks for."""
    most = max(abs(met.value), abs(met.limit))
    return f"{value:.3f}" if most < 10 else f"{value:.1f}" if most < 1000 else digits(value)


def reasons(result: AuditResult) -> list[Reason]:
    """Why the verdict is what it is: the gates that do not hold, the findings that count, and cells that failed."""
    found = [
        Reason(str(gate.rule), f"{gate.status}: {gate_text(gate)}") for gate in result.gates if gate.status != "passed"
    ]
    counted = [finding for finding in result.findings if result.fails_on(finding)]
    why = f"a finding that counts (fail_on: {result.plan.fail_on})"
    found += [Reason(why, finding.message) for finding in counted]
    if result.verdict == "not judged":
        found.append(Reason("", WITHOUT_GATES))
    lost = [finding for finding in result.findings if finding.code == "run.failed" and finding not in counted]
    return found + [Reason("", finding.message) for finding in lost]


def notable(result: AuditResult) -> list[Finding]:
    """The errors and warnings of checks, the worst first: by level, what has a line of YAML that mends it, then as the
    checks tell them."""
    found = [
        finding
        for finding in result.findings
        if finding.level != "info" and not (finding.check == "gate" and finding.level == "error")
    ]
    return sorted(found, key=lambda finding: (finding.level != "error", finding.fix is None))


def notable_groups(result: AuditResult) -> list[FindingGroup]:
    """The errors and warnings of checks as groups, without those that another one explains."""
    return [group for group in result.groups if group.level != "info" and group.cause is None]


def worst_groups(result: AuditResult, most: int = _MOST) -> list[FindingGroup]:
    """The first of the notable groups; of each kind one, before a second of any."""
    ranked, seen = [], Counter[str]()
    for group in notable_groups(result):
        ranked.append((group.level != "error", seen[group.code], group))
        seen[group.code] += 1
    return [group for *_, group in sorted(ranked, key=lambda item: item[:2])][:most]


def fixes(result: AuditResult, group: FindingGroup) -> list[Patch]:
    """What mends a group's findings, each once."""
    found = {str(fix.lines): fix for index in group.findings if (fix := result.findings[index].fix) is not None}
    return list(found.values())


def remedy_of(result: AuditResult, group: FindingGroup) -> str:
    """What to do, without the lines of YAML that `fixes` gives."""
    remedy = group.remedy
    for fix in fixes(result, group):
        remedy = remedy.replace(str(fix), "")
    return remedy.rstrip(": ") if remedy != group.remedy else remedy
