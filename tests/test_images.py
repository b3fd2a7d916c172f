"""Images of every kind are read as 8-bit RGB, checked against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from auditor.datasets.image_files import read_image
from auditor.errors import DataError

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_colour_grey_and_alpha(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "rgb.png")
    assert (read_image(tmp_path / "rgb.png", size=None) == COLOUR).all()
    grey = COLOUR[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png", size=None) == grey[..., None]).all()
    Image.fromarray(np.dstack([COLOUR, np.full((20, 30), 128, np.uint8)])).save(tmp_path / "rgba.png")
    assert (read_image(tmp_path / "rgba.png", size=None) == COLOUR).all()


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = (np.arange(600).reshape(20, 30) * 109).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    got = read_image(tmp_path / "deep.png", size=None)[..., 0].astype(int)
    assert np.abs(got - deep / 257).max() <= 1


def test_cmyk_is_converted(tmp_path):
    smooth = np.full((32, 32, 3), (200, 60, 30), np.uint8)
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    with Image.open(tmp_path / "cmyk.jpg") as reopened:
        expected = np.asarray(reopened.convert("RGB")).astype(int)
    assert np.abs(read_image(tmp_path / "cmyk.jpg", size=None).astype(int) - expected).max() <= 6


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.fromarray(COLOUR).save(path, exif=exif, quality=100, subsampling=0)


def test_exif_orientation_is_applied(tmp_path):
    rotated(tmp_path / "turned.jpg")
    assert read_image(tmp_path / "turned.jpg", size=None).shape == (30, 20, 3)
    assert read_image(tmp_path / "turned.jpg", size=(20, 30)).shape == (30, 20, 3)


def test_annotations_made_on_the_stored_frame_keep_it(tmp_path):
    rotated(tmp_path / "turned.jpg")
    assert read_image(tmp_path / "turned.jpg", size=(30, 20)).shape == (20, 30, 3)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n half"])
def test_what_is_no_image(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png"):
        read_image(tmp_path / "x.png", size=None)
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / "absent.png", size=None)
