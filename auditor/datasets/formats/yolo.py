"""YOLO labels: one text file for each image, a line for each object with fractions of the image.

Sources: https://docs.ultralytics.com/datasets/detect/ (`data.yaml`), https://github.com/AlexeyAB/darknet (`obj.data`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import from_xyxy
from auditor.config.yaml_file import load_yaml
from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.images import SUFFIXES, list_images, sizes_of
from auditor.datasets.named_files import spellings
from auditor.datasets.truth_boxes import BOX_KEYS, CORNERS, BoxReading, box_reading
from auditor.errors import InputError
from auditor.provenance import digest, sha256_of
from auditor.values import GroundTruth, ImageRecord

__all__ = ["FORMAT"]

_BEYOND = 1.01
"""Fractions may leave [0, 1] by rounding; what lies beyond is given in pixels, or wrong."""
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt")
_FOREIGN = 20
_FRACTIONS = BoxReading("cxcywh", "normalized")


@dataclass(frozen=True)
class _Layout:
    """Which images there are, the class names, label files by stem where they do not lie where the images tell;
    `keypoints` numbers follow each box."""

    images: tuple[Path, ...]
    names: tuple[str, ...]
    labels: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    keypoints: int = 0
    reading: BoxReading = _FRACTIONS


@dataclass(frozen=True)
class _Line:
    """One object: its class, the four numbers of its box, and whether these go around a polygon."""

    label: int
    box: Sequence[float]
    polygon: bool = False


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a line; `unit` where it would be right, were the boxes of the set in pixels."""

    text: str
    unit: bool = False


def _raise(request: DatasetRequest, misread: str | None, problems: Sequence[_Problem]) -> None:
    """Raise with what the boxes of the whole set seem to be, and with every line that is wrong whatever they are."""
    told = [f"{request.annotations}: {misread}"] if misread is not None else []
    told += [problem.text for problem in problems if misread is None or not problem.unit]
    if told:
        more = [f"… and {len(told) - _FOREIGN} more lines"] if len(told) > _FOREIGN else []
        raise InputError([*told[:_FOREIGN], *more])


