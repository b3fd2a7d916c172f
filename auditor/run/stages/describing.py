"""Describe the data of a run: evaluation and calibration images, truth, and how large its boxes are for each model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from auditor.datasets.dataset import Dataset
from auditor.datasets.describe import IMAGE_FACTS, describe_images, describe_truth, sample_of
from auditor.datasets.image_files import Oddities, oddities_of
from auditor.encoding import input_scale
from auditor.provenance import digest
from auditor.run.session import Session, State
from auditor.values import BoxSizes, CalibrationRecord, DatasetRecord, GroundTruth, ImageRecord, ModelSpec

__all__ = ["box_sizes", "describe_data"]

_CHUNK = 25
_LOW = 12
_EDGES_PX = (0.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


def describe_data(session: Session, state: State) -> State:
    """Describe each data set, and the calibration images of each model, on a sample of images."""
    subjects = state.plan.subjects
    calibration = {
        name: CalibrationRecord(len(images), subjects.unreadable.get(name, 0), _facts(session, images))
        for name, images in subjects.calibration.items()
    }
    odd = {name: _oddities(session, dataset.images) for name, dataset in subjects.datasets.items()}
    datasets = {
        name: dataclasses.replace(
            _described(dataset, _facts(session, dataset.images)),
            unreadable=_unreadable(dataset, state.unreadable.get(name, {})),
            deep_images=sum(oddities.bits_used > 0 for oddities in odd[name]),
            bits_used=max((oddities.bits_used for oddities in odd[name]), default=0),
            low_images=sum(0 < oddities.bits_used <= _LOW for oddities in odd[name]),
            beyond_bits=sum(oddities.beyond for oddities in odd[name]),
            undecided_exif=sum(oddities.undecided for oddities in odd[name]) if _has_boxes(dataset) else 0,
        )
        for name, dataset in subjects.datasets.items()
    }
    return dataclasses.replace(state, datasets=datasets, calibration=calibration)


def _described(dataset: Dataset, facts: dict[str, tuple[float, ...]]) -> DatasetRecord:
    about = {key: Path(str(value)).name if key == "annotations" else value for key, value in dataset.about.items()}
    truth = describe_truth(dataset)
    return DatasetRecord(
        format=dataset.format,
        task=dataset.task,
        images=len(dataset.images),
        boxes=sum(len(dataset.truth[image.id].labels) for image in dataset.images),
        categories=dataset.categories,
        counts=dict(dataset.counts),
        fingerprint=dataset.fingerprint,
        facts=facts,
        about={key: value for key, value in about.items() if key != "images"},
        is_labelled=dataset.is_labelled,
        contents=digest([image.sha256 for image in dataset.images]),
        **truth,
    )


def _facts(session: Session, images: Sequence[ImageRecord]) -> dict[str, tuple[float, ...]]:
    chosen = sample_of(images)
    chunks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
    found: dict[int, dict[str, list[float]]] = {}
    for outcome in session.executor.map(describe_images, chunks):
        if outcome.error is None:
            found[outcome.item[0].id] = outcome.result
    parts = [found[chunk[0].id] for chunk in chunks if chunk[0].id in found]
    return {name: tuple(value for part in parts for value in part[name]) for name in IMAGE_FACTS}


def _has_boxes(dataset: Dataset) -> bool:
    """Whether its truth is places in images, which turn with them."""
    return dataset.is_labelled and any(isinstance(truth, GroundTruth) for truth in dataset.truth.values())


def _unreadable(dataset: Dataset, reasons: Mapping[int, str]) -> dict[str, str]:
    """What is wrong with each image that is missing or was not read, by its path below the folder of all."""
    lost = {image.id: image.path for image in dataset.images if image.sha256 is None or image.id in reasons}
    if not lost:
        return {}
    top = Path(os.path.commonpath([image.path.parent for image in dataset.images]))
    told = {}
    for image_id, path in lost.items():
        reason = reasons.get(image_id, "no such file")
        told[path.relative_to(top).as_posix()] = reason.removeprefix(f"{path}: ")
    return dict(sorted(told.items()))


def _oddities(session: Session, images: Sequence[ImageRecord]) -> list[Oddities]:
    """What the bytes of all images leave open."""
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return [
        oddities
        for outcome in session.executor.map(_look_at, chunks)
        for oddities in (outcome.result if outcome.error is None else ())
    ]


def _look_at(images: Sequence[ImageRecord]) -> list[Oddities]:
    return [oddities_of(image) for image in images]


def box_sizes(dataset: Dataset, spec: ModelSpec) -> BoxSizes | None:
    """How large the true boxes are in the model's input (the square root of each area), and how they are spread over
    powers of two; None where there are none."""
    sides: list[float] = []
    for image in dataset.images:
        truth = dataset.truth[image.id]
        if image.size is None or not isinstance(truth, GroundTruth) or not len(truth.boxes):
            continue
        scale, boxes = input_scale(image.size, spec.input), truth.boxes
        areas = (boxes[:, 2] - boxes[:, 0]) * scale[0] * (boxes[:, 3] - boxes[:, 1]) * scale[1]
        sides += np.sqrt(areas).tolist()
    if not sides:
        return None
    found = np.array(sides)
    return BoxSizes(
        boxes=len(sides),
        under_8px=float((found < 8).mean()),
        under_16px=float((found < 16).mean()),
        from_px=_EDGES_PX,
        counts=tuple(np.histogram(found, bins=[*_EDGES_PX, 1e9])[0].tolist()),
    )
