"""From subjects to what is measured: cells, and ordered units with resume keys. Pure: it reads no file and opens no
model."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch
from auditor.delegate import Delegate
from auditor.provenance import digest
from auditor.values import (
    CLEAN,
    BreakingSearch,
    Cell,
    Evaluation,
    ImageRecord,
    ModelSpec,
    PointChoice,
    ScenarioSpec,
    Unit,
    Verified,
)
from auditor.values.levels import FLOAT32, PARENT

__all__ = ["Entry", "Plan", "Subjects", "lay_out", "make_plan", "measured_fields", "share_of", "units_at"]

SHARD = 8
"""Images of a unit: few enough that a unit takes seconds, enough that its models stay warm."""

_NOT_MEASURED = (
    "path",
    "output_dtypes",
    "sources",
    "made",
    "role",
    "diagnosis",
    "model",
    "quantization",
    "dataset",
    "labels",
)
"""Fields of a spec that change no prediction, nor the name that it is stored under."""

_NOT_SEEN = ("about", "unit", "remedy", "source", "monotone", "folder", "distribution")
"""Fields of a scenario that change no pixel."""


@dataclass(frozen=True)
class Entry:
    """One model of the document: the family's leader or not, the levels that are asked of it with the type of their
    inputs and outputs, and by level the file that was made."""

    name: str
    leads: bool = True
    quantizes: bool = False
    asked: tuple[str, ...] = ()
    io: str = "float32"
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subjects:
    """What an audit is of: `specs` are the files of all entries, the document's first; `delegates` are by file what
    each runs on; `scenarios` are without clean. `versions` and `hashes` (of libraries and of scenarios' functions, by
    name) are what beside these could change a pixel or a score. `points` are by family
    how its operating point is chosen. `unreadable` counts calibration images that cannot be
    read; `timeout_s` is how long an invocation may take."""

    seed: int
    datasets: Mapping[str, Dataset]
    entries: tuple[Entry, ...]
    specs: tuple[ModelSpec, ...]
    matches: Mapping[str, ClassMatch]
    scenarios: tuple[ScenarioSpec, ...]
    severities: tuple[float, ...]
    asked_delegates: tuple[Delegate, ...]
    delegates: Mapping[str, tuple[Delegate, ...]]
    calibration: Mapping[str, tuple[ImageRecord, ...]] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    points: Mapping[str, PointChoice] = field(default_factory=dict)
    breaking: BreakingSearch | None = None
    """The breaking points that are searched."""
    timeout_s: float | None = None

    def spec(self, file: str) -> ModelSpec:
        """The spec of a model file."""
        return next(spec for spec in self.specs if spec.name == file)

    def float_level(self, entry: Entry) -> ModelSpec:
        """The float32 file of an entry: its own, or its conversion where it is a parent."""
        own = self.spec(entry.name)
        if own.quantization != PARENT or FLOAT32 not in entry.levels:
            return own
        return self.spec(entry.levels[FLOAT32])


@dataclass(frozen=True)
class Plan:
    """What an audit will do. `verified` says for each model file and delegate's name how many ops the delegate takes,
    or why it is not measured; `skipped` are levels that cannot be had: (the model they are of, level, reason)."""

    subjects: Subjects
    units: tuple[Unit, ...]
    verified: Mapping[tuple[str, str], Verified]
    skipped: tuple[tuple[ModelSpec, str, str], ...] = ()

    @property
    def fingerprint(self) -> str:
        """What all shards of one audit have in common: everything that is measured, and with what."""
        return digest([unit.resume_key for unit in self.units])

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        return self.subjects.specs

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        return self.subjects.datasets

    def runs(self, file: str, delegate: Delegate) -> bool:
        """Whether a model file runs on a delegate, as far as its first invocation showed."""
        return self.verified.get((file, delegate.name), Verified()).runs

    def timed(self) -> Iterator[tuple[ModelSpec, Delegate]]:
        """The files and delegates whose speed is measured: what a device can run on, but for evidence."""
        for spec in self.specs:
            for delegate in self.subjects.delegates[spec.name] if spec.role != "evidence" else ():
                if delegate.is_deployable and self.runs(spec.name, delegate):
                    yield spec, delegate

    def with_specs(self, changed: Mapping[str, ModelSpec]) -> Plan:
        """Return this plan with other specs of some files, in what it says of them; its units are as they were."""
        specs = tuple(changed.get(spec.name, spec) for spec in self.specs)
        return dataclasses.replace(self, subjects=dataclasses.replace(self.subjects, specs=specs))

    def extended(
        self,
        specs: Sequence[ModelSpec],
        verified: Mapping[tuple[str, str], Verified],
        *,
        skipped: Sequence[tuple[ModelSpec, str, str]] = (),
        on_clean_alone: bool = False,
    ) -> Plan:
        """Return a plan that measures `specs`, made of its entries, beside the others, in units of their own, so that
        no unit changes its key; with all scenarios, or `on_clean_alone`."""
        subjects = self.subjects
        entries = {entry.name: entry for entry in subjects.entries}
        for spec in specs:
            entry = entries[spec.made.parent if spec.made is not None else spec.model]
            levels = {**entry.levels, spec.quantization: spec.name}
            entries[entry.name] = dataclasses.replace(entry, levels=levels)
        asked = subjects.asked_delegates
        grown = dataclasses.replace(
            subjects,
            entries=tuple(entries.values()),
            specs=(*subjects.specs, *specs),
            matches={**subjects.matches, **{spec.name: subjects.matches[spec.model] for spec in specs}},
            delegates={**subjects.delegates, **{spec.name: asked for spec in specs}},
        )
        known = {**self.verified, **verified}
        scenarios = () if on_clean_alone else subjects.scenarios
        units = lay_out(grown, specs, scenarios, _running(grown, known))
        return dataclasses.replace(
            self,
            subjects=grown,
            units=(*self.units, *units),
            verified=known,
            skipped=(*self.skipped, *skipped),
        )

    def cells(self) -> Iterator[tuple[Cell, tuple[Unit, ...]]]:
        """Yield every cell with the units that measure it: models, then clean, then scenarios × severities."""
        by_scenario: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.units:
            for name in dict.fromkeys(spec.name for spec, _ in unit.models):
                by_scenario.setdefault((name, unit.scenario_key), []).append(unit)
        for spec in self.specs:
            for delegate in self.subjects.delegates[spec.name]:
                if not self.runs(spec.name, delegate):
                    continue
                for (name, scenario), units in by_scenario.items():
                    for severity in units[0].severities if name == spec.name else ():
                        cell = Cell(spec.model, spec.name, spec.quantization, delegate.name, scenario, severity)
                        yield cell, tuple(units)

    def unmeasured_cells(self) -> Iterator[tuple[Cell, str, str, str]]:
        """Yield the cells of levels and delegates that cannot be had or that fail, each with `skipped` or `failed`, the
        cause (`level` or `delegate`) and the reason."""
        for spec, level, reason in self.skipped:
            for delegate in self.subjects.asked_delegates:
                for scenario, severity in self._places():
                    cell = Cell(spec.model, f"{spec.name}_{level}", level, delegate.name, scenario, severity)
                    yield cell, "skipped", "level", reason
        for spec in self.specs:
            for delegate in self.subjects.delegates[spec.name]:
                facts = self.verified.get((spec.name, delegate.name), Verified())
                for status in ("skipped", "failed"):
                    reason = getattr(facts, status)
                    for scenario, severity in self._places() if reason is not None else ():
                        cell = Cell(spec.model, spec.name, spec.quantization, delegate.name, scenario, severity)
                        yield cell, status, "delegate", reason

    def _places(self) -> Iterator[tuple[str, float]]:
        yield CLEAN, 0
        for scenario in self.subjects.scenarios:
            for severity in self.subjects.severities:
                yield scenario.key, severity


def make_plan(subjects: Subjects, verified: Mapping[tuple[str, str], Verified]) -> Plan:
    """Lay out the units of everything that runs."""
    units = lay_out(subjects, subjects.specs, subjects.scenarios, _running(subjects, verified))
    return Plan(subjects, tuple(units), verified)


def share_of(plan: Plan, number: int, of: int) -> list[Unit]:
    """The units of shard `number` of so many: consecutive ones, since these share images, and about as many inferences
    as each other's. Every unit is in exactly one shard."""

    def weight(unit: Unit) -> int:
        return len(unit.images) * len(unit.severities) * len(unit.models)

    total, begins, mine = sum(map(weight, plan.units)), 0, []
    for unit in plan.units:
        if int((begins + weight(unit) / 2) * of / total) == number - 1:
            mine.append(unit)
        begins += weight(unit)
    return mine


