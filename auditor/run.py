"""The composition: config -> plan -> measure -> evaluate -> judge -> report, each arrow ending in a durable artefact."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import RESULT_SCHEMA_VERSION, load_audit, load_gates, nearest, parse_result, result_document, rule_of
from auditor.corruptions.packs import scenario_names
from auditor.datasets.classes import normal_name
from auditor.errors import InputError, StoreError
from auditor.evaluate.cells import CellEvaluation, CellTask, evaluate_cell, restrict_truth
from auditor.evaluate.coco import NAMES
from auditor.evaluate.differences import AGAINST_CLEAN, AGAINST_REFERENCE, with_differences
from auditor.evaluate.robustness import summarize
from auditor.executors import Executor, Outcome, open_executor, run_isolated
from auditor.judge.judge import judge
from auditor.judge.quantization import breaks_in_head, loses
from auditor.measure.detect import UnitMeasurement, failed_prediction, measure_unit
from auditor.measure.layers import LayersRequest, measure_layers
from auditor.models.resolve import MADE
from auditor.plan import Plan, first_images, make_plan
from auditor.provenance import describe, sha256_of
from auditor.quantize import FLOAT_HEAD, LevelRequest, make_levels
from auditor.report import charts
from auditor.report.html import render_report
from auditor.report.junit import render_junit
from auditor.report.summary import render_summary
from auditor.store import (
    ImagePrediction,
    check_writable,
    has_unit,
    load_json,
    load_predictions,
    load_unit_times,
    save_json,
    save_text,
    save_unit,
)
from auditor.values import CLEAN, SUMMARY_METRICS, AuditResult, Cell, CellResult, Judgement, Measurement, ModelSpec, Rule, Unit

__all__ = ["Progress", "SilentProgress", "judge_run", "load_run", "report_run", "run_audit"]

_UNIT_TIMEOUT_S = 600.0


class Progress(Protocol):
    """Told how far a run is; `SilentProgress` and the command line's bar are two."""

    def start(self, *, cells: int, images: int) -> None:
        """The audit has `cells` cells, and `images` inferences are left to do."""

    def measured(self, *, images: int) -> None:
        """So many more inferences are done."""

    def evaluated(self, *, cells: int) -> None:
        """So many more cells are evaluated."""

    def say(self, text: str) -> None:
        """Tell the user something."""


