"""summary.md: the verdict and the numbers in a screenful, for a pull request's comment."""

from __future__ import annotations

from auditor.report.limit_words import sentence_of
from auditor.report.outcome import fixes, gate_text, notable_groups, reasons, remedy_of
from auditor.values import LOCAL, AuditResult, FindingGroup

__all__ = ["plain_cell", "render_summary"]

_MOST = 12


def render_summary(result: AuditResult) -> str:
    """Render the verdict, gates, summaries and the first findings as Markdown."""
    lines = [f"# {result.verdict.upper()}: {plain_cell(result.name)}", ""]
    if result.gates:
        lines += ["| gate | status | what it met |", "|---|---|---|"]
        for gate in result.gates:
            lines.append(f"| {plain_cell(str(gate.rule))} | {gate.status} | {plain_cell(gate_text(gate))} |")
        lines.append("")
    others = [reason for reason in reasons(result) if not any(reason.rule == str(g.rule) for g in result.gates)]
    lines += [f"{plain_cell(str(reason))}\n" for reason in others]
    lines += [
        "| model | quantization | delegate | device | metric | clean | mPC | rPC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for summary in result.summaries:
        values = [summary.clean, summary.metrics["mPC"], summary.metrics["rPC"]]
        shown = " | ".join("–" if value.value is None else f"{value.value:.3f}" for value in values)
        here = f"{LOCAL} ({result.provenance.machine.processor})"
        device = here if summary.device == LOCAL else summary.device
        named = f"{summary.file} | {summary.quantization} | {summary.delegate} | {plain_cell(device)}"
        lines.append(f"| {named} | {summary.judged_by} | {shown} |")
    lines += _limits(result)
    found = notable_groups(result)
    infos = [group for group in result.groups if group not in found]
    if found:
        lines += ["", f"## Findings ({len(found)}, and {len(infos)} more for information in report.html)", ""]
        for group in found[:_MOST]:
            lines += _finding(result, group)
    if len(found) > _MOST:
        lines.append(f"- and {len(found) - _MOST} more in report.html")
    then = f", then `{result.provenance.judged}`" if result.provenance.judged else ""
    lines += ["", f"Repeat with `{result.provenance.command}`{then}."]
    return "\n".join(lines) + "\n"


def _limits(result: AuditResult) -> list[str]:
    """Where each file breaks: a row a scenario."""
    wanted, points = result.plan.breaking, result.breaking_points
    if wanted is None or not points:
        return []
    columns = list(dict.fromkeys((point.file, point.quantization, point.delegate) for point in points))
    several = len({delegate for _, _, delegate in columns}) > 1
    named = [f"{file} ({level}{f', {delegate}' if several else ''})" for file, level, delegate in columns]
    told = {(point.scenario, point.file, point.quantization, point.delegate): sentence_of(point) for point in points}
    units = {scenario.key: scenario.unit for scenario in result.plan.scenarios}
    lines = ["", f"## Where {plain_cell(wanted.metric)} is worse than clean by {wanted.max_drop:g}", ""]
    lines += [f"| scenario | unit | {' | '.join(map(plain_cell, named))} |", f"|---|---|{'---|' * len(named)}"]
    for key in dict.fromkeys(point.scenario for point in points):
        values = " | ".join(plain_cell(told.get((key, *column), "–")) for column in columns)
        lines.append(f"| {key} | {plain_cell(units.get(key, ''))} | {values} |")
    return lines


def _finding(result: AuditResult, group: FindingGroup) -> list[str]:
    """A group of findings with its remedy, and the lines of YAML that mend it as code."""
    text = f"- **{group.level}** ({group.code}): {plain_cell(group.message)}."
    known, remedy = fixes(result, group), plain_cell(remedy_of(result, group))
    if not known:
        return [f"{text} {remedy}"]
    code = [f"  {line}" for fix in known for line in fix.lines]
    return [f"{text} {remedy}:", "", "  ```yaml", *code, "  ```"]


def plain_cell(text: str) -> str:
    """Keep a table's cell on its line, and HTML as text."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
