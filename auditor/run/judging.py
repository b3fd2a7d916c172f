"""A result judged: its gates and checks, and the documents that are written of it."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path

from auditor import extensions
from auditor.config import AuditConfig, nearest, parse_result, result_document
from auditor.errors import StoreError
from auditor.judge.told import Row
from auditor.judge.verdict import judge
from auditor.report.gallery_pictures import load_gallery
from auditor.report.junit import render_junit
from auditor.report.page import render_report
from auditor.report.pictures import load_pictures
from auditor.report.summary import render_summary
from auditor.resolve.rules import with_gates
from auditor.store import load_json, save_json, save_text
from auditor.values import AuditResult

__all__ = [
    "as_judged",
    "catalogue",
    "is_silenced_by_code",
    "judge_run",
    "judged",
    "load_run",
    "problems_of_checks",
    "render",
    "report_run",
]


def load_run(run: Path | str) -> tuple[AuditResult, Path]:
    """Read the result of a run folder (or of its result.json).

    Raises:
        StoreError: there is none, or it is damaged or of a newer schema.
    """
    run = Path(run)
    path = run if run.is_file() else run / "result.json"
    if not path.exists() or path.suffix != ".json":
        raise StoreError(f"{run}: no result.json there; give the folder that `auditor run` wrote")
    return parse_result(load_json(path), path=path), path.parent


def as_judged(run: Path | str) -> AuditResult:
    """A run with its findings and gates, judged anew; nothing is written.

    Raises:
        StoreError: there is none, or it cannot be judged.
    """
    result, _ = load_run(run)
    with _of_file(Path(run)):
        return _judge(result)


def judge_run(run: Path, *, gates: Path | None = None) -> AuditResult:
    """Judge a run again, with other gates where given; rewrites result.json, report and summaries, opens no model."""
    result, folder = load_run(run)
    with _of_file(run):
        result = _judge(_by(result, run, gates))
        documents = _rendered(result, folder)
    save_json(folder / "result.json", result_document(result))
    for name, text in documents.items():
        save_text(folder / name, text)
    return result


def report_run(run: Path, *, gates: Path | None = None) -> Path:
    """Write report.html again from result.json; return its path."""
    result, folder = load_run(run)
    with _of_file(run):
        page = _page(_judge(_by(result, run, gates)), folder)
    save_text(folder / "report.html", page)
    return folder / "report.html"


@contextlib.contextmanager
def _of_file(run: Path) -> Iterator[None]:
    """While a result of a file is judged and shown: one whose fields are right, each for itself, may not be that of an
    audit.

    Raises:
        StoreError: it cannot be judged or shown.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StoreError(
            f"{run}: this result cannot be judged and shown ({type(error).__name__}: {error}). If result.json was "
            "edited or damaged, run the audit again; if not, this is a bug in the auditor, please report it"
        ) from error


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


def _by(result: AuditResult, run: Path, gates: Path | None) -> AuditResult:
    """A result as it is judged: by its own gates, or by those of a file, which the command to repeat it names."""
    if gates is None:
        return result
    command = f"auditor judge {shlex.quote(str(run))} --gates {shlex.quote(str(gates))}"
    provenance = dataclasses.replace(result.provenance, judged=command)
    return dataclasses.replace(with_gates(result, gates), provenance=provenance)


def _judge(result: AuditResult) -> AuditResult:
    return judge(result, extensions.every("checks"), catalogue())


def judged(result: AuditResult, folder: Path) -> AuditResult:
    """Judge a result by the gates of its plan, and save it in its run folder."""
    result = _judge(result)
    save_json(folder / "result.json", result_document(result))
    return result


def render(result: AuditResult, folder: Path) -> None:
    """Write the report and the summaries of what was judged into its run folder."""
    for name, text in _rendered(result, folder).items():
        save_text(folder / name, text)


def _rendered(result: AuditResult, folder: Path) -> dict[str, str]:
    return {
        "junit.xml": render_junit(result),
        "summary.md": render_summary(result),
        "report.html": _page(result, folder),
    }


def _page(result: AuditResult, folder: Path) -> str:
    return render_report(result, load_pictures(folder, result), load_gallery(folder), document=result_document(result))
