"""Is each model fed, and read, as it was trained? Other input contracts and readings, measured beside the declared
one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from auditor.evaluate.comparison import compare_with_declared, error_of_look, undecided
from auditor.evaluate.evaluated import CellEvaluation
from auditor.plan import Entry, lay_out
from auditor.resolve.image_sets import first_images
from auditor.resolve.variants import InputVariant, combined, input_variants, readings
from auditor.run.forecast import ALTERNATIVES, begin
from auditor.run.session import Session, State
from auditor.run.stages.evaluating import timed_evaluation
from auditor.run.stages.looks import Candidate, Looked, Subject
from auditor.run.stages.measuring import measure_units
from auditor.store import has_unit, load_predictions
from auditor.tasks.anatomy.cells import task_of
from auditor.values import DECLARED, CellResult, Compared, Gain, ImageRecord, MetricValue, Unit, surest

__all__ = ["compare_inputs"]

_TELLING = 4
"""Images on which variants that feed the same tensors are told."""
_COARSE = {"color", "range", "resize"}
"""What of an input makes a model find next to nothing."""
_STEPS = 6
"""More changes in a row than there are factors and readings would be going in circles."""


def compare_inputs(session: Session, state: State) -> State:
    """Measure each family's declared model fed otherwise, and read its predictions otherwise, on as many clean images
    as it takes; one cell for each, with its difference from the declared one.

    Sampling begins with the images that `checks: input_contract` says and is doubled, up to the whole set, while a
    difference that would be worth having may be chance. What is surely better is gone on from, until nothing else is;
    where no one change is, the best changes of two factors are measured together.
    """
    options = session.config.checks.input_contract
    cells: list[CellResult] = []
    for entry in state.plan.subjects.entries if options else ():
        subject = _subject(session, state, entry) if entry.leads else None
        if subject is not None and options:
            cells += _Comparison(session, state, subject).cells(options.images)
    return dataclasses.replace(state, cells=(*state.cells, *cells))


def _subject(session: Session, state: State, entry: Entry) -> Subject | None:
    """Collect what the clean cell of an entry's model said; None where it was not measured."""
    plan = state.plan
    spec = plan.subjects.float_level(entry)
    if spec.keeps_state:
        session.progress.say(f"{spec.name} keeps its state, so its input is not compared with others on single images")
        return None
    delegate = plan.subjects.delegates[spec.name][0]
    key = spec.name, delegate.name
    clean = next((units for cell, units in plan.cells() if (cell.file, cell.delegate) == key and cell.is_clean), ())
    keys = [unit.resume_key for unit in clean]
    if not keys or not all(has_unit(session.folder, key) for key in keys):
        return None
    found = load_predictions(session.folder, keys, file=spec.key, delegate=delegate.name, severity=0)
    declared = {item.image_id: item for item in found}
    if any(item.error and item.scope != "image" for item in declared.values()):
        return None
    images = [record for unit in clean for record in unit.images if declared[record.id].error is None]
    drawn = np.random.default_rng(plan.subjects.seed).permutation(len(images))
    return Subject(spec, delegate, declared, tuple(images[index] for index in drawn)) if images else None


