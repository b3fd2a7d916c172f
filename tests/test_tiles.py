"""Pictures that are fed in tiles: small objects are found, boxes lie where they are, and the cost is told."""

from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.cli import main
from auditor.demo.scenes import CLASSES, render_scene
from auditor.encoding import encode_parts, input_scale, tile_places
from auditor.errors import InputError
from auditor.run import run_audit
from auditor.values import InputContract, Tiles

AUDIT = """\
name: tiles
dataset: {format: coco, images: images, annotations: instances.json}
models:
  - {name: plain, path: detector.tflite, labels: labels.txt, input: &fed {std: 255, resize: letterbox, pad: 114}}
  - {name: tiled, path: detector.tflite, labels: labels.txt, input: {std: 255, resize: letterbox, pad: 114, TILES}}
scenarios: [noise/gaussian]
severities: [1]
checks: {input_contract: false}
measure: {threads: []}
gallery: false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of nine scenes each, three by three, on which objects are small beside the whole."""
    place = tmp_path_factory.mktemp("tiles")
    (place / "images").mkdir()
    images, annotations = [], []
    for number in range(6):
        picture = np.full((720, 960, 3), 114, np.uint8)
        for part in range(9):
            scene, truth = render_scene(5000 + 9 * number + part)
            scene, boxes = scene[:240, :320], truth.boxes
            top, left = 240 * (part // 3), 320 * (part % 3)
            picture[top : top + scene.shape[0], left : left + scene.shape[1]] = scene
            for (x1, y1, x2, y2), label in zip(boxes, truth.labels, strict=True):
                if x2 <= 320 and y2 <= 240:
                    box = [x1 + left, y1 + top, x2 - x1, y2 - y1]
                    about = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": int(label) + 1}
                    annotations.append({**about, "bbox": [float(v) for v in box], "iscrowd": 0})
        cv2.imwrite(str(place / "images" / f"{number}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        images.append({"id": number + 1, "file_name": f"{number}.png", "width": 960, "height": 720})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (place / "instances.json").write_text(json.dumps(document))
    (place / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    (place / "labels.txt").write_text("\n".join(CLASSES))
    return place


def write(folder, tiles, **changes):
    text = AUDIT.replace("TILES", f"tiles: {tiles}")
    for before, after in changes.items():
        text = text.replace(before, after)
    (folder / "audit.yaml").write_text(text)


def run(folder, tiles, **changes):
    write(folder, tiles, **changes)
    return run_audit(folder / "audit.yaml", output=folder / "out", executor="serial")


def test_tiles_find_what_is_small_beside_the_whole_and_their_cost_is_told(folder):
    found = run(folder, "{size: [240, 320], overlap: 0.2, merge: nms}", **{"threads: []": "threads: [1]"})
    clean = {cell.file: cell for cell in found.cells if cell.is_clean and cell.is_declared}
    assert clean["tiled"].value > clean["plain"].value + 0.15
    assert clean["tiled"].metrics["AP_small"].value > clean["plain"].metrics["AP_small"].value
    (told,) = [finding for finding in found.findings if finding.code == "tiles.gain"]
    assert told.message.startswith("in tiles of 320 × 240 px tiled has AP 0.")
    assert "times as long" in told.message
    latency = {item.model: item.value.p50 for item in found.measurements if item.probe == "latency_ms"}
    assert latency["tiled"] > 5 * latency["plain"]  # 16 tiles
    settings = next(model for model in found.models if model.name == "tiled").input.settings
    assert settings["tiles"]["size"] == [240, 320]
    page = (folder / "out" / "report.html").read_text()
    assert "in tiles of 320 × 240 px" in page


def test_one_tile_of_the_whole_picture_is_the_whole_picture(folder):
    found = run(folder, "{size: [720, 960], match: 0.99}")
    clean = {cell.file: cell for cell in found.cells if cell.is_clean and cell.is_declared}
    assert clean["tiled"].value == pytest.approx(clean["plain"].value, abs=0.002)


def test_preview_shows_what_is_found_in_tiles(folder):
    write(folder, "{size: [240, 320], whole: true, merge: nmm}")
    arguments = ["scenarios", "preview", "lighting/low_light", "--image", str(folder / "images" / "0.png")]
    counts = {}
    for name in ("plain", "tiled"):
        page = folder / f"{name}.html"
        done = CliRunner().invoke(main, [*arguments, "-o", str(page), "--model", f"{folder / 'audit.yaml'}#{name}"])
        assert done.exit_code == 0, done.stderr
        counts[name] = page.read_text().count('class="found"')
    assert counts["tiled"] > counts["plain"]


@pytest.mark.parametrize(
    ("tiles", "told"),
    [
        ("{size: 8}", "expected at least 16 but got 8"),
        ("{size: 320, overlap: 1}", "expected at most 0.9 but got 1"),
        ("{size: 320, merge: soft}", "expected nms or nmm"),
        ("{overlap: 0.2}", "size: this key is required"),
        ("{size: 320, sise: 2}", "sise: unknown key"),
    ],
)
def test_what_is_wrong_with_tiles_is_told_with_its_line(folder, tiles, told):
    with pytest.raises(InputError, match=r"audit\.yaml:5") as caught:
        run(folder, tiles)
    assert told in str(caught.value)


def test_a_model_in_tiles_is_not_bundled(folder):
    write(folder, "{size: 320}")
    done = CliRunner().invoke(main, ["bundle", str(folder / "audit.yaml"), "-o", str(folder / "b.pyz")])
    assert done.exit_code == 2
    assert "tiled is fed in tiles" in done.stderr


# ----------------------------------------------------------------------------------------------------------- properties


@settings(deadline=None)
@given(
    width=st.integers(1, 900),
    height=st.integers(1, 900),
    side=st.tuples(st.integers(16, 400), st.integers(16, 400)),
    overlap=st.floats(0, 0.9),
)
def test_tiles_cover_every_pixel_and_overlap_as_asked(width, height, side, overlap):
    tiles = Tiles(side, overlap)
    places = tile_places((width, height), tiles)
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert (right - left, bottom - top) == (min(side[1], width), min(side[0], height))
        seen[top:bottom, left:right] = True
    assert seen.all()
    columns = sorted({(left, right) for left, _, right, _ in places})
    for (_, end), (begin, _) in itertools.pairwise(columns):
        assert end - begin >= int(overlap * side[1])


def test_a_point_of_a_tile_is_where_it_is_on_the_picture():
    contract = InputContract(64, 64, resize="letterbox", pad=114, tiles=Tiles((100, 120), 0.2, whole=True))
    image = np.zeros((300, 400, 3), np.uint8)
    image[205:215, 301:331] = 255
    found = 0
    for tensor, geometry in encode_parts(image, contract):
        ys, xs = np.nonzero(tensor[0, ..., 0] == 255)
        if len(xs):
            box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], float)
            original = geometry.to_original(box)[0]
            assert original[0] > 301 - 8  # a pixel of the input is up to 6 of the picture
            assert original[2] < 331 + 8
            assert abs(original[1:4:2] - [205, 215]).max() < 8
            found += 1
    assert found >= 2
    assert input_scale((400, 300), contract) == pytest.approx((64 / 120, 64 / 120))
