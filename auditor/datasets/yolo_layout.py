"""Which images, label files and class names a YOLO data set has: from its `data.yaml`, its `obj.data`, or its folders.

Sources: https://docs.ultralytics.com/datasets/detect/ (`data.yaml`), https://github.com/AlexeyAB/darknet (`obj.data`),
https://labelstud.io/guide/export (a folder with images/, labels/ and classes.txt).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auditor.config.yaml_file import load_yaml
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.image_files import SUFFIXES, list_images
from auditor.datasets.named_files import endings, no_folder, spellings
from auditor.datasets.truth_boxes import BoxReading
from auditor.errors import InputError
from auditor.files import is_there, whole_bytes, whole_text
from auditor.values.label_lists import decoded_text, parse_labels

__all__ = ["FRACTIONS", "YoloLayout", "label_file", "layout_of", "usual_label_file", "yaml_keys"]

_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "notes.json")
_EVERYWHERE = ("images", "train", "val", "valid", "test")
"""Names of folders that say nothing of which they are."""
FRACTIONS = BoxReading("cxcywh", "normalized")
"""How YOLO writes a box."""


@dataclass(frozen=True)
class YoloLayout:
    """Which images there are, the class names, label files by stem where they do not lie where the images tell;
    `keypoints` numbers follow each box."""

    images: tuple[Path, ...]
    names: tuple[str, ...]
    labels: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    keypoints: int = 0
    reading: BoxReading = FRACTIONS


def layout_of(request: DatasetRequest) -> YoloLayout:
    """Find out what `annotations` is, and what it names.

    Raises:
        InputError: it names what is not there, or nothing tells the classes.
    """
    place = request.annotations
    assert place is not None
    if place.is_dir():
        inside = [path for name in ("data.yaml", "data.yml", "obj.data") if (path := place / name).is_file()]
        others = [path for pattern in ("*.yaml", "*.yml") for path in place.glob(pattern) if "names" in yaml_keys(path)]
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
        raise InputError(f"{root}: {no_folder(root)}; expected the images of {place}")
    images = tuple(list_images(root))
    if not images:
        raise InputError(f"{root}: it holds no image ({', '.join(SUFFIXES)})")
    labels: dict[str, tuple[Path, ...]] = {}
    for path in sorted(place.parent.rglob("*.txt")):
        labels[path.stem] = (*labels.get(path.stem, ()), path)
    return images, labels


def _bare_folder(request: DatasetRequest, folder: Path) -> YoloLayout:
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
    root = request.images or folder
    if not _label_files(folder) and (folder / "labels").is_dir():  # Label Studio's images/, labels/ and classes.txt
        root = request.images or next((place for place in (folder / "images",) if place.is_dir()), folder)
        folder = folder / "labels"
    stems = {path.stem for path in _label_files(folder)}
    if not root.is_dir():
        raise InputError(f"{root}: {no_folder(root)}; expected the images of {folder}")
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
    return YoloLayout(images, _names_of(names_file), {image.stem: (folder / f"{image.stem}.txt",) for image in images})


def _label_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.txt") if path.name not in _NAME_FILES]


def _from_yaml(path: Path, request: DatasetRequest) -> YoloLayout:
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
        return YoloLayout(given, classes, labels, keypoints)
    images: list[Path] = []
    for entry in data[wanted] if isinstance(data[wanted], list) else [data[wanted]]:
        images += _images_at(path, str(data.get("path") or ""), str(entry), source.where(str(wanted)))
    return YoloLayout(tuple(dict.fromkeys(images)), classes, keypoints=keypoints)


def _from_darknet(path: Path, request: DatasetRequest) -> YoloLayout:
    try:
        lines = whole_text(path).splitlines()
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
        return YoloLayout(images, _names_of(names), labels)
    return YoloLayout(tuple(_images_at(path, "", values[wanted], f"{path}: {wanted}")), _names_of(names))


def _names_of(path: Path) -> tuple[str, ...]:
    try:
        names = parse_labels(decoded_text(whole_bytes(path)))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file of class names, one a line"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not names:
        raise InputError(f"{path}: it names no class; expected one a line")
    return tuple("" if name is None else name for name in names)


def _found(file: Path, root: str, entry: str) -> Path | None:
    """Where a path that a file names is: from the file's folder, without steps up that lead nowhere, then by its end
    beside it."""
    for spelling in spellings(entry):
        tries = [
            file.parent / root / spelling,
            file.parent / spelling,
            file.parent / Path(root).name / spelling,
            # Roboflow writes ../valid/images beside valid/
            file.parent / re.sub(r"^(\.\./)+", "", spelling),
        ]
        shorter = list(endings(spelling.rstrip("/")))[1:]
        if shorter and Path(spelling).name in _EVERYWHERE:
            shorter = shorter[:-1]
        tries += [file.parent / ending for ending in shorter]
        found = next((path for path in tries if is_there(path)), None)
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
        lines = [line.strip() for line in whole_text(place, encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: {place} cannot be read as a list of images ({error})") from error
    if not lines:
        raise InputError(f"{where}: {place} lists no image")
    return [_found(place, "", line) or _found(file, root, line) or place.parent / line for line in lines]


def label_file(image: Path, labels: Mapping[str, Sequence[Path]], claimed: Collection[Path]) -> Path:
    """The label file of an image: below `labels` where the image is below `images`, else beside it, else the one of its
    name that is not `claimed` by another image.

    Raises:
        InputError: several have its name.
    """
    usual = usual_label_file(image)
    named = [path for path in labels.get(image.stem, ()) if path not in claimed]
    if usual.is_file() or not named:
        return usual
    if len(named) > 1:
        raise InputError(
            f"{image}: {len(named)} label files have its name, {named[0]} and {named[1]}; keep images and labels in "
            "folders that mirror each other"
        )
    return named[0]


def usual_label_file(image: Path) -> Path:
    """The label file of an image by where it lies: below `labels` as the image is below `images`, else beside it.

    Raises:
        InputError: both are there, and differ.
    """
    parts = image.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            mirrored = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
            beside = image.with_suffix(".txt")
            if not beside.is_file():
                return mirrored
            if mirrored.is_file() and whole_bytes(mirrored) != whole_bytes(beside):
                raise InputError(
                    f"{image}: two label files are its own, {mirrored} and {beside}, and they differ; remove one: "
                    "which is meant cannot be told"
                )
            return beside
    return image.with_suffix(".txt")


def yaml_keys(path: Path) -> set[str]:
    """The keys at the top of a YAML file; none where it is not one."""
    try:
        data, _ = load_yaml(path)
    except InputError:
        return set()  # another YAML file
    return set(map(str, data)) if isinstance(data, dict) else set()