class SilentProgress:
    """Says nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *error: object) -> None: ...

    def start(self, *, cells: int, images: int) -> None: ...

    def measured(self, *, images: int) -> None: ...

    def evaluated(self, *, cells: int) -> None: ...

    def say(self, text: str) -> None: ...


def run_audit(
    audit: Path,
    *,
    output: Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    fresh: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
) -> AuditResult:
    """Run the audit that the file `audit` describes and write its run folder; return the judged result.

    `output` defaults to `reports/<name of the file>`. A unit that is complete in that folder is not measured again
    unless `fresh`.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
        StoreError: the run folder cannot be written.
    """
    progress = progress or SilentProgress()
    started = datetime.now(UTC)
    config = load_audit(audit)
    folder = output or Path("reports") / audit.stem
    check_writable(folder)
    rules = tuple(rule_of(gate, line=config.source.line("gates", index)) for index, gate in enumerate(config.gates))
    runner = open_executor(executor, jobs=jobs, imports=("auditor.measure.detect", "auditor.evaluate.coco"))
    seconds: dict[str, float] = {}
    try:
        plan = make_plan(config)
        rules = _known_metrics(rules, plan)
        plan, cells, measurements = _carry_out(plan, folder, runner, progress, fresh=fresh, seconds=seconds)
        runner.close(wait=False)  # the workers end while the rest is written
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
            plan=_plan_document(plan, rules),
            models=tuple(_model_document(plan, spec) for spec in plan.specs),
            datasets={name: _dataset_document(plan, name) for name in plan.datasets},
            cells=tuple(cells),
            summaries=summarize(cells, metric="AP"),
            measurements=tuple(measurements),
        )
        save_text(folder / "audit.yaml", audit.read_text(encoding="utf-8"))
        return _finish(result, rules, folder).result
    finally:
        runner.close()


def _carry_out(
    plan: Plan, folder: Path, runner: Executor, progress: Progress, *, fresh: bool, seconds: dict[str, float]
) -> tuple[Plan, list[CellResult], list[Measurement]]:
    """Make levels, measure, measure what remedies ask for, evaluate; return the plan with all that was added."""
    threading.Thread(target=charts.prepare, daemon=True).start()  # while the workers measure
    plan = _with_levels(plan, folder, progress)
    failures = _measure(plan, folder, runner, progress, fresh=fresh, seconds=seconds)
    remedied = _with_remedies(plan, folder, progress)
    if remedied is not plan:
        added = dataclasses.replace(remedied, units=remedied.units[len(plan.units) :])
        failures |= _measure(added, folder, runner, progress, fresh=fresh, seconds=seconds)
    cells, measurements = _evaluate(remedied, folder, runner, progress, failures, seconds=seconds)
    cells += [CellResult(cell, "skipped", images=0, error=reason) for cell, reason in remedied.skipped_cells()]
    return _with_layers(remedied, cells, progress), cells, measurements


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
    judgement = judge(result, _rules_for(result, gates), _checks())
    save_text(folder / "report.html", render_report(judgement))
    return folder / "report.html"


def _rules_for(result: AuditResult, gates: Path | None) -> tuple[Rule, ...]:
    if gates is not None:
        rules = load_gates(gates)
        known = {*NAMES, *SUMMARY_METRICS, *(name for cell in result.cells for name in cell.metrics)}
        unknown = [
            f"{gates}:{rule.line}: unknown metric {rule.metric!r}; {nearest(rule.metric, known)}"
            for rule in rules
            if rule.metric not in known
        ]
        models = {name for cell in result.cells for name in (cell.cell.model, cell.cell.file)}
        scenarios = {*scenario_names(), *(name for cell in result.cells for name in (cell.cell.scenario, cell.cell.pack))}
        for key, names in (("model", models), ("scenario", scenarios)):
            unknown += [
                f"{gates}:{rule.line}: unknown {key} {rule.selectors[key]!r}; {nearest(str(rule.selectors[key]), names)}"
                for rule in rules
                if rule.selectors.get(key) not in (None, *names)
            ]
        if unknown:
            raise InputError(unknown)
        return rules
    return tuple(Rule(**{**rule, "selectors": dict(rule["selectors"])}) for rule in result.plan["gates"])


def _finish(result: AuditResult, rules: Sequence[Rule], folder: Path) -> Judgement:
    result = dataclasses.replace(result, plan={**result.plan, "gates": [dataclasses.asdict(rule) for rule in rules]})
    judgement = judge(result, rules, _checks())
    save_json(folder / "result.json", result_document(judgement.result))
    save_text(folder / "junit.xml", render_junit(judgement))
    save_text(folder / "summary.md", render_summary(judgement))
    save_text(folder / "report.html", render_report(judgement))
    return judgement


def _checks() -> dict[str, Any]:
    return {name: extensions.resolve("checks", name) for name in extensions.names("checks")}


def _known_metrics(rules: Sequence[Rule], plan: Plan) -> tuple[Rule, ...]:
    """The rules, classes spelt as the data set does. A gate on a metric that nothing computes would never be met: say so
    before anything runs."""
    known = {*NAMES, *SUMMARY_METRICS, AGAINST_CLEAN, AGAINST_REFERENCE, *extensions.names("metrics")} - {"coco"}
    known |= {f"AP/{category}" for match in plan.matches.values() for category in match.judged}
    spelt = {normal_name(name): name for name in known}
    rules = tuple(dataclasses.replace(rule, metric=spelt.get(normal_name(rule.metric), rule.metric)) for rule in rules)
    problems = [
        f"{plan.config.source.where('gates', index, 'metric')}: unknown metric {rule.metric!r}; {nearest(rule.metric, known)}"
        for index, rule in enumerate(rules)
        if rule.metric not in known
    ]
    if problems:
        raise InputError(problems)
    return rules


# -------------------------------------------------------------------------------------------------------------- levels


def _with_levels(plan: Plan, folder: Path, progress: Progress) -> Plan:
    """Make the quantization levels that the audit asks for, and plan them beside their sources."""
    requests = [
        LevelRequest(spec, level, str(folder / "models"), plan.calibration.get(spec.name, ()), model.quantize.io)
        for spec, model in zip(plan.specs, plan.config.models, strict=True)
        if model.quantize is not None
        for level in dict.fromkeys(model.quantize.levels)
        if level != spec.quantization
    ]
    return _planned(plan, requests, progress)


def _with_remedies(plan: Plan, folder: Path, progress: Progress) -> Plan:
    """Where an int8 level that was made here breaks in its output head, make the level that keeps the head in float."""
    sources = {spec.name: spec for spec in plan.specs}
    requests = []
    for spec, model in zip(plan.specs, plan.config.models, strict=False):
        made = sources.get(f"{spec.name}_int8")
        if model.quantize is not None and made is not None and breaks_in_head(made.diagnosis):
            requests.append(LevelRequest(spec, FLOAT_HEAD, str(folder / "models"), plan.calibration[spec.name], model.quantize.io))
    return _planned(plan, requests, progress) if requests else plan


def _with_layers(plan: Plan, cells: Sequence[CellResult], progress: Progress) -> Plan:
    """Compare the tensors of each made level that loses too much with its source's, to say where the error arises."""
    sources = {model.name: spec for spec, model in zip(plan.specs, plan.config.models, strict=False) if model.quantize is not None}
    losing = {cell.cell.file for cell in cells if loses(cell)}
    requests = [
        LayersRequest(spec, sources[spec.model], first_images(plan.datasets[spec.dataset]))
        for spec in plan.specs
        if spec.name in losing and spec.model in sources and spec.path != sources[spec.model].path and spec.sources["quantization"] == MADE
    ]
    facts = {}
    for outcome in run_isolated(measure_layers, requests, timeout_s=_UNIT_TIMEOUT_S):
        name = outcome.item.spec.name
        if outcome.error is not None:
            progress.say(f"the tensors of {name} could not be compared: {outcome.error.strip().splitlines()[-1]}")
        else:
            facts[name] = outcome.result
    specs = [dataclasses.replace(spec, diagnosis={**spec.diagnosis, **facts.get(spec.name, {})}) for spec in plan.specs]
    return dataclasses.replace(plan, specs=tuple(specs))


