"""What a command says of a judged run: numbers, gates, the worst findings with what mends them, last the verdict."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.files import readable

if TYPE_CHECKING:
    from auditor.values import AuditResult, FindingGroup

__all__ = ["EXIT", "deciding", "tell", "tell_estimate"]

EXIT = {"passed": 0, "not judged": 0, "failed": 1, "incomplete": 3, "undecided": 3}
_WIDTH = 110


def tell(result: AuditResult, folder: Path, *, quiet: bool, document: Path | None = None) -> int:
    """Say on stderr what a run came to (the verdict, its reasons and the report alone where `quiet`), and to GitHub, on
    stdout, what belongs to lines of the `document`; return the exit code."""
    from auditor.report.annotations import github_annotations
    from auditor.report.outcome import reasons

    why = [f"  {reason}" for reason in reasons(result)]
    lines = why if quiet else [*_numbers(result), *_gates(result), *why, *_findings(result)]
    for line in lines:
        click.echo(readable(line), err=True)
    click.echo(f"{result.verdict.upper()}: {folder / 'report.html'}", err=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in github_annotations(result, _in_workspace(document or folder / "audit.yaml")):
            click.echo(line)
    return EXIT[result.verdict]


def _in_workspace(path: Path) -> str:
    """A path as GitHub names files: from the checkout on."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", "."))
    return Path(os.path.relpath(path, workspace)).as_posix()


def _numbers(result: AuditResult) -> list[str]:
    measured = {cell.file for cell in result.cells if cell.status != "skipped"}
    lines = []
    for summary in [summary for summary in result.summaries if summary.file in measured]:
        values = ", ".join(
            f"{name} {'undefined' if value.value is None else f'{value.value:.3f}'}"
            for name, value in summary.metrics.items()
        )
        known = any(value.value is not None for value in summary.metrics.values())
        lines.append(f"{summary}: {values if known else f'accuracy unknown: {summary.clean.reason}'}")
    skipped = (f"skipped: {cell.file}: {cell.error}" for cell in result.cells if cell.status == "skipped")
    return [*lines, *dict.fromkeys(skipped)]


def _gates(result: AuditResult) -> list[str]:
    """The gates that hold; the others are reasons of the verdict."""
    from auditor.report.outcome import gate_text

    return [f"  {gate.rule}: passed: {gate_text(gate)}" for gate in result.gates if gate.status == "passed"]


def _findings(result: AuditResult) -> list[str]:
    from auditor.report.outcome import notable_groups, worst_groups

    worst = worst_groups(result)
    if not worst:
        return []
    every = len(notable_groups(result))
    title = f"the {len(worst)} worst of {every} findings" if every > len(worst) else "findings"
    told = (line for group in worst for line in _finding(result, group))
    return ["", f"{title} (`auditor explain CODE` says more):", *told]


def _finding(result: AuditResult, group: FindingGroup) -> list[str]:
    from auditor.report.outcome import fixes, remedy_of

    lines = textwrap.wrap(f"{group.level} {group.code}: {group.message}", _WIDTH, break_long_words=False)
    remedy = remedy_of(result, group)
    lines += textwrap.wrap(remedy, _WIDTH, break_long_words=False, initial_indent="  → ", subsequent_indent="    ")
    lines += [f"      {line}" for fix in fixes(result, group) for line in fix.lines]
    return [f"  {line}" for line in lines]


def deciding(audit: Path, given: tuple[str, ...]) -> tuple[str, ...]:
    """What `--decide` gives in place of the document's, unless that says itself how gates are decided."""
    from auditor.config import read_audit

    return given if read_audit(audit, given=given).decide is not None else (*given, "decide={}")


def tell_estimate(audit: Path, output: Path, *, quiet: bool, **options: Any) -> None:
    """Say on stdout what a run would take."""
    from auditor.run import SilentProgress, estimate_run
    from auditor.terminal import BarProgress, duration

    with SilentProgress() if quiet else BarProgress() as progress:
        found = estimate_run(audit, output=output, progress=progress, **options)
    there = f", {found.there:,} of them there already" if found.there else ""
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.seconds.items() if seconds >= 0.5)
    click.echo(f"cells        {found.cells:,}")
    click.echo(f"inferences   {found.inferences:,}{there}")
    click.echo(f"disk         about {found.disk_bytes / 1e6:,.0f} MB")
    click.echo(f"memory       about {found.memory_bytes / 1e6:,.0f} MB in {found.processes} processes")
    click.echo(f"time         about {duration(found.total_s)} ({stages})")
    if "making levels" in found.seconds:
        click.echo("             levels are taken to be like their source; what mends one that breaks comes on top")