class _Comparison:
    """One model's comparison as it grows: the candidates so far, and the units that measure their inputs."""

    def __init__(self, session: Session, state: State, subject: Subject) -> None:
        self._session, self._state, self._subject = session, state, subject
        self._dataset = state.plan.datasets[subject.spec.dataset]
        self._readings = readings(subject.spec, self._dataset.categories)
        self._units: dict[str, list[Unit]] = {}
        self._candidates = [Candidate()]
        self._done: dict[str, CellEvaluation] = {}

    def cells(self, first: int) -> list[CellResult]:
        """Look at `first` images, then at twice as many, until nothing that matters may be chance; go on from what is
        surely better, until nothing else is."""
        count = len(self._subject.images)
        sizes = [min(first, count)]
        while sizes[-1] < count:
            sizes.append(min(2 * sizes[-1], count))
        look, base = 1, self._candidates[0]
        for _ in range(_STEPS):
            look, better = self._step(base, sizes, look)
            if better is None:
                break
            base = better
            self._session.progress.say(f"{self._subject.spec.name}: {base.name} is better; looking on from there")
        if DECLARED not in self._done:
            return []
        others = self._candidates[1:]
        found = [candidate for candidate in others if candidate.name in self._done]
        values = self._values(self._candidates[0], found, error_of_look(look, len(sizes)))
        return [
            _cell(self._done[item.name].result, value, item.compared(len(values), chosen=item is base))
            for item, value in zip(found, values, strict=True)
        ]

    def _step(self, base: Candidate, sizes: Sequence[int], look: int) -> tuple[int, Candidate | None]:
        """Compare all that is one change from `base` with it, beginning with that look; the last look that it took, and
        what is surely better: one of these, or else the best two together."""
        near = self._near(base)
        self._candidates += near
        for number in range(look, len(sizes) + 1):
            look, error = number, error_of_look(number, len(sizes))
            self._look(sizes[number - 1])
            values = self._values(base, near, error)
            if not undecided(values):
                break
        better = _surest(base, near, values)
        if better is not None or base.name != DECLARED:
            return look, better
        pairs = self._pairs(near, values)
        if not pairs:
            return look, None
        self._candidates += pairs
        self._look(sizes[look - 1])
        every = [*near, *pairs]
        return look, _surest(base, every, self._values(base, every, error))

    def _near(self, base: Candidate) -> list[Candidate]:
        """What is one change from `base` and was not tried: another input, or another reading."""
        told = first_images(self._dataset)[:_TELLING]
        fed = [base.fed(variant) for variant in input_variants(self._subject.spec, told, base=base.variant)]
        read = [base.read(reading) for reading in self._readings]
        tried = {candidate.name for candidate in self._candidates}
        return [candidate for candidate in (*fed, *read) if candidate.name not in tried]

    def _look(self, size: int) -> None:
        """Measure and evaluate everything on the first `size` images that was not yet."""
        images = self._subject.images[:size]
        if any(done.result.images != len(images) for done in self._done.values()):
            self._done = {}
        todo = [candidate for candidate in self._candidates if candidate.name not in self._done]
        variants = {item.variant.name: item.variant for item in todo if item.variant is not None}
        units = [unit for variant in variants.values() for unit in self._added_units(variant, images)]
        session, plan = self._session, self._state.plan
        begin(
            session,
            self._state,
            "comparing inputs",
            of=sum(item.name != DECLARED for item in todo),
            what=f"alternatives for {self._subject.spec.name}, on {len(images)} images",
            share=len(todo) / ALTERNATIVES,
        )
        measure_units(session, plan, units)
        looked = Looked(
            self._subject,
            self._dataset,
            session.folder,
            plan.subjects.seed,
            todo,
            self._units,
            self._readings,
        )
        for outcome in session.executor.map(timed_evaluation, looked.cells(images), ahead=session.executor.jobs):
            if outcome.error is None:
                evaluation, spent = outcome.result
                self._done[evaluation.result.input] = evaluation
                session.stopwatch.add("evaluate", spent)
            session.progress.done(int(outcome.item.cell.input != DECLARED))

    def _values(self, base: Candidate, others: Sequence[Candidate], error: float) -> list[MetricValue]:
        """How each differs from `base`; undefined where it could not be evaluated."""
        there = [candidate for candidate in others if candidate.name in self._done]
        found: dict[str, MetricValue] = {}
        if base.name in self._done:
            values = compare_with_declared(
                self._done[base.name], [self._done[candidate.name] for candidate in there], error=error
            )
            found = {candidate.name: value for candidate, value in zip(there, values, strict=True)}
        absent = MetricValue(DECLARED, None, reason="it could not be evaluated")
        return [found.get(candidate.name, absent) for candidate in others]

    def _added_units(self, variant: InputVariant, images: Sequence[ImageRecord]) -> list[Unit]:
        """The units of images that a variant was not laid out for yet."""
        known = self._units.setdefault(variant.name, [])
        measured = sum(len(unit.images) for unit in known)
        spec = variant.spec
        running = {spec.name: [self._subject.delegate]}
        rest = {spec.dataset: images[measured:]}
        added = list(lay_out(self._state.plan.subjects, [spec], (), running, rest))
        known += added
        return added

    def _pairs(self, near: Sequence[Candidate], values: Sequence[MetricValue]) -> list[Candidate]:
        """Two changes of the declared model at once, where no one is better: the two best inputs of different factors,
        where two factors have one that seems better at all; of a model that finds next to nothing, every input with
        every reading, since what is fed and read wrongly is mended by neither alone."""
        best: dict[tuple[str, ...], Candidate] = {}
        gains = [value.value or 0.0 for value in values]
        for gain, item in sorted(zip(gains, near, strict=True), key=lambda found: -found[0]):
            if gain > 0 and item.variant is not None:
                best.setdefault(item.factors, item)
        fed = [item.variant for item in best.values() if item.variant is not None][:2]
        pairs = [Candidate(combined(self._subject.spec, *fed))] if len(fed) == 2 else []
        value, least = self._done[DECLARED].result.value, task_of(self._subject.spec.task).broken_below
        if value is not None and least is not None and value < least:
            coarse = [item for item in near if item.variant is not None and set(item.factors) <= _COARSE]
            pairs += [item.read(reading) for item in coarse for reading in self._readings]
            labels, boxes = ([r for r in self._readings if r.kind == kind] for kind in ("labels", "boxes"))
            pairs += [Candidate().read(one).read(other) for one in labels for other in boxes]
        return pairs


def _surest(base: Candidate, others: Sequence[Candidate], values: Sequence[MetricValue]) -> Candidate | None:
    """Which candidate is surely better than `base`, and worth what it changes of it."""
    changes = [len(set(item.factors) - {*base.factors}) for item in others]
    found = surest([Gain.of(value, changes=count) for value, count in zip(values, changes, strict=True)])
    return None if found is None else others[found]


def _cell(result: CellResult, value: MetricValue, compared: Compared) -> CellResult:
    metrics = {name: metric for name, metric in result.metrics.items() if "/" not in name}
    return dataclasses.replace(result, metrics={**metrics, value.name: value}, compared=compared)
