"""Scenarios of one's own: begun, checked, previewed, brought by packages, told apart by content."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL

from auditor.cli import main
from auditor.corruptions.corrupt import content_sha256, corrupt
from auditor.corruptions.packs import known_packs, load_scenarios, select_scenarios
from auditor.demo.scenes import CLASSES, render_scene
from auditor.errors import InputError, ScenarioError
from auditor.manual import page_text

IMAGE = render_scene(5001)[0]


def invoke(*arguments, folder=None, monkeypatch=None):
    if folder is not None:
        monkeypatch.chdir(folder)
    return CliRunner().invoke(main, list(map(str, arguments)))


def pack(scenario, *, name="mine", knobs="{f: [1, 2, 3, 4, 5]}", more=""):
    return (
        f"pack: {name}\nversion: 1\nscenarios:\n  one:\n    knobs: {knobs}\n    unit: x\n{more}    transforms:\n"
        f"{scenario}\n"
    )


# ------------------------------------------------------------------------------------------------------- new and check


def test_what_is_begun_runs_as_it_is_and_is_never_written_over(tmp_path, monkeypatch):
    begun = invoke("scenarios", "new", "factory", folder=tmp_path, monkeypatch=monkeypatch)
    assert (begun.exit_code, begun.stdout) == (0, "factory.yaml\n")
    checked = invoke("scenarios", "check", "factory.yaml")
    assert checked.exit_code == 0, checked.stderr
    assert "2 scenarios, all run: film_on_lens, dusk" in checked.stdout
    assert len(re.findall(r"PSNR( \d+\.\d){5} dB · SSIM( \d\.\d\d){5} · \d+ ms", checked.stdout)) == 2
    before = (tmp_path / "factory.yaml").read_text()
    again = invoke("scenarios", "new", "factory")
    assert again.exit_code == 2
    assert "is left as it is" in again.stderr
    assert (tmp_path / "factory.yaml").read_text() == before
    commented = re.sub(r"^  # (?=  (?!def)|dirt:|corners:)", "  ", before, flags=re.MULTILINE)
    (tmp_path / "whole.yaml").write_text(commented)
    (tmp_path / "dirt").mkdir()
    write_dirt(tmp_path / "dirt" / "a.png")
    (tmp_path / "factory_code.py").write_text("def vignette(image, *, severity, rng):\n    return image // 2\n")
    whole = load_scenarios(tmp_path / "whole.yaml", allow_code=True)
    assert [spec.name for spec in whole] == ["film_on_lens", "dusk", "dirt", "corners"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("noise", "the auditor itself has a pack"), ("Big", "small letters"), ("clean", "not `clean`")],
)
def test_a_pack_is_not_begun_under_a_name_that_cannot_be(name, expected, tmp_path, monkeypatch):
    found = invoke("scenarios", "new", name, folder=tmp_path, monkeypatch=monkeypatch)
    assert found.exit_code == 2
    assert expected in found.stderr
    assert not list(tmp_path.iterdir())


FAULTS = {
    "nothing": ("      - contrast: {factor: $f}", "{f: [1, 1, 1, 1, 1]}", 5, "changes no pixel at any severity"),
    "at_one": ("      - gaussian_noise: {sigma: $f}", "{f: [0, 1, 2, 3, 4]}", 5, "changes no pixel at severity 1"),
    "a_step": (
        "      - gaussian_noise: {sigma: $f}\n      - exposure: {stops: 0}",
        "{f: [1, 2, 3, 4, 5]}",
        9,
        "transforms[1]: exposure changes no pixel",
    ),
    "backward": (
        "      - pixelate: {block: $f}",
        "{f: [9, 7, 5, 3, 2]}",
        5,
        "does not grow with severity: from severity 1 to 2 (f 9 → 7) PSNR",
    ),
    "constant": ("      - soft_blur: {sigma: $f}", "{f: [1, 1, 2, 3, 4]}", 5, "from severity 1 to 2 (f 1 → 1)"),
    "negative": (
        "      - pixelate: {block: $f}",
        "{f: [0.5, 2, 3, 4, 5]}",
        7,
        "block: expected at least 1 but got 0.5",
    ),
    "shape": (
        "      - function: code:shape",
        "{f: [1, 2, 3, 4, 5]}",
        7,
        "expected a uint8 image of shape (24, 32, 3)",
    ),
    "kind": ("      - function: code:kind", "{f: [1, 2, 3, 4, 5]}", 7, "got float64"),
    "hashed": ("      - function: code:hashed", "{f: [1, 2, 3, 4, 5]}", 7, "another process gives other pixels"),
    "dies": ("      - function: code:dies", "{f: [1, 2, 3, 4, 5]}", 7, "ended its process (exit code 3)"),
}
CODE = """\
import os
def shape(image, *, severity, rng):
    return image[:, ::2] if severity > 3 else image // 2
