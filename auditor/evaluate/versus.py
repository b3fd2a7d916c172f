"""A run beside its baseline, cell by cell: paired where both are of the same images, and only where they are
comparable."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.discovery import DISCOVERY, discoveries, p_of
from auditor.evaluate.intervals import FIXED, class_aware, expanded, quantile_of
from auditor.values import (
    AuditResult,
    Cell,
    CellResult,
    ComparedCells,
    Comparison,
    DatasetRecord,
    Difference,
    Latency,
    MetricValue,
    ModelRecord,
    RunLabel,
    ScenarioRecord,
    yaml_flow,
)

__all__ = ["Pair", "Run", "compare_runs", "differences_of", "label_of_run", "pairs_of"]

_WIDE = 2 * 1.959964
"""A 95 % interval is so many standard errors wide."""
_PIXELS = ("albumentations", "opencv-python-headless", "numpy", "ai-edge-litert")
"""Libraries of other versions may give other pixels or scores."""

Samples = Mapping[tuple[Cell, str], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Run:
    """A result, and the metrics of its cells on every resample, as far as they are kept."""

    result: AuditResult
    samples: Samples = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A cell of the run and the same one of the baseline; why they are not comparable, or why they are not of the same
    images."""

    cell: CellResult
    before: CellResult
    reason: str | None = None
    unpaired: str | None = None


def label_of_run(result: AuditResult) -> RunLabel:
    """Which run a result is of."""
    source = result.provenance.source
    commit = source.commit if source is not None else None
    return RunLabel(result.name, result.provenance.finished, result.provenance.auditor, commit)


def pairs_of(baseline: AuditResult, run: AuditResult) -> Iterator[Pair]:
    """Each cell of the run that the baseline has too. Families go by name, and levels; where each run has one family
    alone these are one, whatever they are called, and where each has one file alone so are its levels."""
    names = _aliases(baseline, run)
    before = {_key(cell, names): cell for cell in baseline.cells if cell.is_declared}
    for cell in run.cells:
        other = before.get(_key(cell, {})) if cell.is_declared else None
        if other is not None:
            yield Pair(cell, other, _why_not(baseline, run, other, cell), _why_unpaired(baseline, run, other, cell))


def _key(cell: Cell, names: Mapping[str, str]) -> tuple[str, str, str, str, str, float]:
    model, level = names.get(cell.model, cell.model), names.get(f"level {cell.quantization}", cell.quantization)
    return model, level, cell.delegate, cell.device, cell.scenario, cell.severity


def _aliases(baseline: AuditResult, run: AuditResult) -> dict[str, str]:
    """What the baseline's only family, and only level, is called in the run."""
    found = {}
    before, after = ({cell.model for cell in result.cells if cell.is_declared} for result in (baseline, run))
    if len(before) == len(after) == 1:
        found[before.pop()] = after.pop()
        old, new = ({cell.quantization for cell in result.cells if cell.is_declared} for result in (baseline, run))
        if len(old) == len(new) == 1:
            found[f"level {old.pop()}"] = new.pop()
    return found


def _model(result: AuditResult, cell: CellResult) -> ModelRecord | None:
    return result.model(cell.file)


def _dataset(result: AuditResult, cell: CellResult) -> DatasetRecord | None:
    model = _model(result, cell)
    return result.datasets.get(model.dataset) if model is not None else None


def _why_not(baseline: AuditResult, run: AuditResult, before: CellResult, after: CellResult) -> str | None:
    """Why two cells cannot be compared."""
    for called, cell in (("baseline", before), ("run", after)):
        if cell.status != "ok":
            return f"the cell {cell.status} in the {called}"
        if cell.of_images is not None:
            return f"in the {called} it is of {cell.images} of {cell.of_images} images"
    data = _other_data(baseline, run, before, after)
    if data is not None:
        return data
    if run.plan.evaluation != baseline.plan.evaluation:
        return "settings: `evaluation:` is another"
    if after.is_clean:
        return None
    if run.provenance.seed != baseline.provenance.seed:
        return f"seed: {baseline.provenance.seed} became {run.provenance.seed}, so the corruptions are others"
    old, new = (
        next((scenario for scenario in result.plan.scenarios if scenario.key == after.scenario), None)
        for result in (baseline, run)
    )
    return None if old is None or new is None else _other_pixels(old, new)


