"""How the operating point of each family is chosen, held against what the family is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from auditor.config import AuditConfig, ModelConfig, nearest
from auditor.datasets.dataset import Dataset
from auditor.datasets.shared_classes import ClassMatch, normal_name
from auditor.resolve.entries import where_is
from auditor.tasks.anatomy.cells import task_of
from auditor.values import ModelSpec, PointChoice, Thresholds
from auditor.values.levels import GRAPH_LEVELS, PARENT, REMEDIES

__all__ = ["points_of"]


def points_of(
    config: AuditConfig,
    datasets: Mapping[str, Dataset],
    specs: Sequence[ModelSpec],
    matches: Mapping[str, ClassMatch],
    problems: list[str],
) -> dict[str, PointChoice]:
    """By family how its threshold is chosen, classes spelt as its data set does; adds to `problems` what cannot be."""
    points = {}
    for spec in specs:
        if spec.dataset not in datasets:
            continue
        model = next(entry for entry in config.models if entry.name == spec.name)
        given = model.operating_point
        where = where_is(config, spec.name, "operating_point")
        if model.variant_of is not None:
            if given is not None:
                problems.append(
                    f"{where}: {spec.name} is a variant of {model.variant_of}, whose operating point holds for all its "
                    f"levels; write it there, with `levels: {{{spec.quantization}: …}}` for a threshold of this one"
                )
            continue
        if not task_of(spec.task).has_point:
            if given is not None:
                problems.append(
                    f"{where}: {spec.name} is a model for {spec.task}, which has no operating point; leave it out"
                )
            continue
        choice = given.value if given is not None else PointChoice()
        if spec.name in matches:
            choice, wrong = _spelt(choice, matches[spec.name].judged)
            problems += [f"{where}: {text}" for text in wrong]
        problems += [f"{where}: {text}" for text in _contradictions(choice, spec, _family(config, model, specs))]
        if not datasets[spec.dataset].is_labelled and choice.thresholds is None:
            problems.append(
                f"{where}: there is no truth to choose a threshold of {spec.name} by: write the one that you deploy, "
                "`operating_point: {threshold: 0.35}`"
            )
        if datasets[spec.dataset].block > 1 and choice.confidence is not None:
            problems.append(
                f"{where}: a recall with `confidence` asks for images that are independent, and the frames of a clip "
                "are not; choose it on a data set of images, or leave `confidence` out"
            )
        points[spec.model] = choice
    return points


def _family(config: AuditConfig, leader: ModelConfig, specs: Sequence[ModelSpec]) -> set[str]:
    """The levels of a family, as far as they are known."""
    members = [model for model in config.models if leader.name in (model.name, model.variant_of)]
    names = {model.name for model in members}
    return {spec.quantization for spec in specs if spec.name in names} | {
        level for model in members for level in model.made_levels
    }


def _contradictions(choice: PointChoice, spec: ModelSpec, levels: set[str]) -> Iterator[str]:
    known = {*levels, *REMEDIES}
    for level in choice.levels:
        if level not in known:
            hint = nearest(level, sorted(levels))
            yield f"{'this family has no' if level in {*GRAPH_LEVELS, PARENT} else 'unknown'} level {level!r}; {hint}"
    floor = spec.postprocess.score_floor
    for given in (choice.thresholds, *choice.levels.values()):
        scores = [] if given is None else [*given.by_class.values(), *([] if given.others is None else [given.others])]
        if any(score < floor for score in scores):
            yield (
                f"a threshold of {min(scores):g} is below `postprocess: {{score_floor: {floor:g}}}`, below which "
                "detections are not kept; lower that too, or raise the threshold"
            )


def _spelt(choice: PointChoice, judged: Sequence[str]) -> tuple[PointChoice, list[str]]:
    """A choice with classes as the data set spells them; and which classes there are not."""
    names = {normal_name(name): name for name in judged}
    wrong: dict[str, None] = {}

    def spelt(given: Thresholds) -> Thresholds:
        for name in given.by_class:
            if normal_name(name) not in names:
                keys = "threshold, precision, recall, fppi, iou, fps and levels"
                wrong[f"no class {name!r} is judged (nor is it one of the keys {keys}); {nearest(name, judged)}"] = None
        return Thresholds(given.others, {names.get(normal_name(name), name): v for name, v in given.by_class.items()})

    return (
        dataclasses.replace(
            choice,
            thresholds=None if choice.thresholds is None else spelt(choice.thresholds),
            levels={level: spelt(given) for level, given in choice.levels.items()},
        ),
        list(wrong),
    )
