"""Truth that is not as it is read is recognised from the boxes of the whole set, and refused with the line that mends
it; a set without an object that counts is refused in every format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_MODEL
from made_sets import scenes, write_coco, write_voc, write_yolo

from auditor.boxes import from_xyxy
from auditor.config import load_audit
from auditor.datasets.describe import describe_truth
from auditor.datasets.truth_boxes import BoxReading, box_reading
from auditor.demo.scenes import CLASSES
from auditor.errors import InputError
from auditor.resolve.image_sets import load_datasets

FOUND = scenes(10)
WRITE: dict[str, Callable] = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}


def loaded(folder: Path, dataset: str, more: str = ""):
    """The data set of an audit; its problems are raised."""
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    (folder / "audit.yaml").write_text(
        f"name: n\ndataset: {dataset.replace('}', more + '}')}\n"
        f"models:\n  - {{name: m, path: {DEMO_MODEL}, labels: labels.txt}}\n"
    )
    problems: list[str] = []
    found = load_datasets(load_audit(folder / "audit.yaml"), problems)
    if problems:
        raise InputError(problems)
    return found["default"]


def boxes_of(dataset) -> list[list[float]]:
    return sorted(box for truth in dataset.truth.values() for box in truth.boxes.round(6).tolist())


def change_coco(folder: Path, change: Callable[[list[float], dict], list[float]]) -> None:
    path = folder / "instances.json"
    document = json.loads(path.read_text())
    sizes = {image["id"]: image for image in document["images"]}
    for annotation in document["annotations"]:
        annotation["bbox"] = change(annotation["bbox"], sizes[annotation["image_id"]])
    path.write_text(json.dumps(document))


def change_yolo(folder: Path, change: Callable[[list[float]], list[float]]) -> None:
    for path in (folder / "labels" / "val").iterdir():
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("\n".join(" ".join([row[0], *map(str, change([*map(float, row[1:])]))]) for row in rows))


def change_voc(folder: Path, names: str) -> None:
    """Give the corners other names: `names` are the first letters of ends and axes, as they stand."""
    for path in (folder / "Annotations").iterdir():
        text = path.read_text()
        for old, new in zip(("xmin", "ymin", "xmax", "ymax"), names.split(), strict=True):
            text = text.replace(f"<{old}>", f"<_{new}>").replace(f"</{old}>", f"</_{new}>")
        path.write_text(text.replace("<_", "<").replace("</_", "</"))


def normalised(box, image):
    width, height = image["width"], image["height"]
    return [box[0] / width, box[1] / height, box[2] / width, box[3] / height]


def corners(box, _):
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


MISREAD = {
    "coco normalised": ("coco", lambda f: change_coco(f, normalised), "box_unit: normalized"),
    "coco corners": ("coco", lambda f: change_coco(f, corners), "box_format: xyxy"),
    "coco exchanged corners": (
        "coco",
        lambda f: change_coco(f, lambda box, image: corners(box, image)[2:] + box[:2]),
        "box_format: corners",
    ),
    "coco normalised corners": (
        "coco",
        lambda f: change_coco(f, lambda box, image: normalised(corners(box, image), image)),
        "box_unit: normalized, box_format: xyxy",
    ),
    "coco exchanged axes": (
        "coco",
        lambda f: change_coco(f, lambda box, _: [box[i] for i in (1, 0, 3, 2)]),
        "box_format: yxhw",
    ),
    "yolo in pixels": ("yolo", lambda f: change_yolo(f, lambda row: [300 * value for value in row]), None),
    "yolo corners": (
        "yolo",
        lambda f: change_yolo(f, lambda r: [r[0] - r[2] / 2, r[1] - r[3] / 2, r[0] + r[2] / 2, r[1] + r[3] / 2]),
        "box_format: xyxy",
    ),
    "voc exchanged corners": ("voc", lambda f: change_voc(f, "xmax ymax xmin ymin"), "box_format: corners"),
    "voc exchanged axes": ("voc", lambda f: change_voc(f, "ymin xmin ymax xmax"), "box_format: yxyx"),
}


@pytest.mark.parametrize("kind", sorted(MISREAD))
def test_it_is_refused_with_the_line_that_mends_it(tmp_path, kind):
    form, change, line = MISREAD[kind]
    dataset = WRITE[form](tmp_path, FOUND)
    sound = boxes_of(loaded(tmp_path, dataset))
    change(tmp_path)
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, dataset)
    (problem,) = caught.value.problems
    given = re.findall(r"`(box[^`]*)`", problem)
    if line is None:
        assert given == ["box_unit: pixels"]
        return
    fractions = "normalized" in line or form == "yolo"  # which hold in either order of axes
    assert given == [line, line.replace("xyxy", "yxyx")] if fractions and "xyxy" in line else [line]
    assert np.allclose(boxes_of(loaded(tmp_path, dataset, f", {line}")), sound, atol=1e-3)


def top_first(box, image):
    left, top, right, bottom = normalised(corners(box, image), image)
    return [top, left, bottom, right]


@pytest.mark.parametrize(("unit", "whole"), [("normalized", 1), ("permille", 1000)])
def test_fractions_with_the_top_first_are_offered_and_read(tmp_path, unit, whole):
    """TensorFlow's order, in images that are not square."""
    dataset = write_coco(tmp_path, FOUND)
    sound = boxes_of(loaded(tmp_path, dataset))
    change_coco(tmp_path, lambda box, image: [whole * value for value in top_first(box, image)])
    line = f"box_unit: {unit}, box_format: yxyx"
    with pytest.raises(InputError, match=f"`{line}`"):
        loaded(tmp_path, dataset)
    assert np.allclose(boxes_of(loaded(tmp_path, dataset, f", {line}")), sound, atol=1e-3)


