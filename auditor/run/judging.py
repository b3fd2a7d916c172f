"""A result judged: its gates and checks, and the documents that are written of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from auditor import extensions
from auditor.config import AuditConfig, nearest, parse_result, result_document
from auditor.errors import StoreError
from auditor.judge.told import Row
from auditor.judge.verdict import judge
from auditor.report.junit import render_junit
from auditor.report.page import render_report
from auditor.report.pictures import load_pictures
from auditor.report.summary import render_summary
from auditor.resolve.rules import rules_for
from auditor.store import load_json, save_json, save_text
from auditor.values import AuditResult, Judgement, Rule

__all__ = [
    "catalogue",
    "is_silenced_by_code",
    "judge_run",
    "judged",
    "load_run",
    "problems_of_checks",
    "render",
    "report_run",
]


def load_run(run: Path) -> tuple[AuditResult, Path]:
    """Read the result of a run folder (or of its result.json).

    Raises:
        StoreError: there is none, or it is damaged or of a newer schema.
    """
    path = run if run.is_file() else run / "result.json"
    if not path.exists():
        raise StoreError(f"{run}: no result.json there; give the folder that `auditor run` wrote")
    return parse_result(load_json(path), path=path), path.parent


def judge_run(run: Path, *, gates: Path | None = None) -> AuditResult:
    """Judge a run again, with other gates where given; rewrites result.json, report and summaries, opens no model."""
    result, folder = load_run(run)
    judgement = judged(result, rules_for(result, gates), folder)
    render(judgement, folder)
    return judgement.result


def report_run(run: Path, *, gates: Path | None = None) -> Path:
    """Write report.html again from result.json; return its path."""
    result, folder = load_run(run)
    judgement = _judge(result, rules_for(result, gates))
    save_text(folder / "report.html", render_report(judgement, load_pictures(folder, result)))
    return folder / "report.html"


def catalogue() -> dict[str, Row]:
    """Every finding by its code, those of registered checks included."""
    return {code: row for rows in extensions.every("catalogues").values() for code, row in rows.items()}


def is_silenced_by_code(code: str) -> bool:
    """Whether `checks: {code: false}` leaves a finding out: one of a check, not of a gate."""
    return catalogue()[code].check in extensions.names("checks")


def problems_of_checks(config: AuditConfig) -> list[str]:
    """What is wrong with `checks:`: it names what is neither a check nor a finding's code, or gives a code options."""
    checks = extensions.names("checks")
    known = {*checks, *catalogue()}
    problems = []
    for name, given in config.checks.by_name.items():
        where = config.source.where("checks", name)
        if name not in known:
            problems.append(f"{where}: unknown check {name!r}; {nearest(name, known)}")
        elif name not in checks and not is_silenced_by_code(name):
            problems.append(f"{where}: findings of gates are not left out here; change `gates:`")
        elif name not in checks and not isinstance(given, bool):
            check = catalogue()[name].check
            problems.append(f"{where}: expected true or false of a finding; options are those of its check, {check}")
    return problems


def _judge(result: AuditResult, rules: Sequence[Rule]) -> Judgement:
    plan = dataclasses.replace(result.plan, gates=tuple(rules))
    return judge(dataclasses.replace(result, plan=plan), rules, extensions.every("checks"), catalogue())


def judged(result: AuditResult, rules: Sequence[Rule], folder: Path) -> Judgement:
    """Judge a result and save it in its run folder."""
    judgement = _judge(result, rules)
    save_json(folder / "result.json", result_document(judgement.result))
    return judgement


def render(judgement: Judgement, folder: Path) -> None:
    """Write the report and the summaries of what was judged into its run folder."""
    save_text(folder / "junit.xml", render_junit(judgement))
    save_text(folder / "summary.md", render_summary(judgement))
    save_text(folder / "report.html", render_report(judgement, load_pictures(folder, judgement.result)))
