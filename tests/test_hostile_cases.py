"""Hostile input that once led to a traceback, a hang or worse, as it did: one clear error now."""

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
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_project
from hostile_inputs import NOTE, SPEED, no_hang, npz
from mutators import damaged_bytes
from tiny_models import write_model

from auditor import extensions
from auditor.bundle.read import devices_of
from auditor.cli import main
from auditor.config import load_gates
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.image_files import read_image
from auditor.demo.scenes import CLASSES
from auditor.errors import DataError, InputError, ModelError, StoreError
from auditor.files import parsed_json, whole_bytes
from auditor.resolve.inspect import inspect_model
from auditor.resolve.labels import load_labels
from auditor.run import judge_run, run_audit
from auditor.runtimes.litert.metadata import _zipped


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("hostile"))


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


def test_a_wrong_gate_that_an_alias_repeats_is_told_at_both_places(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("gates:\n- &a\n  7: AP\n  max_drop: [3]\n- *a\n- {metric: AP, min: 0.4}\n- *a\n")
    with pytest.raises(InputError) as caught:
        load_gates(path)
    places = {problem.split(": ")[1][:8] for problem in caught.value.problems}
    assert places == {"gates[0]", "gates[1]", "gates[3]"}