def _planned(plan: Plan, requests: Sequence[LevelRequest], progress: Progress) -> Plan:
    if not requests:
        return plan
    images = {name: first_images(dataset) for name, dataset in plan.datasets.items()}
    made = make_levels(requests, images=images, say=progress.say)
    return plan.extended(
        [level.spec for level in made if level.spec is not None],
        [(level.request.spec, level.request.level, level.reason) for level in made if level.reason is not None],
    )


# ------------------------------------------------------------------------------------------------------------- measure


def _measure(plan: Plan, folder: Path, runner: Executor, progress: Progress, *, fresh: bool, seconds: dict[str, float]) -> dict[str, str]:
    """Measure every unit that is not complete; return the error of each unit that could not be. `seconds` gets the time
    that storing took."""
    seconds.setdefault("store", 0.0)
    todo = [unit for unit in plan.units if fresh or not has_unit(folder, unit.resume_key)]
    progress.start(cells=sum(1 for _ in plan.cells()), images=sum(_inferences(unit) for unit in todo))
    if len(todo) < len(plan.units):
        progress.say(f"{len(plan.units) - len(todo)} of {len(plan.units)} units are complete in {folder} and are not measured again")
    failures: dict[str, str] = {}
    for outcome in runner.map(measure_unit, todo, affinity=lambda unit: (unit.dataset, unit.images[0].id)):
        unit = outcome.item
        if outcome.died:
            progress.say(f"a worker ended while it measured {unit.scenario_key}; trying its models one at a time")
            outcome = _retried(unit)
        if outcome.error is not None:
            failures[unit.resume_key] = outcome.error
        else:
            begin = time.perf_counter()
            save_unit(folder, unit.resume_key, outcome.result.predictions, outcome.result.times_s, complete=outcome.result.complete)
            seconds["store"] += time.perf_counter() - begin
        progress.measured(images=_inferences(unit))
    return failures


