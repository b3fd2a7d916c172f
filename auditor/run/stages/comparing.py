"""Is each model fed, and read, as it was trained? Other input contracts and readings, measured beside the declared
one."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence

import numpy as np

from auditor.evaluate.comparison import compare_with_declared, error_of_look, is_hopeless, may_be_worth, undecided
from auditor.evaluate.evaluated import CellEvaluation
from auditor.plan import Entry, lay_out
from auditor.resolve.image_sets import first_images
from auditor.resolve.variants import InputVariant, combined, input_variants, readings
from auditor.run.forecast import begin
from auditor.run.session import Session, State
from auditor.run.stages.looking import Looking, Together
from auditor.run.stages.looks import Candidate, Looked, Subject
from auditor.run.stages.measuring import measure_units
from auditor.run.stages.remembering import keep, recalled
from auditor.store import has_unit, load_predictions
from auditor.tasks.anatomy.cells import task_of
from auditor.values import (
    DECLARED,
    ENOUGH_TO_CALIBRATE,
    MISCALIBRATED,
    WORTH,
    CellResult,
    Compared,
    Gain,
    ImageRecord,
    MetricValue,
    Unit,
    surest,
)

__all__ = ["compare_inputs"]

_TELLING = 4
"""Images on which variants that feed the same tensors are told."""
_FEW = (10, 20)
"""Images after which what is hopeless is dropped."""
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
    if not options:
        return state
    leaders = [_subject(session, state, entry) for entry in state.plan.subjects.entries if entry.leads]
    subjects = {subject.spec.name: subject for subject in leaders if subject is not None}
    found = {name: recalled(session, state, subject, options.images) for name, subject in subjects.items()}
    fresh = {
        name: _Comparison(session, state, subject).cells(options.images)
        for name, subject in subjects.items()
        if found[name] is None
    }
    for name, cells in _side_by_side(session, state, fresh).items():
        keep(session, state, subjects[name], options.images, cells)
        found[name] = cells
    every = [cell for name in subjects for cell in found[name] or ()]
    return dataclasses.replace(state, cells=(*state.cells, *every))


def _side_by_side(
    session: Session, state: State, comparisons: Mapping[str, Generator[Looking, None, list[CellResult]]]
) -> dict[str, list[CellResult]]:
    """Carry out comparisons look by look, those of all models in one queue; the cells of each."""
    found: dict[str, list[CellResult]] = {}
    while len(found) < len(comparisons):
        looks: dict[str, Looking] = {}
        for name, comparison in comparisons.items():
            if name not in found:
                try:
                    looks[name] = next(comparison)
                except StopIteration as end:
                    found[name] = end.value
        if looks:
            every = Together(looks)
            share = sum(look.share for look in looks.values()) / len(comparisons)
            begin(session, state, "comparing inputs", of=every.of, what="alternatives", share=share)
            measure_units(session, state.plan, every.units, following=every, there=every.there)
    return found


def _subject(session: Session, state: State, entry: Entry) -> Subject | None:
    """Collect what the clean cell of an entry's model said; None where it was not measured."""
    plan = state.plan
    spec = plan.subjects.float_level(entry)
    if not plan.datasets[spec.dataset].is_labelled:
        return None
    if spec.keeps_state:
        session.progress.say(f"{spec.name} keeps its state, so its input is not compared with others on single images")
        return None
    if spec.input.tiles is not None:
        session.progress.say(f"{spec.name} is fed in tiles, so its input is not compared with others on whole images")
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
    """One model's comparison as it grows: the candidates so far, the units that measure their inputs and which of them
    were looked at, what each was found to be by the number of images, and on how many it was looked at last."""

    def __init__(self, session: Session, state: State, subject: Subject) -> None:
        self._session, self._state, self._subject = session, state, subject
        self._dataset = state.plan.datasets[subject.spec.dataset]
        self._readings = readings(subject.spec, self._dataset.categories)
        self._units: dict[str, list[Unit]] = {}
        self._there: set[str] = set()
        self._candidates = [Candidate()]
        self._done: dict[tuple[str, int], CellEvaluation] = {}
        self._last: dict[str, int] = {}

    def cells(self, first: int) -> Generator[Looking, None, list[CellResult]]:
        """Screen what is one change away on a few images, look at what is left on `first` images, then on twice as
        many, until nothing that matters may be chance; go on from what is surely better, until nothing else is. What is
        to be looked at next is yielded, and was looked at when this goes on."""
        count = len(self._subject.images)
        sizes = [min(first, count)]
        while sizes[-1] < count:
            sizes.append(min(2 * sizes[-1], count))
        look, base = 1, self._candidates[0]
        for _ in range(_STEPS):
            look, better = yield from self._step(base, sizes, look)
            if better is None:
                break
            base = better
            self._session.progress.say(f"{self._subject.spec.name}: {base.name} is better; looking on from there")
        if base.name == DECLARED:
            yield from self._confidence(sizes)
        found: list[CellResult] = []
        others = self._candidates[1:]
        for size in sorted(set(self._last.values())):
            last = sizes.index(size) + 1 if size in sizes else 1
            mine = [item for item in others if self._last.get(item.name) == size]
            values = self._values(self._candidates[0], mine, size, error_of_look(last, len(sizes)))
            found += [
                _cell(self._done[item.name, size].result, value, item.compared(len(others), chosen=item is base))
                for item, value in zip(mine, values, strict=True)
                if (item.name, size) in self._done and (DECLARED, size) in self._done
            ]
        place = {item.name: index for index, item in enumerate(others)}
        return sorted(found, key=lambda cell: place[cell.key.input])

    def _step(
        self, base: Candidate, sizes: Sequence[int], look: int
    ) -> Generator[Looking, None, tuple[int, Candidate | None]]:
        """Compare all that is one change from `base` with it, beginning with that look; the last look that it took, and
        what is surely better: one of these, or else the best two together."""
        near = self._near(base)
        self._candidates += near
        left = yield from self._screened(base, near, sizes[look - 1])
        values: list[MetricValue] = []
        for number in range(look, len(sizes) + 1):
            look, size, error = number, sizes[number - 1], error_of_look(number, len(sizes))
            yield from self._look([base, *left], size)
            values = self._values(base, left, size, error)
            if not undecided(values):
                break
            if number < len(sizes):  # what can no longer be worth having is decided
                left = [item for item, value in zip(left, values, strict=True) if may_be_worth(value)]
        better = _surest(base, left, values)
        if better is not None or base.name != DECLARED:
            return look, better
        pairs = self._pairs(near)
        if not pairs:
            return look, None
        self._candidates += pairs
        size = sizes[look - 1]
        every = [*left, *(yield from self._screened(base, pairs, size))]
        yield from self._look([base, *every], size)
        return look, _surest(base, every, self._values(base, every, size, error_of_look(look, len(sizes))))

    def _confidence(self, sizes: Sequence[int]) -> Generator[Looking]:
        """Where a model's confidence is far from its accuracy, look at what is as accurate on images enough to tell
        whether its confidence is nearer: what is only fed on another scale may have the same accuracy."""
        name = task_of(self._subject.spec.task).calibration
        size = next((size for size in sizes if size >= ENOUGH_TO_CALIBRATE), None)
        if name is None or size is None:
            return
        alike = [item for item in self._candidates[1:] if item.kind == "input" and self._gain(item) > -WORTH]
        yield from self._look([], size)
        error = self._done[DECLARED, size].result.metrics.get(name) if (DECLARED, size) in self._done else None
        if error is not None and (error.value or 0.0) >= MISCALIBRATED:
            yield from self._look(alike, size)

    def _screened(
        self, base: Candidate, near: Sequence[Candidate], size: int
    ) -> Generator[Looking, None, list[Candidate]]:
        """What may be worth having after the first few images, where a look has many more."""
        left = list(near)
        for few in _FEW:
            if size < 2 * few or not left:
                break
            yield from self._look([base, *left], few)
            mine = self._done.get((base.name, few))
            if mine is None:
                break
            found = [(item, self._done.get((item.name, few))) for item in left]
            left = [item for item, other in found if other is not None and not is_hopeless(mine, other)]
        return left

    def _near(self, base: Candidate) -> list[Candidate]:
        """What is one change from `base` and was not tried: another input, or another reading."""
        told = first_images(self._dataset)[:_TELLING]
        fed = [base.fed(variant) for variant in input_variants(self._subject.spec, told, base=base.variant)]
        read = [base.read(reading) for reading in self._readings]
        tried = {candidate.name for candidate in self._candidates}
        return [candidate for candidate in (*fed, *read) if candidate.name not in tried]

    def _look(self, candidates: Sequence[Candidate], size: int) -> Generator[Looking]:
        """Measure and evaluate candidates, and the declared one, on the first `size` images, each as soon as it is
        measured."""
        images = self._subject.images[:size]
        wanted = dict.fromkeys([DECLARED, *(item.name for item in candidates)])
        todo = [item for item in self._candidates if item.name in wanted and (item.name, size) not in self._done]
        units = {item.name: self._units_of(item.variant, images) if item.variant is not None else [] for item in todo}
        self._last |= {item.name: size for item in todo}
        session, seed = self._session, self._state.plan.subjects.seed
        looked = Looked(self._subject, self._dataset, session.folder, seed, todo, self._units, self._readings)
        looking = Looking(session, looked, images, units, there=self._there)
        yield looking
        self._there |= {unit.resume_key for found in units.values() for unit in found}
        self._done |= {(name, size): found for name, found in looking.found.items()}

    def _values(self, base: Candidate, others: Sequence[Candidate], size: int, error: float) -> list[MetricValue]:
        """How each differs from `base` on the first `size` images; undefined where it could not be evaluated."""
        there = [candidate for candidate in others if (candidate.name, size) in self._done]
        found: dict[str, MetricValue] = {}
        if (base.name, size) in self._done:
            values = compare_with_declared(
                self._done[base.name, size], [self._done[candidate.name, size] for candidate in there], error=error
            )
            found = {candidate.name: value for candidate, value in zip(there, values, strict=True)}
        absent = MetricValue(DECLARED, None, reason="it could not be evaluated")
        return [found.get(candidate.name, absent) for candidate in others]

    def _units_of(self, variant: InputVariant, images: Sequence[ImageRecord]) -> list[Unit]:
        """The units that measure a variant on `images`, laid out in the order in which they were first asked for."""
        known = self._units.setdefault(variant.name, [])
        measured = sum(len(unit.images) for unit in known)
        spec = variant.spec
        running = {spec.name: [self._subject.delegate]}
        rest = {spec.dataset: images[measured:]}
        known += lay_out(self._state.plan.subjects, [spec], (), running, rest)
        return known

    def _pairs(self, near: Sequence[Candidate]) -> list[Candidate]:
        """Two changes of the declared model at once, where no one is better: the two best inputs of different factors,
        where two factors have one that seems better at all; of a model that finds next to nothing, every input with
        every reading, since what is fed and read wrongly is mended by neither alone."""
        best: dict[tuple[str, ...], Candidate] = {}
        gains = [self._gain(item) for item in near]
        for gain, item in sorted(zip(gains, near, strict=True), key=lambda found: -found[0]):
            if gain > 0 and item.variant is not None:
                best.setdefault(item.factors, item)
        fed = [item.variant for item in best.values() if item.variant is not None][:2]
        pairs = [Candidate(combined(self._subject.spec, *fed))] if len(fed) == 2 else []
        value = self._done[DECLARED, self._last[DECLARED]].result.value
        least = task_of(self._subject.spec.task).broken_below
        if value is not None and least is not None and value < least:
            coarse = [item for item in near if item.variant is not None and set(item.factors) <= _COARSE]
            pairs += [item.read(reading) for item in coarse for reading in self._readings]
            labels, boxes = ([r for r in self._readings if r.kind == kind] for kind in ("labels", "boxes"))
            pairs += [Candidate().read(one).read(other) for one in labels for other in boxes]
        return pairs

    def _gain(self, item: Candidate) -> float:
        """What a candidate gains over the declared model on the images that it was looked at last."""
        size = self._last.get(item.name, 0)
        mine, theirs = self._done.get((DECLARED, size)), self._done.get((item.name, size))
        values = [found.result.value if found is not None else None for found in (theirs, mine)]
        return 0.0 if None in values else (values[0] or 0.0) - (values[1] or 0.0)


def _surest(base: Candidate, others: Sequence[Candidate], values: Sequence[MetricValue]) -> Candidate | None:
    """Which candidate is surely better than `base`, and worth what it changes of it."""
    changes = [len(set(item.factors) - {*base.factors}) for item in others]
    found = surest([Gain.of(value, changes=count) for value, count in zip(values, changes, strict=True)])
    return None if found is None else others[found]


def _cell(result: CellResult, value: MetricValue, compared: Compared) -> CellResult:
    metrics = {name: metric for name, metric in result.metrics.items() if "/" not in name}
    return dataclasses.replace(result, metrics={**metrics, value.name: value}, compared=compared)
