"""The quantization levels of an audit: those that it asks for, the remedies, and where a losing level's error
arises."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from auditor.executors import run_isolated
from auditor.judge.quantization import breaks_in_head, loses
from auditor.measure.layers import LayersRequest, measure_layers
from auditor.models.graph import load_graph
from auditor.models.keras import PARENT
from auditor.models.resolve import MADE
from auditor.plan import Plan, first_images
from auditor.quantize import FLOAT_HEAD, FLOAT_MORE, LevelRequest, leaves_integers, make_levels
from auditor.run.measuring import UNIT_TIMEOUT_S
from auditor.run.progress import Progress
from auditor.values import CellResult, ModelSpec, ScenarioSpec

__all__ = ["float_level", "with_layers", "with_levels", "with_remedies"]


def with_levels(plan: Plan, folder: Path, progress: Progress) -> Plan:
    """Make the quantization levels that the audit asks for, and plan them beside their sources."""
    requests = []
    for spec, model in zip(plan.specs, plan.config.models, strict=True):
        wanted = model.quantize.levels if model.quantize else ()
        if spec.quantization == PARENT:  # what is deployed begins with its conversion, and losses are told from it
            wanted = ("float32", *wanted)
        io = model.quantize.io if model.quantize else "float32"
        requests += [
            LevelRequest(spec, level, str(folder / "models"), plan.calibration.get(spec.name, ()), io)
            for level in dict.fromkeys(wanted)
            if level != spec.quantization
        ]
    return _planned(plan, requests, progress)


def with_remedies(plan: Plan, folder: Path, progress: Progress) -> Plan:
    """Where an int8 level that was made here breaks in its output head, make the level that keeps the head in float;
    and to tell whether more float would help, one that keeps more, measured on clean images alone."""
    made = {spec.name: spec for spec in plan.specs}
    requests = []
    for spec, model in zip(plan.specs, plan.config.models, strict=False):
        broken = made.get(f"{spec.name}_int8")
        if model.quantize is not None and broken is not None and breaks_in_head(broken.diagnosis):
            source = dataclasses.replace(float_level(plan, spec), name=spec.name)
            requests += [
                LevelRequest(source, level, str(folder / "models"), plan.calibration[spec.name], model.quantize.io)
                for level in (FLOAT_HEAD, *([FLOAT_MORE] if leaves_integers(load_graph(Path(source.path))) else []))
            ]
    plan = _planned(plan, [request for request in requests if request.level == FLOAT_HEAD], progress)
    return _planned(plan, [request for request in requests if request.level == FLOAT_MORE], progress, scenarios=())


def float_level(plan: Plan, spec: ModelSpec) -> ModelSpec:
    """The float32 `.tflite` file of a source: itself, or its conversion where the source is a parent."""
    converted = next((other for other in plan.specs if other.name == f"{spec.name}_float32"), None)
    return spec if spec.quantization != PARENT or converted is None else converted


def with_layers(plan: Plan, cells: Sequence[CellResult], progress: Progress) -> Plan:
    """Compare the tensors of each made level that loses too much with its source's, to say where the error arises."""
    sources = {
        model.name: float_level(plan, spec)
        for spec, model in zip(plan.specs, plan.config.models, strict=False)
        if model.quantize is not None
    }
    limit = plan.config.checks.quantization
    losing = {cell.cell.file for cell in cells if limit and loses(cell, limit.max_loss)}
    requests = [
        LayersRequest(spec, sources[spec.model], first_images(plan.datasets[spec.dataset]))
        for spec in plan.specs
        if spec.name in losing
        and spec.model in sources
        and spec.path != sources[spec.model].path
        and spec.sources["quantization"].startswith(MADE)
    ]
    facts = {}
    for outcome in run_isolated(measure_layers, requests, timeout_s=UNIT_TIMEOUT_S):
        name = outcome.item.spec.name
        if outcome.error is not None:
            progress.say(f"the tensors of {name} could not be compared: {outcome.error.strip().splitlines()[-1]}")
        else:
            facts[name] = outcome.result
    specs = [dataclasses.replace(spec, diagnosis={**spec.diagnosis, **facts.get(spec.name, {})}) for spec in plan.specs]
    return dataclasses.replace(plan, specs=tuple(specs))


def _planned(
    plan: Plan,
    requests: Sequence[LevelRequest],
    progress: Progress,
    *,
    scenarios: tuple[ScenarioSpec, ...] | None = None,
) -> Plan:
    if not requests:
        return plan
    images = {name: first_images(dataset) for name, dataset in plan.datasets.items()}
    made = make_levels(requests, images=images, say=progress.say)
    return plan.extended(
        [level.spec for level in made if level.spec is not None],
        [
            (level.request.spec, level.request.level, level.reason)
            for level in made
            if level.reason is not None and level.request.level != FLOAT_MORE
        ],
        scenarios=scenarios,
    )
