"""Annotations for GitHub: what a gate or a warning says, beside its line in a pull request.

Source of the form: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.report.outcome import gate_text, notable_groups
from auditor.values import AuditResult

__all__ = ["github_annotations"]

_MOST = 10
"""GitHub shows no more of each kind of a step."""


def github_annotations(result: AuditResult, document: str) -> Iterator[str]:
    """The lines to print: an error for each gate that is violated or could not be judged, a warning for each group of
    findings, of the file `document`."""
    lost = [gate for gate in result.gates if gate.status != "passed"]
    where = f"file={_property(document)}"
    for gate in lost[:_MOST]:
        line = f",line={gate.rule.line}" if gate.rule.line else ""
        yield f"::error {where}{line},title=gate {gate.status}::{_data(f'{gate.rule}: {gate_text(gate)}')}"
    for group in notable_groups(result)[:_MOST]:
        counts = any(result.fails_on(result.findings[index]) for index in group.findings)
        text = _data("\n".join((group.message, group.remedy)))
        yield f"::{'error' if counts else 'warning'} {where},title={_property(group.code)}::{text}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