def _inferences(unit: Unit) -> int:
    return len(unit.images) * len(unit.severities) * len(unit.models)


def _retried(unit: Unit) -> Outcome:
    """Measure a unit whose worker died one model at a time, each in a process of its own: only the guilty one is lost."""
    parts = [dataclasses.replace(unit, models=(model,)) for model in unit.models]
    predictions: list[ImagePrediction] = []
    times_s: dict[str, float] = {}
    for part, outcome in zip(parts, run_isolated(measure_unit, parts, timeout_s=_UNIT_TIMEOUT_S), strict=True):
        if outcome.error is not None:
            predictions += _lost(part, outcome.error)
            continue
        predictions += outcome.result.predictions
        for stage, seconds in outcome.result.times_s.items():
            times_s[stage] = times_s.get(stage, 0.0) + seconds
    lost = any(item.error is not None and item.scope == "model" for item in predictions)
    return Outcome(unit, result=UnitMeasurement(tuple(predictions), times_s, complete=not lost))


def _lost(part: Unit, error: str) -> Iterator[ImagePrediction]:
    for record in part.images:
        for severity in part.severities:
            yield failed_prediction(part.models[0], record, severity, error, "model")


# ------------------------------------------------------------------------------------------------------------ evaluate


def _evaluate(
    plan: Plan, folder: Path, runner: Executor, progress: Progress, failures: dict[str, str], *, seconds: dict[str, float]
) -> tuple[list[CellResult], list[Measurement]]:
    """Evaluate every cell, and take each file's time from its clean cell; `seconds` gets the time that evaluating took,
    summed over the workers."""
    seconds["evaluate"] = 0.0
    samples: dict[Cell, NDArray[np.float64]] = {}
    times: dict[Cell, float] = {}
    order = {cell: index for index, (cell, _) in enumerate(plan.cells())}
    results: list[CellResult] = []
    for outcome in runner.map(_timed_evaluation, _tasks(plan, folder, failures, results), ahead=runner.jobs):
        if outcome.died:
            (outcome,) = run_isolated(_timed_evaluation, [outcome.item], timeout_s=_UNIT_TIMEOUT_S)
        if outcome.error is not None:
            results.append(CellResult(outcome.item.cell, "failed", images=0, error=f"evaluation failed: {outcome.error}"))
        else:
            evaluation, spent = outcome.result
            results.append(evaluation.result)
            samples[evaluation.result.cell] = evaluation.samples
            if evaluation.invoke_ms is not None and evaluation.result.cell.scenario == CLEAN:
                times[evaluation.result.cell] = evaluation.invoke_ms
            seconds["evaluate"] += spent
        progress.evaluated(cells=1)
    cells = with_differences(sorted(results, key=lambda result: order[result.cell]), samples)
    return cells, [_time_of(cell, times[cell]) for cell in sorted(times, key=order.__getitem__)]


