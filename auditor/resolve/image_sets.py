"""Data sets and calibration images, as a document names them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import AuditConfig, CalibrationConfig, DatasetConfig, nearest
from auditor.datasets.canonical import in_canonical_order
from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import folder_images, read_record, sizes_of
from auditor.datasets.image_table import load_table
from auditor.datasets.shared_classes import normal_name
from auditor.errors import DataError, InputError
from auditor.resolve.places import place
from auditor.values import GroundTruth, ImageRecord, Meant, some

__all__ = ["first_images", "load_calibration", "load_datasets"]

_FIRST_IMAGES = 12


def load_datasets(config: AuditConfig, problems: list[str]) -> dict[str, Dataset]:
    """Load every data set of a document; what is wrong goes to `problems`, each with its line."""
    datasets = {}
    for name, entry in config.named_datasets().items():
        loc = ("datasets", name) if config.datasets else ("dataset",)
        where = config.source.where(*loc)
        if not config.is_whole(*loc):  # what else is wrong is not known, but for files that are not there
            paths = {
                key: place(config, text) for key in ("images", "annotations", "labels") if (text := getattr(entry, key))
            }
            problems += [
                f"{config.source.where(*loc, key)}: {path}: no such file or folder"
                for key, path in paths.items()
                if not path.exists()
            ]
            continue
        try:
            datasets[name] = _load(config, name, entry)
        except _KeyError as error:
            problems += [f"{config.source.where(*loc, key)}: {text}" for key, text in error.keys.items()]
            continue
        except InputError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
            continue
        called = Counter(normal_name(category) for category in datasets[name].categories)
        twice = [category for category in datasets[name].categories if called[normal_name(category)] > 1]
        if twice:
            problems.append(
                f"{where}: classes are matched by name, whatever its case, but these are one: {some(twice)}"
            )
    return datasets


class _KeyError(Exception):
    """Keys that a format does not take, with what to say of each."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__(", ".join(keys))
        self.keys = keys


def _format(name: str) -> Format:
    known = extensions.names("datasets")
    if name not in known:
        raise _KeyError({"format": f"unknown data set format {name!r}; {nearest(name, known)}"})
    found: Format = extensions.resolve("datasets", name)
    return found


def _load(config: AuditConfig, name: str, entry: DatasetConfig | CalibrationConfig) -> Dataset:
    form = _format(entry.format)
    given = entry.options if isinstance(entry, DatasetConfig) else {}
    taken = {*form.keys, *DatasetConfig.model_fields}
    unknown = {key: f"unknown key; {_whose(key) or nearest(key, taken)}" for key in given if key not in form.keys}
    paths = {key: place(config, text) for key in ("images", "annotations", "labels") if (text := getattr(entry, key))}
    unknown |= {
        key: f"the format {form.name} takes no `{key}`, only {', '.join(form.keys)}; give another `format`, or leave "
        "it out"
        for key in (*paths, *({"split"} & entry.model_fields_set))
        if key not in form.keys
    }
    if entry.bits is not None and not form.deep:
        unknown["bits"] = f"the images of the format {form.name} have 8 bits; leave it out"
    if unknown:
        raise _KeyError(unknown)
    options = {key: place(config, str(value)) if key in form.paths else value for key, value in given.items()}
    split = getattr(entry, "split", "val")
    meant = _meant(config, entry)
    judged = isinstance(entry, DatasetConfig)
    request = DatasetRequest(
        name,
        images=paths.get("images"),
        annotations=paths.get("annotations"),
        labels=paths.get("labels"),
        split=split,
        limit=entry.limit,
        options=options,
        meant=meant,
        judged=judged,
    )
    found = form.load(request)
    truths = [truth for truth in found.truth.values() if isinstance(truth, GroundTruth)]
    if judged and found.is_labelled and truths and not any((~truth.iscrowd).any() for truth in truths):
        crowds = sum(len(truth.labels) for truth in truths)
        what = f"its {crowds} objects are all crowds (or difficult)" if crowds else "its images have no object at all"
        raise InputError(
            f"{entry.annotations or entry.images}: {what}, so nothing can be judged; give the annotations of these "
            "images"
        )
    images = tuple(dataclasses.replace(image, meant=meant) for image in found.images)
    ordered = in_canonical_order(dataclasses.replace(found, images=images, about={**found.about, **_told(meant)}))
    if not isinstance(entry, DatasetConfig) or entry.image_table is None:
        return ordered
    table = load_table(place(config, entry.image_table), ordered.images)
    without = sum(not any(values) for values in zip(*table.values(), strict=True))
    return dataclasses.replace(ordered, table=table, counts={**ordered.counts, "images_without_line": without})


