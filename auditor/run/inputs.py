"""Is each model fed, and read, as it was trained? Other input contracts and readings, measured beside the declared
one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor.datasets.classes import match_classes
from auditor.datasets.images import read_record
from auditor.evaluate.cells import CellEvaluation, CellTask, restrict_truth
from auditor.evaluate.comparison import compare_with_declared, error_of_look, undecided
from auditor.executors import Executor
from auditor.models.variants import InputVariant, Reading, combined, input_variants, readings, reread
from auditor.plan import Plan, delegates_of, first_images, units_of
from auditor.run.evaluating import timed_evaluation
from auditor.run.levels import float_level
from auditor.run.measuring import measure
from auditor.run.progress import Progress
from auditor.store import ImagePrediction, has_unit, load_predictions
from auditor.values import CLEAN, Cell, CellResult, Detections, ImageRecord, InputContract, MetricValue, ModelSpec, Unit

__all__ = ["compare_inputs"]

_TELLING = 4
"""Images on which variants that feed the same tensors are told."""


@dataclasses.dataclass
class _Comparison:
    """One model's comparison as it grows: `images` in their drawn order, units measured so far, and how to work."""

    plan: Plan
    spec: ModelSpec
    delegate: str
    folder: Path
    images: list[ImageRecord]
    declared: Mapping[int, ImagePrediction]
    units: dict[str, list[Unit]]
    run: Callable[[Sequence[Unit], Iterable[CellTask]], dict[str, CellEvaluation]]

    def task(
        self,
        name: str,
        labels: Sequence[str | None],
        offset: int,
        predictions: Sequence[ImagePrediction],
        images: Sequence[ImageRecord],
        judged: Sequence[str],
    ) -> CellTask:
        """What evaluating one input or reading needs."""
        dataset = self.plan.datasets[self.spec.dataset]
        to_category = match_classes(labels, dataset.categories).to_category
        names = [None if index is None else dataset.categories[index] for index in to_category]
        truth = {record.id: dataset.truth[record.id] for record in images}
        return CellTask(
            cell=Cell(self.spec.model, self.spec.name, self.spec.quantization, self.delegate, CLEAN, 0, input=name),
            truth=restrict_truth(
                truth, {dataset.categories.index(category): index for index, category in enumerate(judged)}
            ),
            judged=tuple(judged),
            to_judged=tuple(judged.index(category) if category in judged else None for category in names),
            label_offset=offset,
            predictions=tuple(predictions),
            seed=self.plan.config.seed,
            task=self.spec.task,
        )


def compare_inputs(
    plan: Plan, folder: Path, runner: Executor, progress: Progress, *, fresh: bool, seconds: dict[str, float]
) -> list[CellResult]:
    """Measure each family's declared model fed otherwise, and read its predictions otherwise, on as many clean images
    as it takes; one cell for each, with its difference from the declared one.

    Sampling begins with the images that `checks: input_contract` says and is doubled, up to the whole set, while a
    difference that would be worth having may be chance. The best changes of two factors are then measured together.
    """
    options = plan.config.checks.input_contract
    if not options:
        return []
    cells: list[CellResult] = []
    for spec, model in zip(plan.specs, plan.config.models, strict=False):
        if model.variant_of is None:
            comparison = _begin(plan, float_level(plan, spec), folder, runner, progress, fresh=fresh, seconds=seconds)
            if comparison is not None:
                cells += _compare(comparison, options.images)
    return cells


def _begin(
    plan: Plan,
    spec: ModelSpec,
    folder: Path,
    runner: Executor,
    progress: Progress,
    *,
    fresh: bool,
    seconds: dict[str, float],
) -> _Comparison | None:
    """Collect what the clean cell of a model said; None where it was not measured."""
    delegate = delegates_of(plan.config, spec)[0]
    clean = next(
        (
            units
            for cell, units in plan.cells()
            if (cell.file, cell.delegate, cell.scenario) == (spec.name, delegate, CLEAN)
        ),
        (),
    )
    keys = [unit.resume_key for unit in clean]
    if not keys or not all(has_unit(folder, key) for key in keys):
        return None
    declared = {
        item.image_id: item for item in load_predictions(folder, keys, file=spec.key, delegate=delegate, severity=0)
    }
    if any(item.error and item.scope != "image" for item in declared.values()):
        return None
    images = [record for unit in clean for record in unit.images if declared[record.id].error is None]
    drawn = np.random.default_rng(plan.config.seed).permutation(len(images))

    def run(units: Sequence[Unit], tasks: Iterable[CellTask]) -> dict[str, CellEvaluation]:
        measure(dataclasses.replace(plan, units=tuple(units)), folder, runner, progress, fresh=fresh, seconds=seconds)
        done = {}
        for outcome in runner.map(timed_evaluation, tasks, ahead=runner.jobs):
            if outcome.error is None:
                evaluation, spent = outcome.result
                done[evaluation.result.cell.input] = evaluation
                seconds["evaluate"] = seconds.get("evaluate", 0.0) + spent
        return done

    return (
        _Comparison(plan, spec, delegate, folder, [images[index] for index in drawn], declared, {}, run)
        if images
        else None
    )


