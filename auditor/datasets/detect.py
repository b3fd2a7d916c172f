"""Tell a data set's format from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path

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
            f"{folder}: no known data set there; looked for COCO JSON, data.yaml or obj.data (YOLO), a folder of XML files (Pascal VOC), "
            "two IDX files, and one folder of images for each class"
        )
    return found


def _coco(folder: Path) -> dict[str, Path | str] | None:
    for path in sorted(
        [*folder.glob("*.json"), *folder.glob("annotations/*.json")], key=lambda path: ("instances" not in path.name, path.name)
    ):
        try:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            continue  # another JSON file
        if isinstance(document, dict) and {"images", "annotations", "categories"} <= document.keys() and document["images"]:
            name = document["images"][0].get("file_name", "")
            places = [folder / "images", folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
            images = next((place for place in places if (place / name).is_file()), folder / "images")
            return {"format": "coco", "images": images, "annotations": path}
    return None


def _yolo(folder: Path) -> dict[str, Path | str] | None:
    for pattern in ("data.yaml", "data.yml", "obj.data", "*.yaml", "*.yml", "*.data"):
        for path in sorted(folder.glob(pattern)):
            if "names" in path.read_text(encoding="utf-8", errors="replace"):
                return {"format": "yolo", "annotations": path}
    return None


def _voc(folder: Path) -> dict[str, Path | str] | None:
    place = next((place for place in (folder / "Annotations", folder / "annotations", folder) if any(place.glob("*.xml"))), None)
    return None if place is None else {"format": "voc", "annotations": place}


def _idx(folder: Path) -> dict[str, Path | str] | None:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and "idx" in path.name]
    images = [path for path in files if "images" in path.name]
    labels = [path for path in files if "labels" in path.name]
    return {"format": "idx", "images": images[0], "labels": labels[0]} if images and labels else None


def _folders(folder: Path) -> dict[str, Path | str] | None:
    classes = [place for place in folder.iterdir() if place.is_dir() and list_images(place)]
    return {"format": "folders", "images": folder} if len(classes) > 1 else None
