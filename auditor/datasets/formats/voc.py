"""Pascal VOC: one XML file for each image. Source of the format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/
(devkit)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.images import list_images
from auditor.errors import InputError
from auditor.provenance import digest, sha256_of
from auditor.values import GroundTruth, ImageRecord

__all__ = ["FORMAT"]

_MOST = 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Object:
    name: str
    corners: tuple[float, ...]
    difficult: bool


@dataclass(frozen=True)
class _File:
    path: Path
    image: str
    size: tuple[int, int] | None
    objects: tuple[_Object, ...]


def load(request: DatasetRequest) -> Dataset:
    """Load the folder of XML files `annotations`; images lie in `images`, else beside the XML files or in
    ../JPEGImages.

    `difficult` objects become crowds, so that AP ignores them as VOC's own evaluation does, and are counted. Pixels of
    VOC are numbered from 1 and the last one belongs to the box: 1 is taken off xmin and ymin, unless a corner of the
    set is below 1, which only writers have that count from 0.

    Raises:
        InputError: with every file that is not VOC XML, or names an image that is not there.
    """
    folder = request.annotations
    if folder is None or not folder.is_dir():
        raise InputError(f"{folder or 'annotations'}: no such folder; expected the folder of Pascal VOC XML files")
    paths = sorted(folder.glob("*.xml"))
    if not paths:
        raise InputError(f"{folder}: it holds no XML file; expected one for each image")
    problems: list[str] = []
    files = [file for path in paths if (file := _read(path, problems)) is not None]
    if problems:
        raise InputError(
            problems[:_MOST] + ([f"… and {len(problems) - _MOST} more problems"] if len(problems) > _MOST else [])
        )
    corners = [corner for file in files for item in file.objects for corner in item.corners[:2]]
    shift = 0.0 if any(corner < 1 for corner in corners) else 1.0
    categories = sorted({item.name for file in files for item in file.objects})
    if not categories:
        raise InputError(f"{folder}: none of its {len(files)} XML files has an object, so nothing can be judged")
    places = _images(request, folder)
    counts = Counter(zero_area_boxes=0, difficult_objects=0, missing_files=0, images_without_truth=0)
    images, truth = [], {}
    for number, file in enumerate(files[: request.limit], start=1):
        path = places.get(Path(file.image).name) or places.get(Path(file.image).stem) or places.get(file.path.stem)
        images.append(ImageRecord(number, path or folder / file.image, file.size, sha256_of(path) if path else None))
        truth[number] = _truth(file, shift, categories, counts)
        counts["missing_files"] += path is None
        counts["images_without_truth"] += not len(truth[number].labels)
    if counts["missing_files"] == len(images):
        raise InputError(
            f"{request.images or folder}: none of the {len(images)} images that the XML files name is there, for "
            f"example {files[0].image}"
        )
    return Dataset(
        name=request.name,
        format="voc",
        images=tuple(images),
        truth=truth,
        categories=tuple(categories),
        counts=dict(counts),
        about={
            "annotations": str(folder),
            "annotations_sha256": digest([sha256_of(path) for path in paths]),
            "pixels_counted_from": int(shift),
        },
    )


def _read(path: Path, problems: list[str]) -> _File | None:
    try:
        root = parse(path).getroot()
    except ParseError as error:
        problems.append(f"{path}:{error.position[0]}: not valid XML: {error}")
        return None
    except DefusedXmlException as error:
        problems.append(
            f"{path}: refused, since it defines entities or refers to other files ({type(error).__name__}); remove "
            "its DOCTYPE"
        )
        return None
    except (OSError, ValueError, LookupError) as error:
        problems.append(f"{path}: cannot be read ({error})")
        return None
    if root.tag != "annotation":
        problems.append(f"{path}: its root is <{root.tag}>; expected <annotation> of Pascal VOC")
        return None
    objects = [
        item
        for number, element in enumerate(root.iter("object"), start=1)
        if (item := _object(path, number, element, problems))
    ]
    size = root.find("size")
    width, height = (_number(size, key) if size is not None else None for key in ("width", "height"))
    return _File(
        path,
        (root.findtext("filename") or "").strip() or path.stem,
        (int(width), int(height)) if width and height else None,
        tuple(objects),
    )


def _object(path: Path, number: int, element: Element, problems: list[str]) -> _Object | None:
    name = (element.findtext("name") or "").strip()
    box = element.find("bndbox")
    corners = [_number(box, key) if box is not None else None for key in _CORNERS]
    if not name:
        problems.append(f"{path}: object {number} has no <name>")
    missing = [key for key, corner in zip(_CORNERS, corners, strict=True) if corner is None]
    if missing:
        problems.append(
            f"{path}: object {number} ({name or 'unnamed'}) has no number in <bndbox>: {', '.join(missing)}"
        )
        return None
    return _Object(
        name,
        tuple(corner for corner in corners if corner is not None),
        (element.findtext("difficult") or "0").strip() == "1",
    )


def _number(element: Element | Any, key: str) -> float | None:
    try:
        value = float(element.findtext(key) or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _images(request: DatasetRequest, folder: Path) -> dict[str, Path]:
    """Images by file name and by stem: of `images`, else of the folders where they usually lie."""
    if request.images is not None and not request.images.is_dir():
        raise InputError(f"{request.images}: no such folder; expected the images of {folder}")
    places = [request.images] if request.images else [folder.parent / "JPEGImages", folder.parent / "images", folder]
    found: dict[str, Path] = {}
    for place in places:
        paths = list_images(place) if place.is_dir() else []
        twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
        if twice:
            raise InputError(
                f"{place}: {len(twice)} names stand for more than one image, for example {twice[0]}; which one an XML "
                "file means cannot be told"
            )
        for path in paths:
            found.setdefault(path.name, path)
            found.setdefault(path.stem, path)
    return found


def _truth(file: _File, shift: float, categories: list[str], counts: Counter[str]) -> GroundTruth:
    kept = []
    for item in file.objects:
        box = (item.corners[0] - shift, item.corners[1] - shift, *item.corners[2:])
        if box[2] <= box[0] or box[3] <= box[1]:
            counts["zero_area_boxes"] += 1
            continue
        counts["difficult_objects"] += item.difficult
        kept.append((box, categories.index(item.name), item.difficult))
    boxes = np.array([box for box, _, _ in kept], dtype=np.float64).reshape(-1, 4)
    return GroundTruth(
        boxes=boxes,
        labels=np.array([label for _, label, _ in kept], dtype=np.int64),
        area=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        iscrowd=np.array([difficult for _, _, difficult in kept], dtype=bool),
    )


def _detect(folder: Path) -> dict[str, Path | str] | None:
    place = next(
        (place for place in (folder / "Annotations", folder / "annotations", folder) if any(place.glob("*.xml"))), None
    )
    return None if place is None else {"format": "voc", "annotations": place}


FORMAT = Format(
    name="voc",
    task="detection",
    about="Pascal VOC XML",
    keys={
        "annotations": "the folder of XML files; difficult objects become crowds, which AP ignores",
        "images": "left out: beside the XML files, or ../JPEGImages",
    },
    load=load,
    detect=_detect,
    rank=30,
)
