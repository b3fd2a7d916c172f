"""Scenario packs and corruptions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auditor.config import load_pack, specs_of
from auditor.corruptions.corrupt import corrupt, knobs_at, named_sha256
from auditor.corruptions.packs import built_in_packs, load_scenarios, select_scenarios
from auditor.demo.scenes import render_scene
from auditor.errors import InputError
from auditor.provenance import image_seed

IMAGE = render_scene(5001)[0]
PUBLISHED = "common_corruptions"
SHIPPED = [spec for path in built_in_packs().values() for spec in specs_of(load_pack(path)[0], folder=path.parent)]


def test_the_packs_that_ship_are_those_of_the_contract():
    names = {pack: {spec.name for spec in SHIPPED if spec.pack == pack} for pack in built_in_packs()}
    assert names == {
        "lighting": {"low_light", "overexposure", "low_contrast", "color_temperature", "uneven_light"},
        "resolution": {"low_resolution", "defocus", "motion_blur", "jpeg", "pixelation"},
        "noise": {"gaussian", "shot", "iso", "salt_and_pepper", "banding"},
        PUBLISHED: {
            *("gaussian_noise", "shot_noise", "impulse_noise"),
            *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
            *("snow", "frost", "fog", "brightness"),
            *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        },
        f"{PUBLISHED}_extra": {"speckle_noise", "gaussian_blur", "spatter", "saturate"},
        "security_camera": {
            *("infrared_night", "low_light_gain", "rain_at_night", "insects", "headlamps"),
            *("dome_scratches", "dome_dirt", "stream_lines", "low_bit_rate_jpeg", "h264"),
        },
        "dashcam": {"motion", "drops_on_glass", "low_sun", "tunnel_exit"},
        "drone": {"altitude", "vibration", "haze"},
        "retail": {"flicker", "white_balance", "reflections"},
        "weather": {"fog", "rain", "snow"},
        "sensor": {"bad_pixels", "rolling_shutter", "banding", "clipping", "colour_mosaic"},
        "geometry": {*("rotation", "tilt", "lens_distortion"), *("crop", "digital_zoom", "distance", "tiling")},
    }


def test_another_seed_gives_other_noise():
    spec = next(spec for spec in SHIPPED if spec.name == "gaussian")
    assert (corrupt(IMAGE, spec, severity=3, seed=7) != corrupt(IMAGE, spec, severity=3, seed=8)).any()


def test_seeds_depend_on_seed_scenario_and_image_alone():
    assert image_seed(1, "noise/iso", 5) == image_seed(1, "noise/iso", 5)
    assert len({image_seed(seed, key, image) for seed in (1, 2) for key in ("a/b", "a/c") for image in (1, 2)}) == 8


def by_name(name):
    return next(spec for spec in SHIPPED if spec.name == name)


def test_exposure_is_done_in_linear_light():
    # sRGB 188 is 0.5 of linear light; one stop less is 0.25, which is sRGB 137
    grey = np.full((4, 4, 3), 188, np.uint8)
    assert corrupt(grey, by_name("low_light"), severity=1, seed=0)[0, 0].tolist() == [137, 137, 137]
    assert corrupt(np.full((4, 4, 3), 137, np.uint8), by_name("overexposure"), severity=2, seed=0)[0, 0].tolist() == [
        188,
        188,
        188,
    ]


def test_warm_light_raises_red_and_lowers_blue_and_keeps_green():
    grey = np.full((4, 4, 3), 128, np.uint8)
    red, green, blue = corrupt(grey, by_name("color_temperature"), severity=3, seed=0)[0, 0].tolist()
    assert red > 140
    assert green == 128
    assert blue < 115


def test_gaussian_noise_has_the_stated_deviation():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = corrupt(grey, by_name("gaussian"), severity=2, seed=1).astype(float) - 128
    assert noise.std() == pytest.approx(12, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("level", [60, 188])
def test_shot_noise_is_poisson_in_linear_light(level):
    photons = 200
    grey = np.full((300, 300, 3), level, np.uint8)
    noisy = corrupt(grey, by_name("shot"), severity=1, seed=1).astype(float) / 255
    linear = np.where(noisy <= 0.04045, noisy / 12.92, ((noisy + 0.055) / 1.055) ** 2.4)
    expected = ((level / 255 + 0.055) / 1.055) ** 2.4
    assert linear.mean() == pytest.approx(expected, rel=0.02)
    assert linear.var() == pytest.approx(expected / photons, rel=0.06)


def test_low_resolution_and_pixelation_keep_the_size():
    blocks = corrupt(IMAGE[:240, :240], by_name("pixelation"), severity=5, seed=0)
    assert len(np.unique(blocks.reshape(-1, 3), axis=0)) <= 20 * 20


def test_blurs_keep_the_mean_level():
    for name in ("defocus", "motion_blur"):
        for severity in (1, 5):
            assert corrupt(IMAGE, by_name(name), severity=severity, seed=3).mean() == pytest.approx(IMAGE.mean(), abs=1)


def test_knobs_are_interpolated_between_severities():
    assert knobs_at(by_name("low_light"), 2.5) == {"stops": -2.5}
    with pytest.raises(ValueError, match="from 1 to 5"):
        knobs_at(by_name("low_light"), 0)


# --------------------------------------------------------------------------------------------------- packs of one's own

MINE = """\
pack: mine
version: 1
about: Mine.
scenarios:
  oil:
    about: Oil.
    knobs: {sigma: [0.5, 1, 2, 3, 4], dim: [-0.05, -0.1, -0.15, -0.2, -0.25]}
    unit: px
    transforms:
      - GaussianBlur: {sigma_limit: [$sigma, $sigma], blur_limit: 0}
      - RandomBrightnessContrast: {brightness_limit: [$dim, $dim], contrast_limit: [0, 0]}
