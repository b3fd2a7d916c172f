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
from auditor.run.session import Session, State
from auditor.run.stages.evaluating import timed_evaluation
from auditor.run.stages.looks import Looked, Subject
from auditor.run.stages.measuring import measure_units
from auditor.store import has_unit, load_predictions
from auditor.tasks.anatomy.task import Reading
from auditor.values import DECLARED, CellResult, Compared, ImageRecord, MetricValue, Unit

__all__ = ["compare_inputs"]

_TELLING = 4
"""Images on which variants that feed the same tensors are told."""


def compare_inputs(session: Session, state: State) -> State:
    """Measure each family's declared model fed otherwise, and read its predictions otherwise, on as many clean images
    as it takes; one cell for each, with its difference from the declared one.

    Sampling begins with the images that `checks: input_contract` says and is doubled, up to the whole set, while a
    difference that would be worth having may be chance. The best changes of two factors are then measured together.
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
    """One model's comparison as it grows: the variants and readings, and the units that measure the variants so far."""

    def __init__(self, session: Session, state: State, subject: Subject) -> None:
        self._session, self._state, self._subject = session, state, subject
        spec = subject.spec
        self._dataset = state.plan.datasets[spec.dataset]
        self._variants = input_variants(spec, first_images(self._dataset)[:_TELLING])
        self._readings = readings(spec, self._dataset.categories)
        self._units: dict[str, list[Unit]] = {}

    def cells(self, first: int) -> list[CellResult]:
        """Look at `first` images, then at twice as many, until nothing that matters may be chance; then at the best
        pair."""
        count = len(self._subject.images)
        sizes = [min(first, count)]
        while sizes[-1] < count:
            sizes.append(min(2 * sizes[-1], count))
        for look, size in enumerate(sizes, start=1):
            error = error_of_look(look, len(sizes))
            results = self._look(size, error)
            if not undecided([value for _, value in results]):
                break
        pair = self._best_pair(results)
        if pair is not None:
            self._variants.append(pair)
            results = self._look(size, error)
        changes = {variant.name: _of_variant(variant, len(results)) for variant in self._variants}
        changes |= {reading.name: _of_reading(reading, len(results)) for reading in self._readings}
        return [_cell(result, value, changes[result.input]) for result, value in results]

    def _look(self, size: int, error: float) -> list[tuple[CellResult, MetricValue]]:
        """Measure and evaluate everything on the first `size` images."""
        images = self._subject.images[:size]
        units = [unit for variant in self._variants for unit in self._added_units(variant, images)]
        measure_units(self._session, self._state.plan, units)
        done: dict[str, CellEvaluation] = {}
        executor = self._session.executor
        for outcome in executor.map(timed_evaluation, self._looked().cells(images), ahead=executor.jobs):
            if outcome.error is None:
                evaluation, spent = outcome.result
                done[evaluation.result.input] = evaluation
                self._session.stopwatch.add("evaluate", spent)
        named = [*(variant.name for variant in self._variants), *(reading.name for reading in self._readings)]
        names = [name for name in named if name in done]
        if DECLARED not in done:
            return []
        values = compare_with_declared(done[DECLARED], [done[name] for name in names], error=error)
        return list(zip([done[name].result for name in names], values, strict=True))

    def _looked(self) -> Looked:
        session, plan = self._session, self._state.plan
        return Looked(
            self._subject,
            self._dataset,
            session.folder,
            plan.subjects.seed,
            self._variants,
            self._readings,
            self._units,
        )

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

    def _best_pair(self, results: Sequence[tuple[CellResult, MetricValue]]) -> InputVariant | None:
        """The two best changes of different factors, where two factors have one that seems better at all."""
        gains = {result.input: value.value for result, value in results if value.value is not None and value.value > 0}
        best: dict[tuple[str, ...], InputVariant] = {}
        for variant in sorted(self._variants, key=lambda variant: -gains.get(variant.name, 0.0)):
            if variant.name in gains:
                best.setdefault(variant.factors, variant)
        return combined(self._subject.spec, *list(best.values())[:2]) if len(best) > 1 else None


def _of_variant(variant: InputVariant, comparisons: int) -> Compared:
    return Compared("input", variant.factors, variant.patch, comparisons, contract=variant.spec.input)


def _of_reading(reading: Reading, comparisons: int) -> Compared:
    return Compared(reading.kind, (reading.kind,), reading.patch, comparisons)


def _cell(result: CellResult, value: MetricValue, compared: Compared) -> CellResult:
    metrics = {name: metric for name, metric in result.metrics.items() if "/" not in name}
    return dataclasses.replace(result, metrics={**metrics, value.name: value}, compared=compared)