def test_exchanged_sizes_are_named_beside_exchanged_axes(tmp_path):
    """Boxes are right and sizes are not: the other order fits, and would be wrong."""
    dataset = write_coco(tmp_path, FOUND)
    sizes = np.array([[480.0, 640.0]] * 20)  # of images that are 640 × 480
    raw = np.tile([[500.0, 100, 120, 300], [400, 20, 200, 100]], (10, 1))
    said = BoxReading("xywh", "pixels").problem(raw, sizes)
    assert "`box_format: yxhw`" in said
    assert "width and height of the images that are exchanged" in said
    change_coco(tmp_path, lambda box, image: corners(box, image))
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, dataset)
    assert "images that are exchanged" not in str(caught.value)


def test_negative_sides_are_counted(tmp_path):
    dataset = write_coco(tmp_path, FOUND)
    change_coco(tmp_path, lambda box, _: [box[0] + box[2], box[1] + box[3], -box[2], -box[3]])
    with pytest.raises(InputError, match=r"(\d+) of its \1 boxes have a negative width or height"):
        loaded(tmp_path, dataset)


def test_a_single_fraction_among_pixels_is_told(tmp_path):
    dataset = write_coco(tmp_path, FOUND)
    change_coco(tmp_path, lambda box, image: normalised(box, image) if image["id"] == 1 else box)
    with pytest.raises(InputError, match="are fractions of their image and the others are not"):
        loaded(tmp_path, dataset)


def test_three_boxes_of_which_none_fits_are_enough():
    raw = np.array([[300.0, 200, 390, 290], [500, 300, 620, 460], [250, 250, 600, 400]])
    said = BoxReading("xywh", "pixels").problem(raw, np.array([[640.0, 480]] * 3))
    assert "`box_format: xyxy`" in said


@pytest.mark.parametrize("form", sorted(WRITE))
def test_what_is_said_is_kept(tmp_path, form):
    """A reading that the document gives is not doubted."""
    dataset = WRITE[form](tmp_path, FOUND)
    sound = boxes_of(loaded(tmp_path, dataset))
    usual = {"coco": ("xywh", "pixels"), "yolo": ("cxcywh", "normalized"), "voc": ("xyxy", "pixels")}[form]
    assert boxes_of(loaded(tmp_path, dataset, f", box_format: {usual[0]}, box_unit: {usual[1]}")) == sound
    with pytest.raises(InputError, match="`box_format` is 'ltrb'; expected one of"):
        loaded(tmp_path, dataset, ", box_format: ltrb")


