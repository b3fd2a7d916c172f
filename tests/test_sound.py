"""False alarms: what is said of trouble stays unsaid of thirty sound sets, of the demo's and of real ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import DEMO_MODEL
from made_results import made_result
from made_sets import scenes, write_coco, write_voc, write_yolo

from auditor.config import load_audit
from auditor.datasets.describe import describe_truth
from auditor.datasets.image_files import oddities_of
from auditor.demo.scenes import CLASSES
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.data import check_data
from auditor.resolve.image_sets import load_datasets
from auditor.run import run_audit
from auditor.values import DatasetRecord

TROUBLE = {
    "data.dark_bits",
    "data.mixed_bits",
    "data.beyond_bits",
    "data.undecided_exif",
    "data.unreadable",
    "data.missing_files",
    "data.boxes_in_corner",
    "labels.coverage",
    "labels.repeated",
    "compatibility.per_cent",
    "compatibility.state",
    "compatibility.state_kept",
    "quantization.constant_class",
    "quantization.silent_class",
    "quantization.half_codes",
    "quantization.ties_unknown",
}
"""Findings that say that a file or a set is not what it seems."""
WRITE = (write_coco, write_yolo, write_voc)


def plain(path: Path) -> None:
    """The image as it is."""


def grey(path: Path) -> None:
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def full_range(path: Path) -> None:
    """16 bits that are all used, as a converter writes them."""
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 257)


def upright(path: Path) -> None:
    """As a phone held upright writes it: with notes, and nothing to turn."""
    image = PIL.Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 1
    image.save(path, exif=exif)


def dim(path: Path) -> None:
    """A night in 16 bits: dark, with a lamp."""
    values = (cv2.imread(str(path)).astype(np.uint32) * 60).astype(np.uint16)
    values[: values.shape[0] // 5, : values.shape[1] // 5] = 60000
    cv2.imwrite(str(path), values)


KINDS = (plain, grey, full_range, upright, dim)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_said_of_a_sound_set(tmp_path, seed):
    """Three formats, five kinds of images, one to twelve scenes."""
    count = (1, 2, 5, 12)[seed % 4]
    line = WRITE[seed % 3](tmp_path, scenes(count, first=9000 + 100 * seed))
    for path in sorted(tmp_path.rglob("*.png")):
        KINDS[seed % 5](path)
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    (tmp_path / "audit.yaml").write_text(
        f"name: n\ndataset: {line}\nmodels:\n  - {{name: m, path: {DEMO_MODEL}, labels: labels.txt}}\n"
    )
    problems: list[str] = []
    dataset = load_datasets(load_audit(tmp_path / "audit.yaml"), problems)["default"]
    assert problems == []
    odd = [oddities_of(image) for image in dataset.images]
    record = DatasetRecord(
        format=dataset.format,
        task=dataset.task,
        images=count,
        boxes=sum(len(truth.labels) for truth in dataset.truth.values()),
        categories=dataset.categories,
        counts=dict(dataset.counts),
        fingerprint="f",
        deep_images=sum(found.bits_used > 0 for found in odd),
        bits_used=max(found.bits_used for found in odd),
        low_images=sum(0 < found.bits_used <= 12 for found in odd),
        beyond_bits=sum(found.beyond for found in odd),
        undecided_exif=sum(found.undecided for found in odd),
        **describe_truth(dataset),
    )
    told = [item.code for item in check_data(made_result(datasets={"default": record}))]
    assert not TROUBLE & set(told)
    assert set(told) <= {"data.few_images", "data.rare_classes", "data.first_pixel"}


def test_the_list_is_of_findings_that_there_are():
    assert set(CATALOGUE) >= TROUBLE


@pytest.mark.slow
def test_nothing_is_said_of_the_demo_s_models(project):
    for name in ("int8", "int8_qat", "float16", "dynamic"):
        text = (project / "audit.yaml").read_text()
        path = DEMO_MODEL.with_name(f"detector_{name}.tflite")
        (project / f"{name}.yaml").write_text(text.replace("path: detector.tflite", f"path: {path}"))
    found = [
        run_audit(project / f"{name}.yaml", output=project / name, executor="serial")
        for name in ("int8", "int8_qat", "float16", "dynamic")
    ]
    assert not TROUBLE & {finding.code for result in found for finding in result.findings}


@pytest.mark.real
def test_nothing_is_said_of_real_models_and_images(real, tmp_path):
    (tmp_path / "person.txt").write_text("person\n")
    (tmp_path / "audit.yaml").write_text(
        f"""\
name: real
dataset: {{format: coco, images: {real}/data/coco-val79/images, annotations: {real}/data/coco-val79/instances.json}}
models:
  - {{name: yolox, path: {real}/models/yolox_nano_float32.tflite, labels: coco80}}
  - {{name: ssd, path: {real}/models/ssd_mobilenet_v1_uint8.tflite}}
  - {{name: person, path: {real}/models/yolov8n_256_person_int8.tflite, labels: person.txt}}
scenarios: []
checks: {{input_contract: false}}
measure: {{threads: []}}
"""
    )
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out")
    assert not TROUBLE & {finding.code for finding in result.findings}