"""


def write(tmp_path, text, name="mine.yaml"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_pack_of_ones_own(tmp_path):
    (spec,) = load_scenarios(write(tmp_path, MINE), allow_code=False)
    quality = [cv2.PSNR(IMAGE, corrupt(IMAGE, spec, severity=severity, seed=1)) for severity in (1, 3, 5)]
    assert quality == sorted(quality, reverse=True)
    assert select_scenarios(["./mine.yaml#oil"], folder=tmp_path, allow_code=False, where=["here"]) == (spec,)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("GaussianBlur", "GausianBlur"), "did you mean 'GaussianBlur'?"),
        (("GaussianBlur", "HorizontalFlip"), "not an image-only transform"),
        (("blur_limit: 0", "blur_limt: 0"), "no argument blur_limt"),
        (("blur_limit: 0", "p: 0.5"), "`p` cannot be given"),
        (("[$sigma, $sigma]", "[many, $sigma]"), "refuses"),
        (
            (
                "GaussianBlur: {sigma_limit: [$sigma, $sigma], blur_limit: 0}",
                "MotionBlur: {blur_limit: [4, 4]}\n      - exposure: {stops: $sigma}",
            ),
            "refuses",
        ),
        (
            ("GaussianBlur: {sigma_limit: [$sigma, $sigma], blur_limit: 0}", "exposure: {stop: $sigma}"),
            "exposure takes stops",
        ),
        (
            ("GaussianBlur: {sigma_limit: [$sigma, $sigma], blur_limit: 0}", "mist: {stop: $sigma}"),
            "'mist' is not registered",
        ),
        (("pack: mine", "pack: noise"), "built-in pack"),
    ],
)
def test_what_is_wrong_with_a_pack_is_told_with_its_line(tmp_path, change, expected):
    with pytest.raises(InputError, match=r"mine\.yaml:\d+: ") as caught:
        load_scenarios(write(tmp_path, MINE.replace(*change)), allow_code=False)
    assert expected in str(caught.value)


CODE = """\
pack: coded
version: 1
scenarios:
  fog:
    knobs: {density: [1, 2, 3, 4, 5]}
    unit: none
    transforms:
      - function: NAME:fog