Pairs = Mapping[str, Sequence[Delegate]]
"""By model file the delegates that it runs on."""


def _running(subjects: Subjects, verified: Mapping[tuple[str, str], Verified]) -> Pairs:
    return {
        file: [delegate for delegate in delegates if verified.get((file, delegate.name), Verified()).runs]
        for file, delegates in subjects.delegates.items()
    }


def lay_out(
    subjects: Subjects,
    specs: Sequence[ModelSpec],
    scenarios: Sequence[ScenarioSpec],
    running: Pairs,
    images: Mapping[str, Sequence[ImageRecord]] | None = None,
) -> Iterator[Unit]:
    """Lay out the units of `specs` shard by shard, clean first, so that an image is read once for all its scenarios; of
    all images of their data sets, or of `images` of each."""
    for name, dataset in subjects.datasets.items():
        models = tuple((spec, on) for spec in specs if spec.dataset == name for on in running[spec.name])
        if not models:
            continue
        every = dataset.images if images is None else tuple(images.get(name, ()))
        size = SHARD
        if any(spec.keeps_state for spec, _ in models):  # a sequence is one, and in the order of its annotations
            place = {image_id: index for index, image_id in enumerate(dataset.listed)}
            every = tuple(sorted(every, key=lambda image: place.get(image.id, image.id)))
            size = max(1, len(every))
        for start in range(0, len(every), size):
            shard = every[start : start + size]
            for scenario in (None, *scenarios):
                severities: tuple[float, ...] = (0,) if scenario is None else subjects.severities
                key = digest(_content(subjects, shard, scenario, severities, models))[:32]
                yield Unit(name, shard, scenario, severities, models, subjects.seed, key, subjects.timeout_s)


