"""Search where each model breaks: cells at severities between the grid's, measured round by round for all searches at
once, each kept in the store as any other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.corruptions.corrupt import knobs_at
from auditor.delegate import Delegate
from auditor.evaluate.crossing import MOST, Curve, better_again, limit_of_curve, next_severity
from auditor.evaluate.evaluated import CellEvaluation
from auditor.executors import run_isolated
from auditor.plan import units_at
from auditor.run.forecast import CELLS, begin, searches
from auditor.run.session import Session, State
from auditor.run.stages.evaluating import samples_of, timed_evaluation
from auditor.run.stages.measuring import UNIT_TIMEOUT_S, Job, carry_out, measure_units
from auditor.run.stages.showing import task_of_cell
from auditor.run.stages.truths import Truths
from auditor.tasks.anatomy.cells import CellTask
from auditor.values import (
    CLEAN,
    BreakingPoint,
    BreakingSearch,
    Cell,
    CellResult,
    MetricValue,
    ModelSpec,
    ScenarioSpec,
    Tried,
)

__all__ = ["find_breaking_points"]

Samples = NDArray[np.floating[Any]] | None


@dataclass
class _Search:
    """One search under way: what is known of the metric on clean images and at severities."""

    spec: ModelSpec
    delegate: Delegate
    scenario: ScenarioSpec
    wanted: BreakingSearch
    clean: MetricValue | None = None
    clean_samples: Samples = None
    independent: int = 0
    values: dict[float, MetricValue] = field(default_factory=dict)
    samples: dict[float, Samples] = field(default_factory=dict)
    searched: set[float] = field(default_factory=set)
    reason: str | None = None

    def cell(self, severity: float) -> Cell:
        """Its cell at a severity."""
        scenario = CLEAN if severity == 0 else self.scenario.key
        spec = self.spec
        return Cell(spec.model, spec.name, spec.quantization, self.delegate.name, scenario, severity)

    def saw(self, severity: float, result: CellResult | None, samples: Samples) -> None:
        """What became of its cell at a severity; 0 is the clean one."""
        metric = None if result is None else result.metrics.get(self.wanted.metric)
        if result is None or result.status != "ok":
            why = "not measured" if result is None else f"{result.status}: {result.error}"
        elif metric is None or metric.value is None:
            why = f"{self.wanted.metric} is undefined there: {'no such metric' if metric is None else metric.reason}"
        elif severity == 0:
            self.clean, self.clean_samples, self.independent = metric, samples, result.independent
            return
        else:
            self.values[severity], self.samples[severity] = metric, samples
            return
        self.reason = self.reason or f"{self.cell(severity)}: {why}"

    def drop(self, value: MetricValue) -> float:
        """By how much a value is worse than the clean one."""
        clean = 0.0 if self.clean is None else self.clean.value or 0.0
        return (clean - (value.value or 0.0)) * (1.0 if value.higher_is_better else -1.0)

    @property
    def curve(self) -> Curve:
        """The drop by severity, with its resamples where all cells are of the same images."""
        order = sorted(self.values)
        drops = np.array([self.drop(self.values[severity]) for severity in order])
        known = [self.clean_samples, *(self.samples[severity] for severity in order)]
        found = [np.asarray(item, dtype=np.float64) for item in known if item is not None]
        samples = np.zeros((0, len(order)))
        if order and len(found) == len(known) and len({len(item) for item in found}) == 1:
            sign = 1.0 if all(value.higher_is_better for value in self.values.values()) else -1.0
            samples = sign * np.stack([found[0] - item for item in found[1:]], axis=1)
        return Curve(np.array(order), drops, samples, self.independent)

    def wants(self) -> float | None:
        """The severity that it measures next; None where it is done, or cannot go on."""
        if self.clean is None or self.reason is not None:
            return None
        severity = next_severity(self.curve, self.wanted.max_drop, left=MOST - len(self.searched))
        if severity is not None:
            self.searched.add(severity)
        return severity

    def found(self) -> BreakingPoint:
        """What the search came to."""
        knob = next(iter(self.scenario.knobs))

        def at(severity: float) -> float:
            return knobs_at(self.scenario, severity)[knob]

        curve = self.curve
        common = BreakingPoint(
            model=self.spec.model,
            file=self.spec.name,
            quantization=self.spec.quantization,
            delegate=self.delegate.name,
            scenario=self.scenario.key,
            metric=self.wanted.metric,
            max_drop=self.wanted.max_drop,
            outcome="unknown",
            knob=knob,
            unit=self.scenario.unit,
            range=(at(1), at(5)),
            clean=None if self.clean is None else self.clean.value,
            images=0 if self.clean is None else self.clean.images,
            tried=tuple(
                Tried(
                    severity,
                    at(severity),
                    self.values[severity].value,
                    drop,
                    self.values[severity].images,
                    severity in self.searched,
                )
                for severity, drop in zip(curve.severities.tolist(), curve.drops.tolist(), strict=True)
            ),
            reason=self.reason,
        )
        if self.clean is None or self.reason is not None or not len(curve.severities):
            return common
        limit = limit_of_curve(curve, self.wanted.max_drop)
        again = better_again(curve)
        known = limit.interval is not None
        low, high = (_inside(end, harder=harder) for harder, end in enumerate(limit.interval or (0.0, 0.0)))
        reached = math.isfinite(limit.severity)
        return dataclasses.replace(
            common,
            outcome="reached" if reached else "never" if limit.severity > 0 else "already",
            severity=round(limit.severity, 6) if reached else None,
            at=round(at(limit.severity), 6) if reached else None,
            severities=(low, high) if known else None,
            interval=(None if low is None else at(low), None if high is None else at(high)) if known else None,
            monotone=again is None if len(curve.samples) else None,
            better_again=again,
            reason=self._too_far(common.clean or 0.0),
        )

    def _too_far(self, clean: float) -> str | None:
        """Why no condition could take so much away."""
        falls = self.clean is not None and self.clean.higher_is_better
        most = self.wanted.max_drop
        return f"clean it is {clean:.3f}, which cannot fall by {most:g}" if falls and clean < most else None


def _inside(end: float, *, harder: int) -> float | None:
    """An end of an interval in severities; None where it lies open on its own side. A milder end behind the range is
    that of the range, and so is a harder end before it: so far it surely holds, or is broken by then."""
    if math.isfinite(end):
        return end
    return None if (end > 0) == bool(harder) else _LAST if end > 0 else _FIRST


_FIRST, _LAST = 1.0, 5.0


def find_breaking_points(session: Session, state: State) -> State:
    """Search the breaking points that the audit asks for, of every file on every delegate that it runs on, where its
    task has the metric."""
    wanted = state.plan.subjects.breaking
    if wanted is None:
        return state
    grid = {cell.key: cell for cell in state.cells if cell.is_declared and cell.is_local}
    open_searches = list(_begun(state, wanted, grid))
    begin(session, state, "finding breaking points", of=searches(state.plan), what=CELLS)
    truths = Truths(state.plan)
    while asked := [(search, severity) for search in open_searches if (severity := search.wants()) is not None]:
        found = _measured(session, state, asked, truths)
        for search, severity in asked:
            evaluation = found.get(search.cell(severity))
            if isinstance(evaluation, str):
                search.reason = f"{search.cell(severity)}: {evaluation}"
                continue
            result = None if evaluation is None else evaluation.result
            samples = None if evaluation is None else samples_of(evaluation).get(wanted.metric)
            search.saw(severity, result, samples)
    return dataclasses.replace(state, breaking_points=tuple(search.found() for search in open_searches))


def _begun(state: State, wanted: BreakingSearch, grid: Mapping[Cell, CellResult]) -> Iterator[_Search]:
    """The searches of an audit, each with what the grid says of it."""
    plan = state.plan
    for spec in plan.specs:
        for delegate in plan.subjects.delegates[spec.name] if spec.role != "evidence" else ():
            for scenario in plan.subjects.scenarios:
                if not plan.runs(spec.name, delegate) or scenario.key not in wanted.scenarios:
                    continue
                search = _Search(spec, delegate, scenario, wanted)
                clean = grid.get(search.cell(0))
                if clean is not None and clean.status == "ok" and wanted.metric not in clean.metrics:
                    continue  # a metric of another task
                for severity in (0, *plan.subjects.severities):
                    cell = search.cell(severity)
                    search.saw(severity, grid.get(cell), state.samples.get((cell, wanted.metric)))
                yield search


def _measured(
    session: Session,
    state: State,
    asked: Sequence[tuple[_Search, float]],
    truths: Truths,
) -> dict[Cell, CellEvaluation | str]:
    """Measure and evaluate the cells of a round; of those that cannot be, why."""
    plan = state.plan
    units = {
        search.cell(severity): units_at(plan, search.spec, search.delegate, search.scenario, severity)
        for search, severity in asked
    }
    failures = measure_units(session, plan, [unit for mine in units.values() for unit in mine])
    found: dict[Cell, CellEvaluation | str] = {}
    tasks: list[CellTask] = []
    for cell, mine in units.items():
        failed = next((failures[unit.resume_key] for unit in mine if unit.resume_key in failures), None)
        if failed is not None:
            found[cell] = failed.strip().splitlines()[-1]
            continue
        task = task_of_cell(session, state, cell, mine, truths)
        tasks.append(task if session.executor.sees([session.folder]) else task.with_predictions())
    for outcome in session.executor.map(carry_out, [Job(timed_evaluation, task) for task in tasks]):
        if outcome.died:
            (outcome,) = run_isolated(carry_out, [outcome.item], timeout_s=UNIT_TIMEOUT_S)
        cell = outcome.item.argument.cell
        found[cell] = outcome.error.strip().splitlines()[-1] if outcome.error is not None else outcome.result[0]
        session.progress.done()
    return found
