"""A data set format of its own: a folder of images with `boxes.csv`: file, label, x1, y1, x2, y2."""

from __future__ import annotations

import csv

import numpy as np

from auditor.datasets.dataset import Dataset, Format
from auditor.errors import InputError
from auditor.provenance import sha256_of
from auditor.values import GroundTruth, ImageRecord


def load(request):
    """Load `images` and the table `table`, whose separator is `separator`."""
    table = request.options.get("table")
    if request.images is None or table is None:
        raise InputError("`images` and `table` are needed: a folder, and a table with its boxes")
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=request.options.get("separator", ",")))
    categories = sorted({row["label"] for row in rows})
    files = sorted({row["file"] for row in rows})[: request.limit]
    images, truth = [], {}
    for number, name in enumerate(files, start=1):
        path = request.images / name
        images.append(ImageRecord(number, path, None, sha256_of(path)))
        mine = [row for row in rows if row["file"] == name]
        boxes = np.array([[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in mine])
        labels = np.array([categories.index(row["label"]) for row in mine])
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        truth[number] = GroundTruth(boxes, labels, area, np.zeros(len(mine), bool))
    return Dataset(
        request.name,
        "table",
        tuple(images),
        truth,
        tuple(categories),
        {},
        about={"table": str(table)},
        task="detection",
    )


def detect(folder):
    """Recognise a folder with `boxes.csv` beside `images/`."""
    if (folder / "boxes.csv").is_file() and (folder / "images").is_dir():
        return {"format": "table", "images": folder / "images", "table": folder / "boxes.csv"}
    return None


FORMAT = Format(
    name="table",
    task="detection",
    about="a table of boxes",
    keys={"images": "a folder", "table": "a CSV file", "separator": "what stands between its columns"},
    load=load,
    detect=detect,
    rank=5,
    paths=("images", "table"),
)