def units_at(
    plan: Plan, spec: ModelSpec, delegate: Delegate, scenario: ScenarioSpec, severity: float
) -> tuple[Unit, ...]:
    """The units of one cell that is not of the grid, alone in them, so that what is measured of it is found again
    whatever else an audit has."""
    at_one = dataclasses.replace(plan.subjects, severities=(severity,))
    laid = lay_out(at_one, [spec], [scenario], {spec.name: [delegate]})
    return tuple(unit for unit in laid if unit.scenario is not None)


def _content(
    subjects: Subjects,
    images: Sequence[ImageRecord],
    scenario: ScenarioSpec | None,
    severities: Sequence[float],
    models: Sequence[tuple[ModelSpec, Delegate]],
) -> dict[str, Any]:
    """Everything that could change a pixel or a score of a unit."""
    scenario_fields = None
    if scenario is not None:
        scenario_fields = _without(dataclasses.asdict(scenario), _NOT_SEEN)
    used = {delegate.name for _, delegate in models} | ({scenario.key} if scenario is not None else set())
    return {
        "images": [(image.id, image.sha256, image.size, image.meant.bits, image.meant.exif) for image in images],
        "scenario": scenario_fields,
        "severities": list(severities),
        "models": [
            (measured_fields(spec), delegate.name, delegate.kind, delegate.options) for spec, delegate in models
        ],
        "hashes": {name: value for name, value in subjects.hashes.items() if name in used},
        "seed": subjects.seed,
        "versions": dict(subjects.versions),
    }


def measured_fields(spec: ModelSpec, left_out: Collection[str] = _NOT_MEASURED) -> dict[str, Any]:
    """What of a spec can change a prediction, and the name that its predictions are stored under."""
    return _without(dataclasses.asdict(spec), left_out)


def _without(fields: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in left_out}
