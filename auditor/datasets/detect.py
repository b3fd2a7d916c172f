"""Tell a data set's format from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from auditor.config.source import load_yaml
from auditor.datasets.images import list_images
from auditor.errors import InputError

__all__ = ["detect_dataset"]


def detect_dataset(folder: Path) -> dict[str, Path | str]:
    """Return the keys of `dataset:` (format, images, annotations, labels) for the data in `folder`.

    Raises:
        InputError: nothing there is of a known format; says what was looked for.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected images with their annotations")
    found = _coco(folder) or _yolo(folder) or _voc(folder) or _idx(folder) or _folders(folder)
    if found is None:
        raise InputError(
            f"{folder}: no known data set there; looked for COCO JSON, data.yaml or obj.data (YOLO), a folder of XML "
            "files (Pascal VOC), "
            "two IDX files, and one folder of images for each class"
        )
    return found


def _coco(folder: Path) -> dict[str, Path | str] | None:
    for path in sorted(
        [*folder.glob("*.json"), *folder.glob("annotations/*.json")],
        key=lambda path: ("instances" not in path.name, path.name),
    ):
        try:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
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


def _yolo(folder: Path) -> dict[str, Path | str] | None:
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


def _voc(folder: Path) -> dict[str, Path | str] | None:
    place = next(
        (place for place in (folder / "Annotations", folder / "annotations", folder) if any(place.glob("*.xml"))), None
    )
    return None if place is None else {"format": "voc", "annotations": place}


def _idx(folder: Path) -> dict[str, Path | str] | None:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and "idx" in path.name]
    images = [path for path in files if "images" in path.name]
    labels = [path for path in files if "labels" in path.name]
    return {"format": "idx", "images": images[0], "labels": labels[0]} if images and labels else None


def _folders(folder: Path) -> dict[str, Path | str] | None:
    classes = [place.name for place in folder.iterdir() if place.is_dir() and list_images(place)]
    if classes and set(classes) <= {"train", "val", "valid", "test"}:  # a folder of classes for each split
        split = next(name for name in ("val", "valid", "test", "train") if name in classes)
        return _folders(folder / split)
    return {"format": "folders", "images": folder} if len(classes) > 1 else None
