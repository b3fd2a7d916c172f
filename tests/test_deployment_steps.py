"""The steps that packs of deployments are made of, against their formulas by hand and by statistics."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auditor.corruptions.air import _before_lens, haze, rain, snowfall
from auditor.corruptions.builtin import light_of
from auditor.corruptions.coding import smooth_colour
from auditor.corruptions.depth import away_m
from auditor.corruptions.light import cast, flicker, infrared, low_sun, tunnel_exit
from auditor.corruptions.moving import distance
from auditor.corruptions.optics import scratches, shake
from auditor.corruptions.sensing import gained, short_range
from auditor.demo.scenes import render_scene


def rng():
    return np.random.default_rng(7)


def plain(level, height=480, width=640):
    return np.full((height, width, 3), level, np.uint8)


def linear(image):
    return light_of(image).astype(np.float64)


def test_fog_takes_contrast_by_the_distance():
    """Koschmieder: what two levels differ by falls as exp(-2.996 d / visibility)."""
    dark, bright = (haze(plain(level), rng=rng(), visibility=40) for level in (40, 140))
    left = (linear(bright) - linear(dark))[:, 0, 0] / (linear(plain(140)) - linear(plain(40)))[0, 0, 0]
    away = away_m((480, 640), height=3.0, horizon=0.35, far=60.0)
    np.testing.assert_allclose(left[200:], np.exp(-2.9957 * away / 40)[200:], atol=0.02)
    assert np.exp(-2.9957) == pytest.approx(0.05, abs=1e-4)
    far = away.argmax()
    assert linear(dark)[far].mean() == pytest.approx(0.4 + (linear(plain(40))[0, 0, 0] - 0.4) * left[far], abs=0.01)


def test_drops_are_as_many_as_marshall_and_palmer_counted():
    """8000 exp(-4.1 R^-0.21 D) a cubic metre and millimetre: for 25 mm/h 5.1 drops of 2.4 mm and more in a litre's
    thousandfold."""
    slope = 4.1 * 25**-0.21
    count = 8000 / slope * np.exp(-slope * 0.8)
    drops = _before_lens(rng(), count, slope, farthest=4.0)
    volume = (2 * np.tan(np.radians(30))) ** 2 * 0.75 * (4.0**3 - 0.3**3) / 3
    assert len(drops.sizes) == round(count * volume)
    large = (drops.sizes >= 2.4).sum() / volume
    assert large == pytest.approx(8000 / slope * np.exp(-slope * 2.4), rel=0.05)
    assert (drops.depth < 2.0).mean() == pytest.approx((2.0**3 - 0.3**3) / (4.0**3 - 0.3**3), abs=0.01)


@pytest.mark.parametrize(("weather", "rates", "least"), [(rain, (8, 60), 0.005), (snowfall, (1.5, 6), 0.05)])
def test_what_falls_is_seen_before_the_dark_and_hardly_before_the_sky(weather, rates, least):
    def seen(level, rate):
        """The share of pixels that differ by ten levels from what is around them."""
        found = weather(plain(level), rng=rng(), rate=rate).astype(float)[..., 0]
        return (np.abs(found - cv2.medianBlur(found.astype(np.float32), 5)) > 10).mean()

    assert seen(20, rates[1]) > max(least, seen(20, rates[0]))
    assert seen(200, rates[1]) < seen(20, rates[1]) / 5


def test_rain_at_night_is_lit_by_the_lamp_alone():
    scene = plain(20)
    without, with_lamp = (rain(scene, rng=rng(), rate=6, exposure=33, lamp=lamp) for lamp in (1e-6, 12))
    assert linear(without).max() <= linear(scene).max() + 0.005
    assert (with_lamp.astype(int) - 20 > 30).mean() > 0.01


def test_the_lamp_of_a_camera_follows_the_inverse_square():
    near, far = (linear(infrared(plain(120), rng=rng(), reach=reach, hot=0)) for reach in (6, 3))
    rows = slice(190, 280)  # farther than both reaches
    np.testing.assert_allclose((near / far)[rows, 320, 0], 4, rtol=0.08)
    assert (near[..., 0] == near[..., 1]).all()
    assert (near[..., 0] == near[..., 2]).all()


def test_a_sky_gives_no_light_back_over_clouds_and_wires_and_a_screen_does():
    image = plain(60)
    image[:150] = np.linspace(250, 190, 150)[:, np.newaxis, np.newaxis]  # paler towards the horizon
    image[80:82] = 40  # a wire
    image[330:420, 100:300] = 235
    seen = linear(infrared(image, rng=rng(), reach=30, hot=0))
    for row in (20, 60, 110, 140):
        assert seen[row, 320, 0] < 0.25 * linear(image)[row, 320, 0]
    assert seen[380, 200, 0] > 0.5 * linear(image)[380, 200, 0]


@pytest.mark.parametrize("gain", [24, 36])
def test_noise_is_that_of_so_many_electrons(gain):
    """EMVA 1288: the variance is the electrons' own and the read noise's square."""
    found = linear(gained(plain(128), rng=rng(), gain=gain))
    electrons, light = 12000 / 10 ** (gain / 20), linear(plain(128))[0, 0, 0]
    assert found.mean() == pytest.approx(light, rel=0.01)
    assert found.std() == pytest.approx(np.sqrt(light * electrons + 2.5**2) / electrons, rel=0.04)


def test_what_is_burnt_out_has_no_noise():
    found = gained(plain(255), rng=rng(), gain=40)
    assert (found == 255).all()


def test_noise_of_a_gray_picture_is_gray_and_colour_noise_is_smoothed():
    gray = gained(plain(60), rng=rng(), gain=34, colour=False)
    assert (gray[..., 0] == gray[..., 1]).all()
    assert gray.std() > 5
    noisy = gained(plain(60), rng=rng(), gain=34)
    both = (noisy, smooth_colour(noisy, rng=rng()))
    before, after = (np.corrcoef(image[..., 0].ravel(), image[..., 1].ravel())[0, 1] for image in both)
    assert abs(before) < 0.02
    assert 0.57 < after < 0.74  # what flat dark parts of photographs show
    brightness = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).std() for image in both]
    assert brightness[1] == pytest.approx(brightness[0], rel=0.02)


def test_out_of_a_tunnel_all_is_too_bright_by_so_many_stops():
    light, found = linear(plain(60))[0, 0, 0], linear(tunnel_exit(plain(60), rng=rng(), stops=2))
    assert found.mean() == pytest.approx(4 * light * (1 + 0.02 * 0.75), rel=0.01)


def test_a_sun_burns_out_what_is_next_to_it_and_nothing_around_it_gets_darker():
    image = plain(150)
    for ratio in (0.05, 0.6):
        found = low_sun(image, rng=rng(), ratio=ratio)
        assert found[0].max() > 250
        column = int(found[0].sum(axis=1).argmax())
        assert (np.diff(found[:120, column].mean(axis=1)) <= 0.5).all(), "brightest at the sun, and falling off"


def test_a_cast_has_no_seam_where_it_turns_to_white():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)
    found = cast(ramp, rng=rng(), kelvin=2800, stops=0.3)[0].astype(int)
    assert np.abs(np.diff(found, axis=0)).max() < 10
    assert found[255].tolist() == [255, 255, 255]
    assert found[128, 2] < 0.8 * found[128, 0]


def test_lamps_on_mains_flicker_and_the_mean_holds():
    """100 Hz in 1/30 s: ten bands in three pictures."""
    found = linear(flicker(plain(100), rng=rng(), depth=0.5))[:, 0, 0]
    assert found.mean() == pytest.approx(linear(plain(100))[0, 0, 0], rel=0.15)
    assert found.min() / found.max() == pytest.approx(0.5, abs=0.03)
    crossings = np.count_nonzero(np.diff(np.sign(found - (found.max() + found.min()) / 2)))
    assert crossings in (6, 7)


def test_a_short_range_clips_on_both_sides_of_middle_gray():
    """Five stops around 18 %: from 0.18 / 2^2.5 to 0.18 × 2^2.5."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)
    found, light = short_range(ramp, rng=rng(), stops=5)[0, :, 0], linear(ramp)[0, :, 0]
    assert (found[light < 0.18 / 2**2.5 * 0.99] == 0).all()
    assert (found[(light > 0.18 / 2**2.5 * 1.1) & (light < 0.9)] > 0).all()
    assert found[255] == 255


