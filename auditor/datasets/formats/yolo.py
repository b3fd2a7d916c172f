"""YOLO labels: one text file for each image, a line for each object with fractions of the image.

Sources: https://docs.ultralytics.com/datasets/detect/ (`data.yaml`), https://github.com/AlexeyAB/darknet (`obj.data`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import from_xyxy
from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import list_images, sizes_of
from auditor.datasets.truth_boxes import BOX_KEYS, CORNERS, BoxReading, box_reading
from auditor.datasets.yolo_layout import FRACTIONS, YoloLayout, label_file, layout_of, usual_label_file, yaml_keys
from auditor.errors import InputError
from auditor.files import DOCUMENT_BYTES, whole_bytes, whole_text
from auditor.provenance import content_hash, digest
from auditor.values import GroundTruth, ImageRecord

__all__ = ["FORMAT"]

_BEYOND = 1.01
"""Fractions may leave [0, 1] by rounding; what lies beyond is given in pixels, or wrong."""
_FOREIGN = 20
_COUNTED = (
    "zero_area_boxes",
    "polygons",
    "missing_files",
    "missing_labels",
    "unreadable_images",
    "images_without_truth",
)


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
    reading = box_reading(request.options, box_format=FRACTIONS.box_format, box_unit=FRACTIONS.box_unit)
    layout = dataclasses.replace(layout_of(request), reading=reading)
    problems: list[_Problem] = []
    counts = Counter(dict.fromkeys(_COUNTED, 0))
    paths = layout.images[: request.limit]
    present = [path for path in paths if path.is_file()]
    sizes = dict(zip(present, sizes_of(present, request.meant), strict=True))
    images, truth, used = [], {}, []
    files = _label_files(layout, paths, problems)
    written: list[tuple[_Line, tuple[int, int]]] = []
    for number, path in enumerate(paths, start=1):
        size = sizes.get(path)
        file = files.get(path)
        counts["missing_labels"] += file is None
        lines = _lines(file, layout, problems, counts) if file is not None else []
        used += [content_hash(file) or ""] if file is not None else []
        digest_of = content_hash(path)
        images.append(ImageRecord(number, path, size, digest_of, sized=False, meant=request.meant))
        truth[number] = _truth(lines, reading, size or (1, 1), counts)
        written += [(line, size) for line in lines if size is not None and not line.polygon]
        counts["missing_files"] += not path.is_file()
        counts["unreadable_images"] += path.is_file() and size is None
        counts["images_without_truth"] += not len(truth[number].labels)
    _raise(request, reading.problem(*_as_arrays(written)) if request.judged else None, problems)
    if not used:
        raise InputError(
            f"{request.annotations}: none of its {len(paths)} images has a label file, for example "
            f"{label_file(paths[0], layout.labels, ())}"
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


def _label_files(layout: YoloLayout, paths: Sequence[Path], problems: list[_Problem]) -> dict[Path, Path]:
    """The label file of each image that has one: its own, never one that is another image's own."""
    own: set[Path] = set()
    for path in paths:
        with contextlib.suppress(InputError):  # told below
            own.add(usual_label_file(path))
    found: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for path in paths:
        try:
            file = label_file(path, layout.labels, own)
        except InputError as error:
            problems += [_Problem(text) for text in error.problems]
            continue
        if not file.is_file():
            continue
        if file in taken:
            text = f"{file}: it is the label file of two images, {taken[file]} and {path}; rename one"
            problems.append(_Problem(text))
        found[path], taken[file] = file, path
    return found


def _lines(file: Path, layout: YoloLayout, problems: list[_Problem], counts: Counter[str]) -> list[_Line]:
    """The object of each line of a label file."""
    boxes = []
    try:
        lines = whole_text(file, encoding="utf-8-sig").splitlines()
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


def _wrong(values: list[float], layout: YoloLayout) -> str | None:
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
            keys = yaml_keys(path)
            split = next((key for key in ("val", "valid", "test", "train") if key in keys), None)
            if "names" in keys and split is not None:
                found: dict[str, Path | str] = {"format": "yolo", "annotations": path}
                return {**found, "split": split} if split in ("test", "train") else found
    for path in sorted(folder.glob("*.data")):
        with contextlib.suppress(OSError):
            if b"names" in whole_bytes(path, most=DOCUMENT_BYTES):
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
