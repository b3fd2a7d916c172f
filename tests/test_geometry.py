"""Transforms that move things: pixels and true boxes follow one geometry."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_project
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import extensions
from auditor.boxes import iou
from auditor.cli import main
from auditor.config import load_pack, specs_of
from auditor.corruptions.corrupt import corrupt, moves, warps_of
from auditor.corruptions.packs import built_in_packs
from auditor.errors import InputError
from auditor.run import run_audit
from auditor.tasks.detection import TASK
from auditor.values import GroundTruth
from auditor.values.warps import Affine, Projective, Radial, moved_boxes

SIZE = (480, 640)
PACK = built_in_packs()["geometry"]
SPECS = specs_of(load_pack(PACK)[0], folder=PACK.parent)
RNG = np.random.default_rng(3)

KNOBS = {
    "crop": {"share": 0.6},
    "digital_zoom": {"factor": 1.7},
    "distance": {"factor": 2.5},
    "lens_distortion": {"k": -0.2},
    "rolling_shutter": {"skew": 0.1},
    "rotate": {"degrees": 20.0},
    "tile": {"tiles": 2.0},
    "tilt": {"degrees": 25.0},
}


def warp(name, **knobs):
    return extensions.resolve("movements", name)(SIZE, rng=np.random.default_rng(1), **(knobs or KNOBS[name]))


# ------------------------------------------------------------------------------------------------------------- by hand


def truth(*boxes):
    array = np.array(boxes, dtype=float).reshape(-1, 4)
    sides = array[:, 2:] - array[:, :2]
    return GroundTruth(array, np.zeros(len(array), np.int64), sides.prod(axis=1), np.zeros(len(array), bool))


def test_a_zoom_of_two_about_the_middle_by_hand():
    boxes, grown, kept = moved_boxes(
        np.array([[280.0, 200, 360, 280], [0, 0, 100, 100], [150, 220, 200, 260], [120, 200, 180, 260]]),
        [warp("digital_zoom", factor=2.0)],
        width=640,
        height=480,
    )
    # x becomes 2 x - 320, y becomes 2 y - 240
    assert boxes[0].tolist() == [240, 160, 400, 320]
    assert boxes[2].tolist() == [0, 200, 80, 280]  # from -20: 80 of 100 px are left
    assert boxes[3].tolist() == [0, 160, 40, 280]  # from -80: 40 of 120 px are left
    assert kept.tolist() == [True, False, True, False]
    assert grown[[0, 2, 3]].tolist() == [4, pytest.approx(3.2), pytest.approx(4 / 3)]


@pytest.mark.parametrize(("left", "counts"), [(-59.9, True), (-60.1, False)])
def test_what_counts_is_more_than_forty_per_cent_of_a_box(left, counts):
    _, _, kept = moved_boxes(
        np.array([[100.0, 100, 200, 200]]), [Affine((1, 1), (left - 100, 0))], width=640, height=480
    )
    assert kept.tolist() == [counts]


def test_a_quarter_turn_by_hand():
    turned = Projective(np.array([[0.0, -1, 480], [1, 0, 0], [0, 0, 1]]))  # of 640 × 480 about its corner
    boxes, grown, kept = moved_boxes(np.array([[10.0, 20, 40, 60]]), [turned], width=480, height=640)
    assert boxes[0].tolist() == [420, 10, 460, 40]
    assert (grown[0], kept[0]) == (pytest.approx(1), True)


def test_a_barrel_pulls_a_corner_in_by_its_share():
    lens = Radial((320, 240), 400, -0.1)
    assert lens.forward(np.array([[640.0, 480], [320, 240], [720, 240]])).tolist() == [
        [pytest.approx(608), pytest.approx(456)],
        [320, 240],
        [680, 240],
    ]


def test_truth_that_leaves_the_picture_is_asked_for_no_longer_and_areas_go_along():
    found = TASK.moved(truth([280, 200, 360, 280], [0, 0, 100, 100]), [warp("digital_zoom", factor=2.0)], SIZE)
    assert found.iscrowd.tolist() == [False, True]
    assert found.area.tolist()[0] == 4 * 80 * 80
    assert len(found.boxes) == len(found.labels) == 2


# --------------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("name", sorted(KNOBS))
@settings(max_examples=60, deadline=None)
@given(x=st.floats(0, 640), y=st.floats(0, 480))
def test_there_and_back_is_where_it_was(name, x, y):
    point = np.array([[x, y]])
    assert warp(name).backward(warp(name).forward(point)) == pytest.approx(point, abs=1e-6)


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_pixels_and_boxes_go_to_the_same_place(name):
    """A white box on black, found again by its pixels."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    box = np.array([[270.0, 200, 370, 290]])
    picture[200:290, 270:370] = 255
    warps = [warp(name)]
    ys, xs = np.nonzero(warps[0].pixels(picture)[..., 0] > 127)
    seen = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=float)
    moved, _, kept = moved_boxes(box, warps, width=640, height=480)
    assert kept.all()
    assert iou(seen, moved)[0, 0] > 0.97
    assert np.abs(seen - moved).max() < 2


