"""What the bytes of images leave open: bits of deep images, EXIF orientation, damage: told, and settled."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import DEMO_MODEL
from made_results import DATASET, codes, made_result, only
from made_sets import scenes, write_coco, write_image, write_yolo

from auditor.datasets.image_files import oddities_of, read_image
from auditor.demo.scenes import CLASSES
from auditor.errors import DataError
from auditor.judge.data import check_data
from auditor.provenance import sha256_of
from auditor.run import run_audit
from auditor.values import ImageRecord, Meant

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def deep(bits: int) -> np.ndarray:
    """The image with so many bits, BGR, as a camera of as many writes it into 16."""
    values = IMAGE[..., ::-1].astype(np.uint16)
    return values << (bits - 8) if bits > 8 else values


def record(path: Path, size=None, **facts) -> ImageRecord:
    return ImageRecord(1, path, size, sha256_of(path), **facts)


# ---------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_images_are_what_their_bits_say(tmp_path, suffix, grey, bits):
    path = tmp_path / f"deep{suffix}"
    written = deep(bits)[..., 0] if grey else deep(bits)
    cv2.imwrite(str(path), written)
    expected = np.repeat(IMAGE[..., 2:], 3, axis=2) if grey else IMAGE
    assert (read_image(path, size=None, meant=Meant(bits=bits)) == expected).all()
    assert oddities_of(record(path)).bits_used == int(written.max()).bit_length()
    if bits == 16:
        assert (read_image(path, size=None) == expected).all()


@pytest.mark.parametrize("grey", [False, True])
def test_floating_point_images_are_scaled_from_0_to_1(tmp_path, grey):
    path = tmp_path / "float.tiff"
    values = (IMAGE[..., ::-1] / 255).astype(np.float32)
    cv2.imwrite(str(path), values[..., 0] if grey else values)
    got = read_image(path, size=None)
    assert (got == (np.repeat(IMAGE[..., 2:], 3, axis=2) if grey else IMAGE)).all()


@pytest.mark.parametrize(("white", "bits"), [(255.0, 8), (1023.0, 10), (4095.0, 12)])
def test_floating_point_images_of_another_white_are_asked_for(tmp_path, white, bits):
    path = tmp_path / "float.tiff"
    cv2.imwrite(str(path), (IMAGE[..., ::-1] / 255 * white).astype(np.float32))
    with pytest.raises(DataError, match=r"float.tiff: an image of floating-point pixels up to .*images: \{bits: N\}"):
        read_image(path, size=None)
    assert (read_image(path, size=None, meant=Meant(bits=bits)) == IMAGE).all()


def as_12_bits(folder: Path) -> None:
    for path in sorted((folder / "images").rglob("*.png")):
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), image.astype(np.uint16) << 4)


def audited(folder: Path, dataset: str, more: str = ""):
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    (folder / "audit.yaml").write_text(
        f"name: n\ndataset: {dataset}\nmodels:\n  - {{name: m, path: {DEMO_MODEL}, labels: labels.txt}}\n"
        f"scenarios: []\nchecks: {{input_contract: false}}\nmeasure: {{threads: []}}\n{more}"
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out", jobs=1, fresh=True)
    return result.cells[0].value, result


@pytest.mark.slow
def test_a_12_bit_camera_is_told_and_mended_by_the_line(tmp_path):
    line = write_coco(tmp_path, scenes(8))
    sound, result = audited(tmp_path, line)
    assert [finding.code for finding in result.findings if finding.code.startswith("data.")] == [
        "data.few_images",
        "data.rare_classes",
    ]
    as_12_bits(tmp_path)
    dark, result = audited(tmp_path, line)
    (told,) = [finding for finding in result.findings if finding.code == "data.dark_bits"]
    assert dark < sound / 2
    assert told.level == "error"
    assert "8 images of the data set have 16 bits, of which they use 12" in told.message
    assert str(told.fix) == "images: {bits: 12}"
    mended, result = audited(tmp_path, line, str(told.fix))
    assert mended == sound
    assert "data.dark_bits" not in [finding.code for finding in result.findings]
    assert result.datasets["default"].about["bits"] == 12
    mended, _ = audited(tmp_path, line.replace("}", ", bits: 12}"))
    assert mended == sound


@pytest.mark.parametrize(("used", "told"), [(0, False), (8, True), (12, True), (14, True), (15, False), (16, False)])
def test_which_bits_are_told(used, told):

    dataset = dataclasses.replace(DATASET, deep_images=3, bits_used=used)
    result = made_result(datasets={"default": dataset})
    assert ("data.dark_bits" in codes(check_data, result)) == told
    settled = dataclasses.replace(dataset, about={"bits": 16})
    assert "data.dark_bits" not in codes(check_data, made_result(datasets={"default": settled}))


@pytest.mark.parametrize("suffix", [".pgm", ".ppm"])
def test_other_formats_of_16_bits_are_looked_at_too(tmp_path, suffix):
    path = tmp_path / f"deep{suffix}"
    values = deep(12)
    cv2.imwrite(str(path), values[..., 0] if suffix == ".pgm" else values)
    assert oddities_of(record(path)).bits_used == 12
    got = read_image(path, size=None, meant=Meant(bits=12))
    expected = np.repeat(IMAGE[..., 2:], 3, axis=2) if suffix == ".pgm" else IMAGE
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_12_bits_as_parts_of_16_in_floating_point(tmp_path):
    path = tmp_path / "float.tiff"
    cv2.imwrite(str(path), (deep(12) / 65535).astype(np.float32))
    assert oddities_of(record(path)).bits_used == 12
    assert np.abs(read_image(path, size=None, meant=Meant(bits=12)).astype(int) - IMAGE).max() <= 1


def test_a_hot_pixel_hides_nothing(tmp_path):
    path = tmp_path / "hot.png"
    values = np.zeros((100, 100, 3), np.uint16)
    values[..., :] = np.random.default_rng(0).integers(0, 4096, values.shape)
    values[3, 3] = 65535
    cv2.imwrite(str(path), values)
    assert oddities_of(record(path)).bits_used == 12


def test_values_beyond_the_bits_that_are_said_are_told(tmp_path):
    path = tmp_path / "full.png"
    cv2.imwrite(str(path), deep(16))
    assert oddities_of(record(path, meant=Meant(bits=12))).beyond
    assert not oddities_of(record(path, meant=Meant(bits=16))).beyond
    dataset = dataclasses.replace(DATASET, deep_images=1, bits_used=16, beyond_bits=1, about={"bits": 12})
    told = only(check_data, made_result(datasets={"default": dataset}), "data.beyond_bits")
    assert (told.facts["bits"], told.facts["used"]) == (12, 16)


@pytest.mark.parametrize(("low", "told"), [(0, False), (3, True), (5, False)])
def test_images_of_two_cameras_are_told(low, told):
    dataset = dataclasses.replace(DATASET, deep_images=5, bits_used=16, low_images=low)
    assert ("data.mixed_bits" in codes(check_data, made_result(datasets={"default": dataset}))) == told


@pytest.mark.slow
def test_calibration_images_are_read_as_the_others(tmp_path):
    """The levels of 12-bit images are those of the same images in 8 bits."""
    found = {}
    for name in ("eight", "twelve"):
        place = tmp_path / name
        line = write_coco(place, scenes(4))
        for index, (image, _) in enumerate(scenes(6, first=7000)):
            write_image(place / "calibration" / f"{index}.png", image)
        if name == "twelve":
            as_12_bits(place)
            for path in sorted((place / "calibration").iterdir()):
                cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) << 4)
        (place / "labels.txt").write_text("\n".join(CLASSES))
        (place / "audit.yaml").write_text(
            f"name: n\ndataset: {line}\nimages: {{bits: 12}}\nmodels:\n  - name: m\n    path: {DEMO_MODEL}\n"
            "    labels: labels.txt\n    quantize: {levels: [int8], calibration: {images: calibration}}\n"
            "scenarios: []\nchecks: {input_contract: false}\nmeasure: {threads: []}\n"
        )
        result = run_audit(place / "audit.yaml", output=place / "out", jobs=1)
        found[name] = {cell.quantization: cell.value for cell in result.cells}
    assert found["eight"]["int8"] > 0.3
    assert found["twelve"]["int8"] == pytest.approx(found["eight"]["int8"], abs=0.02)  # their order is another


# ---------------------------------------------------------------------------------------------------------- EXIF


def turned(path: Path, tag: int, size=(32, 24), form="jpeg") -> Path:
    image = PIL.Image.fromarray(cv2.resize(IMAGE, size, interpolation=cv2.INTER_CUBIC))
    exif = image.getexif()
    exif[0x0112] = tag
    image.save(path, form, exif=exif)
    return path


@pytest.mark.parametrize(
    ("tag", "size", "annotated", "sized", "undecided"),
    [
        (1, (32, 24), (32, 24), True, False),
        (6, (32, 24), (32, 24), True, False),  # the size says that boxes are on the stored pixels
        (6, (32, 24), (24, 32), True, False),
        (6, (32, 24), (24, 32), False, True),  # a size that was read, not annotated: YOLO
        (6, (32, 24), None, True, True),
        (3, (32, 24), (32, 24), True, True),  # half a turn keeps the size
        (2, (32, 24), (32, 24), True, True),
        (4, (32, 24), (32, 24), True, True),
        (8, (32, 32), (32, 32), True, True),  # a square
    ],
)
def test_where_a_size_cannot_decide(tmp_path, tag, size, annotated, sized, undecided):
    path = turned(tmp_path / "a.jpg", tag, size)
    assert oddities_of(record(path, annotated, sized=sized)).undecided == undecided
    assert not oddities_of(record(path, annotated, sized=sized, meant=Meant(exif="apply"))).undecided


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_tiff_can_be_read_as_it_is_stored(tmp_path, tag):
    """OpenCV turns a TIFF whatever it is told."""
    path = turned(tmp_path / "a.tiff", tag, form="tiff")
    expected = cv2.resize(IMAGE, (32, 24), interpolation=cv2.INTER_CUBIC)
    assert (read_image(path, size=None, meant=Meant(exif="ignore")) == expected).all()
    assert (read_image(path, size=(32, 24)) == (expected if tag > 4 else read_image(path, size=None))).all()
    assert oddities_of(record(path, (32, 24))).undecided == (tag in (2, 3, 4))
    assert oddities_of(record(path)).undecided == (tag > 1)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_the_setting_decides(tmp_path, form):
    path = turned(tmp_path / "a.img", 6, form=form)
    stored = read_image(path, size=None, meant=Meant(exif="ignore"))
    applied = read_image(path, size=(32, 24), meant=Meant(exif="apply"))
    assert stored.shape == (24, 32, 3)
    assert applied.shape == (32, 24, 3)
    assert (applied == np.rot90(stored, -1)).all()
    assert oddities_of(record(path)).undecided


@pytest.mark.slow
def test_yolo_labels_on_stored_pixels_are_told_and_settled(tmp_path):
    line = write_yolo(tmp_path, scenes(8))
    for path in (tmp_path / "images" / "val").iterdir():
        image = PIL.Image.open(path)
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    plain = scenes(8)
    other = tmp_path / "plain"
    other.mkdir()
    sound, _ = audited(other, write_yolo(other, plain))
    wrong, result = audited(tmp_path, line)
    (told,) = [finding for finding in result.findings if finding.code == "data.undecided_exif"]
    assert wrong < 0.1 < sound
    assert told.message.startswith("8 of 8 images of the data set have an EXIF orientation")
    ignored, result = audited(tmp_path, line.replace("}", ", exif: ignore}"))
    assert ignored == sound
    assert result.datasets["default"].about["exif"] == "ignore"
    assert "data.undecided_exif" not in [finding.code for finding in result.findings]
    applied, _ = audited(tmp_path, line, "images: {exif: apply}")
    assert applied == wrong


# -------------------------------------------------------------------------------------------------------- damage


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    PIL.Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


DAMAGED = {
    "empty.png": (b"", "it is empty"),
    "text.jpg": (b"<!DOCTYPE html><p>not found", "it is a page of text"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
    "half.jpg": (encoded("jpeg")[:20000], "it is a truncated JPEG"),
    "half.png": (encoded("png")[:40000], "it is a truncated PNG"),
    "noise.png": (b"\x01\x02\x03\x04" * 30, "not an image that OpenCV can decode"),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_what_is_wrong_with_a_file_is_said(tmp_path, name):
    content, said = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_image(tmp_path / name, size=None)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "bmp", "tiff"])
def test_a_whole_file_is_not_called_damaged(tmp_path, form):
    (tmp_path / "a").write_bytes(encoded(form))
    assert read_image(tmp_path / "a", size=None).shape == (200, 200, 3)


def test_what_a_phone_appends_is_no_damage(tmp_path):
    """A motion photo: a film behind the end of the JPEG, with any bytes."""
    film = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
    (tmp_path / "a.jpg").write_bytes(encoded("jpeg") + film)
    assert read_image(tmp_path / "a.jpg", size=None).shape == (200, 200, 3)


@pytest.mark.slow
def test_missing_and_damaged_images_are_named_with_what_is_wrong(tmp_path):
    line = write_coco(tmp_path, scenes(30))
    images = sorted((tmp_path / "images").iterdir())
    for path, (content, _) in zip(images, DAMAGED.values(), strict=False):
        path.write_bytes(content)
    for path in images[6:12]:
        path.unlink()
    _, result = audited(tmp_path, line)
    noted = json.loads((tmp_path / "out" / "result.json").read_text())["datasets"]["default"]["unreadable"]
    assert list(noted) == [path.name for path in images[:12]]
    for path, (_, said) in zip(images, DAMAGED.values(), strict=False):
        assert said in noted[path.name]
        assert str(tmp_path) not in noted[path.name]
    told = {finding.code: finding.message for finding in result.findings}
    assert all(path.name in told["data.unreadable"] for path in images[:6])
    assert all(path.name in told["data.missing_files"] for path in images[6:12])


def test_only_the_first_ten_are_named():

    lost = {f"{index:02d}.png": "no such file" for index in range(14)}
    dataset = dataclasses.replace(DATASET, counts={"missing_files": 14}, unreadable=lost)
    told = only(check_data, made_result(datasets={"default": dataset}), "data.missing_files")
    assert told.facts["named"] == [f"{index:02d}.png" for index in range(10)]