@pytest.mark.parametrize("seed", range(30))
def test_sound_sets_are_not_doubted(seed):
    """Thirty sets: few and many boxes, tiny and huge, some outside of their image."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 200))
    sizes = rng.integers(40, 2000, (count, 2)).astype(float)
    low = rng.uniform(0, 0.9, (count, 2)) * sizes
    boxes = np.concatenate([low, low + rng.uniform(0.01, 0.5, (count, 2)) * sizes + 2], axis=1)
    boxes = np.minimum(boxes, np.tile(sizes, 2) * (1.1 if seed % 3 else 1.0))
    for form, unit in (("xywh", "pixels"), ("xyxy", "pixels"), ("cxcywh", "normalized")):
        raw = from_xyxy(boxes, form) / (np.tile(sizes, 2) if unit == "normalized" else 1)
        assert BoxReading(form, unit).problem(raw, sizes) is None


@pytest.mark.parametrize(("scale", "told"), [(1.0, False), (0.5, True), (0.4, True)])
def test_boxes_that_were_drawn_on_smaller_images_are_counted(tmp_path, scale, told):
    dataset = write_coco(tmp_path, FOUND)
    change_coco(tmp_path, lambda box, _: [scale * value for value in box])
    found = loaded(tmp_path, dataset)
    boxes = sum(len(truth.labels) for truth in found.truth.values())
    assert boxes >= 20
    assert describe_truth(found)["boxes_in_corner"] == (boxes if told else 0)


def test_sizes_that_are_not_known_are_not_guessed():
    raw = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert box_reading({}, box_format="xywh", box_unit="pixels").problem(raw, np.full((1, 2), np.nan)) is None


# ------------------------------------------------------------------------------------------- nothing that counts


def empty(folder: Path, form: str) -> None:
    if form == "coco":
        document = json.loads((folder / "instances.json").read_text())
        for annotation in document["annotations"]:
            annotation["bbox"][2] = 0
        (folder / "instances.json").write_text(json.dumps(document))
    elif form == "yolo":
        for path in (folder / "labels" / "val").iterdir():
            path.write_text("")
    else:
        for path in (folder / "Annotations").iterdir():
            path.write_text(re.sub(r"<object>.*</object>", "", path.read_text(), flags=re.DOTALL))


def crowd(folder: Path, form: str) -> None:
    if form == "coco":
        document = json.loads((folder / "instances.json").read_text())
        for annotation in document["annotations"]:
            annotation["iscrowd"] = 1
        (folder / "instances.json").write_text(json.dumps(document))
    else:
        for path in (folder / "Annotations").iterdir():
            path.write_text(path.read_text().replace("<object>", "<object><difficult>1</difficult>"))


@pytest.mark.parametrize("form", sorted(WRITE))
def test_a_set_without_objects_is_refused(tmp_path, form):
    dataset = WRITE[form](tmp_path, FOUND)
    empty(tmp_path, form)
    with pytest.raises(InputError, match="nothing can be judged"):
        loaded(tmp_path, dataset)


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_a_set_of_crowds_is_refused(tmp_path, form):
    dataset = WRITE[form](tmp_path, FOUND)
    crowd(tmp_path, form)
    with pytest.raises(InputError, match=r"objects are all crowds \(or difficult\), so nothing can be judged"):
        loaded(tmp_path, dataset)


@pytest.mark.parametrize("form", sorted(WRITE))
def test_a_model_without_an_object_to_judge_it_by_is_refused(tmp_path, form):
    from auditor.resolve.subjects import resolve_audit

    only = [(image, truth) for image, truth in FOUND if 0 not in truth.labels][:3]
    assert only
    dataset = WRITE[form](tmp_path, only)
    loaded(tmp_path, dataset)
    (tmp_path / "labels.txt").write_text("\n".join([CLASSES[0], *(f"other {index}" for index in range(1, 6))]))
    with pytest.raises(InputError, match="nothing can be judged"):
        resolve_audit(load_audit(tmp_path / "audit.yaml"))


# -------------------------------------------------------------------------------- what is harder, and what is sound


def real_like(seed: int, count: int = 80):
    """Boxes as annotators draw them, cut at the borders of their images: (boxes, sizes)."""
    rng = np.random.default_rng(seed)
    sizes = np.repeat([[640.0, 480.0]], count, axis=0)
    centres, sides = rng.uniform(0, 1, (count, 2)) * sizes, rng.lognormal(4, 0.8, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    boxes = np.clip(boxes, 0, np.tile(sizes, 2))
    keep = ((boxes[:, 2:] - boxes[:, :2]) > 2).all(axis=1)
    return boxes[keep], sizes[keep]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("written", "unit", "read", "line"),
    [
        ("cxcywh", "pixels", ("xywh", "pixels"), "box_format: cxcywh"),
        ("cxcywh", "normalized", ("xywh", "pixels"), "box_unit: normalized, box_format: cxcywh"),
        ("xywh", "normalized", ("cxcywh", "normalized"), "box_format: xywh"),
        ("xyxy", "pixels", ("xywh", "pixels"), "box_format: xyxy"),
        ("xywh", "percent", ("xywh", "pixels"), "box_unit: percent"),
        ("xywh", "permille", ("xywh", "pixels"), "box_unit: permille"),
        ("cxcywh", "percent", ("cxcywh", "normalized"), "box_unit: percent"),
        ("cxcywh", "pixels", ("cxcywh", "normalized"), "box_unit: pixels"),
    ],
)
def test_other_orders_and_units_of_real_boxes(seed, written, unit, read, line):
    boxes, sizes = real_like(seed)
    whole = {"normalized": 1.0, "percent": 100.0, "permille": 1000.0}
    raw = from_xyxy(boxes, written)
    raw = raw if unit == "pixels" else raw / np.tile(sizes, 2) * whole[unit]
    told = BoxReading(*read).problem(raw, sizes)
    assert told is not None
    assert f"`{line}`" in told
    assert BoxReading(written, unit, frozenset({"box_format", "box_unit"})).problem(raw, sizes) is None


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_set_of_two_units_is_refused_whole(part):
    boxes, sizes = real_like(1)
    raw = from_xyxy(boxes, "xywh")
    some = np.arange(len(raw)) < part * len(raw)
    raw[some] /= np.tile(sizes, 2)[some]
    told = BoxReading("xywh", "pixels").problem(raw, sizes)
    assert "fractions of their image and the others are not" in told


def test_one_box_in_pixels_does_not_hide_the_fractions():
    boxes, sizes = real_like(2)
    raw = from_xyxy(boxes, "xywh") / np.tile(sizes, 2)
    raw[0] = [10, 10, 50, 50]
    assert "box_unit: normalized" in BoxReading("xywh", "pixels").problem(raw, sizes)


@pytest.mark.parametrize(
    ("boxes", "size"),
    [
        ([[2500.0, 1000.0, 1700.0, 1000.0]], (4000, 3000)),  # one box, a little outside
        ([[300.0, 200.0, 500.0, 400.0], [10.0, 10.0, 700.0, 300.0]], (640, 480)),  # amodal boxes
        ([[0.0, 0.0, 1.0, 1.0]], (640, 480)),
        ([[0.0, 0.0, 640.0, 480.0]] * 30, (640, 480)),  # the whole image
    ],
)
def test_small_sound_sets_are_not_doubted(boxes, size):
    assert BoxReading("xywh", "pixels").problem(np.array(boxes), np.array([size] * len(boxes), dtype=float)) is None


def test_where_two_readings_fit_both_are_named():
    """Exchanged axes in square images."""
    boxes, _ = real_like(3)
    sizes = np.full((len(boxes), 2), 640.0)
    told = BoxReading("xywh", "pixels").problem(from_xyxy(boxes, "yxyx"), sizes)
    assert "`box_format: xyxy` or `box_format: yxyx`" in told
