"""COCO's JSON of boxes, checked; and what of it is the truth of an image."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.datasets.shared_classes import normal_name
from auditor.datasets.truth_boxes import BoxReading
from auditor.errors import InputError
from auditor.files import parsed_json, whole_text
from auditor.values import GroundTruth

__all__ = ["Annotated", "gathered", "is_id", "read_coco", "some", "truth_of"]

_SHOWN = 5
_IDS = {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id",)}


def read_coco(path: Path, *, judged: bool) -> dict[str, Any]:
    """Read a COCO instances file; its ids are whole numbers, every reference is to something that it lists, and
    categories without any object that are called as another are left out. What is not `judged` needs images alone.

    Raises:
        InputError: with everything that keeps it from being one.
    """
    document = _with_whole_ids(_document(path))
    problems = _structure(document, path, judged=judged)
    if not problems:
        document["categories"] = _without_roots(document)
        problems = _dangling(document, path)
    if problems:
        raise InputError(problems)
    found: dict[str, Any] = document
    return found


Annotated = tuple[Mapping[str, Any], NDArray[np.float64]]
"""An annotation, and its box as xyxy in pixels."""


def gathered(
    annotations: Sequence[Mapping[str, Any]], sizes: Mapping[int, tuple[int, int] | None], reading: BoxReading
) -> tuple[dict[int, list[Annotated]], Counter[str]]:
    """The annotations of each chosen image that have an area, and what was counted on the way."""
    by_image: dict[int, list[Annotated]] = {image_id: [] for image_id in sizes}
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


def truth_of(
    found: Sequence[Annotated],
    labels: Mapping[int, int],
    *,
    areas: bool,
    tracks: NDArray[np.int64] | None = None,
) -> GroundTruth:
    """The true objects of one image; the annotated `areas` count where the boxes are in pixels."""
    boxes = np.array([box for _, box in found], dtype=np.float64).reshape(-1, 4)
    given = [annotation.get("area") if areas else None for annotation, _ in found]
    own = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).tolist()
    return GroundTruth(
        boxes=boxes,
        labels=np.array([labels[annotation["category_id"]] for annotation, _ in found], dtype=np.int64),
        area=np.array([area or mine for area, mine in zip(given, own, strict=True)], dtype=np.float64),
        iscrowd=np.array([bool(annotation.get("iscrowd", 0)) for annotation, _ in found], dtype=bool),
        tracks=tracks,
    )


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
        "images": {"id": is_id, "file_name": _is_text, "width": _is_absent_or_number, "height": _is_absent_or_number},
        "annotations": {
            "image_id": is_id,
            "category_id": is_id,
            "bbox": _is_box,
            "area": _is_absent_or_number,
            "iscrowd": lambda value: value in (None, 0, 1),
        },
        "categories": {"id": is_id, "name": _is_text},
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
            problems.append(f"{path}: {len(repeated)} ids are given to more than one of {key}: {some(repeated)}")
    used = {annotation["category_id"] for annotation in document["annotations"]}
    with_objects = [item for item in document["categories"] if item["id"] in used]
    repeated = [
        name for name, count in Counter(normal_name(item["name"]) for item in with_objects).items() if count > 1
    ]
    if repeated:
        problems.append(
            f"{path}: categories are matched by name, whatever its case, but these names stand twice: {some(repeated)}"
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
                f"{some(dangling)}"
            )
    return problems


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def is_id(value: Any) -> bool:
    """Whether a value is a whole number that may be an id."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62


def _is_absent_or_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12)


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(number, (int, float)) and abs(number) < 1e9 for number in value)
    )


def some(values: Sequence[Any]) -> str:
    """The first few values, in words."""
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown + (", …" if len(values) > _SHOWN else "")