def _time_of(cell: Cell, invoke_ms: float) -> Measurement:
    """The median invocation while the audit ran, all workers busy: good for comparing levels, no figure of a device."""
    return Measurement("invoke_ms_in_run", cell.file, cell.quantization, cell.delegate, {"p50": invoke_ms}, "ms")


def _timed_evaluation(task: CellTask) -> tuple[CellEvaluation, float]:
    begin = time.perf_counter()
    return evaluate_cell(task), time.perf_counter() - begin


def _tasks(plan: Plan, folder: Path, failures: dict[str, str], results: list[CellResult]) -> Iterator[CellTask]:
    specs = {spec.name: spec for spec in plan.specs}
    truths: dict[str, Any] = {}
    for cell, units in plan.cells():
        lost = [failures[unit.resume_key] for unit in units if unit.resume_key in failures]
        if lost:
            results.append(CellResult(cell, "failed", images=0, error=lost[0]))
            continue
        spec = specs[cell.file]
        match = plan.matches[cell.file]
        categories = plan.datasets[spec.dataset].categories
        judged = {categories.index(category): index for index, category in enumerate(match.judged)}
        if cell.file not in truths:
            truths = {cell.file: restrict_truth(plan.datasets[spec.dataset].truth, judged)}
        yield CellTask(
            cell=cell,
            truth=truths[cell.file],
            judged=match.judged,
            to_judged=tuple(None if category is None else judged[category] for category in match.to_category),
            label_offset=int(spec.decoder_options.get("label_offset", 0)),
            seed=plan.config.seed,
            predictions=tuple(
                load_predictions(
                    folder, [unit.resume_key for unit in units], file=cell.file, delegate=cell.delegate, severity=cell.severity
                )
            ),
        )


# ----------------------------------------------------------------------------------------------------------- documents


def _plan_document(plan: Plan, rules: Sequence[Rule]) -> dict[str, Any]:
    return {
        "severities": list(plan.severities),
        "delegates": list(plan.config.delegates),
        "scenarios": [
            {
                "key": scenario.key,
                "version": scenario.version,
                "about": scenario.about,
                "unit": scenario.unit,
                "knobs": {name: list(values) for name, values in scenario.knobs.items()},
                "transforms": [
                    {name: arguments} if kind != "function" else {"function": name} for kind, name, arguments in scenario.transforms
                ],
            }
            for scenario in plan.scenarios
        ],
        "gates": [dataclasses.asdict(rule) for rule in rules],
    }


def _model_document(plan: Plan, spec: ModelSpec) -> dict[str, Any]:
    match = plan.matches[spec.name]
    options = {
        name: f"{len(value)} anchors" if name == "anchors" and isinstance(value, list) else value
        for name, value in spec.decoder_options.items()
    }
    return {
        "name": spec.name,
        "model": spec.model,
        "file": Path(spec.path).name,
        "sha256": spec.sha256,
        "size_bytes": spec.size_bytes,
        "quantization": spec.quantization,
        "task": spec.task,
        "dataset": spec.dataset,
        "input": dataclasses.asdict(spec.input),
        "decoder": {"name": spec.decoder, **options},
        "postprocess": dataclasses.asdict(spec.postprocess),
        "labels": list(spec.labels),
        "classes_judged": list(match.judged),
        "classes_only_model": list(match.only_model),
        "classes_only_truth": list(match.only_truth),
        "sources": dict(spec.sources),
        "diagnosis": dict(spec.diagnosis),
    }


def _dataset_document(plan: Plan, name: str) -> dict[str, Any]:
    dataset = plan.datasets[name]
    return {
        "format": dataset.format,
        "images": len(dataset.images),
        "boxes": sum(len(dataset.truth[image.id].labels) for image in dataset.images),
        "categories": list(dataset.categories),
        "counts": dict(dataset.counts),
        "fingerprint": dataset.fingerprint,
        **{key: Path(value).name if key in ("annotations", "images") else value for key, value in dataset.about.items() if key != "images"},
    }