def _other_pixels(old: ScenarioRecord, new: ScenarioRecord) -> str | None:
    """Why two scenarios of one name are not one: by their contents, or, in results of before 2.6, by what is known."""
    known = old.sha256 is not None and new.sha256 is not None
    if old.sha256 == new.sha256 if known else old == new:
        return None
    if old.version != new.version:
        return f"pack: {new.key} is of version {new.version}, was {old.version}"
    if (old.knobs, old.transforms) != (new.knobs, new.transforms):
        return f"pack: {new.key} has other knobs or transforms under one version"
    return f"pack: {new.key} names other code or other pictures under one version" if known else None


def _other_data(baseline: AuditResult, run: AuditResult, before: CellResult, after: CellResult) -> str | None:
    """Why two cells are not judged by the same truth."""
    mine, theirs = _model(run, after), _model(baseline, before)
    if mine is not None and theirs is not None and set(mine.classes_judged) != set(theirs.classes_judged):
        apart = sorted(set(mine.classes_judged) ^ set(theirs.classes_judged))
        return f"data: other classes are judged ({', '.join(apart[:3])}{'…' if len(apart) > 3 else ''})"
    here, there = _dataset(run, after), _dataset(baseline, before)
    if here is not None and there is not None and here.is_labelled != there.is_labelled:
        return f"data: the {'run' if there.is_labelled else 'baseline'} has no truth"
    if here is not None and there is not None and here.fingerprint != there.fingerprint and _same_images(here, there):
        return "data: the same images have other truth"
    return None


def _same_images(here: DatasetRecord, there: DatasetRecord) -> bool:
    """Whether both are of the same contents; results of before 2.4 only say images and truth in one."""
    if here.contents and there.contents:
        return here.contents == there.contents
    return bool(here.fingerprint) and here.fingerprint == there.fingerprint


def _why_unpaired(baseline: AuditResult, run: AuditResult, before: CellResult, after: CellResult) -> str | None:
    here, there = _dataset(run, after), _dataset(baseline, before)
    if here is None or there is None or not _same_images(here, there):
        return "not the same images"
    if before.images != after.images:
        return "other images could be read"
    if run.provenance.seed != baseline.provenance.seed:
        return "other seeds, so other resamples"
    return None


def compare_runs(baseline: Run, run: Run, *, least: float = 0.0) -> Comparison:
    """Compare each cell that both have by the metrics that decide, and tell which differences are real: at most a share
    of `DISCOVERY` of those called so is not. One that is smaller than `least` is called the same."""
    pairs = list(pairs_of(baseline.result, run.result))
    found = [differences_of(pair, baseline, run) for pair in pairs]
    tested = [(i, j) for i, all_of in enumerate(found) for j, item in enumerate(all_of) if item.p is not None]
    called = discoveries([found[i][j].p or 0.0 for i, j in tested])
    for (i, j), real in zip(tested, called.tolist(), strict=True):
        item = found[i][j]
        if real and abs(item.gain) > least:
            found[i][j] = dataclasses.replace(item, outcome="better" if item.gain > 0 else "worse")
    cells = [_compared(pair, found[index], run.result) for index, pair in enumerate(pairs)]
    order = {"worse": 0, "better": 1, "same": 2, "not comparable": 3}
    cells.sort(key=lambda cell: (order[cell.outcome], min((item.gain for item in cell.deciding), default=0.0)))
    keys = {(pair.cell.key, pair.before.key) for pair in pairs}
    mine, theirs = {key for key, _ in keys}, {key for _, key in keys}
    return Comparison(
        baseline=label_of_run(baseline.result),
        run=label_of_run(run.result),
        cells=tuple(cells),
        discovery=DISCOVERY,
        notes=tuple(_notes(baseline.result, run.result, pairs)),
        only_before=tuple(str(c.key) for c in baseline.result.cells if c.is_declared and c.key not in theirs),
        only_after=tuple(str(c.key) for c in run.result.cells if c.is_declared and c.key not in mine),
        latency_ms=_both(_latencies(baseline.result), _latencies(run.result)),
        file_bytes=_both(_sizes(baseline.result), _sizes(run.result)),
    )


def differences_of(pair: Pair, baseline: Run, run: Run) -> list[Difference]:
    """The metrics that both cells have a value of, but for single classes and differences."""
    if pair.reason is not None:
        return []
    found = []
    for name, after in pair.cell.metrics.items():
        before = pair.before.metrics.get(name)
        if before is None or "/" in name or "_minus_" in name:
            continue
        found.append(_difference(pair, before, after, (baseline.samples, run.samples)))
    return found