def _as_arrays(written: Sequence[tuple[_Line, tuple[int, int]]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The boxes as they stand there, (N, 4), and the sizes of their images, (N, 2)."""
    raw = np.array([line.box for line, _ in written], dtype=np.float64).reshape(-1, 4)
    return raw, np.array([size for _, size in written], dtype=np.float64).reshape(-1, 2)


def load(request: DatasetRequest) -> Dataset:
    """Load `annotations`: a `data.yaml` (whatever its name), an `obj.data`, a folder that holds one of these, or the
    folder of label files; with `images`, images are found there by the stems of the label files.

    Polygons become the boxes around them, and are counted; an image without a label file has no object.

    Raises:
        InputError: with every line that is not a box or polygon of a known class, and all that is missing.
    """
    if request.annotations is None:
        raise InputError("`annotations` is missing; expected data.yaml, obj.data or the folder of label files")
    if not request.annotations.exists():
        raise InputError(
            f"{request.annotations}: no such file or folder; expected data.yaml, obj.data or the folder of label files"
        )
    reading = box_reading(request.options, box_format=_FRACTIONS.box_format, box_unit=_FRACTIONS.box_unit)
    layout = dataclasses.replace(_layout(request), reading=reading)
    problems: list[_Problem] = []
    counts = Counter(zero_area_boxes=0, polygons=0, missing_files=0, unreadable_images=0, images_without_truth=0)
    paths = layout.images[: request.limit]
    present = [path for path in paths if path.is_file()]
    sizes = dict(zip(present, sizes_of(present, request.meant), strict=True))
    images, truth, used = [], {}, []
    written: list[tuple[_Line, tuple[int, int]]] = []
    for number, path in enumerate(paths, start=1):
        size = sizes.get(path)
        try:
            file = _label_file(path, layout.labels)
        except InputError as error:
            problems += [_Problem(text) for text in error.problems]
            continue
        lines = _lines(file, layout, problems, counts) if file.is_file() else []
        used += [sha256_of(file)] if file.is_file() else []
        digest_of = sha256_of(path) if path.is_file() else None
        images.append(ImageRecord(number, path, size, digest_of, sized=False, meant=request.meant))
        truth[number] = _truth(lines, reading, size or (1, 1), counts)
        written += [(line, size) for line in lines if size is not None and not line.polygon]
        counts["missing_files"] += not path.is_file()
        counts["unreadable_images"] += path.is_file() and size is None
        counts["images_without_truth"] += not len(truth[number].labels)
    _raise(request, reading.problem(*_as_arrays(written)), problems)
    if not used:
        raise InputError(
            f"{request.annotations}: none of its {len(paths)} images has a label file, for example "
            f"{_label_file(paths[0], layout.labels)}"
        )
    if counts["missing_files"] == len(images):
        raise InputError(f"{request.annotations}: none of its {len(images)} images is there, for example {paths[0]}")
    return Dataset(
        name=request.name,
        format="yolo",
        images=tuple(images),
        truth=truth,
        categories=layout.names,
        counts=dict(counts),
        about={"annotations": str(request.annotations), "annotations_sha256": digest(used)},
    )


def _layout(request: DatasetRequest) -> _Layout:
    place = request.annotations
    assert place is not None
    if place.is_dir():
        inside = [path for name in ("data.yaml", "data.yml", "obj.data") if (path := place / name).is_file()]
        others = [
            path for pattern in ("*.yaml", "*.yml") for path in place.glob(pattern) if "names" in _yaml_keys(path)
        ]
        inside = inside or sorted([*others, *place.glob("*.data")])
        if len(inside) > 1:
            raise InputError(
                f"{place}: it holds {', '.join(path.name for path in inside)}; name one of them in `annotations`"
            )
        if not inside:
            return _bare_folder(request, place)
        place = inside[0]
    return _from_yaml(place, request) if place.suffix.lower() in (".yaml", ".yml") else _from_darknet(place, request)


def _given_images(request: DatasetRequest, place: Path) -> tuple[tuple[Path, ...], dict[str, tuple[Path, ...]]]:
    """The images of `images`, and the label files below the folder of `place` by stem."""
    root = request.images
    if root is None or not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the images of {place}")
    images = tuple(list_images(root))
    if not images:
        raise InputError(f"{root}: it holds no image ({', '.join(SUFFIXES)})")
    labels: dict[str, tuple[Path, ...]] = {}
    for path in sorted(place.parent.rglob("*.txt")):
        labels[path.stem] = (*labels.get(path.stem, ()), path)
    return images, labels


def _bare_folder(request: DatasetRequest, folder: Path) -> _Layout:
    """A folder of label files alone: class names from `labels`, else from a file beside them."""
    beside = [path for place in (folder, folder.parent) for name in _NAME_FILES if (path := place / name).is_file()]
    names_file = request.labels or next(iter(beside), None)
    if request.labels is not None and not request.labels.is_file():
        raise InputError(f"{request.labels}: `labels` is no such file; expected one class name a line")
    if names_file is None:
        raise InputError(
            f"{folder}: a folder of label files names no classes; write `labels:` with a file of one name a line (or "
            f"put {_NAME_FILES[0]} there)"
        )
    stems = {path.stem for path in folder.glob("*.txt") if path.name not in _NAME_FILES}
    root = request.images or folder
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the images of {folder}")
    images = tuple(path for path in list_images(root) if path.stem in stems or request.images is not None)
    twice = [stem for stem, count in Counter(path.stem for path in images).items() if count > 1]
    if twice:
        raise InputError(
            f"{root}: {len(twice)} names stand for more than one image, for example {twice[0]}; their label files "
            "cannot be told apart"
        )
    if not images:
        raise InputError(
            f"{root}: no image there has the name of a label file in {folder}; write `images:` with their folder"
        )
    return _Layout(images, _names_of(names_file), {image.stem: (folder / f"{image.stem}.txt",) for image in images})


def _from_yaml(path: Path, request: DatasetRequest) -> _Layout:
    split = request.split
    data, source = load_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a mapping with names and {split}")
    problems = []
    names = data.get("names")
    if isinstance(names, dict) and all(str(key).strip().isdigit() for key in names):
        numbered = {int(str(key)): name for key, name in names.items()}
        if sorted(numbered) == list(range(len(names))):
            names = [numbered[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        problems.append(f"{source.where('names')}: expected the class names, as a list or numbered from 0")
        names = []
    if "nc" in data and names and data["nc"] != len(names):
        problems.append(f"{source.where('nc')}: nc is {data['nc']} but there are {len(names)} names")
    wanted = next((key for key in (split, "valid" if split == "val" else split) if data.get(key)), None)
    if wanted is None and request.images is None:
        known = ", ".join(key for key in ("train", "val", "test") if data.get(key)) or "none"
        problems.append(
            f"{source.where()}: it names no images for the split {split!r} (it has {known}); write `split:` in the "
            "data set of audit.yaml"
        )
    if problems:
        raise InputError(problems)
    shape = data.get("kpt_shape")
    if shape is not None and not (
        isinstance(shape, list) and all(isinstance(side, int) and side > 0 for side in shape)
    ):
        raise InputError(f"{source.where('kpt_shape')}: expected two whole numbers such as [17, 3] but got {shape!r}")
    keypoints = math.prod(shape) if shape else 0
    classes = tuple(str(name) for name in names)
    if request.images is not None:
        given, labels = _given_images(request, path)
        return _Layout(given, classes, labels, keypoints)
    images: list[Path] = []
    for entry in data[wanted] if isinstance(data[wanted], list) else [data[wanted]]:
        images += _images_at(path, str(data.get("path") or ""), str(entry), source.where(str(wanted)))
    return _Layout(tuple(dict.fromkeys(images)), classes, keypoints=keypoints)


def _from_darknet(path: Path, request: DatasetRequest) -> _Layout:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); expected data.yaml or obj.data") from error
    values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines) if value.strip()}
    wanted = {"val": "valid"}.get(request.split, request.split)
    missing = [key for key in ("names", wanted) if key not in values and (key == "names" or request.images is None)]
    if missing:
        raise InputError(
            f"{path}: expected lines `key = value` with {' and '.join(missing)}, as Darknet's obj.data has them"
        )
    names = _found(path, "", values["names"])
    if names is None:
        raise InputError(f"{path}: names is {values['names']}, and no such file is there")
    if request.images is not None:
        images, labels = _given_images(request, path)
        return _Layout(images, _names_of(names), labels)
    return _Layout(tuple(_images_at(path, "", values[wanted], f"{path}: {wanted}")), _names_of(names))


def _names_of(path: Path) -> tuple[str, ...]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file of class names, one a line"
        ) from error
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"{path}: it names no class; expected one a line")
    return tuple(names)


def _found(file: Path, root: str, entry: str) -> Path | None:
    """Where a path that a file names is: from the file's folder, without steps up that lead nowhere, then by base name
    beside it."""
    for spelling in spellings(entry):
        tries = [
            file.parent / root / spelling,
            file.parent / spelling,
            file.parent / Path(root).name / spelling,
            # Roboflow writes ../valid/images beside valid/
            file.parent / re.sub(r"^(\.\./)+", "", spelling),
            file.parent / Path(spelling).name,
        ]
        found = next((path for path in tries if path.exists()), None)
        if found is not None:
            return found
    return None


def _images_at(file: Path, root: str, entry: str, where: str) -> list[Path]:
    """The images of a folder, or of a text file that lists them."""
    place = _found(file, root, entry)
    if place is None:
        raise InputError(
            f"{where}: {entry} is neither there nor beside {file.name}; expected a folder of images, or a text file "
            "that lists them"
        )
    if place.is_dir():
        images = list_images(place)
        if not images:
            raise InputError(f"{where}: {place} holds no image ({', '.join(SUFFIXES)})")
        return images
    if place.suffix.lower() in SUFFIXES:
        return [place]
    try:
        lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: {place} cannot be read as a list of images ({error})") from error
    if not lines:
        raise InputError(f"{where}: {place} lists no image")
    return [_found(place, "", line) or _found(file, root, line) or place.parent / line for line in lines]


def _label_file(image: Path, labels: Mapping[str, Sequence[Path]]) -> Path:
    """The label file of an image: below `labels` where the image is below `images`, else beside it, else the one of its
    name.

    Raises:
        InputError: several have its name.
    """
    usual = _usual_label_file(image)
    named = labels.get(image.stem, ())
    if usual.is_file() or not named:
        return usual
    if len(named) > 1:
        raise InputError(
            f"{image}: {len(named)} label files have its name, {named[0]} and {named[1]}; keep images and labels in "
            "folders that mirror each other"
        )
    return named[0]


def _usual_label_file(image: Path) -> Path:
    parts = image.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            mirrored = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
            if mirrored.is_file() or not image.with_suffix(".txt").is_file():
                return mirrored
            break
    return image.with_suffix(".txt")


def _lines(file: Path, layout: _Layout, problems: list[_Problem], counts: Counter[str]) -> list[_Line]:
    """The object of each line of a label file."""
    boxes = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_Problem(f"{file}: cannot be read as text ({error})"))
        return []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = [float(part) for part in line.split()]
        except ValueError:
            problems.append(_Problem(f"{file}:{number}: expected numbers but got {line.strip()[:60]!r}"))
            continue
        wrong = _wrong(values, layout)
        if wrong:
            problems.append(_Problem(f"{file}:{number}: {wrong}: {line.strip()[:60]!r}"))
            continue
        rest = values[1:5] if layout.keypoints else values[1:]
        polygon = len(rest) > 4
        counts["polygons"] += polygon
        if layout.reading.box_unit == "normalized" and any(not -0.01 <= value <= _BEYOND for value in rest):
            text = "expected fractions of the image's width and height, from 0 to 1"
            problems.append(_Problem(f"{file}:{number}: {text}: {line.strip()[:60]!r}", unit=True))
        boxes.append(_Line(int(values[0]), _around(rest, layout.reading) if polygon else rest, polygon))
    return boxes


def _wrong(values: list[float], layout: _Layout) -> str | None:
    label, rest = values[0], values[1:5] if layout.keypoints else values[1:]
    if layout.keypoints and len(values) != 5 + layout.keypoints:
        return f"expected a class, a box and {layout.keypoints} numbers of keypoints"
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        return "expected a class and cx cy w h, or a class and the points of a polygon"
    if not all(math.isfinite(value) for value in values) or label != int(label) or label < 0:
        return "expected a class number and finite fractions"
    if label >= len(layout.names):
        return f"class {label:g}, but only {len(layout.names)} are named"
    return None


def _around(points: Sequence[float], reading: BoxReading) -> Sequence[float]:
    """The box around a polygon, as the boxes of the set are written."""
    x, y = points[0::2], points[1::2]
    corners = np.array([[min(x), min(y), max(x), max(y)]])
    found: list[float] = from_xyxy(corners, reading.box_format.replace(CORNERS, "xyxy"))[0].tolist()
    return found


def _truth(lines: Sequence[_Line], reading: BoxReading, size: tuple[int, int], counts: Counter[str]) -> GroundTruth:
    raw = np.array([line.box for line in lines], dtype=np.float64).reshape(-1, 4)
    boxes = reading.to_xyxy(raw, size)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    counts["zero_area_boxes"] += int((~kept).sum())
    boxes = boxes[kept]
    return GroundTruth(
        boxes=boxes,
        labels=np.array([line.label for line in lines], dtype=np.int64)[kept],
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        iscrowd=np.zeros(len(boxes), dtype=bool),
    )


def _detect(folder: Path) -> dict[str, Path | str] | None:
    for pattern in ("data.yaml", "data.yml", "*.yaml", "*.yml"):
        for path in sorted(folder.glob(pattern)):
            keys = _yaml_keys(path)
            split = next((key for key in ("val", "valid", "test", "train") if key in keys), None)
            if "names" in keys and split is not None:
                found: dict[str, Path | str] = {"format": "yolo", "annotations": path}
                return {**found, "split": split} if split in ("test", "train") else found
    for path in sorted(folder.glob("*.data")):
        if "names" in path.read_text(encoding="utf-8", errors="replace"):
            return {"format": "yolo", "annotations": path}
    names = next(
        (
            path
            for name in ("classes.txt", "obj.names")
            for place in (folder, folder / "labels")
            if (path := place / name).is_file()
        ),
        None,
    )
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    if names is not None and list_images(folder):
        images = folder / "images" if (folder / "images").is_dir() else folder
        return {"format": "yolo", "annotations": labels, "images": images, "labels": names}
    return None


def _yaml_keys(path: Path) -> set[str]:
    try:
        data, _ = load_yaml(path)
    except InputError:
        return set()  # another YAML file
    return set(map(str, data)) if isinstance(data, dict) else set()


FORMAT = Format(
    name="yolo",
    task="detection",
    about="YOLO label files",
    keys={
        "annotations": "data.yaml (whatever its name), obj.data, a folder with one of these, or the folder of label "
        "files",
        "images": "left out, or where images lie by the stems of the label files",
        "labels": "the class names of a bare folder of label files",
        "split": "train, val or test",
        **BOX_KEYS,
    },
    load=load,
    detect=_detect,
    rank=20,
)
