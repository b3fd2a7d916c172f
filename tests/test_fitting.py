"""Which severity is my night: fitted on made sets whose answer is known, corrupted by other code than ours."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from auditor.cli import main
from auditor.corruptions.traits import TRAITS, traits_of
from auditor.demo.scenes import render_scene
from auditor.evaluate.resemblance import distances, nearest_severity, scale_of

COUNT = 18


def write(folder, images):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


def darkened(image, stops):
    share = image / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) * 2.0**stops
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(coded * 255), 0, 255).astype(np.uint8)


def compressed(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


RANDOM = np.random.RandomState(7)
MADE = {
    "lighting/low_light": (lambda image: darkened(image, -2.3), -2.3, 0.25),
    "noise/gaussian": (
        lambda image: np.clip(np.rint(image + RANDOM.normal(0, 17, image.shape)), 0, 255).astype(np.uint8),
        17,
        1.5,
    ),
    "resolution/jpeg": (lambda image: compressed(image, 14), 14, 2.5),
    # a Gaussian and a disk are alike where their variances are: radius² ÷ 4 = 1.2²
    "resolution/defocus": (lambda image: ndimage.gaussian_filter(image, (1.2, 1.2, 0)), 2.4, 0.5),
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clean") / "images", [render_scene(7000 + i)[0] for i in range(COUNT)])


FITTED = [
    pytest.param(key, marks=[pytest.mark.long] if key in ("resolution/jpeg", "noise/gaussian") else [])
    for key in sorted(MADE)
]


@pytest.mark.parametrize("key", FITTED)
def test_other_pictures_corrupted_by_other_code_are_fitted_where_they_are(tmp_path, clean, key):
    change, value, within = MADE[key]
    real = write(tmp_path / "real", [change(render_scene(8000 + i)[0]) for i in range(COUNT)])
    others = [name for name in sorted(MADE) if name != key][:1]
    done = CliRunner().invoke(
        main, ["scenarios", "fit", *others, key, "--clean", str(clean), "--real", str(real), "--json"]
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    best, *rest = told["fitted"]
    assert best["scenario"] == key
    assert best["at"] == pytest.approx(value, abs=within)
    assert min(best["between"]) - 0.1 * within <= best["at"] <= max(best["between"]) + 0.1 * within
    assert best["nearest"]["distance"] < 2 * told["halves"]
    assert all(item["nearest"]["distance"] > 3 * best["nearest"]["distance"] for item in rest)


def test_untouched_pictures_need_no_scenario(tmp_path, clean):
    real = write(tmp_path / "real", [render_scene(8000 + i)[0] for i in range(COUNT)])
    done = CliRunner().invoke(
        main, ["scenarios", "fit", "lighting/low_light", "--clean", str(clean), "--real", str(real)]
    )
    assert "none of it: untouched pictures are nearest" in done.stdout
    assert "two halves of the real pictures are" in done.stdout


def test_too_few_pictures_are_told(tmp_path, clean):
    real = write(tmp_path / "real", [render_scene(1)[0]])
    done = CliRunner().invoke(
        main, ["scenarios", "fit", "lighting/low_light", "--clean", str(clean), "--real", str(real)]
    )
    assert done.exit_code == 2
    assert "1 images can be read" in done.stderr


# -------------------------------------------------------------------------------------------------------------- by hand


def trait(image, name):
    return traits_of(image)[TRAITS.index(name)]


def test_noise_is_measured_by_level():
    """Immerkær's operator gives the deviation of white noise on a flat picture."""
    rng = np.random.default_rng(0)
    flat = np.full((200, 200, 1), 30.0)
    flat[:, 100:] = 110
    grainy = flat + rng.normal(0, [[[4.0]]], flat.shape) * np.where(flat < 60, 1, 3)
    image = np.clip(np.rint(grainy), 0, 255).astype(np.uint8).repeat(3, axis=2)
    assert np.exp(trait(image, "noise_dark")) - 0.3 == pytest.approx(4, rel=0.1)
    assert np.exp(trait(image, "noise_middle")) - 0.3 == pytest.approx(12, rel=0.1)


def test_blocks_of_eight_are_seen_and_no_others():
    blocks = np.random.default_rng(0).integers(90, 120, (20, 20, 1), dtype=np.uint8)
    eight, seven = (np.kron(blocks[..., 0], np.ones((side, side), np.uint8))[..., None].repeat(3, 2) for side in (8, 7))
    assert trait(eight, "blockiness") > 3
    assert trait(seven, "blockiness") < 0.6


def test_the_distance_of_shifted_normals_is_their_shift_in_deviations():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 2, (4000, 1)), rng.normal(3, 2, (4000, 1))
    assert distances(first, second, scale_of(first, second))[0] == pytest.approx(1.5, abs=0.06)


def test_the_nearest_severity_lies_between_and_its_interval_narrows_with_pictures():
    rng = np.random.default_rng(1)
    widths = []
    for count in (10, 160):
        own = rng.normal(0, 1, (count, 1))
        by_severity = {float(s): own - s for s in (0, 1, 1.5, 2, 2.5, 3)}
        found = nearest_severity(by_severity, rng.normal(-1.8, 1, (count, 1)), np.ones(1), [[0]])
        assert found.interval[0] <= found.severity <= found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
    assert found.severity == pytest.approx(1.8, abs=0.25)
    assert widths[1] < widths[0]
