"""COCO JSON: images, boxes and categories. Source of the format: https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor.datasets.coco_file import gathered, read_coco, some, truth_of
from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import sizes_of
from auditor.datasets.named_files import find_named, no_folder
from auditor.datasets.truth_boxes import BOX_KEYS, BoxReading, box_reading
from auditor.errors import InputError
from auditor.files import parsed_json, whole_text
from auditor.provenance import content_hash, sha256_of
from auditor.values import ImageRecord

__all__ = ["FORMAT"]

_NEEDED = {"images": "the folder of the images", "annotations": "COCO annotations (instances_*.json)"}


def load(request: DatasetRequest) -> Dataset:
    """Load `annotations`, a COCO instances file, with the folder `images`; ids may come in any order, and categories
    are told by name.

    Boxes without area are left out and counted, images whose file is missing are kept and counted (their cells count
    them as failed).

    Raises:
        InputError: the file is not COCO instances JSON, ids dangle or repeat, or no image file exists.
    """
    if request.annotations is None or request.images is None:
        raise InputError(
            [f"`{key}` is missing; expected {what}" for key, what in _NEEDED.items() if getattr(request, key) is None]
        )
    images, annotations = request.images, request.annotations
    reading = box_reading(request.options, box_format="xywh", box_unit="pixels")
    problems: list[str] = []
    if not images.is_dir():
        problems.append(f"{images}: {no_folder(images)}; expected the images of {annotations.name}")
    try:
        document = read_coco(annotations, judged=request.judged)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    categories = sorted(document["categories"], key=lambda category: category["id"])
    records = sorted(document["images"], key=lambda image: image["id"])[: request.limit]
    chosen = {record["id"] for record in records}
    labels = {category["id"]: index for index, category in enumerate(categories)}
    loaded = tuple(_record(record, images) for record in records)
    sizes = _sizes(loaded, request)
    by_image, counts = gathered(document["annotations"], sizes, reading)
    misread = _misread(document["annotations"], sizes, reading)
    if misread is not None and request.judged:
        raise InputError(f"{annotations}: {misread}")
    _check_files(loaded, {images / record["file_name"] for record in records}, request)
    counts["missing_files"] = sum(image.sha256 is None for image in loaded)
    counts["images_without_truth"] = sum(not found for found in by_image.values())
    return Dataset(
        name=request.name,
        format="coco",
        images=loaded,
        truth={
            image_id: truth_of(found, labels, areas=reading.box_unit == "pixels")
            for image_id, found in by_image.items()
        },
        categories=tuple(category["name"] for category in categories),
        counts=dict(counts),
        listed=tuple(record["id"] for record in document["images"] if record["id"] in chosen),
        about={"annotations": str(annotations), "annotations_sha256": sha256_of(annotations), "images": str(images)},
    )


def _check_files(loaded: Sequence[ImageRecord], named: Collection[Path], request: DatasetRequest) -> None:
    """Raise where no image is there, or where names of different folders lead to one file."""
    images, annotations = request.images, request.annotations
    shared = [path for path, count in Counter(image.path for image in loaded if image.sha256).items() if count > 1]
    if any(path not in named for path in shared):
        raise InputError(
            f"{images}: images of different folders in {annotations} lead to one file, {some(shared)}; keep their "
            f"folders below {images}"
        )
    if all(image.sha256 is None for image in loaded):
        raise InputError(
            f"{images}: none of the {len(loaded)} images that {annotations} names is there; expected for example "
            f"{loaded[0].path.name}"
        )


def _sizes(images: Sequence[ImageRecord], request: DatasetRequest) -> dict[int, tuple[int, int] | None]:
    """The (width, height) of each image: as annotated, else as it is read."""
    unsized = [image for image in images if image.size is None and image.sha256 is not None]
    read = dict(
        zip([image.id for image in unsized], sizes_of([image.path for image in unsized], request.meant), strict=True)
    )
    return {image.id: image.size or read.get(image.id) for image in images}


def _misread(
    annotations: Sequence[Mapping[str, Any]], sizes: Mapping[int, tuple[int, int] | None], reading: BoxReading
) -> str | None:
    """What the boxes of the chosen images seem to be instead."""
    mine = [annotation for annotation in annotations if annotation["image_id"] in sizes]
    raw = np.array([annotation["bbox"] for annotation in mine], dtype=np.float64).reshape(-1, 4)
    known = [sizes[annotation["image_id"]] or (np.nan, np.nan) for annotation in mine]
    return reading.problem(raw, np.array(known, dtype=np.float64).reshape(-1, 2))


def _record(record: Mapping[str, Any], folder: Path) -> ImageRecord:
    """Find an image's file: by its name below `folder`, else by its base name there."""
    found = find_named(folder, record["file_name"])
    path = found or folder / record["file_name"]
    sides = [record.get(side) or 0 for side in ("width", "height")]
    size = (int(sides[0]), int(sides[1])) if min(sides) >= 1 else None
    return ImageRecord(id=record["id"], path=path, size=size, sha256=None if found is None else content_hash(path))


def _detect(folder: Path) -> dict[str, Path | str] | None:
    for path in sorted(
        [*folder.glob("*.json"), *folder.glob("annotations/*.json")],
        key=lambda path: ("instances" not in path.name, path.name),
    ):
        try:
            document = parsed_json(whole_text(path, encoding="utf-8-sig"))
        except (OSError, ValueError):
            continue  # another JSON file
        if not isinstance(document, dict) or not {"images", "annotations", "categories"} <= document.keys():
            continue
        first = next(iter(document["images"]), None) if isinstance(document["images"], list) else None
        if isinstance(first, dict):
            name = str(first.get("file_name", ""))
            places = [folder / "images", folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
            images = next((place for place in places if (place / name).is_file()), folder / "images")
            return {"format": "coco", "images": images, "annotations": path}
    return None


FORMAT = Format(
    name="coco",
    task="detection",
    about="COCO instances JSON",
    keys={
        "annotations": "the instances JSON",
        "images": "their folder",
        **BOX_KEYS,
    },
    load=load,
    detect=_detect,
    rank=10,
)