def _compare(comparison: _Comparison, first: int) -> list[CellResult]:
    spec, count = comparison.spec, len(comparison.images)
    dataset = comparison.plan.datasets[spec.dataset]
    variants = input_variants(spec, first_images(dataset)[:_TELLING])
    others = readings(spec, dataset.categories)
    sizes = [min(first, count)]
    while sizes[-1] < count:
        sizes.append(min(2 * sizes[-1], count))
    for look, size in enumerate(sizes, start=1):
        error = error_of_look(look, len(sizes))
        results = _look(comparison, variants, others, size, error)
        if not undecided([value for _, value in results]):
            break
    pair = _best_pair(spec, variants, results)
    if pair is not None:
        variants.append(pair)
        results = _look(comparison, variants, others, size, error)
    facts: dict[str, dict[str, Any]] = {
        variant.name: {
            "kind": "input",
            "factor": variant.factor,
            "yaml": variant.yaml,
            "contract": _plain(variant.spec.input),
        }
        for variant in variants
    }
    facts |= {reading.name: {"kind": reading.kind, "factor": reading.kind, "yaml": reading.yaml} for reading in others}
    return [_cell(result, value, facts[result.cell.input] | {"compared": len(results)}) for result, value in results]


def _look(
    comparison: _Comparison, variants: Sequence[InputVariant], others: Sequence[Reading], size: int, error: float
) -> list[tuple[CellResult, MetricValue]]:
    """Measure and evaluate everything on the first `size` images."""
    spec, plan = comparison.spec, comparison.plan
    dataset, images = plan.datasets[spec.dataset], comparison.images[:size]
    config = plan.config.model_copy(update={"delegates": (comparison.delegate,)})
    units: list[Unit] = []
    for variant in variants:
        mine = comparison.units.setdefault(variant.name, [])
        measured = sum(len(unit.images) for unit in mine)
        rest = {spec.dataset: dataclasses.replace(dataset, images=tuple(images[measured:]))}
        added = list(units_of(config, rest, [variant.spec], (), ()))
        mine += added
        units += added
    done = comparison.run(units, _tasks(comparison, variants, others, images))
    names = [
        name
        for name in (*(variant.name for variant in variants), *(reading.name for reading in others))
        if name in done
    ]
    if "declared" not in done:
        return []
    values = compare_with_declared(done["declared"], [done[name] for name in names], error=error)
    return list(zip([done[name].result for name in names], values, strict=True))


def _tasks(
    comparison: _Comparison, variants: Sequence[InputVariant], others: Sequence[Reading], images: Sequence[ImageRecord]
) -> Iterator[CellTask]:
    """What is evaluated on the same images, over the classes that any reading knows; predictions are loaded one cell at
    a time."""
    spec = comparison.spec
    dataset = comparison.plan.datasets[spec.dataset]
    offset = int(spec.decoder_options.get("label_offset", 0))
    lists = [spec.labels, *(reading.labels for reading in others)]
    known = {category for labels in lists for category in match_classes(labels, dataset.categories).judged}
    judged = [category for category in dataset.categories if category in known]
    said = [comparison.declared[record.id] for record in images]
    yield comparison.task("declared", spec.labels, offset, said, images, judged)
    for variant in variants:
        keys = [
            unit.resume_key for unit in comparison.units[variant.name] if has_unit(comparison.folder, unit.resume_key)
        ]
        found = list(
            load_predictions(comparison.folder, keys, file=variant.spec.key, delegate=comparison.delegate, severity=0)
        )
        yield comparison.task(variant.name, spec.labels, offset, found, images, judged)
    for reading in others:
        seen = said
        if reading.kind == "boxes":
            seen = [_reread(item, reading, spec, record) for item, record in zip(said, images, strict=True)]
        yield comparison.task(reading.name, reading.labels, reading.label_offset, seen, images, judged)


def _reread(item: ImagePrediction, reading: Reading, spec: ModelSpec, record: ImageRecord) -> ImagePrediction:
    size = record.size
    if size is None:
        image = read_record(record)
        size = (image.shape[1], image.shape[0])
    found = reread(Detections(item.boxes, item.scores, item.labels), reading, spec, size)
    return dataclasses.replace(item, boxes=found.boxes, scores=found.scores, labels=found.labels)


def _best_pair(
    spec: ModelSpec, variants: Sequence[InputVariant], results: Sequence[tuple[CellResult, MetricValue]]
) -> InputVariant | None:
    """The two best changes of different factors, where two factors have one that seems better at all."""
    gains = {result.cell.input: value.value for result, value in results if value.value is not None and value.value > 0}
    best: dict[str, InputVariant] = {}
    for variant in sorted(variants, key=lambda variant: -gains.get(variant.name, 0.0)):
        if variant.name in gains:
            best.setdefault(variant.factor, variant)
    return combined(spec, *list(best.values())[:2]) if len(best) > 1 else None


def _plain(contract: InputContract) -> dict[str, Any]:
    """A contract as `result.json` holds it."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(contract).items()
    }


def _cell(result: CellResult, value: MetricValue, facts: Mapping[str, Any]) -> CellResult:
    metrics = {name: metric for name, metric in result.metrics.items() if "/" not in name}
    return dataclasses.replace(result, metrics={**metrics, value.name: value}, details=dict(facts))
