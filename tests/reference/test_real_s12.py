"""Twelve real images, as people have them: every form, with the line that settles it, gives the AP of the sound set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from auditor.run import run_audit

pytestmark = pytest.mark.real

COUNT = 12


@pytest.fixture(scope="module")
def sound(real, tmp_path_factory) -> Path:
    """The first images with a person and no crowd, as PNG, and their objects as COCO."""
    folder = tmp_path_factory.mktemp("s12")
    document = json.loads((real / "data" / "coco-val79" / "instances.json").read_text())
    (person,) = [row["id"] for row in document["categories"] if row["name"] == "person"]
    crowded = {row["image_id"] for row in document["annotations"] if row["iscrowd"]}
    with_person = {row["image_id"] for row in document["annotations"] if row["category_id"] == person} - crowded
    chosen = [row for row in document["images"] if row["id"] in with_person][:COUNT]
    (folder / "images").mkdir()
    for row in chosen:
        image = cv2.imread(str(real / "data" / "coco-val79" / "images" / row["file_name"]))
        row["file_name"] = f"a b {row['id']}.png"
        assert image is not None
        assert cv2.imwrite(str(folder / "images" / row["file_name"]), image)
    document["images"] = chosen
    of = {row["id"] for row in chosen}
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] in of]
    (folder / "instances.json").write_text(json.dumps(document))
    return folder


def audited(folder: Path, real: Path, dataset: str) -> tuple[float, float]:
    """AP and AP50."""
    (folder / "audit.yaml").write_text(
        f"name: s12\ndataset: {{{dataset}}}\n"
        f"models: [{{name: yolox, path: {real}/models/yolox_nano_float32.tflite, labels: coco80}}]\n"
        "scenarios: []\nchecks: {input_contract: false}\nmeasure: {threads: []}\n"
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out", executor="serial")
    (cell,) = result.cells
    assert cell.status == "ok"
    assert cell.images == COUNT
    return cell.metrics["AP"].value, cell.metrics["AP50"].value


@pytest.fixture(scope="module")
def expected(sound, real) -> tuple[float, float]:
    return audited(sound, real, f"format: coco, images: {sound}/images, annotations: {sound}/instances.json")


def changed(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[Path, Path], str]:
    """The sound set with another document: `change` is given each annotation and its image."""

    def write(folder: Path, sound: Path) -> str:
        document = json.loads((sound / "instances.json").read_text())
        images = {row["id"]: row for row in document["images"]}
        for row in document["annotations"]:
            change(row, images[row["image_id"]])
        (folder / "instances.json").write_text(json.dumps(document))
        return f"format: coco, images: {sound}/images, annotations: instances.json"

    return write


def to_corners(row, _):
    x, y, width, height = row["bbox"]
    row["bbox"] = [x, y, x + width, y + height]


def to_fractions(row, image):
    sides = (image["width"], image["height"]) * 2
    row["bbox"] = [value / side for value, side in zip(row["bbox"], sides, strict=True)]


def renamed(folder: Path, sound: Path) -> str:
    """Names as exporters write them, ids as fractions, and every list in another order."""
    document = json.loads((sound / "instances.json").read_text())
    forms = (
        lambda name: f"C:\\data\\images\\{name}",
        lambda name: quote(name),
        lambda name: f"/data/local-files/?d=project/{quote(name)}",
    )
    for index, row in enumerate(document["images"]):
        row["file_name"] = forms[index % 3](row["file_name"])
        row["id"] = float(row["id"])
    document["images"] = document["images"][::-1]
    np.random.default_rng(2).shuffle(document["annotations"])
    (folder / "instances.json").write_text(json.dumps(document))
    return f"format: coco, images: {sound}/images, annotations: instances.json"


def twelve_bits(folder: Path, sound: Path) -> str:
    (folder / "images").mkdir()
    for path in (sound / "images").iterdir():
        image = cv2.imread(str(path)).astype(np.float64)
        cv2.imwrite(str(folder / "images" / path.name), np.round(image * 4095 / 255).astype(np.uint16))
    return f"format: coco, images: images, annotations: {sound}/instances.json, bits: 12"


def yolo(folder: Path, sound: Path) -> str:
    document = json.loads((sound / "instances.json").read_text())
    classes = [row["id"] for row in document["categories"]]
    (folder / "images").symlink_to(sound / "images")
    (folder / "labels").mkdir()
    for image in document["images"]:
        rows = []
        for row in document["annotations"]:
            if row["image_id"] == image["id"]:
                x, y, width, height = row["bbox"]
                centre = (x + width / 2) / image["width"], (y + height / 2) / image["height"]
                size = width / image["width"], height / image["height"]
                rows.append(" ".join(map(str, [classes.index(row["category_id"]), *centre, *size])))
        (folder / "labels" / image["file_name"]).with_suffix(".txt").write_text("\ufeff" + "\r\n".join(rows))
    names = json.dumps({f"{index}": row["name"] for index, row in enumerate(document["categories"])})
    (folder / "data.yaml").write_text(f"val: ../images\nnames: {names}\n")
    return "format: yolo, annotations: data.yaml, split: val"


FORMS = {
    "corners": (changed(to_corners), ", box_format: xyxy"),
    "fractions": (changed(to_fractions), ", box_unit: normalized"),
    "names": (renamed, ""),
    "12 bits": (twelve_bits, ""),
    "yolo": (yolo, ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_ap_is_that_of_the_sound_set(form, sound, expected, real, tmp_path):
    write, line = FORMS[form]
    assert audited(tmp_path, real, write(tmp_path, sound) + line) == expected
