"""Hostile input: whatever is damaged, the answer is a value or one clear error; no traceback, no hang, no ended audit.

Each kind of input is damaged at random, from a seed: a few here, thousands with `AUDITOR_LONG=1` (which prints a table
of what they led to). What once went wrong is kept below as cases of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import signal
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_project
from mutators import damaged_bytes, damaged_document, damaged_text
from tiny_models import write_model

from auditor import extensions
from auditor.bundle.read import devices_of
from auditor.cli import main
from auditor.config import load_audit, load_gates, read_pack, specs_of
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.idx_file import load_idx
from auditor.datasets.images import oddities_of, read_image
from auditor.delegate import XNNPACK
from auditor.demo.scenes import CLASSES
from auditor.errors import AuditorError, DataError, InputError, ModelError, StoreError
from auditor.executors import each_isolated
from auditor.files import parsed_json, whole_bytes
from auditor.measure.verify import VerifyRequest, verify
from auditor.resolve.inspect import inspect_model
from auditor.resolve.labels import load_labels
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.run import judge_run, run_audit
from auditor.runtimes.litert.metadata import _zipped
from auditor.values import ImageRecord

LONG = bool(os.environ.get("AUDITOR_LONG"))
MOST_S = 20


@contextlib.contextmanager
def no_hang():
    def late(*_):
        raise AssertionError(f"it took longer than {MOST_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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


def npz(path: Path, meta, **arrays) -> Path:
    raw = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    np.savez_compressed(path, meta=np.frombuffer(raw, np.uint8), **arrays)
    return path


SPEED = {"load": 1.0, "warm_up_invocations": 3, "invocations": 9, "p50": 1.0, "p90": 2.0, "p99": 3.0}
NOTE = {
    "fingerprint": "f",
    "device": "phone",
    "part": 0,
    "parts": 1,
    "speeds": {"detector|xnnpack": SPEED},
    "machine": "m",
    "runtime": "r",
    "python": "3",
}


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


# ----------------------------------------------------------------------------------- what went wrong once, as it did


YAML = {
    "a date without a month": "name: 2001-99-99\n",
    "a number without digits": "name: !!int x\n",
    "binary without digits": "name: 0b_\n",
    "a number of 5000 digits": f"seed: {'9' * 5000}\n",
    "a truth that is none": "name: !!bool x\n",
    "a time that is none": "name: !!timestamp x\n",
    "no character": 'name: "\\U00110000"\n',
    "half a character": 'name: "\\ud800"\n',
    "laughs": "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(10)),
    "an alias of itself": "name: &a [*a]\n",
    "deep": "name: " + "[" * 20000,
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_that_is_none(tmp_path, kind):
    path = tmp_path / "audit.yaml"
    path.write_text(YAML[kind])
    for command in (["run", str(path)], ["scenarios", "check", str(path)]):
        with no_hang():
            done = CliRunner().invoke(main, command)
        assert done.exit_code == 2, done.output
        assert "error: " in done.output
        assert str(path) in done.output
        assert "Traceback" not in done.output


@pytest.mark.parametrize("value", ["models.0.input=!!timestamp x", "name=" + "[" * 5000, "name=2001-99-99"])
def test_values_of_the_command_line_that_are_none(project, value):
    done = CliRunner().invoke(main, ["run", str(project / "audit.yaml"), "--set", value])
    assert done.exit_code == 2, done.output
    assert "--set" in done.output


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_is_no_file(project, tmp_path, kind):
    """A named pipe blocks, and a device has no end: as the audit, annotations, a model, an image and a result."""
    place = tmp_path / "x.yaml"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    with no_hang():
        for command in (
            ["run", str(place)],
            ["inspect", str(place)],
            ["judge", str(project), "--gates", str(place)],
            ["scenarios", "check", str(place)],
            ["run", str(project / "audit.yaml"), "--set", f"dataset.annotations={place}"],
            ["run", str(project / "audit.yaml"), "--set", f"models.0.path={place}"],
        ):
            done = CliRunner().invoke(main, command)
            assert done.exit_code == 2, (command, done.output)
            assert "Traceback" not in done.output
        with pytest.raises(DataError, match="a pipe or a device"):
            read_image(place, size=None)
        with pytest.raises(OSError, match="a pipe or a device"):
            whole_bytes(place)


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, data: bytes = b"", length: int | None = None) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data, length) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height)]
    tags.append((279, 4, 8))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


BOMBS = {
    "a PNG of a thousand million pixels": (png(32000, 32000, data=zlib.compress(bytes(4000))), "more than"),
    "a TIFF of as many": (tiff(32000, 32000), "more than"),
    "a PNG that says it has 4 GB": (png(8, 8, length=0xFFFFFFF0), "truncated"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_images_that_would_fill_the_memory(tmp_path, kind):
    content, told = BOMBS[kind]
    (tmp_path / "bomb").write_bytes(content)
    with no_hang(), pytest.raises(DataError, match=told):
        read_image(tmp_path / "bomb", size=None)


def test_archives_that_would_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", bytes(300_000_000))
    with pytest.raises(InputError, match=r"m\.npz: not the measurements"):
        devices_of([tmp_path / "m.npz"])
    with gzip.open(tmp_path / "images.gz", "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, 10) + bytes(200_000_000))
    form = extensions.resolve("datasets", "idx")
    with pytest.raises(InputError, match="its header says 10 bytes"):
        form.load(DatasetRequest("d", images=tmp_path / "images.gz", labels=tmp_path / "images.gz"))


def test_notes_in_a_model_that_cannot_be_unpacked(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(400):
            archive.writestr(f"{number}.txt", bytes(900_000))
        archive.writestr("../../escaped.txt", "x")
    whole = packed.getvalue()
    for seed in range(60):
        rng = random.Random(seed)
        content = whole if not seed else whole[:200] + damaged_bytes(whole[200:], rng)
        path = tmp_path / "m.tflite"
        path.write_bytes(DEMO_MODEL.read_bytes() + content)
        assert sum(map(len, _zipped(path, []).values())) <= 17 * 2**20
    assert not list(tmp_path.parent.glob("**/escaped.txt"))


@pytest.mark.parametrize("text", ["item {" * 40_000, "a" + " " * 60_000 + "x", "[" * 100_000, "{" * 100_000])
def test_label_files_that_took_for_ever(tmp_path, text):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with no_hang(), contextlib.suppress(ModelError):
        load_labels("own", path)


def test_json_that_is_none():
    for text in ("[" * 100_000, '["\\ud800"]', "[NaN]", "[1e999]"):
        with pytest.raises(ValueError):
            parsed_json(text, finite=True)


@pytest.mark.slow
def test_a_pack_that_takes_for_ever_or_all_memory(tmp_path):
    body = (
        "pack: p\nversion: 1\nscenarios:\n  s:\n    knobs: {{k: [1, 2, 3, 4, 5]}}\n    unit: u\n    transforms: [{}]\n"
    )
    path = tmp_path / "p.yaml"
    path.write_text(body.format("CoarseDropout: {num_holes_range: [100000000, 100000000]}"))
    with no_hang():
        done = CliRunner().invoke(main, ["scenarios", "check", str(path)])
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output


def test_names_that_no_file_can_have(project):
    name = "a" * 300
    for command in (
        ["run", name],
        ["judge", name],
        ["report", name],
        ["inspect", name],
        ["scenarios", "check", name],
        ["run", str(project / "audit.yaml"), "-o", name],
        ["init", str(project / "detector.tflite"), "--dataset", name],
        ["run", str(project / "audit.yaml"), "--set", f"dataset.images={name}"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2, (command[0], done.output)
        assert "error: " in done.output
        assert "Traceback" not in done.output


def test_what_a_terminal_would_obey_is_shown_as_escapes():
    done = CliRunner().invoke(main, ["run", "no\x1b[2J\u202e.yaml"])
    assert done.exit_code == 2
    assert "no\\x1b[2J\\u202e.yaml" in done.output


def test_a_damaged_model_does_not_end_inspect_nor_quantize(tmp_path, monkeypatch):
    """A model that ends its process, by a head that does: as the runtime does with a damaged graph."""
    path = write_model(tmp_path / "m.tflite", {"out": np.zeros((1, 300, 6), np.float32)})
    monkeypatch.setattr("auditor.resolve.inspect._found", end_process)
    found = inspect_model(path)
    assert found.likely.decoder is None
    assert "SIGSEGV" in found.likely.reason
    monkeypatch.setattr("auditor.run.level_files._opened", end_process)
    done = CliRunner().invoke(main, ["quantize", str(path), "--levels", "float16", "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "SIGSEGV" in done.output


def end_process(_):
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.slow
def test_labels_and_names_are_text_in_the_report(finished, tmp_path):
    project = Path(shutil.copytree(finished, tmp_path / "named"))
    wicked = "<script>alert(1)</script>"
    document = json.loads((project / "instances.json").read_text())
    document["categories"][0]["name"] = wicked
    (project / "instances.json").write_text(json.dumps(document))
    (project / "labels.txt").write_text("\n".join([wicked, *CLASSES[1:]]) + "\n")
    run_audit(project / "audit.yaml", output=project / "wicked", executor="serial")
    page = (project / "wicked" / "report.html").read_text()
    assert wicked not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_link_or_a_name_that_leads_elsewhere_is_read_as_an_image_alone(project, tmp_path):
    """Nothing of another file than an image gets anywhere."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="not an image"):
        read_image(tmp_path / "images" / "a.png", size=None)


