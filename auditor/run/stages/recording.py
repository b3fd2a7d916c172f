"""From what is known at the end of a run to the result that is saved."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from auditor import extensions
from auditor.config import RESULT_SCHEMA_VERSION
from auditor.corruptions.corrupt import content_sha256
from auditor.evaluate.robustness import summarize
from auditor.heads.anatomy.head import Head
from auditor.plan import Plan
from auditor.provenance import describe
from auditor.run.session import Session, State
from auditor.run.stages.describing import box_sizes
from auditor.runtimes.anatomy.runtime import facts_of, runtime_of
from auditor.store import has_unit, load_unit_times
from auditor.tasks.anatomy.cells import task_of
from auditor.values import (
    AuditResult,
    DecoderRecord,
    DelegateRecord,
    Judging,
    ModelRecord,
    ModelSpec,
    PlanRecord,
    ScenarioRecord,
    ScenarioSpec,
)

__all__ = ["record"]


def record(session: Session, state: State, *, command: str, started: datetime) -> AuditResult:
    """Turn what is known into a result without findings."""
    plan, config = state.plan, session.config
    complete = [unit.resume_key for unit in plan.units if has_unit(session.folder, unit.resume_key)]
    primaries = {spec.name: task_of(spec.task).primary for spec in plan.specs}
    primaries |= {cell.file: cell.judged_by for cell in state.cells if cell.judged_by}
    return AuditResult(
        schema_version=RESULT_SCHEMA_VERSION,
        name=config.name,
        provenance=describe(
            command=command,
            seed=config.seed,
            started=started,
            seconds={**load_unit_times(session.folder, complete), **session.stopwatch.seconds},
            jobs=session.executor.jobs,
            audit=config.source.path,
        ),
        plan=_plan(session, state),
        models=tuple(_model(plan, spec) for spec in plan.specs),
        datasets=dict(state.datasets),
        cells=state.cells,
        summaries=summarize(
            state.cells,
            judged_by=primaries,
            left_out={spec.name for spec in plan.specs if spec.role == "evidence"},
            samples=state.samples,
        ),
        measurements=state.measurements,
        operating_points=tuple(state.points.values()),
        baseline=state.baseline,
        drifts=state.drifts,
        slices=state.slices,
        suspects=state.suspects,
        decisions=state.decisions,
        breaking_points=state.breaking_points,
    )


def _plan(session: Session, state: State) -> PlanRecord:
    subjects = state.plan.subjects
    used = dict.fromkeys([*subjects.asked_delegates, *(d for on in subjects.delegates.values() for d in on)])
    return PlanRecord(
        severities=tuple(map(float, subjects.severities)),
        delegates=tuple(DelegateRecord(delegate.name, delegate.kind) for delegate in used),
        scenarios=tuple(_scenario(scenario) for scenario in subjects.scenarios),
        calibration=dict(state.calibration),
        checks=session.config.checks.by_name,
        gates=state.rules,
        fail_on=session.config.fail_on,
        undecided=session.config.undecided,
        decide=session.config.decide.error if session.config.decide is not None else None,
        evaluation=subjects.evaluation,
        breaking=subjects.breaking,
    )


def _scenario(scenario: ScenarioSpec) -> ScenarioRecord:
    return ScenarioRecord(
        key=scenario.key,
        version=scenario.version,
        about=scenario.about,
        unit=scenario.unit,
        knobs=dict(scenario.knobs),
        transforms=scenario.transforms,
        remedy=scenario.remedy,
        source=scenario.source,
        monotone=scenario.monotone,
        sha256=content_sha256(scenario),
        distribution=scenario.distribution,
    )


def _model(plan: Plan, spec: ModelSpec) -> ModelRecord:
    """One model file: what it is, every setting and where each came from."""
    match, path, task = plan.subjects.matches[spec.name], Path(spec.path), task_of(spec.task)
    tracked = bool(plan.datasets[spec.dataset].times)
    head: Head = extensions.resolve("heads", spec.decoder)
    options = {
        name: f"{len(value)} anchors" if name == "anchors" and isinstance(value, list) else value
        for name, value in spec.decoder_options.items()
    }
    return ModelRecord(
        name=spec.name,
        model=spec.model,
        file=path.name,
        sha256=spec.sha256,
        size_bytes=spec.size_bytes,
        quantization=spec.quantization,
        output_dtypes=spec.output_dtypes,
        task=spec.task,
        dataset=spec.dataset,
        input=spec.input,
        decoder=DecoderRecord(spec.decoder, options),
        postprocess=spec.postprocess,
        labels=spec.labels,
        classes_judged=match.judged,
        classes_only_model=match.only_model,
        classes_only_truth=match.only_truth,
        class_aliases=match.aliases,
        sources=dict(spec.sources),
        judging=Judging(
            task.primary,
            task.broken_below,
            task.calibration,
            task.things,
            task.metrics[task.primary],
            at_point=task.point_metrics(tracked=tracked),
            over_frames=task.over_frames if tracked else (),
            compared=dict(task.compared_metrics),
            decided_by=task.decided_by,
            lower_is_better=task.lower_is_better,
            of_small=task.of_small,
        ),
        state=spec.state,
        keeps_state=spec.keeps_state,
        letterboxed=head.letterboxed,
        made=spec.made,
        role=spec.role,
        diagnosis=spec.diagnosis,
        boxes_at_input=box_sizes(plan.datasets[spec.dataset], spec),
        compatibility=facts_of(path).compatibility if runtime_of(path).facts is not None else None,
    )