"""


def coded(tmp_path, name, body):
    (tmp_path / f"{name}.py").write_text(f"def fog(image, *, severity, rng):\n    {body}\n")
    return write(tmp_path, CODE.replace("NAME", name), f"{name}.yaml")


def test_a_function_runs_only_where_code_is_allowed(tmp_path):
    path = coded(tmp_path, "fog_fine", "return (image * (1 - 0.1 * severity)).astype('uint8')")
    with pytest.raises(InputError, match="allow_code: true"):
        load_scenarios(path, allow_code=False)
    (spec,) = load_scenarios(path, allow_code=True)
    assert corrupt(IMAGE, spec, severity=5, seed=0).mean() == pytest.approx(IMAGE.mean() / 2, rel=0.05)
    assert named_sha256(spec) != named_sha256(
        load_scenarios(coded(tmp_path, "fog_other", "return image"), allow_code=True)[0]
    )


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("fog_raises", "raise KeyError('lens')", "KeyError"),
        ("fog_float", "return image * 0.5", "float64"),
        ("fog_shape", "return image[:-1]", "expected a uint8 image of shape"),
        ("fog_none", "return None", "NoneType"),
    ],
)
def test_what_a_function_may_not_do(tmp_path, name, body, expected):
    with pytest.raises(InputError, match=expected):
        load_scenarios(coded(tmp_path, name, body), allow_code=True)


def test_a_function_that_cannot_be_imported(tmp_path):
    with pytest.raises(InputError, match="cannot be imported"):
        load_scenarios(write(tmp_path, CODE.replace("NAME", "absent_module")), allow_code=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lightning", "did you mean 'lighting'"),
        ("noise/isso", "did you mean 'noise/iso'"),
        ("./absent.yaml", "no such file"),
        ("blizzard", "unknown scenario"),
    ],
)
def test_unknown_scenarios_name_the_nearest(tmp_path, name, expected):
    with pytest.raises(InputError, match=expected):
        select_scenarios([name], folder=tmp_path, allow_code=False, where=["audit.yaml:3: scenarios[0]"])


def test_a_pack_module_may_import_from_beside_it_and_define_dataclasses(tmp_path):
    (tmp_path / "lens_helper.py").write_text("FACTOR = 2\n")
    (tmp_path / "lens.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom lens_helper import FACTOR\n\n"
        "@dataclass\nclass Lens:\n    factor: int\n\ndef fog(image, *, severity, rng):\n    return image // "
        "Lens(FACTOR).factor\n"
    )
    (spec,) = load_scenarios(write(tmp_path, CODE.replace("NAME", "lens")), allow_code=True)
    assert (corrupt(IMAGE, spec, severity=1, seed=0) == IMAGE // 2).all()


def test_two_packs_may_each_have_a_module_of_one_name(tmp_path):
    images = []
    for folder, body in (("first", "return image // 2"), ("second", "return image // 4")):
        (tmp_path / folder).mkdir()
        (spec,) = load_scenarios(coded(tmp_path / folder, "random", body), allow_code=True)
        images.append(corrupt(IMAGE, spec, severity=1, seed=0))
    assert (images[0] == IMAGE // 2).all()
    assert (images[1] == IMAGE // 4).all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[0.5, 1, 2, 3, 4]", "[.nan, 1, 2, 3, 4]"), "finite"),
        (("pack: mine", "pack: clean"), "uncorrupted"),
        (
            (
                "GaussianBlur: {sigma_limit: [$sigma, $sigma], blur_limit: 0}",
                "shot_noise: {photons: $dim}\n      - exposure: {stops: $sigma}",
            ),
            "photons: expected more than 0",
        ),
    ],
)
def test_knobs_that_cannot_be(tmp_path, change, expected):
    with pytest.raises(InputError, match=expected):
        load_scenarios(write(tmp_path, MINE.replace(*change)), allow_code=False)
