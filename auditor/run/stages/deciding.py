"""Decide gates on as few images as that takes: cells are measured look by look, and stop when no open gate needs
them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.betting import drop_of_all, mean_of_all
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.robustness import clean_name
from auditor.evaluate.sequential import error_of, looks_of, whole_interval
from auditor.judge.gates import Subject, limit_of, subjects_of
from auditor.run.forecast import INFERENCES, begin, inferences
from auditor.run.session import Session, State
from auditor.run.stages.evaluating import Evaluating, failed_cell
from auditor.run.stages.measuring import measure_units
from auditor.run.stages.partial import Part, interim, laid_out
from auditor.store import has_unit, load_unit_times
from auditor.values import CLEAN, MEASURED_METRICS, OVER_SCENARIOS, Cell, CellResult, Decision, ImageRecord, Rule, Unit

__all__ = ["decide_gates"]

_RATIO = OVER_SCENARIOS[-1]
"""A metric that compares cells of the same images, as a drop does."""
_NOT_NEEDED = "not measured: no gate that was still open needed it"


def decide_gates(session: Session, state: State) -> State:
    """Measure cells on a growing part of a random order of images, until every gate is decided: its value on all images
    lies on one side of the limit, with the error that the audit allows over all gates and looks."""
    return _Deciding(session, state).decided()


@dataclass
class _Target:
    """One value that a rule looks at: what it was at each look, and how it was decided."""

    rule: Rule
    where: str
    before: float | None = None
    decision: Decision | None = None


class _Deciding:
    """The looks of one audit."""

    def __init__(self, session: Session, state: State) -> None:
        self._session, self._state = session, state
        decide = session.config.decide
        self._error = decide.error if decide is not None else 0.0
        self._cells = list(dict(state.plan.cells()))
        rng = np.random.default_rng([20261127, state.plan.subjects.seed])
        self._order = {
            name: [dataset.images[index] for index in rng.permutation(len(dataset.images))]
            for name, dataset in state.plan.datasets.items()
        }
        self._units: dict[Cell, list[Unit]] = {cell: [] for cell in self._cells}
        self._found: dict[Cell, CellEvaluation] = {}
        self._lost: dict[Cell, CellResult] = {}
        self._targets: dict[tuple[int, str], _Target] = {}
        self._closed: set[int] = set()
        self._needs: dict[int, set[Cell]] = {
            number: set(self._of_rule(rule)) for number, rule in enumerate(state.rules)
        }

    def decided(self) -> State:
        """Look until no gate is open, and put together what is known."""
        largest = max((len(images) for images in self._order.values()), default=0)
        looks = looks_of(largest) if largest else []
        for look in range(len(looks)):
            needed = [cell for cell in self._cells if any(cell in self._needs[rule] for rule in self._open())]
            if not needed:
                break
            self._look(needed, looks[look] / largest)
            self._decide(look, looks)
        return self._concluded()

    def _open(self) -> list[int]:
        return [number for number in range(len(self._state.rules)) if number not in self._closed]

    def _of_rule(self, rule: Rule) -> Iterator[Cell]:
        """The cells that a rule may look at, with those that it compares them with; none where it looks at speeds."""
        if rule.metric in MEASURED_METRICS:
            return
        over_all = rule.metric in OVER_SCENARIOS or any(
            rule.metric == clean_name(name) for name in {self._primary(cell) for cell in self._cells}
        )
        wanted = {
            key: value for key, value in rule.selectors.items() if not (over_all and key in ("scenario", "severity"))
        }
        for cell in self._cells:
            if _is_selected(cell, wanted):
                yield cell
                if rule.kind == "max_drop":
                    yield from self._references(rule, cell)

    def _references(self, rule: Rule, cell: Cell) -> Iterator[Cell]:
        for other in self._cells:
            if rule.against == CLEAN:
                if (other.file, other.delegate, other.scenario) == (cell.file, cell.delegate, CLEAN):
                    yield other
            elif (other.model, other.quantization, other.scenario, other.severity) == (
                cell.model,
                rule.against,
                cell.scenario,
                cell.severity,
            ):
                yield other

    def _primary(self, cell: Cell) -> str:
        return failed_cell(self._state.plan, cell, "").judged_by

    def _images(self, cell: Cell, share: float) -> Sequence[ImageRecord]:
        """The images of a cell at a look: the same share of every data set."""
        order = self._order[self._state.plan.subjects.spec(cell.file).dataset]
        return order[: max(1, round(share * len(order)))]

    def _look(self, needed: Sequence[Cell], share: float) -> None:
        """Measure and evaluate cells on a larger part of their images."""
        session, plan = self._session, self._state.plan
        added: dict[str, Unit] = {}
        for cell in needed:
            images = self._images(cell, share)
            known = sum(len(unit.images) for unit in self._units[cell])
            for unit in laid_out(plan, cell, images[known:]):
                self._units[cell].append(unit)
                added[unit.resume_key] = unit
        fresh = [unit for unit in added.values() if session.fresh or not has_unit(session.folder, unit.resume_key)]
        of = sum(map(inferences, fresh))
        begin(session, self._state, "measuring", of=of, what=INFERENCES, share=of / max(1, self._whole()))
        parts = {cell: Part(tuple(self._units[cell]), self._images(cell, share)) for cell in needed}
        evaluating = Evaluating(session, self._state, parts)
        failures = measure_units(
            session,
            plan,
            list(added.values()),
            done=session.progress.done,
            following=evaluating,
            there={unit.resume_key for part in parts.values() for unit in part.units},
        )
        self._found |= evaluating.found
        for cell in needed:
            lost = [failures[unit.resume_key] for unit in self._units[cell] if unit.resume_key in failures]
            if lost:
                self._lost[cell] = failed_cell(plan, cell, lost[0])
        for stage, seconds in load_unit_times(session.folder, [key for key in added if key not in failures]).items():
            session.stopwatch.add(stage, seconds)

    def _whole(self) -> int:
        return sum(map(inferences, self._state.plan.units))

    def _decide(self, look: int, looks: Sequence[int]) -> None:
        """Decide what can be decided at a look, and close the gates of which a value is beyond or all are within."""
        rules = self._state.rules
        result = interim(self._session, self._state, self._results(complete=False))
        subjects = {number: list(filter(_has_value, subjects_of(result, rules[number]))) for number in self._open()}
        known = {(number, subject.label) for number, found in subjects.items() for subject in found}
        share = self._error / max(1, len(known | self._targets.keys()))
        errors = error_of(look, list(looks), share), share
        for number, found in subjects.items():
            for subject in found:
                target = self._targets.setdefault((number, subject.label), _Target(rules[number], subject.label))
                if target.decision is None:
                    self._decide_target(target, subject, last=look == len(looks) - 1, errors=errors)
            mine = [target.decision for (of, _), target in self._targets.items() if of == number]
            within = bool(found) and all(decision is not None for decision in mine)
            if within or any(decision is not None and not decision.holds for decision in mine):
                self._closed.add(number)
            elif found:
                self._needs[number] = self._still_needed(number)

    def _still_needed(self, number: int) -> set[Cell]:
        """The cells of a rule's values that are open, with those that they are compared with."""
        rule, targets = self._state.rules[number], self._targets
        done = {where for (of, where), target in targets.items() if of == number and target.decision is not None}
        kept = {cell for cell in self._needs[number] if str(cell) not in done}
        if rule.kind == "max_drop":
            selected = {cell for cell in kept if _is_selected(cell, rule.selectors)}
            kept = selected | {other for cell in selected for other in self._references(rule, cell)}
        return kept

    def _decide_target(self, target: _Target, subject: Subject, *, last: bool, errors: tuple[float, float]) -> None:
        """Decide a value, if the interval that it has on all images lies on one side; `errors` are what this look may
        spend, and what all looks may."""
        rule, value = target.rule, (subject.metric.value if subject.metric is not None else None) or 0.0
        limit, _ = limit_of(rule, subject)
        if limit is None:
            return
        cells = self._cells_of(rule, subject)
        images = max((self._found[cell].result.images for cell in cells if cell in self._found), default=0)
        of = max((len(self._order[self._state.plan.subjects.spec(cell.file).dataset]) for cell in cells), default=0)
        margin = limit - value if rule.kind == "max" else value - limit
        found = self._interval(rule, subject, cells, margin, target.before, (images, of), errors)
        target.before = margin
        if last or images >= of:
            found = (margin, margin)
        if found is not None and (found[0] >= 0 or found[1] < 0):
            sign = -1.0 if rule.kind == "max" else 1.0
            ends = sorted((limit + sign * found[0], limit + sign * found[1]))
            target.decision = Decision(
                rule, subject.label, found[0] >= 0, value, limit, (ends[0], ends[1]), images=images, of=of
            )

    def _cells_of(self, rule: Rule, subject: Subject) -> list[Cell]:
        """The cells that a value is made of."""
        if "scenario" in subject.cell:
            mine = [cell for cell in self._found if str(cell) == subject.label]
            return [*mine, *(subject.reference.key for _ in mine[:1] if subject.reference is not None)]
        return [cell for cell in self._found if all(getattr(cell, key) == value for key, value in subject.cell.items())]

    def _interval(
        self,
        rule: Rule,
        subject: Subject,
        cells: Sequence[Cell],
        margin: float,
        before: float | None,
        sizes: tuple[int, int],
        errors: tuple[float, float],
    ) -> tuple[float, float] | None:
        """The interval of the margin on all images; None where it cannot be told from a part of them."""
        images, of = sizes
        found = [self._found[cell] for cell in cells if cell in self._found]
        if len(found) != len(cells) or len({item.result.images for item in found}) > 1:
            return None
        sign = -1.0 if rule.kind == "max" else 1.0
        if "scenario" in subject.cell and all(rule.metric in item.means for item in found):
            seen = [self._in_order(item, rule.metric) for item in found]
            if rule.kind == "max_drop":
                low, high = drop_of_all(seen[0], seen[-1], of=of, error=2 * errors[1])
                return low + rule.limit, high + rule.limit
            limit = limit_of(rule, subject)[0] or 0.0
            low, high = mean_of_all(seen[0], of=of, error=2 * errors[1])
            ends = sorted((sign * (low - limit), sign * (high - limit)))
            return ends[0], ends[1]
        samples, paired = sign * _samples(rule, subject, found), rule.kind == "max_drop" or rule.metric == _RATIO
        return whole_interval(margin, samples, before=before, images=images, of=of, error=errors[0], paired=paired)

    def _in_order(self, found: CellEvaluation, metric: str) -> NDArray[np.float64]:
        """The values of images in the order in which they were drawn."""
        cell = found.result.key
        by_image = dict(zip(found.images, found.means[metric].tolist(), strict=True))
        order = self._order[self._state.plan.subjects.spec(cell.file).dataset]
        return np.array([by_image[record.id] for record in order if record.id in by_image])

    def _results(self, *, complete: bool) -> list[CellResult]:
        """The cells as they are known; `complete`: those too that no gate needed."""
        results = []
        for cell in self._cells:
            if cell in self._lost:
                results.append(self._lost[cell])
            elif cell in self._found:
                results.append(self._marked(self._found[cell].result))
            elif complete:
                nothing = failed_cell(self._state.plan, cell, _NOT_NEEDED)
                results.append(dataclasses.replace(nothing, status="skipped", cause="decided"))
        return results

    def _marked(self, result: CellResult) -> CellResult:
        whole = len(self._order[self._state.plan.subjects.spec(result.file).dataset])
        looked = sum(len(unit.images) for unit in self._units[result.key])
        return dataclasses.replace(result, of_images=whole) if looked < whole else result

    def _concluded(self) -> State:
        evaluations = {
            cell: dataclasses.replace(found, result=self._marked(found.result)) for cell, found in self._found.items()
        }
        evaluating = Evaluating(self._session, self._state, {})
        state = evaluating.concluded_from(self._state, self._results(complete=True), evaluations)
        decisions = tuple(target.decision for _, target in sorted(self._targets.items()) if target.decision is not None)
        units = {cell: tuple(units) for cell, units in self._units.items() if units}
        return dataclasses.replace(state, decisions=decisions, units=units)