@pytest.mark.parametrize(
    "change",
    [
        {"speeds": {"detector|xnnpack": {**SPEED, "p50": "<b>"}}},
        {"speeds": {"detector|xnnpack": {**SPEED, "load": [1]}}},
        {"speeds": {"detector|xnnpack": [1]}},
        {"speeds": {"detector|xnnpack": {**SPEED, "peak_memory_mb": "x"}}},
        {"parts": 2**33},
        {"parts": 0},
        {"part": -1},
    ],
)
def test_a_note_of_a_device_that_is_none(change, tmp_path):
    from auditor.bundle.read import _load

    problems: list[str] = []
    assert _load(npz(tmp_path / "m.npz", NOTE | change), "f", {"detector"}, problems) is None
    assert problems
    assert "m.npz" in problems[0]
    problems.clear()
    assert _load(npz(tmp_path / "m.npz", NOTE), "f", {"detector"}, problems) is not None


@pytest.mark.slow
def test_a_result_that_cannot_be_shown_is_not_overwritten(finished):
    path = finished / "out" / "result.json"
    document = json.loads(path.read_text())
    document["models"][0]["boxes_at_input"]["counts"] = [1, 2]
    path.write_text(json.dumps(document))
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot be judged and shown"):
        judge_run(finished / "out")
    assert path.read_bytes() == before
