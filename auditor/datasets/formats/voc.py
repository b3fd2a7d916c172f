"""Pascal VOC: one XML file for each image. Source of the format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/
(devkit)."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import list_images, sizes_of
from auditor.datasets.named_files import no_folder, spellings
from auditor.datasets.truth_boxes import BOX_KEYS, CORNERS, BoxReading, box_reading
from auditor.errors import InputError
from auditor.files import DOCUMENT_BYTES, whole_bytes
from auditor.provenance import content_hash, digest
from auditor.values import GroundTruth, ImageRecord

__all__ = ["FORMAT"]

_MOST = 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ENCODING = re.compile(rb"""(<\?xml[^>]*encoding=["'])([A-Za-z0-9._-]+)(["'])""")


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
    read: tuple[int, int] | None = None
    """The size of its image, where the file does not say it."""


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
        raise InputError(_shortened(problems))
    reading = box_reading(request.options, box_format="xyxy", box_unit="pixels")
    categories = sorted({item.name for file in files for item in file.objects})
    if not categories:
        raise InputError(f"{folder}: none of its {len(files)} XML files has an object, so nothing can be judged")
    places = _images(request, folder)
    chosen = _sized(files[: request.limit], places, request, problems)
    shift = _shift([file for file, _ in chosen], reading, request)
    counts = Counter(zero_area_boxes=0, difficult_objects=0, missing_files=0, images_without_truth=0)
    images, truth = [], {}
    for number, (file, path) in enumerate(chosen, start=1):
        images.append(ImageRecord(number, path or folder / file.image, file.size, content_hash(path) if path else None))
        truth[number] = _truth(file, reading, shift, categories, counts)
        counts["missing_files"] += path is None
        counts["images_without_truth"] += not len(truth[number].labels)
    if problems:
        raise InputError(_shortened(problems))
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
            "annotations_sha256": digest([content_hash(path) for path in paths]),
            "pixels_counted_from": int(shift),
            **({"first_pixel": int(shift)} if "first_pixel" in request.options else {}),
        },
    )


def _sized(
    files: Sequence[_File], places: Mapping[str, Path], request: DatasetRequest, problems: list[str]
) -> list[tuple[_File, Path | None]]:
    """The files with their images; a size that one does not say is read from its image."""
    paths = [_image_of(file, places, problems) for file in files]
    claimed: dict[Path, Path] = {}
    for file, path in zip(files, paths, strict=True):
        if path is not None and claimed.setdefault(path, file.path) != file.path:
            problems.append(
                f"{file.path}: its image is {path}, which is that of {claimed[path]} too; correct <filename> of one, "
                "or remove it: an image has one file of annotations"
            )
    unsized = [path for file, path in zip(files, paths, strict=True) if file.size is None and path is not None]
    read = dict(zip(unsized, sizes_of(unsized, request.meant), strict=True))
    return [
        (file if file.size is not None or path is None else dataclasses.replace(file, read=read.get(path)), path)
        for file, path in zip(files, paths, strict=True)
    ]


def _shift(files: Sequence[_File], reading: BoxReading, request: DatasetRequest) -> float:
    """What is taken off the first corner: 1 where pixels are numbered from 1.

    Raises:
        InputError: the boxes cannot be meant as they are read, or `first_pixel` is neither 0 nor 1.
    """
    misread = reading.problem(*_written(files)) if request.judged else None
    if misread is not None:
        raise InputError(f"{request.annotations}: {misread}")
    first = request.options.get("first_pixel")
    if first not in (None, 0, 1) or isinstance(first, bool):
        raise InputError(f"`first_pixel` is {first!r}; expected 0 or 1, the number of an image's first pixel")
    if first is not None:
        return float(first)
    corners = [corner for file in files for item in file.objects for corner in item.corners[:2]]
    counted = reading.box_format in ("xyxy", "yxyx", CORNERS) and reading.box_unit == "pixels"
    return 1.0 if counted and all(corner >= 1 for corner in corners) else 0.0


def _shortened(problems: Sequence[str]) -> list[str]:
    more = [f"… and {len(problems) - _MOST} more problems"] if len(problems) > _MOST else []
    return [*problems[:_MOST], *more]


def _written(files: Sequence[_File]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The numbers of every box as they stand there, (N, 4), and the sizes of their images, (N, 2)."""
    pairs = [(item.corners, file.size or file.read or (np.nan, np.nan)) for file in files for item in file.objects]
    raw, sizes = (np.array(part, dtype=np.float64) for part in ([p[0] for p in pairs], [p[1] for p in pairs]))
    return raw.reshape(-1, 4), sizes.reshape(-1, 2)


def _image_of(file: _File, places: Mapping[str, Path], problems: list[str]) -> Path | None:
    """The image that an XML file names, by `<filename>` and by its own name; where these are two images, which one is
    meant cannot be told."""
    spelled = [Path(spelling).name for spelling in spellings(file.image)]
    named = next((places[name] for name in spelled if name in places), None)
    named = named or next((places[stem] for stem in map(_stem, spelled) if stem in places), None)
    own = places.get(file.path.stem)
    if named is not None and own is not None and named != own and _stem(named.name) != file.path.stem:
        problems.append(
            f"{file.path}: its <filename> is {file.image}, which is {named}, but {own} has its own name; "
            "rename one, or correct <filename>: which image was annotated cannot be told"
        )
        return None
    return named or own


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", Path(name).stem)


def _parsed(path: Path) -> Element:
    """The root of an XML file, without namespaces, in whatever encoding it declares: expat knows no multi-byte ones."""
    content = whole_bytes(path, most=DOCUMENT_BYTES)
    declared = _ENCODING.search(content[:200])
    if declared and not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        text = content.decode(declared[2].decode("ascii"))
        content = _ENCODING.sub(rb"\1utf-8\3", text.encode("utf-8"), count=1)
    root: Element = fromstring(content)
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    return root


def _read(path: Path, problems: list[str]) -> _File | None:
    try:
        root = _parsed(path)
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
        raise InputError(f"{request.images}: {no_folder(request.images)}; expected the images of {folder}")
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
            found.setdefault(unicodedata.normalize("NFC", path.name), path)
            found.setdefault(_stem(path.name), path)
    return found


def _truth(file: _File, reading: BoxReading, shift: float, categories: list[str], counts: Counter[str]) -> GroundTruth:
    kept = []
    raw = np.array([item.corners for item in file.objects], dtype=np.float64).reshape(-1, 4)
    read = reading.to_xyxy(raw, file.size or file.read or (1, 1))
    for item, corners in zip(file.objects, read.tolist(), strict=True):
        box = (corners[0] - shift, corners[1] - shift, *corners[2:])
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
        "first_pixel": "the number of an image's first pixel, 0 or 1; left out: 1, unless a corner is below 1",
        **BOX_KEYS,
    },
    load=load,
    detect=_detect,
    rank=30,
)