@settings(max_examples=100, deadline=None)
@given(
    corners=st.tuples(st.floats(0, 600), st.floats(0, 440), st.floats(4, 300), st.floats(4, 300)),
    name=st.sampled_from(sorted(KNOBS)),
)
def test_moved_boxes_hold_every_point_of_the_original_and_stay_on_the_picture(corners, name):
    left, top, wide, high = corners
    box = np.array([[left, top, min(640, left + wide), min(480, top + high)]])
    moved, grown, _ = moved_boxes(box, [warp(name)], width=640, height=480)
    rng = np.random.default_rng(0)
    inside = box[0, :2] + rng.random((200, 2)) * (box[0, 2:] - box[0, :2])
    places = np.clip(warp(name).forward(inside), 0, [640, 480])
    assert (places >= moved[0, :2] - 0.5).all()
    assert (places <= moved[0, 2:] + 0.5).all()
    assert (moved >= 0).all()
    assert (moved[0] <= [640, 480, 640, 480]).all()
    assert (grown >= 0).all()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_scenario_moves_pixels_by_the_warps_that_it_names(spec):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    assert moves(spec)
    (own,) = warps_of(spec, severity=3.5, size=(90, 120), seed=9)
    assert (corrupt(image, spec, severity=3.5, seed=9) == own.pixels(image)).all()
    assert warps_of(spec, severity=0, size=(90, 120), seed=9) == ()


# ------------------------------------------------------------------------------------------------------------- audits


def audit(folder, scenarios, *, severities="[3]", more=""):
    write_project(folder)
    ours = ("scenarios", "severities", "gates", "  - {metric")
    lines = [line for line in (folder / "audit.yaml").read_text().splitlines() if not line.startswith(ours)]
    (folder / "audit.yaml").write_text(
        "\n".join([*lines, f"scenarios: {scenarios}", f"severities: {severities}", more])
    )
    return folder / "audit.yaml"


def test_an_audit_of_moved_pictures_is_that_of_the_pictures_moved_beforehand(tmp_path):
    """The same pictures, written as files with boxes that were moved by OpenCV's own arithmetic, give the same AP."""
    first = run_audit(
        audit(tmp_path / "a", "[geometry/digital_zoom]"), output=tmp_path / "a" / "out", executor="serial"
    )
    other = audit(tmp_path / "b", "[]")
    document = json.loads((tmp_path / "b" / "instances.json").read_text())
    names = {image["id"]: image for image in document["images"]}
    for image in document["images"]:
        path = tmp_path / "b" / "images" / image["file_name"]
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        spec = next(spec for spec in SPECS if spec.name == "digital_zoom")
        moved = corrupt(picture, spec, severity=3, seed=0)
        cv2.imwrite(str(path), cv2.cvtColor(moved, cv2.COLOR_RGB2BGR))
    for item in document["annotations"]:
        width, height = names[item["image_id"]]["width"], names[item["image_id"]]["height"]
        x, y, wide, high = item["bbox"]
        corners = np.array([[[x, y]], [[x + wide, y + high]]])
        matrix = np.array([[2, 0, -width / 2], [0, 2, -height / 2], [0, 0, 1]])
        (left, top), (right, bottom) = cv2.perspectiveTransform(corners, matrix)[:, 0]
        inside = [max(0, left), max(0, top), min(width, right), min(height, bottom)]
        seen = max(0, inside[2] - inside[0]) * max(0, inside[3] - inside[1])
        item["iscrowd"] = int(seen <= 0.4 * (right - left) * (bottom - top))
        item["bbox"] = [inside[0], inside[1], max(0, inside[2] - inside[0]), max(0, inside[3] - inside[1])]
    document["annotations"] = [item for item in document["annotations"] if item["bbox"][2] > 0 and item["bbox"][3] > 0]
    (tmp_path / "b" / "instances.json").write_text(json.dumps(document))
    second = run_audit(other, output=tmp_path / "b" / "out", executor="serial")
    (moved_cell,) = [cell for cell in first.cells if cell.scenario == "geometry/digital_zoom" and cell.is_declared]
    (clean_cell,) = [cell for cell in second.cells if cell.is_clean and cell.is_declared]
    clean = next(cell for cell in first.cells if cell.is_clean and cell.is_declared)
    assert moved_cell.status == "ok", moved_cell.error
    assert moved_cell.value == pytest.approx(clean_cell.value, abs=1e-9)
    assert 0.2 < moved_cell.value < clean.value


def test_small_movements_cost_little_since_the_truth_moves_along(tmp_path):
    found = run_audit(audit(tmp_path, "[geometry]", severities="[1]"), output=tmp_path / "out", executor="serial")
    clean = next(cell for cell in found.cells if cell.is_clean and cell.is_declared)
    for cell in (cell for cell in found.cells if not cell.is_clean and cell.is_declared):
        assert cell.status == "ok", cell.error
        assert cell.value > 0.5 * clean.value, f"{cell.key}: {cell.value:.3f} of {clean.value:.3f}"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "geometry/rotation" in page
    for target in ("coco", "fiftyone"):
        done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), "--to", target, "-o", str(tmp_path / target)])
        assert done.exit_code == 0, done.stderr
        assert ("the moved pictures, which are not kept" if target == "coco" else "are left out") in done.stderr
    truths = sorted(path.name for path in (tmp_path / "coco").glob("truth-*.json"))
    assert len(truths) == 1 + len(SPECS)
    assert "geometry_rotation" not in (tmp_path / "fiftyone" / "samples.json").read_text()
    done = CliRunner().invoke(main, ["gallery", str(tmp_path / "out"), "-o", str(tmp_path / "gallery"), "--all"])
    assert done.exit_code == 0, done.stderr


def test_pictures_without_truth_cannot_be_moved(tmp_path):
    given = audit(tmp_path, "[geometry/tilt]")
    text = given.read_text().replace("format: coco", "format: images").replace("\n  annotations: instances.json", "")
    given.write_text(text.replace(", annotations: instances.json", ""))
    with pytest.raises(InputError, match="geometry/tilt moves what is on an image, but the data set of"):
        run_audit(given, output=tmp_path / "out", executor="serial")