def test_vibration_is_of_a_share_of_the_width():
    image, _ = render_scene(11)
    small, large = cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA), cv2.resize(image, (1280, 960))
    lost = [cv2.PSNR(each, shake(each, rng=rng(), path=4)) for each in (cv2.resize(small, (1280, 960)), large)]
    assert lost[0] == pytest.approx(lost[1], abs=2)
    shrunk = cv2.resize(shake(large, rng=rng(), path=4), (320, 240), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(shrunk, shake(small, rng=rng(), path=4)) > 32


def test_what_is_farther_away_has_no_seam_around_it():
    """The picture goes on as its mirror image: across its edge it changes no more than within."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8), (0, 0), 6)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    found = distance(image.shape[:2], rng=rng(), factor=2).pixels(image).astype(float)
    across = np.abs(np.diff(found, axis=1))
    seam = across[60:180, 78:82].max(axis=1).mean()
    assert seam < 1.5 * np.quantile(across[60:180, 85:235].max(axis=(1, 2)), 0.9)


def test_scratches_scatter_far_out_of_focus():
    """A line that is blurred over 28 pixels of 640 has no edge."""
    image = plain(30)
    image[:, 400:] = 220
    found = scratches(image, rng=rng(), count=140).astype(float)
    assert (found[:, :350] - 30).mean() > 2
    assert np.abs(np.diff(found[:, :350, 0], axis=1)).max() < 6
