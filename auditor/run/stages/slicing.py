"""Name the parts of a data set on which a model does worse, and what may be missing in the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.dataset import Dataset
from auditor.datasets.describe import describe_images
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.worst_slices import Sliced, worst_slices
from auditor.run.session import Session, State
from auditor.tasks.anatomy.cells import task_of
from auditor.values import Cell, ImageRecord, Slice, Suspect

__all__ = ["find_slices"]

_ERROR = 0.05
_FACTS = {
    "brightness": ("darkest third", "middle", "brightest third"),
    "contrast": ("flattest third", "middle", "most contrast"),
    "sharpness": ("most blurred third", "middle", "sharpest third"),
}
_LOOKED_AT = 2000
"""Images whose pixels are looked at; of more, as many spread evenly."""
_FEW_VALUES = 12
"""A column with more values than these is cut in thirds, where they are numbers."""
_CHUNK = 25


def find_slices(session: Session, state: State) -> State:
    """Hold what each clean cell finds against what its objects and images are: simultaneous over all slices of all
    cells that are tried."""
    plan = state.plan
    cells = {
        cell: found
        for cell, found in state.clean.items()
        if found.counted is not None
        and found.result.status == "ok"
        and plan.datasets[plan.subjects.spec(cell.file).dataset].is_labelled
    }
    if session.config.checks.by_name.get("slices") is False or not cells:
        return state
    names = {plan.subjects.spec(cell.file).dataset for cell in cells}
    by_image = {name: _image_groups(session, plan.datasets[name]) for name in names}
    slices = [found for cell in cells for found in _slices(state, cell, by_image, error=_ERROR / len(cells))]
    return dataclasses.replace(state, slices=tuple(slices), suspects=tuple(_suspects(state, cells)))


_LEAST_BLOCKS = 10
"""Of a shorter clip a slice is a few objects that are seen again and again."""


def _slices(
    state: State, cell: Cell, by_image: Mapping[str, Mapping[str, NDArray[np.str_]]], *, error: float
) -> Iterator[Slice]:
    """The slices of one cell that are worse."""
    found, spec = state.clean[cell], state.plan.subjects.spec(cell.file)
    task, dataset = task_of(spec.task), state.plan.datasets[spec.dataset]
    if task.sliced is None or found.counted is None or (found.result.blocks or _LEAST_BLOCKS) < _LEAST_BLOCKS:
        return
    seen = found.counted.seen
    objects = task.sliced(found, spec, [dataset.images[position] for position in seen.positions.tolist()])
    if objects is None:
        return
    of_images = {name: values[seen.positions][objects.image] for name, values in by_image[spec.dataset].items()}
    whole = Sliced(objects.image, objects.found, {**objects.groups, **of_images})
    yield from worst_slices(cell, whole, seen, error=error)


def _image_groups(session: Session, dataset: Dataset) -> dict[str, NDArray[np.str_]]:
    """Of each image of a data set, by attribute, its group; empty where it is not known."""
    groups = {name: _grouped(values) for name, values in dataset.table.items()}
    steps = np.unique(np.linspace(0, len(dataset.images) - 1, min(_LOOKED_AT, len(dataset.images))).astype(int))
    chosen = [int(step) for step in steps]
    facts: dict[str, dict[int, float]] = {name: {} for name in _FACTS}
    chunks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
    jobs = [[dataset.images[position] for position in chunk] for chunk in chunks]
    looked = {
        outcome.item[0].id: outcome.result for outcome in session.executor.map(_look_at, jobs) if not outcome.error
    }
    for chunk, job in zip(chunks, jobs, strict=True):
        for position, found in zip(chunk, looked.get(job[0].id, ()), strict=False):
            for name in _FACTS:
                if found.get(name):
                    facts[name][position] = found[name][0]
    for name, words in _FACTS.items():
        if len(facts[name]) >= len(words):
            groups[name] = np.full(len(dataset.images), "", dtype=f"<U{max(map(len, words))}")
            places = list(facts[name])
            groups[name][places] = _thirds(np.array([facts[name][place] for place in places]), words)
    return groups


def _look_at(images: Sequence[ImageRecord]) -> list[dict[str, list[float]]]:
    return [describe_images([image]) for image in images]


def _thirds(values: NDArray[np.float64], words: Sequence[str]) -> NDArray[np.str_]:
    return np.asarray(np.array(words)[np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))])


def _grouped(values: Sequence[str]) -> NDArray[np.str_]:
    """The values of a column; those of many numbers in thirds."""
    texts = np.array(values)
    known = sorted({value for value in values if value})
    if len(known) <= _FEW_VALUES:
        return texts
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return np.full(len(values), "")
    there = np.isfinite(numbers)
    low, high = (f"{cut:g}" for cut in np.quantile(numbers[there], [1 / 3, 2 / 3]))
    words = (f"below {low}", f"{low} to {high}", f"{high} or more")
    groups = np.full(len(values), "", dtype=f"<U{max(map(len, words))}")
    groups[there] = _thirds(numbers[there], words)
    return groups


def _suspects(state: State, cells: Mapping[Cell, CellEvaluation]) -> Iterator[Suspect]:
    """Where the first level of every family is confident, and the truth has nothing."""
    plan = state.plan
    by_set: dict[tuple[str, str], dict[str, tuple[Cell, CellEvaluation]]] = {}
    for cell, found in cells.items():
        spec = plan.subjects.spec(cell.file)
        by_set.setdefault((spec.dataset, spec.task), {}).setdefault(cell.model, (cell, found))
    for (name, task), families in by_set.items():
        evaluations = {cell.file: found for cell, found in families.values()}
        first = next(iter(evaluations.values()))
        seen = first.counted.seen if first.counted is not None else None
        if seen is None or not all(
            f.counted is not None and f.counted.seen.is_same(seen) for f in evaluations.values()
        ):
            continue
        for told in task_of(task).suspects(evaluations):
            image = plan.datasets[name].images[int(seen.positions[told.image])]
            left, top, right, bottom = (round(value, 1) for value in told.box)
            box = (left, top, right, bottom)
            yield Suspect(name, image.called, image.id, told.label, box, told.score, tuple(evaluations))
