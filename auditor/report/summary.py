"""summary.md: the verdict and the numbers in a screenful, for a pull request's comment."""

from __future__ import annotations

from auditor.values import Judgement

__all__ = ["render_summary"]

_MOST = 12


def render_summary(judgement: Judgement) -> str:
    """Render the verdict, gates, summaries and the first findings as Markdown."""
    result = judgement.result
    lines = [f"# {result.verdict.upper()}: {_cell(result.name)}", ""]
    if judgement.gates:
        lines += ["| gate | status | worst |", "|---|---|---|"]
        for gate in judgement.gates:
            first = gate.findings[0].message if gate.findings else f"{gate.measured} measured, all within the limit"
            lines.append(f"| {_cell(str(gate.rule))} | {gate.status} | {_cell(first)} |")
        lines.append("")
    lines += ["| model | quantization | delegate | metric | clean | mPC | rPC |", "|---|---|---|---|---|---|---|"]
    for summary in result.summaries:
        values = [summary.clean, summary.metrics["mPC"], summary.metrics["rPC"]]
        shown = " | ".join("–" if value.value is None else f"{value.value:.3f}" for value in values)
        lines.append(
            f"| {summary.file} | {summary.quantization} | {summary.delegate} | {summary.judged_by} | {shown} |"
        )
    others = [finding for finding in result.findings if finding.check != "gate"]
    if others:
        lines += ["", f"## Findings ({len(others)})", ""]
        lines += [
            f"- **{finding.level}** ({finding.check}): {_cell(finding.message)}. {_cell(finding.remedy)}"
            for finding in others[:_MOST]
        ]
    if len(others) > _MOST:
        lines.append(f"- and {len(others) - _MOST} more in report.html")
    lines += ["", f"Repeat with `{result.provenance.command}`."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Keep a table's cell on its line, and HTML as text."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
