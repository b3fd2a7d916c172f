"""Hostile input: whatever is damaged, the answer is a value or one clear error; no traceback, no hang, no ended audit.

Each kind of input is damaged at random, from a seed: a few here, thousands with `AUDITOR_LONG=1` (which prints a table
of what they led to). What once went wrong is kept in `test_hostile_cases.py`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import struct
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from conftest import DEMO_MODEL, write_project
from hostile_inputs import NOTE, no_hang, npz
from mutators import damaged_bytes, damaged_document, damaged_text
from tiny_models import write_model

from auditor import extensions
from auditor.bundle.read import devices_of
from auditor.config import load_audit, load_gates, read_pack, specs_of
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.idx_file import load_idx
from auditor.datasets.image_files import oddities_of, read_image
from auditor.delegate import XNNPACK
from auditor.errors import AuditorError, InputError
from auditor.executors import each_isolated
from auditor.measure.verify import VerifyRequest, verify
from auditor.resolve.labels import load_labels
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.run import judge_run
from auditor.values import ImageRecord

LONG = bool(os.environ.get("AUDITOR_LONG"))


def outcomes(name: str, count: int, attempt) -> Counter:
    """What `count` damaged inputs led to; anything but a value or our own error is a failure, told with its seed."""
    found: Counter = Counter()
    for seed in range(count):
        rng = random.Random(f"{name}:{seed}")
        try:
            with no_hang():
                attempt(rng)
            found["accepted"] += 1
        except AuditorError as error:
            found["refused" if str(error).strip() else "refused without a word"] += 1
        except Exception as error:
            raise AssertionError(f"{name}:{seed} led to {type(error).__name__}: {error}") from error
    print(f"\n{name}: {count} damaged, {dict(found)}")
    assert found["refused"] > 0
    assert not found["refused without a word"]
    return found


def many(few: int, thousands: int = 1000) -> int:
    return thousands if LONG else few


# ------------------------------------------------------------------------------------------------------- documents


def text_or_structure(text: str, rng: random.Random, dump=json.dumps, load=json.loads) -> str:
    if rng.random() < 0.4:
        return damaged_text(text, rng)
    damaged = damaged_document(load(text), rng)
    try:
        return dump(damaged)
    except (yaml.YAMLError, ValueError, UnicodeEncodeError, TypeError):
        return damaged_text(text, rng)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("hostile"))


AUDIT = """\
name: hostile
seed: 1
dataset: {format: coco, images: images, annotations: instances.json, limit: 4}
models:
  - {name: detector, path: detector.tflite, labels: labels.txt, input: {color: rgb, mean: [0, 0, 0], std: 255},
     postprocess: {nms_iou: 0.5}, decoder: {name: yolov8, box_format: cxcywh}, quantize: {levels: [float16]}}
scenarios: [lighting/low_light, noise]
severities: [1, 2.5]
delegates: [xnnpack, {path: x.so, options: {a: b}}]
measure: {threads: [1], sustained: 2s, timeout: 60s, memory_limit: 64MB}
checks: {input_contract: {images: 4}, data: false}
evaluation: {iou: [0.3], areas: {tiny: [0, 81]}}
gates:
  - {metric: AP, scenario: clean, min: 0.4}
  - {metric: AP, quantization: float16, max_drop: 0.1, against: float32}