def kind(image, *, severity, rng):
    return image * 0.5
def hashed(image, *, severity, rng):
    return (image // (1 + severity + hash("x") % 97)).astype("uint8")
def dies(image, *, severity, rng):
    os._exit(3)
def slow(image, *, severity, rng):
    import time
    time.sleep(0.08)
    return (image * (1 - severity / 6)).astype("uint8")
"""


def test_every_fault_of_a_pack_is_told_at_once_with_its_line(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    lines = ["pack: bad", "version: 1", "scenarios:"]
    expected = []
    for name, (transforms, knobs, line, told) in FAULTS.items():
        at = len(lines) + line - 3
        lines += pack(transforms, knobs=knobs).replace("  one:", f"  {name}:").splitlines()[3:]
        expected.append((at, name, told))
    (tmp_path / "bad.yaml").write_text("\n".join(lines))
    found = invoke("scenarios", "check", tmp_path / "bad.yaml", "--allow-code")
    assert found.exit_code == 2
    assert found.stdout == ""
    told = found.stderr.splitlines()
    assert len(told) == len(FAULTS), found.stderr
    for (line, name, text), problem in zip(expected, told, strict=True):
        assert f"bad.yaml:{line}: scenarios.{name}." in problem
        assert text in problem


def test_code_is_not_run_unasked_and_slow_is_told_or_refused(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    path = tmp_path / "slow.yaml"
    path.write_text(pack("      - function: code:slow"))
    assert "allow_code: true" in invoke("scenarios", "check", path).stderr
    told = invoke("scenarios", "check", path, "--allow-code")
    assert told.exit_code == 0
    assert re.search(r"warning: .*slow\.yaml:7: scenarios\.one\.transforms: it takes \d+ ms", told.stderr)
    refused = invoke("scenarios", "check", path, "--allow-code", "--max-ms", "40")
    assert refused.exit_code == 2
    assert "more than 40 ms" in refused.stderr


def test_a_pack_is_checked_on_ones_own_images_and_may_say_that_it_is_not_monotone(tmp_path):
    path, images = tmp_path / "mine.yaml", tmp_path / "images"
    images.mkdir()
    grey = np.full((60, 80, 3), 90, np.uint8)
    cv2.imwrite(str(images / "grey.png"), grey)
    path.write_text(pack("      - pixelate: {block: $f}", knobs="{f: [9, 7, 5, 3, 2]}", more="    monotone: false\n"))
    assert invoke("scenarios", "check", path).exit_code == 0
    assert "changes no pixel at any severity" in invoke("scenarios", "check", path, "--images", images).stderr
    assert "there is no such folder" in invoke("scenarios", "check", path, "--images", tmp_path / "none").stderr


# ------------------------------------------------------------------------------------------------------------- preview


def test_a_preview_shows_what_a_model_finds(tmp_path):
    cv2.imwrite(str(tmp_path / "scene.png"), cv2.cvtColor(IMAGE, cv2.COLOR_RGB2BGR))
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    (tmp_path / "audit.yaml").write_text(
        "name: x\ndataset: {format: images, images: .}\nmodels:\n"
        f"  - {{name: demo, path: {DEMO_MODEL}, labels: labels.txt, decoder: yolov8, input: {{std: 255}},\n"
        "     operating_point: 0.35}\n"
        f"  - {{name: small, variant_of: demo, path: {DEMO_MODEL.with_stem('detector_int8')}}}\n"
    )
    arguments = ("scenarios", "preview", "lighting/low_light", "--image", tmp_path / "scene.png", "-o")
    for model, names in ((f"{tmp_path}/audit.yaml#small", CLASSES), (str(DEMO_MODEL), ("class",))):
        page = tmp_path / "sheet.html"
        found = invoke(*arguments, page, "--model", model, "--score", "0.5")
        assert found.exit_code == 0, found.stderr
        text = page.read_text()
        assert text.count('<rect\nclass="found"') > 3
        assert any(re.search(rf"finds \d+ {name}", text) for name in names)
        assert "severity 5: stops -5" in text
        assert text.count("PSNR ") >= 5
    for place in (tmp_path, "/dev/null", tmp_path / "sheet.png"):
        assert "expected an HTML file" in invoke(*arguments, place).stderr
    for model, expected in (("none.tflite", "none.tflite"), (f"{tmp_path}/audit.yaml#larger", "no model 'larger'")):
        refused = invoke(*arguments, tmp_path / "no.html", "--model", model)
        assert refused.exit_code == 2
        assert expected in refused.stderr
    assert not (tmp_path / "no.html").exists()


# ------------------------------------------------------------------------------------------------------- real pictures


def write_dirt(path, *, alpha=True, level=0):
    dirt = np.full((50, 50, 4), level, np.uint8)
    dirt[..., 3] = 0
    dirt[10:40, 10:40, 3] = 255
    cv2.imwrite(str(path), dirt if alpha else dirt[..., :3])


OVERLAY = "      - overlay: dirt/*.png"


def test_real_pictures_are_laid_over_by_their_alpha_and_the_knob(tmp_path):
    (tmp_path / "dirt").mkdir()
    write_dirt(tmp_path / "dirt" / "a.png")
    (tmp_path / "mine.yaml").write_text(pack(OVERLAY, knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}"))
    (spec,) = load_scenarios(tmp_path / "mine.yaml")
    white = np.full((50, 100, 3), 200, np.uint8)
    half, full = (corrupt(white, spec, severity=severity, seed=1) for severity in (2, 5))
    assert set(np.unique(half[10:40, 25:75])) == {120}
    assert full[25, 50].tolist() == [0, 0, 0]
    assert full[2, 2].tolist() == [200, 200, 200]


@pytest.mark.parametrize(("mode", "level", "expected"), [("lighten", 100, 222), ("darken", 100, 78)])
def test_pictures_without_alpha_say_how_they_are_laid_over(tmp_path, mode, level, expected):
    """By hand: 200 + 100 − 200 × 100 ÷ 255 is 221.6, and 200 × 100 ÷ 255 is 78.4."""
    (tmp_path / "dirt").mkdir()
    write_dirt(tmp_path / "dirt" / "a.png", alpha=False, level=level)
    path = tmp_path / "mine.yaml"
    path.write_text(pack(OVERLAY, knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}"))
    with pytest.raises(InputError, match=r"mine\.yaml:7: .*a\.png has no alpha channel"):
        load_scenarios(path)
    path.write_text(
        pack(
            f"      - overlay: {{files: dirt/*.png, opacity: $opacity, mode: {mode}}}",
            knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}",
        )
    )
    (spec,) = load_scenarios(path)
    assert corrupt(np.full((9, 9, 3), 200, np.uint8), spec, severity=5, seed=1)[4, 4, 0] == expected


def test_pictures_that_are_not_there_and_other_ones_are_noticed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(pack(OVERLAY, knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}"))
    with pytest.raises(InputError, match=r"no file is there that is called dirt/\*\.png"):
        load_scenarios(path)
    (tmp_path / "dirt").mkdir()
    write_dirt(tmp_path / "dirt" / "a.png")
    (spec,) = load_scenarios(path)
    before = content_sha256(spec)
    write_dirt(tmp_path / "dirt" / "a.png", level=9)
    assert content_sha256(spec) != before
    (tmp_path / "dirt" / "z.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"mine\.yaml:7: .*z\.png is not a picture"):
        load_scenarios(path)  # whichever of them an audit draws
    (tmp_path / "dirt" / "a.png").unlink()
    with pytest.raises(ScenarioError, match="not a picture"):
        corrupt(IMAGE, spec, severity=2.25, seed=0)


def test_a_pattern_that_is_none_and_a_picture_that_would_be_huge(tmp_path):
    path = tmp_path / "mine.yaml"
    for pattern, told in (
        ("**a/*.png", "expected files beside the pack"),
        ("/x/*.png", "expected files beside the pack"),
    ):
        path.write_text(pack(f"      - overlay: '{pattern}'", knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}"))
        with pytest.raises(InputError, match=told):
            load_scenarios(path)
    (tmp_path / "dirt").mkdir()
    cv2.imwrite(str(tmp_path / "dirt" / "thin.png"), np.full((1, 9000, 4), 255, np.uint8))
    path.write_text(pack(OVERLAY, knobs="{opacity: [0.2, 0.4, 0.6, 0.8, 1]}"))
    with pytest.raises(ScenarioError, match="cut it to a shape like that of the images"):
        corrupt(np.zeros((480, 640, 3), np.uint8), load_scenarios(path)[0], severity=1, seed=0)


# ------------------------------------------------------------------------------------------------- packs from packages


def install(site: Path, name: str, *, package: str, text: str | None = None, version="1.3") -> None:
    info = site / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[auditor.packs]\n{name} = {package}\n")
    (site / package).mkdir()
    (site / package / "__init__.py").write_text("raise RuntimeError('a pack is data, and is not imported')\n")
    if text is not None:
        (site / package / f"{name}.yaml").write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    return tmp_path / "site"


def test_a_package_brings_a_pack_by_name_and_is_shown_as_its_origin(site, tmp_path):
    install(site, "acme", package="acme_packs", text=pack("      - exposure: {stops: $f}", name="acme"))
    assert known_packs()["acme"].distribution == "acme_packs 1.3"
    (spec,) = select_scenarios(["acme/one"], folder=tmp_path, allow_code=False, where=["here"])
    assert (spec.key, spec.distribution) == ("acme/one", "acme_packs 1.3")
    assert "acme (v1, from acme_packs 1.3)" in invoke("scenarios", "list").stdout
    assert "from: acme_packs 1.3" in invoke("scenarios", "show", "acme").stdout
    assert "1 scenarios, all run: one" in invoke("scenarios", "check", "acme").stdout
    (tmp_path / "own.yaml").write_text(pack("      - exposure: {stops: $f}", name="acme"))
    with pytest.raises(InputError, match=r"own\.yaml:1: pack: 'acme' is a pack of acme_packs 1\.3"):
        load_scenarios(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("noise", "", "brings a pack 'noise', but the auditor itself has that name"),
        ("acme", None, "holds the pack acme.yaml, but it does not"),
    ],
)
def test_a_broken_package_of_packs_is_told_and_hinders_no_other(site, tmp_path, name, text, expected):
    install(site, name, package="acme_packs", text=text)
    listed = invoke("scenarios", "list")
    assert listed.exit_code == 0
    assert expected in listed.stderr
    assert select_scenarios(["noise/iso"], folder=tmp_path, allow_code=False, where=["here"])[0].distribution is None
    if name == "acme":
        with pytest.raises(InputError, match=re.escape(expected)):
            select_scenarios(["acme"], folder=tmp_path, allow_code=False, where=["here"])


def test_a_pack_of_a_package_is_called_as_that_says(site, tmp_path):
    install(site, "acme", package="acme_packs", text=pack("      - exposure: {stops: $f}", name="other"))
    with pytest.raises(InputError, match=re.escape("acme_packs 1.3 brings it as 'acme'")):
        select_scenarios(["acme"], folder=tmp_path, allow_code=False, where=["here"])


# ------------------------------------------------------------------------------------------------ code beside a pack


def helped(folder, factor):
    folder.mkdir(exist_ok=True)
    (folder / "helper.py").write_text(f"FACTOR = {factor}\n")
    (folder / "fx.py").write_text(
        "import helper\n\n\ndef dim(image, *, severity, rng):\n    return image // helper.FACTOR\n"
    )
    (folder / "p.yaml").write_text(pack("      - function: fx:dim", name=folder.name))
    return load_scenarios(folder / "p.yaml", allow_code=True)[0]


def test_packs_may_have_helpers_of_one_name_and_a_changed_one_is_another_scenario(tmp_path):
    first, second = helped(tmp_path / "a", 2), helped(tmp_path / "b", 4)
    assert (corrupt(IMAGE, first, severity=1, seed=0) == IMAGE // 2).all()
    assert (corrupt(IMAGE, second, severity=1, seed=0) == IMAGE // 4).all()
    assert "helper" not in sys.modules
    before = content_sha256(second)
    (tmp_path / "b" / "helper.py").write_text("FACTOR = 8\n")
    assert content_sha256(second) != before


# ---------------------------------------------------------------------------------------------------- one of a pack


def test_one_scenario_of_a_pack_is_not_hindered_by_the_others(tmp_path):
    lines = pack("      - exposure: {stops: $f}").splitlines()
    lines += ["  two:", *pack("      - nothing: {stops: $f}").splitlines()[4:]]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    (one,) = select_scenarios(["./mine.yaml#one"], folder=tmp_path, allow_code=False, where=["here"])
    assert one.name == "one"
    with pytest.raises(InputError, match="'nothing' is not registered"):
        select_scenarios(["./mine.yaml"], folder=tmp_path, allow_code=False, where=["here"])
    assert "1 scenarios, all run: one" in invoke("scenarios", "check", f"{tmp_path}/mine.yaml#one").stdout
    assert "1 scenarios, all run: iso" in invoke("scenarios", "check", "noise/iso").stdout
    assert "it has no scenario 'three'" in invoke("scenarios", "check", f"{tmp_path}/mine.yaml#three").stderr


# ---------------------------------------------------------------------------------------------------------- the manual


def test_the_page_on_authoring_is_true(tmp_path):
    page = page_text("authoring")
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, flags=re.DOTALL)
    scenarios = [text for language, text in blocks if language == "yaml"][:4]
    (tmp_path / "factory.yaml").write_text("".join(scenarios))
    (code,) = (text for language, text in blocks if language == "python")
    (tmp_path / "lens.py").write_text(code)
    (tmp_path / "dirt").mkdir()
    write_dirt(tmp_path / "dirt" / "one.png")
    found = invoke("scenarios", "check", tmp_path / "factory.yaml", "--allow-code")
    assert found.exit_code == 0, found.stderr
    assert "4 scenarios, all run: oil_mist, night_shift, dirt, corners" in found.stdout
