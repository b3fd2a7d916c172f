"""Data sets to classify: a folder for each class, or the two IDX files of MNIST and its kin."""

from __future__ import annotations

import hashlib
from pathlib import Path

from auditor.datasets.dataset import Dataset, DatasetRequest, class_truth
from auditor.datasets.idx_file import load_idx
from auditor.datasets.images import list_images
from auditor.errors import DataError, InputError
from auditor.provenance import sha256_of
from auditor.values import ImageRecord

__all__ = ["load_folders", "load_idx_pair"]


def load_folders(request: DatasetRequest) -> Dataset:
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
    images = tuple(ImageRecord(number, path, None, sha256_of(path)) for number, (path, _) in enumerate(chosen, start=1))
    stray = sum(path.is_file() for path in root.iterdir())
    return Dataset(
        name=request.name,
        format="folders",
        images=images,
        truth={image.id: class_truth(label) for image, (_, label) in zip(images, chosen, strict=True)},
        categories=tuple(classes),
        counts={"files_beside_the_classes": stray},
        about={"images": str(root)},
        task="classification",
    )


def load_idx_pair(request: DatasetRequest) -> Dataset:
    """Load `images` (N, height, width) or (N, height, width, 3) and `labels` (N,) of two IDX files, plain or gzip; the
    classes are the numbers from 0 to the highest label.

    Raises:
        InputError: a file is missing, is not IDX, or the two do not fit each other.
    """
    paths = [(key, path) for key, path in (("images", request.images), ("labels", request.labels)) if path is not None]
    problems, arrays = [], {}
    for key, path in paths:
        try:
            arrays[key] = load_idx(path)
        except DataError as error:
            problems.append(str(error))
    problems += [
        f"`{key}` is missing; expected the path of an IDX file"
        for key in ("images", "labels")
        if key not in dict(paths)
    ]
    pixels, labels = arrays.get("images"), arrays.get("labels")
    if pixels is not None and (pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3))):
        problems.append(
            f"{request.images}: it holds an array {pixels.shape}; expected images (N, height, width) or (N, height, "
            "width, 3)"
        )
    if labels is not None and labels.ndim != 1:
        problems.append(f"{request.labels}: it holds an array {labels.shape}; expected labels (N,)")
    elif pixels is not None and labels is not None and len(pixels) != len(labels):
        problems.append(
            f"{request.images} has {len(pixels)} images but {request.labels} has {len(labels)} labels; give the two "
            "of one set"
        )
    elif pixels is not None and not pixels.size:
        problems.append(f"{request.images}: it holds no image ({' × '.join(map(str, pixels.shape))})")
    if problems or pixels is None or labels is None or request.images is None:
        raise InputError(problems)
    count = min(len(pixels), request.limit or len(pixels))
    size = (pixels.shape[2], pixels.shape[1])
    images = tuple(
        ImageRecord(index + 1, request.images, size, hashlib.sha256(pixels[index].tobytes()).hexdigest(), index)
        for index in range(count)
    )
    return Dataset(
        name=request.name,
        format="idx",
        images=images,
        truth={index + 1: class_truth(int(labels[index])) for index in range(count)},
        categories=tuple(str(number) for number in range(int(labels.max()) + 1)),
        counts={},
        about={"images": str(request.images), "labels": Path(request.labels or "").name},
        task="classification",
    )
