"""COCO JSON: images, boxes and categories. Source of the format: https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import sizes_of
from auditor.datasets.named_files import find_named, no_folder
from auditor.datasets.shared_classes import normal_name
from auditor.datasets.truth_boxes import BOX_KEYS, BoxReading, box_reading
from auditor.errors import InputError
from auditor.files import parsed_json, whole_text
from auditor.provenance import content_hash, sha256_of
from auditor.values import GroundTruth, ImageRecord

__all__ = ["FORMAT"]

_SHOWN = 5
_IDS = {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id",)}
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
        document = _with_whole_ids(_document(annotations))
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    problems += _structure(document, annotations, judged=request.judged)
    if problems:
        raise InputError(problems)
    document["categories"] = _without_roots(document)
    categories = sorted(document["categories"], key=lambda category: category["id"])
    records = sorted(document["images"], key=lambda image: image["id"])[: request.limit]
    problems += _dangling(document, annotations)
    if problems:
        raise InputError(problems)
    chosen = {record["id"] for record in records}
    labels = {category["id"]: index for index, category in enumerate(categories)}
    loaded = tuple(_record(record, images) for record in records)
    sizes = _sizes(loaded, request)
    by_image, counts = _gathered(document["annotations"], sizes, reading)
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
            image_id: _truth(found, labels, areas=reading.box_unit == "pixels") for image_id, found in by_image.items()
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
            f"{images}: images of different folders in {annotations} lead to one file, {_some(shared)}; keep their "
            f"folders below {images}"
        )
    if all(image.sha256 is None for image in loaded):
        raise InputError(
            f"{images}: none of the {len(loaded)} images that {annotations} names is there; expected for example "
            f"{loaded[0].path.name}"
        )


_Annotated = tuple[Mapping[str, Any], NDArray[np.float64]]
"""An annotation, and its box as xyxy in pixels."""


def _gathered(
    annotations: Sequence[Mapping[str, Any]], sizes: Mapping[int, tuple[int, int] | None], reading: BoxReading
) -> tuple[dict[int, list[_Annotated]], Counter[str]]:
    """The annotations of each chosen image that have an area, and what was counted on the way."""
    by_image: dict[int, list[_Annotated]] = {image_id: [] for image_id in sizes}
    counts: Counter[str] = Counter(zero_area_boxes=0, crowds=0, missing_files=0, images_without_truth=0)
    for annotation in annotations:
        if annotation["image_id"] not in sizes:
            continue
        raw = np.array([annotation["bbox"]], dtype=np.float64)
        box = reading.to_xyxy(raw, sizes[annotation["image_id"]] or (1, 1))[0]
        if (box[2:] <= box[:2]).any():
            counts["zero_area_boxes"] += 1
            continue
        counts["crowds"] += bool(annotation.get("iscrowd", 0))
        by_image[annotation["image_id"]].append((annotation, box))
    return by_image, counts


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


def _with_whole_ids(document: Any) -> Any:
    """Turn ids that are whole numbers written as 1.0 into whole numbers."""
    for key, fields in _IDS.items():
        listed = document.get(key) if isinstance(document, dict) else None
        for item in listed if isinstance(listed, list) else []:
            for field in fields if isinstance(item, dict) else ():
                value = item.get(field)
                if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
                    item[field] = int(value)
    return document


def _without_roots(document: Any) -> list[Any]:
    """The categories but for those without any object that have the name of another: the root that exporters add for
    a project is called as a class is."""
    used = {annotation["category_id"] for annotation in document["annotations"]}
    names = {normal_name(category["name"]) for category in document["categories"] if category["id"] in used}
    kept = []
    for category in document["categories"]:
        name = normal_name(category["name"])
        if category["id"] in used or name not in names:
            kept.append(category)
            names.add(name)
    return kept


def _document(path: Path) -> Any:
    try:
        return parsed_json(whole_text(path, encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected COCO annotations (instances_*.json)") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; expected COCO annotations (instances_*.json)") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({type(error).__name__}: {str(error)[:200]})") from error


def _structure(document: Any, path: Path, *, judged: bool) -> list[str]:
    """Everything that keeps the document from being COCO instances JSON; what is not `judged` needs images alone."""
    if not isinstance(document, dict):
        return [f"{path}: expected a mapping with images, annotations and categories, as COCO's instances_*.json"]
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(document.get(key), list)]
    if missing:
        return [f"{path}: COCO JSON without a list of {', '.join(missing)}; expected the layout of instances_*.json"]
    if any(
        "segments_info" in annotation for annotation in document["annotations"][:_SHOWN] if isinstance(annotation, dict)
    ):
        return [f"{path}: this is COCO panoptic JSON, which has no boxes; give the instances_*.json of the same images"]
    problems = []
    wanted: dict[str, dict[str, Callable[[Any], bool]]] = {
        "images": {"id": _is_id, "file_name": _is_text, "width": _is_absent_or_number, "height": _is_absent_or_number},
        "annotations": {
            "image_id": _is_id,
            "category_id": _is_id,
            "bbox": _is_box,
            "area": _is_absent_or_number,
            "iscrowd": lambda value: value in (None, 0, 1),
        },
        "categories": {"id": _is_id, "name": _is_text},
    }
    for key, fields in wanted.items():
        for field, right in fields.items():
            wrong = [
                index
                for index, item in enumerate(document[key])
                if not (isinstance(item, dict) and right(item.get(field)))
            ]
            if wrong:
                expected = {
                    "bbox": "[x, y, width, height] in pixels",
                    "file_name": "a text",
                    "name": "a text",
                    "iscrowd": "0 or 1",
                }.get(field, "a number")
                problems.append(
                    f"{path}: {len(wrong)} of {len(document[key])} {key} have no valid `{field}` ({expected}); first: "
                    f"{key}[{wrong[0]}]"
                )
    problems += [
        f"{path}: the file lists no {key}, so nothing can be judged"
        for key in (("images", "annotations", "categories") if judged else ("images",))
        if not document[key]
    ]
    return problems


def _dangling(document: Any, path: Path) -> list[str]:
    problems = []
    for key in ("images", "categories"):
        repeated = [number for number, count in Counter(item["id"] for item in document[key]).items() if count > 1]
        if repeated:
            problems.append(f"{path}: {len(repeated)} ids are given to more than one of {key}: {_some(repeated)}")
    used = {annotation["category_id"] for annotation in document["annotations"]}
    with_objects = [item for item in document["categories"] if item["id"] in used]
    repeated = [
        name for name, count in Counter(normal_name(item["name"]) for item in with_objects).items() if count > 1
    ]
    if repeated:
        problems.append(
            f"{path}: categories are matched by name, whatever its case, but these names stand twice: {_some(repeated)}"
        )
    for key, field in (("images", "image_id"), ("categories", "category_id")):
        known = {item["id"] for item in document[key]}
        dangling = [
            number
            for number in dict.fromkeys(annotation[field] for annotation in document["annotations"])
            if number not in known
        ]
        if dangling:
            problems.append(
                f"{path}: annotations refer to {len(dangling)} ids of {key} that the file does not list: "
                f"{_some(dangling)}"
            )
    return problems


def _record(record: Mapping[str, Any], folder: Path) -> ImageRecord:
    """Find an image's file: by its name below `folder`, else by its base name there."""
    found = find_named(folder, record["file_name"])
    path = found or folder / record["file_name"]
    sides = [record.get(side) or 0 for side in ("width", "height")]
    size = (int(sides[0]), int(sides[1])) if min(sides) >= 1 else None
    return ImageRecord(id=record["id"], path=path, size=size, sha256=None if found is None else content_hash(path))


def _truth(found: Sequence[_Annotated], labels: Mapping[int, int], *, areas: bool) -> GroundTruth:
    """The true objects of one image; the annotated `areas` count where the boxes are in pixels."""
    boxes = np.array([box for _, box in found], dtype=np.float64).reshape(-1, 4)
    given = [annotation.get("area") if areas else None for annotation, _ in found]
    own = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).tolist()
    return GroundTruth(
        boxes=boxes,
        labels=np.array([labels[annotation["category_id"]] for annotation, _ in found], dtype=np.int64),
        area=np.array([area or mine for area, mine in zip(given, own, strict=True)], dtype=np.float64),
        iscrowd=np.array([bool(annotation.get("iscrowd", 0)) for annotation, _ in found], dtype=bool),
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62


def _is_absent_or_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12)


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(number, (int, float)) and abs(number) < 1e9 for number in value)
    )


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown + (", …" if len(values) > _SHOWN else "")


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
