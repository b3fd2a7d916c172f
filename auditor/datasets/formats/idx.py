"""The two IDX files of MNIST and its kin: images and labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.idx_file import load_idx
from auditor.errors import DataError, InputError
from auditor.values import ClassTruth, ImageRecord

__all__ = ["FORMAT"]


def load(request: DatasetRequest) -> Dataset:
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
        truth={index + 1: ClassTruth(int(labels[index])) for index in range(count)},
        categories=tuple(str(number) for number in range(int(labels.max()) + 1)),
        counts={},
        about={"images": str(request.images), "labels": Path(request.labels or "").name},
        task="classification",
    )


def _detect(folder: Path) -> dict[str, Path | str] | None:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and "idx" in path.name]
    images = [path for path in files if "images" in path.name]
    labels = [path for path in files if "labels" in path.name]
    return {"format": "idx", "images": images[0], "labels": labels[0]} if images and labels else None


FORMAT = Format(
    name="idx",
    task="classification",
    about="two IDX files, plain or gzip",
    keys={
        "images": "the IDX file of images",
        "labels": "the IDX file of their labels",
    },
    load=load,
    detect=_detect,
    rank=40,
    truth_beside=False,
    deep=False,
)
