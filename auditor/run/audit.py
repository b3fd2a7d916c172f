"""The composition: config -> plan -> measure -> evaluate -> judge -> report, each arrow ending in a durable
artefact."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor import extensions
from auditor.config import (
    RESULT_SCHEMA_VERSION,
    load_audit,
    load_gates,
    nearest,
    parse_result,
    result_document,
    rule_of,
)
from auditor.corruptions.packs import scenario_names
from auditor.datasets.classes import normal_name
from auditor.errors import InputError, StoreError
from auditor.evaluate.classification import CLASSIFICATION_NAMES
from auditor.evaluate.coco import NAMES
from auditor.evaluate.differences import DIFFERENCES
from auditor.evaluate.robustness import summarize
from auditor.executors import Executor, open_executor
from auditor.judge.judge import judge
from auditor.plan import Plan, make_plan
from auditor.provenance import describe, sha256_of
from auditor.report import charts
from auditor.report.html import render_report
from auditor.report.junit import render_junit
from auditor.report.summary import render_summary
from auditor.run.describing import describe_data
from auditor.run.documents import dataset_document, model_document, plan_document
from auditor.run.elsewhere import load_elsewhere
from auditor.run.evaluating import delegate_ops, evaluate
from auditor.run.inputs import compare_inputs
from auditor.run.levels import with_layers, with_levels, with_remedies
from auditor.run.measuring import measure
from auditor.run.probing import probe
from auditor.run.progress import Progress, SilentProgress
from auditor.store import check_writable, has_unit, load_json, load_unit_times, save_json, save_text
from auditor.values import (
    MEASURED_METRICS,
    PRIMARY_METRICS,
    SUMMARY_METRICS,
    AuditResult,
    CellResult,
    Judgement,
    Measurement,
    Rule,
)

__all__ = ["judge_run", "load_run", "report_run", "run_audit"]

_METRICS = {
    *NAMES,
    *CLASSIFICATION_NAMES,
    *DIFFERENCES,
    *MEASURED_METRICS,
    *SUMMARY_METRICS,
    "McNemar_p",
    "level_matched",
    "parity_matched",
}
"""What a gate can look at in any audit; registered metrics and those of single classes come on top."""


def run_audit(
    audit: Path,
    *,
    output: Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    fresh: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
    elsewhere: Sequence[Path] = (),
) -> AuditResult:
    """Run the audit that the file `audit` describes and write its run folder; return the judged result.

    `output` defaults to `reports/<name of the file>`. A unit that is complete in that folder is not measured again
    unless `fresh`. `elsewhere` are the measurements of another device, to be judged beside those made here.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
        StoreError: the run folder cannot be written.
    """
    progress = progress or SilentProgress()
    started = datetime.now(UTC)
    config = load_audit(audit)
    folder = output or Path("reports") / audit.stem
    for place in (folder, folder / "models", folder / "measurements"):
        check_writable(place)
    rules = tuple(rule_of(gate, line=config.source.line("gates", index)) for index, gate in enumerate(config.gates))
    if executor == "serial" and any(delegate not in ("none", "xnnpack") for delegate in config.delegates):
        executor, jobs = "processes", 1  # such a delegate can end the process that runs it
    runner = open_executor(executor, jobs=jobs, imports=("auditor.measure.predict", "auditor.evaluate.coco"))
    seconds: dict[str, float] = {}
    try:
        plan = make_plan(config)
        rules = _known_metrics(rules, plan)
        plan, cells, measurements = _carry_out(plan, folder, runner, progress, elsewhere, fresh=fresh, seconds=seconds)
        described = describe_data(plan, runner)
        runner.close()  # nothing else runs while speed is measured
        measurements += probe(plan, progress)
        command = command or f"auditor run {audit}"
        provenance = describe(command=command, seed=config.seed, started=started)
        complete = [unit.resume_key for unit in plan.units if has_unit(folder, unit.resume_key)]
        provenance["seconds"] = {**load_unit_times(folder, complete), **seconds}
        provenance["jobs"] = runner.jobs
        provenance["audit_sha256"] = sha256_of(audit)
        result = AuditResult(
            schema_version=RESULT_SCHEMA_VERSION,
            name=config.name,
            provenance=provenance,
            **_documents(plan, rules, described),
            cells=tuple(cells),
            summaries=summarize(cells),
            measurements=tuple(measurements),
        )
        save_text(folder / "audit.yaml", audit.read_text(encoding="utf-8"))
        return _finish(result, rules, folder).result
    except BaseException:
        runner.kill()
        raise
    finally:
        runner.close()


def _documents(plan: Plan, rules: Sequence[Rule], described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "plan": plan_document(plan, rules, described),
        "models": tuple(model_document(plan, spec) for spec in plan.specs),
        "datasets": {name: dataset_document(plan, name, described) for name in plan.datasets},
    }


def _carry_out(
    plan: Plan,
    folder: Path,
    runner: Executor,
    progress: Progress,
    elsewhere: Sequence[Path],
    *,
    fresh: bool,
    seconds: dict[str, float],
) -> tuple[Plan, list[CellResult], list[Measurement]]:
    """Make levels, measure, measure what remedies ask for, evaluate, beside what another device measured; return the
    plan with all that was added."""
    threading.Thread(target=charts.prepare, daemon=True).start()  # while the workers measure
    plan = with_levels(plan, folder, progress)
    there = load_elsewhere(plan, elsewhere, progress) if elsewhere else None
    failures = measure(plan, folder, runner, progress, fresh=fresh, seconds=seconds)
    remedied = with_remedies(plan, folder, progress)
    if remedied is not plan:
        added = dataclasses.replace(remedied, units=remedied.units[len(plan.units) :])
        failures |= measure(added, folder, runner, progress, fresh=fresh, seconds=seconds)
    cells, measurements = evaluate(remedied, folder, runner, progress, failures, seconds=seconds)
    cells += compare_inputs(remedied, folder, runner, progress, fresh=fresh, seconds=seconds)
    cells += [CellResult(cell, status, images=0, error=reason) for cell, status, reason in remedied.unmeasured_cells()]
    measurements += delegate_ops(remedied)
    if there is not None:
        cells += there.cells
        measurements += there.measurements
    return with_layers(remedied, cells, progress), cells, measurements


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
    return _finish(result, _rules_for(result, gates), folder).result


def report_run(run: Path, *, gates: Path | None = None) -> Path:
    """Write report.html again from result.json; return its path."""
    result, folder = load_run(run)
    judgement = judge(result, _rules_for(result, gates), _checks(result))
    save_text(folder / "report.html", render_report(judgement))
    return folder / "report.html"


def _rules_for(result: AuditResult, gates: Path | None) -> tuple[Rule, ...]:
    if gates is not None:
        rules = load_gates(gates)
        known = _METRICS | {name for cell in result.cells for name in cell.metrics}
        unknown = [
            f"{gates}:{rule.line}: unknown metric {rule.metric!r}; {nearest(rule.metric, known)}"
            for rule in rules
            if rule.metric not in known
        ]
        models = {name for cell in result.cells for name in (cell.cell.model, cell.cell.file)}
        scenarios = {
            *scenario_names(),
            *(name for cell in result.cells for name in (cell.cell.scenario, cell.cell.pack)),
        }
        for key, names in (("model", models), ("scenario", scenarios)):
            unknown += [
                f"{gates}:{rule.line}: unknown {key} {rule.selectors[key]!r}; "
                f"{nearest(str(rule.selectors[key]), names)}"
                for rule in rules
                if rule.selectors.get(key) not in (None, *names)
            ]
        if unknown:
            raise InputError(unknown)
        return rules
    return tuple(Rule(**{**rule, "selectors": dict(rule["selectors"])}) for rule in result.plan["gates"])


def _finish(result: AuditResult, rules: Sequence[Rule], folder: Path) -> Judgement:
    result = dataclasses.replace(result, plan={**result.plan, "gates": [dataclasses.asdict(rule) for rule in rules]})
    judgement = judge(result, rules, _checks(result))
    save_json(folder / "result.json", result_document(judgement.result))
    save_text(folder / "junit.xml", render_junit(judgement))
    save_text(folder / "summary.md", render_summary(judgement))
    save_text(folder / "report.html", render_report(judgement))
    return judgement


def _checks(result: AuditResult) -> dict[str, Any]:
    """The registered checks but those that the audit leaves out."""
    left_out = [name for name, options in result.plan.get("checks", {}).items() if options is False]
    return {name: extensions.resolve("checks", name) for name in extensions.names("checks") if name not in left_out}


def _known_metrics(rules: Sequence[Rule], plan: Plan) -> tuple[Rule, ...]:
    """The rules, classes spelt as the data set does. A gate on a metric that nothing computes would never be met: say
    so before anything runs."""
    known = _METRICS | {*extensions.names("metrics")} - {"coco"}
    known |= {
        f"{metric}/{category}"
        for metric in PRIMARY_METRICS.values()
        for match in plan.matches.values()
        for category in match.judged
    }
    spelt = {normal_name(name): name for name in known}
    rules = tuple(dataclasses.replace(rule, metric=spelt.get(normal_name(rule.metric), rule.metric)) for rule in rules)
    problems = [
        f"{plan.config.source.where('gates', index, 'metric')}: unknown metric {rule.metric!r}; "
        f"{nearest(rule.metric, known)}"
        for index, rule in enumerate(rules)
        if rule.metric not in known
    ]
    if problems:
        raise InputError(problems)
    return rules