def _difference(pair: Pair, before: MetricValue, after: MetricValue, samples: tuple[Samples, Samples]) -> Difference:
    name, better = after.name, after.higher_is_better
    if before.value is None or after.value is None:
        reason = after.reason if after.value is None else before.reason
        return Difference(name, before.value, after.value, "not comparable", higher_is_better=better, reason=reason)
    value = after.value - before.value
    common = Difference(name, before.value, after.value, "same", value=value, higher_is_better=better)
    apart = _apart(pair, name, samples)
    if apart is not None and np.isfinite(apart).all():
        images = pair.cell.independent
        fixed = _apart(pair, f"{name}{FIXED}", samples)
        if fixed is not None and np.isfinite(fixed).all():
            between = class_aware(value, apart, fixed, images=images, bounds=None)
        else:
            between = expanded(apart[:, np.newaxis], images=images)[0]
        if between is not None:
            error = (between[1] - between[0]) / 2 / quantile_of(images)
            return dataclasses.replace(common, interval=between, p=p_of(value, error), paired=True)
    known = any(key == pair.cell.key for key, _ in samples[1]) and any(key == pair.before.key for key, _ in samples[0])
    if before.interval is None or after.interval is None or (known and pair.unpaired is None):
        return common  # of the same images, and yet not known on their resamples: nothing is said of chance
    errors = ((item.interval[1] - item.interval[0]) / _WIDE for item in (before, after) if item.interval is not None)
    error = math.hypot(*errors)
    half = _WIDE / 2 * error
    return dataclasses.replace(common, interval=(value - half, value + half), p=p_of(value, error))


def _apart(pair: Pair, name: str, samples: tuple[Samples, Samples]) -> NDArray[np.float64] | None:
    """The difference on each resample; None where the cells are not of the same ones."""
    before, after = samples[0].get((pair.before.key, name)), samples[1].get((pair.cell.key, name))
    if before is None or after is None or pair.unpaired is not None or before.shape != after.shape:
        return None
    return np.asarray(after - before)


def _compared(pair: Pair, found: Sequence[Difference], run: AuditResult) -> ComparedCells:
    """A cell is worse where any metric that decides is, else better where any is."""
    model = _model(run, pair.cell)
    names = model.judging.decided_by if model is not None else ()
    names = names or (pair.cell.judged_by,)
    deciding = tuple(item for item in found if item.metric in names)
    others = tuple(item for item in found if item.metric not in names)
    outcomes = {item.outcome for item in deciding}
    common = {"cell": pair.cell.key, "before": pair.before.key, "deciding": deciding, "others": others}
    for outcome in ("worse", "better", "same"):
        if outcome in outcomes:
            return ComparedCells(outcome=outcome, reason=pair.unpaired, **common)  # type: ignore[arg-type]
    reason = pair.reason or next((item.reason for item in deciding if item.reason), "it has no metric to compare by")
    return ComparedCells(outcome="not comparable", reason=reason, **common)  # type: ignore[arg-type]


def _notes(baseline: AuditResult, run: AuditResult, pairs: Sequence[Pair]) -> Iterator[str]:
    """What is not alike, beside what was to be compared."""
    others = {pair.cell.scenario: pair.reason for pair in pairs if pair.reason is not None and not pair.cell.is_clean}
    for reason in sorted({reason for reason in others.values() if reason.startswith("pack: ")}):
        yield f"not compared, since the pictures are others: {reason.removeprefix('pack: ')}"
    unpaired = {pair.unpaired for pair in pairs if pair.unpaired is not None and pair.reason is None}
    for reason in sorted(unpaired):
        yield f"unpaired, so with wider intervals: {reason}"
    for name in _PIXELS:
        old, new = (result.provenance.versions.get(name) for result in (baseline, run))
        if old != new and old is not None and new is not None:
            yield f"{name} {old} became {new}: pixels or scores may differ by that"
    old_machine, new_machine = baseline.provenance.machine, run.provenance.machine
    if old_machine != new_machine:
        yield f"measured on {new_machine.processor}, before on {old_machine.processor}: times are not comparable"
    before = {point.model: point.thresholds for point in baseline.operating_points}
    for point in run.operating_points:
        old_point = before.get(point.model)
        if old_point is not None and old_point != point.thresholds:
            held, before_held = yaml_flow(point.thresholds.document), yaml_flow(old_point.document)
            yield f"{point.model} is held at {held}, before at {before_held}"


def _latencies(result: AuditResult) -> dict[str, float]:
    return {
        f"{found.model} ({found.delegate}, {found.device}, {found.threads} threads)": found.value.p50
        for found in result.measurements
        if isinstance(found.value, Latency)
    }


def _sizes(result: AuditResult) -> dict[str, int]:
    return {model.name: model.size_bytes for model in result.models}


T = TypeVar("T")


def _both(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, tuple[T, T]]:
    return {name: (before[name], value) for name, value in after.items() if name in before}