def _is_selected(cell: Cell, wanted: Mapping[str, str | int | float]) -> bool:
    for key, value in wanted.items():
        known = {
            "model": (cell.model, cell.file),
            "scenario": (cell.scenario, cell.pack),
        }.get(key, (getattr(cell, key),))
        if value not in known:
            return False
    return True


def _has_value(subject: Subject) -> bool:
    return subject.metric is not None and subject.metric.value is not None


def _samples(rule: Rule, subject: Subject, found: Sequence[CellEvaluation]) -> NDArray[np.float64]:
    """The value that a rule looks at, less what it is a drop from, on every resample; empty where it has none."""
    none = np.zeros(0)
    if "scenario" in subject.cell:
        parts = [item.samples.get(rule.metric, none) for item in found]
        if any(not part.size for part in parts):
            return none
        return parts[0] - parts[1] if rule.kind == "max_drop" and len(parts) > 1 else parts[0]
    primaries = {item.result.key: item.primary_samples for item in found}
    if any(not part.size for part in primaries.values()):
        return none
    clean = next((part for cell, part in primaries.items() if cell.is_clean), none)
    if rule.metric not in OVER_SCENARIOS:
        return clean
    scenarios: dict[str, list[NDArray[np.float64]]] = {}
    for cell, part in primaries.items():
        if not cell.is_clean:
            scenarios.setdefault(cell.scenario, []).append(part)
    if not scenarios or not clean.size:
        return none
    mean = np.mean([np.mean(parts, axis=0) for parts in scenarios.values()], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(mean if rule.metric == OVER_SCENARIOS[0] else mean / clean)
