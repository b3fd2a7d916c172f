"""A folder for each class, with its images."""

from __future__ import annotations

from pathlib import Path

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import list_images
from auditor.errors import InputError
from auditor.provenance import content_hash
from auditor.values import ClassTruth, ImageRecord

__all__ = ["FORMAT"]


def load(request: DatasetRequest) -> Dataset:
    """Load `images`, a folder with one folder for each class; classes stand in the order of their names.

    With `limit` the images are taken from all classes in turn, so that a few of each are there.

    Raises:
        InputError: there is no such folder, it has no class folder, or a class without an image.
    """
    root = request.images
    if root is None or not root.is_dir():
        raise InputError(f"{root or 'images'}: no such folder; expected a folder that holds one folder for each class")
    classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise InputError(f"{root}: it holds no folder; expected one folder for each class, with its images")
    found = {name: list_images(root / name) for name in classes}
    problems = [
        f"{root / name}: this class has no image; add some, or remove the folder"
        for name, paths in found.items()
        if not paths
    ]
    if problems:
        raise InputError(problems)
    turns = (
        (turn, index)
        for turn in range(max(map(len, found.values())))
        for index, name in enumerate(classes)
        if turn < len(found[name])
    )
    chosen = [(found[classes[index]][turn], index) for turn, index in turns][: request.limit]
    images = tuple(
        ImageRecord(number, path, None, content_hash(path)) for number, (path, _) in enumerate(chosen, start=1)
    )
    stray = sum(path.is_file() for path in root.iterdir())
    return Dataset(
        name=request.name,
        format="folders",
        images=images,
        truth={image.id: ClassTruth(label) for image, (_, label) in zip(images, chosen, strict=True)},
        categories=tuple(classes),
        counts={"files_beside_the_classes": stray},
        about={"images": str(root)},
        task="classification",
    )


def _detect(folder: Path) -> dict[str, Path | str] | None:
    classes = [place.name for place in folder.iterdir() if place.is_dir() and list_images(place)]
    if classes and set(classes) <= {"train", "val", "valid", "test"}:  # a folder of classes for each split
        split = next(name for name in ("val", "valid", "test", "train") if name in classes)
        return _detect(folder / split)
    return {"format": "folders", "images": folder} if len(classes) > 1 else None


FORMAT = Format(
    name="folders",
    task="classification",
    about="one folder for each class",
    keys={
        "images": "a folder with one folder for each class",
    },
    load=load,
    detect=_detect,
    rank=50,
    truth_beside=False,
)