"""


def test_audits(tmp_path):
    def attempt(rng):
        path = write(tmp_path / "audit.yaml", text_or_structure(AUDIT, rng, yaml.safe_dump, yaml.safe_load))
        load_audit(path)

    outcomes("audit.yaml", many(120), attempt)


def test_gates(tmp_path):
    text = AUDIT[AUDIT.index("\ngates:") + 1 :]

    def attempt(rng):
        load_gates(write(tmp_path / "gates.yaml", text_or_structure(text, rng, yaml.safe_dump, yaml.safe_load)))

    outcomes("gates", many(80), attempt)


def test_packs(tmp_path):
    text = (Path(__file__).parents[1] / "scenarios" / "noise.yaml").read_text()

    def attempt(rng):
        path = write(tmp_path / "pack.yaml", text_or_structure(text, rng, yaml.safe_dump, yaml.safe_load))
        config, _, problems = read_pack(path)
        if problems:
            raise InputError(problems)
        specs_of(config, folder=tmp_path)

    outcomes("packs", many(80), attempt)


def loads(name, format_name, count, attempt_files, **request):
    form = extensions.resolve("datasets", format_name)

    def attempt(rng):
        attempt_files(rng)
        found = form.load(DatasetRequest("d", **request))
        assert found.fingerprint

    outcomes(name, many(count), attempt)


def test_coco(project, tmp_path):
    text = (project / "instances.json").read_text()
    annotations = tmp_path / "instances.json"
    loads(
        "COCO",
        "coco",
        60,
        lambda rng: write(annotations, text_or_structure(text, rng)),
        images=project / "images",
        annotations=annotations,
    )


VOC = (
    "<annotation><filename>000.png</filename><size><width>160</width><height>160</height><depth>3</depth></size>"
    "<object><name>a</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>"
    "</bndbox></object></annotation>"
)


def test_voc(project, tmp_path):
    (tmp_path / "xml").mkdir()
    loads(
        "VOC",
        "voc",
        60,
        lambda rng: write(tmp_path / "xml" / "000.xml", damaged_text(VOC, rng)),
        images=project / "images",
        annotations=tmp_path / "xml",
    )


def test_yolo(project, tmp_path):
    shutil.copytree(project / "images", tmp_path / "images")
    (tmp_path / "labels").mkdir()
    data = "path: .\ntrain: images\nval: images\nnc: 2\nnames: {0: a, 1: b}\nkpt_shape: [17, 3]\n"
    lines = "0 0.5 0.5 0.2 0.3\n1 0.25 0.25 0.125 0.5\n"

    def damage(rng):
        mine = rng.random() < 0.5
        write(tmp_path / "data.yaml", text_or_structure(data, rng, yaml.safe_dump, yaml.safe_load) if mine else data)
        write(tmp_path / "labels" / "000.txt", lines if mine else damaged_text(lines, rng))

    loads("YOLO", "yolo", 60, damage, annotations=tmp_path / "data.yaml")


def test_idx(tmp_path):
    images = struct.pack(">BBBBIII", 0, 0, 8, 3, 4, 5, 5) + bytes(range(100))
    labels = struct.pack(">BBBBI", 0, 0, 8, 1, 4) + bytes([0, 1, 2, 1])

    def damage(rng):
        load_idx.cache_clear()
        pack = gzip.compress if rng.random() < 0.5 else bytes
        (tmp_path / "i").write_bytes(damaged_bytes(pack(images), rng))
        (tmp_path / "l").write_bytes(labels if rng.random() < 0.5 else damaged_bytes(labels, rng))

    loads("IDX", "idx", 60, damage, images=tmp_path / "i", labels=tmp_path / "l")


LABELS = ("a\nb\n", "0 a\n1 b\n", 'item { id: 1 name: "x" }\n', '{"names": {"0": "a"}}', '["a", "b"]')


def test_label_files(tmp_path):
    def attempt(rng):
        load_labels("own", write(tmp_path / "labels.txt", damaged_text(rng.choice(LABELS), rng)))

    outcomes("labels", many(120), attempt)


@pytest.mark.slow
def test_results(finished, tmp_path):
    text = (finished / "out" / "result.json").read_text()

    def attempt(rng):
        path = tmp_path / "run" / "result.json"
        path.parent.mkdir(exist_ok=True)
        write(path, text_or_structure(text, rng))
        judge_run(path.parent)
        judge_run(path.parent)  # what it wrote can be read

    outcomes("result.json", many(60), attempt)


def test_measurements(tmp_path):
    def attempt(rng):
        path = npz(tmp_path / "m.npz", NOTE if rng.random() < 0.4 else damaged_document(NOTE, rng))
        if rng.random() < 0.5:
            path.write_bytes(damaged_bytes(path.read_bytes(), rng))
        devices_of([path])

    outcomes("measurements", many(120), attempt)


# ---------------------------------------------------------------------------------------------------------- images


def test_images(tmp_path):
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), (0, 0), 3)
    files = [cv2.imencode(suffix, image)[1].tobytes() for suffix in (".jpg", ".png", ".bmp", ".tif", ".webp")]
    files.append(cv2.imencode(".png", image.astype(np.uint16) * 256)[1].tobytes())

    def attempt(rng):
        path = tmp_path / "image"
        path.write_bytes(damaged_bytes(rng.choice(files), rng))
        oddities_of(ImageRecord(1, path, (64, 48), "0"))
        read_image(path, size=(64, 48))

    outcomes("images", many(200), attempt)


# ---------------------------------------------------------------------------------------------------------- models


def opened(path: str) -> str:
    """Read the notes of a model, understand it, and run it, as an audit does; what became of it."""
    folder = str(Path(path).parent)
    request = ModelRequest("m", "m", path, "d", folder, labels="coco80", need_labels=False)
    try:
        spec = resolve_model(request)
    except AuditorError:
        return "refused"
    facts = verify(VerifyRequest(spec, XNNPACK))
    return "ran" if facts.runs else "failed in its own cells"


@pytest.mark.slow
def test_models(tmp_path):
    sources = [DEMO_MODEL, write_model(tmp_path / "t.tflite", {"out": np.zeros((1, 300, 6), np.float32)})]
    if os.environ.get("AUDITOR_REAL"):
        shared = sorted((Path(os.environ["AUDITOR_REAL"]) / "models").glob("*.tflite"), key=lambda p: p.stat().st_size)
        sources += shared[:2]
    contents = [path.read_bytes() for path in sources]
    count, found = many(60, 3000), Counter()

    def made():
        for seed in range(count):
            rng = random.Random(f"model:{seed}")
            path = tmp_path / f"{seed}.tflite"
            path.write_bytes(damaged_bytes(rng.choice(contents), rng))
            yield str(path)

    for outcome in each_isolated(opened, made(), timeout_s=60):
        assert outcome.died or outcome.error is None, f"{outcome.item}: {outcome.error}"
        found["ended its own process" if outcome.died else outcome.result] += 1
        Path(outcome.item).unlink()
    print(f"\nmodels: {count} damaged, {dict(found)}")
    assert found["refused"] > 0