def _whose(key: str) -> str:
    """Which formats take a key."""
    forms: dict[str, Format] = extensions.every("datasets")
    names = [name for name, form in forms.items() if key in form.keys]
    return f"it goes with `format: {' | '.join(names)}`" if names else ""


def _meant(config: AuditConfig, entry: DatasetConfig | CalibrationConfig) -> Meant:
    return Meant(entry.bits or config.images.bits, entry.exif or config.images.exif)


def _told(meant: Meant) -> dict[str, str | int]:
    """How the document says that images are meant."""
    return {name: value for name, value in (("bits", meant.bits), ("exif", meant.exif)) if value is not None}


def load_calibration(
    config: AuditConfig, datasets: Mapping[str, Dataset], problems: list[str]
) -> tuple[dict[str, tuple[ImageRecord, ...]], dict[str, int]]:
    """The calibration images of each model that asks for levels, and how many more cannot be read; images that are
    evaluated too are refused, by content."""
    found, unreadable = {}, {}
    for index, model in enumerate(config.models):
        if model.quantize is None or model.quantize.calibration is None or not config.is_whole("models", index):
            continue
        where = config.source.where("models", index, "quantize", "calibration")
        try:
            images = _calibration_images(config, model.quantize.calibration)
        except (InputError, _KeyError) as error:
            told = error.problems if isinstance(error, InputError) else error.keys.values()
            problems += [f"{where}: {problem}" for problem in told]
            continue
        sizes = sizes_of(
            [image.path for image in images if image.index is None], _meant(config, model.quantize.calibration)
        )
        readable = [image for image, size in zip(images, sizes, strict=True) if size] if sizes else list(images)
        if readable:  # where none is, the levels are skipped with that reason
            unreadable[model.name] = len(images) - len(readable)
            images = tuple(readable)
        evaluated = {image.sha256 for dataset in datasets.values() for image in dataset.images if image.sha256}
        shared = [image.path.name for image in images if image.sha256 in evaluated]
        if shared:
            problems.append(
                f"{where}: {len(shared)} of {len(images)} calibration images are evaluated too ({some(shared)}), which "
                "would flatter the result; calibrate on other images"
            )
        found[model.name] = images
    return found, unreadable


def _calibration_images(config: AuditConfig, entry: CalibrationConfig) -> tuple[ImageRecord, ...]:
    if _format(entry.format).truth_beside and entry.annotations is None:
        return folder_images(place(config, entry.images), limit=entry.limit, meant=_meant(config, entry))
    dataset = _load(config, "calibration", entry)
    position = {image_id: index for index, image_id in enumerate(dataset.listed)}
    present: Sequence[ImageRecord] = [image for image in dataset.images if image.sha256]
    return tuple(sorted(present, key=lambda image: position.get(image.id, image.id)))


def first_images(dataset: Dataset) -> tuple[NDArray[np.uint8], ...]:
    """The first images of a data set that can be read."""
    images: list[NDArray[np.uint8]] = []
    for record in dataset.images:
        try:
            images.append(read_record(record))
        except DataError:
            continue  # counted when it is measured
        if len(images) == _FIRST_IMAGES:
            break
    return tuple(images)
