"""What heads compute, on an input that is not square, and how they are trained to be fed."""

from __future__ import annotations

import numpy as np
import pytest
from made_heads import BOX, CELLS, HEADS, rows, seen, spec_of

from auditor.errors import ModelError
from auditor.heads.anatomy.anchors import as_corners, generate_anchors, load_anchors
from auditor.heads.anatomy.head import Match, Near
from auditor.heads.anatomy.rows import (
    activated,
    sorted_detections,
)
from auditor.heads.anatomy.settling import activation_of


# ---- decoding, on an input that is not square
def test_yolov8_rows_are_centre_size_and_scores():
    decoded = HEADS["yolov8"].decode(
        {"o": rows(6, r3=[16 / 64, 16 / 32, 8 / 64, 16 / 32, 0.2, 0.9])}, spec_of("yolov8", box_unit="normalized")
    )
    assert decoded.boxes[3].tolist() == BOX
    assert decoded.scores[3].tolist() == pytest.approx([0.2, 0.9])
    turned = HEADS["yolov8"].decode(
        {"o": rows(6, r3=[16, 16, 8, 16, 0.2, 0.9]).transpose(0, 2, 1)},
        spec_of("yolov8", box_unit="pixels", channels_first=True),
    )
    assert (turned.boxes[3].tolist(), len(turned.boxes)) == (BOX, CELLS)


def test_objectness_times_class_and_the_floor_below_which_nothing_is_kept():
    array = rows(7, r0=[16, 16, 8, 16, 0.5, 0.5, 1.0], r1=[16, 16, 8, 16, 0.25, 1, 1], r2=[16, 16, 8, 16, 0.26, 1, 0])
    for name in ("yolov5", "yolox"):
        decoded = HEADS[name].decode({"o": array}, spec_of(name, score_floor=0.25, box_unit="pixels"))
        assert decoded.scores.tolist() == [[0.25, 0.5], pytest.approx([0.26, 0.0])]
        assert decoded.boxes.tolist() == [BOX, BOX]


def test_yolox_s_raw_grid_is_worked_out_from_its_cells():
    # candidate 32 + 5 is cell x 1, y 1 of stride 16
    array = rows(7, r37=[0.5, -0.25, np.log(0.5), 1.0, 1, 1, 1])
    decoded = HEADS["yolox"].decode({"o": array}, spec_of("yolox", grid="raw", strides=[8, 16, 32], box_unit="pixels"))
    width, height = 0.5 * 16, np.e * 16
    assert decoded.boxes[0] == pytest.approx(
        [24 - width / 2, 12 - height / 2, 24 + width / 2, 12 + height / 2], abs=1e-4
    )
    huge = HEADS["yolox"].decode(
        {"o": rows(7, r0=[0, 0, 99, 99, 1, 1, 1])},
        spec_of("yolox", grid="raw", strides=[8, 16, 32], box_unit="pixels"),
    )
    assert huge.boxes[0][2] == pytest.approx(np.exp(20) * 4)


@pytest.mark.parametrize("offset", [None, 0.0])
def test_nanodet_integrates_each_side_from_its_cell_s_centre(offset):
    array = np.full((1, CELLS, 1 + 32), -50.0, np.float32)
    array[0, :, 0] = 0.0
    array[0, 37, 0] = 0.75
    for side, (bin_, share) in enumerate([(1, 1.0), (0, 1.0), (2, 0.5), (7, 1.0)]):
        array[0, 37, 1 + 8 * side + bin_] = np.log(share)
        if share < 1:
            array[0, 37, 1 + 8 * side + bin_ + 1] = np.log(1 - share)
    given = {} if offset is None else {"cell_offset": offset}
    options = {"bins": 8, "strides": [8, 16, 32], "box_unit": "pixels", **given}
    decoded = HEADS["nanodet"].decode({"o": array}, spec_of("nanodet", "a", **options))
    centre = 16 * (1 + (0.5 if offset is None else offset))
    assert decoded.boxes[37] == pytest.approx([centre - 16, centre, centre + 2.5 * 16, centre + 7 * 16], abs=1e-4)
    assert decoded.scores[37].tolist() == [0.75]
    sigmoid = HEADS["nanodet"].decode({"o": array}, spec_of("nanodet", "a", **options, activation="sigmoid"))
    assert sigmoid.scores[37, 0] == pytest.approx(1 / (1 + np.exp(-0.75)))


def test_rows_of_six_are_sorted_and_padding_is_left_out():
    array = rows(6, count=4, r0=[0, 0, 1, 1, 0.3, 1], r1=[*BOX, 0.9, 0.9999], r3=[0, 0, 2, 2, -0.1, 1])
    decoded = HEADS["end2end"].decode({"o": array}, spec_of("end2end", box_unit="pixels"))
    assert decoded.scores.tolist() == pytest.approx([0.9, 0.3])
    assert decoded.labels.tolist() == [1, 1]
    assert decoded.boxes[0].tolist() == BOX
    same = sorted_detections(np.array([[0.0] * 4, [1.0] * 4]), np.array([0.5, 0.5]), np.array([3.0, 4.0]))
    assert same.labels.tolist() == [3, 4]


def test_the_op_s_outputs_are_cut_at_its_count():
    slots = {"boxes": "b", "classes": "c", "scores": "s", "count": "n"}
    outputs = {
        "b": np.array([[[8, 12, 24, 20], [0, 0, 1, 1], [9, 9, 9, 9]]], np.float32) / [[[32, 64, 32, 64]]],
        "c": np.array([[1.004, 0.0, 0.5]], np.float32),
        "s": np.array([[0.9, 0.8, 0.7]], np.float32),
        "n": np.array([2.0], np.float32),
    }
    decoded = HEADS["tflite_postprocess"].decode(
        outputs, spec_of("tflite_postprocess", slots=slots, box_unit="normalized")
    )
    assert decoded.boxes[0] == pytest.approx(BOX)
    assert (decoded.labels.tolist(), len(decoded.scores)) == ([1, 0], 2)
    outputs["c"][0, 0] = 1.02
    with pytest.raises(ValueError, match="whole numbers"):
        HEADS["tflite_postprocess"].decode(outputs, spec_of("tflite_postprocess", slots=slots))


ANCHOR = np.array([[16.0, 8.0, 32.0, 16.0]])  # xyxy: centre (24, 12), size (16, 8)


def raw_ssd(values, scores=((0.25, 0.75),), **options):
    given = {"boxes": "b", "scores": "s", "anchors": ANCHOR.tolist(), "box_unit": "pixels", **options}
    outputs = {"b": np.array([[values]], np.float32), "s": np.array([scores], np.float32)}
    return HEADS["ssd_anchors"].decode(outputs, spec_of("ssd_anchors", **given))


def test_encodings_move_and_stretch_their_anchors():
    variances = [0.5, 0.25, 1.0, 2.0]  # in the order of the box
    x_first = raw_ssd(
        [1, 2, np.log(2), np.log(2)], encoding="center_size", box_format="xyxy", variances=variances, background=None
    )
    # centre (24 + 0.5 × 16, 12 + 2 × 0.25 × 8) = (32, 16), size (16 × 2, 8 × 4)
    assert x_first.boxes[0] == pytest.approx([16, 0, 48, 32], abs=1e-4)
    y_first = raw_ssd(
        [1, 2, np.log(2), np.log(2)], encoding="center_size", box_format="yxyx", variances=variances, background=None
    )
    # y first: centre (24 + 2 × 0.25 × 16, 12 + 0.5 × 8) = (32, 16), size (16 × 4, 8 × 2)
    assert y_first.boxes[0] == pytest.approx([0, 8, 64, 24], abs=1e-4)
    huge = raw_ssd([0, 0, 99, 0], encoding="center_size", box_format="xyxy", variances=[1, 1, 1, 1], background=None)
    assert huge.boxes[0][2] == pytest.approx(24 + 8 * np.exp(20))


def test_corner_offsets_are_in_the_anchor_s_sides():
    corners = raw_ssd([0.5, 1.0, -0.5, 2.0], encoding="corner_offsets", box_format="xyxy", background=None)
    assert corners.boxes[0].tolist() == [24, 16, 24, 32]
    turned = raw_ssd([1.0, 0.5, 2.0, -0.5], encoding="corner_offsets", box_format="yxyx", background=None)
    assert turned.boxes[0].tolist() == [24, 16, 24, 32]
    unit = raw_ssd(
        [0, 0, 0, 0],
        encoding="corner_offsets",
        box_format="xyxy",
        anchors=[[0.25, 0.25, 0.5, 0.5]],
        box_unit="normalized",
    )
    assert unit.boxes[0].tolist() == [16, 8, 32, 16]


def test_the_column_of_the_background_is_left_out():
    scores = ((0.1, 0.2, 0.7),)
    for background, kept in [(0, [0.2, 0.7]), (2, [0.1, 0.2]), (None, [0.1, 0.2, 0.7])]:
        got = raw_ssd([0] * 4, scores, encoding="corner_offsets", box_format="xyxy", background=background)
        assert got.scores[0].tolist() == pytest.approx(kept)
    softmax = raw_ssd(
        [0] * 4, ((0.0, np.log(3)),), encoding="corner_offsets", box_format="xyxy", background=0, activation="softmax"
    )
    assert softmax.scores[0].tolist() == pytest.approx([0.75])


def test_activations_are_what_they_are_called():
    values = np.array([[-800.0, 0.0, 800.0]])
    assert activated(values, "sigmoid").tolist() == [pytest.approx([0, 0.5, 1])]
    assert activated(np.array([[1000.0, 1000.0], [0.0, np.log(3)]]), "softmax").tolist() == [
        [0.5, 0.5],
        pytest.approx([0.25, 0.75]),
    ]
    assert activated(values, "none") is values
    with pytest.raises(ValueError, match="expected an activation"):
        activated(values, "relu")
    for low, high, found in [(-0.001, 1.001, "none"), (-0.0011, 1, "x"), (0, 1.0011, "x")]:
        assert activation_of(np.array([low, high]), otherwise="x") == found
    assert activation_of(np.zeros(0), otherwise="x") == "none"


# ---- anchors
def test_anchors_are_laid_out_as_the_paper_says():
    made = generate_anchors(
        {
            "feature_maps": [[1, 2], [1, 1], [1, 1]],
            "min_scale": 0.2,
            "max_scale": 0.8,
            "aspect_ratios": [1.0, 4.0],
            "reduce_lowest": False,
        }
    )
    scales = [0.2, 0.5, 0.8, 1.0]
    expected = []
    for index, (columns, centres) in enumerate([(2, [0.25, 0.75]), (1, [0.5]), (1, [0.5])]):
        assert columns == len(centres)
        for x in centres:
            square = (scales[index] * scales[index + 1]) ** 0.5
            for width, height in [
                (scales[index], scales[index]),
                (scales[index] * 2, scales[index] / 2),
                (square, square),
            ]:
                expected.append([x - width / 2, 0.5 - height / 2, x + width / 2, 0.5 + height / 2])
    assert made == pytest.approx(np.array(expected))


def test_the_finest_layer_is_reduced_and_squares_between_scales_can_be_left_out():
    made = generate_anchors({"feature_maps": [[2, 1], [1, 1]], "interpolated": False})
    sizes = made[:, 2:] - made[:, :2]
    root = 2**0.5
    lowest = [[0.1, 0.1], [0.2 * root, 0.2 / root], [0.2 / root, 0.2 * root]]
    ratios = [(0.95 * ratio**0.5, 0.95 / ratio**0.5) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
    assert sizes == pytest.approx(np.array([*lowest, *lowest, *ratios]))
    assert ((made[:, :2] + made[:, 2:]) / 2)[[0, 3, 6]] == pytest.approx(
        np.array([[0.5, 0.25], [0.5, 0.75], [0.5, 0.5]])
    )
    alone = generate_anchors({"feature_maps": [[1, 1]], "min_scale": 0.3, "max_scale": 0.9, "reduce_lowest": False})
    assert alone[0] == pytest.approx([0.35, 0.35, 0.65, 0.65])
    assert len(alone) == 6
    with pytest.raises(ValueError, match="unknown generator parameters bogus"):
        generate_anchors({"feature_maps": [[1, 1]], "bogus": 1})


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.txt", "1 2 3\n", r"shape \(3,\)"),
        ("a.csv", "", "cannot be read|shape"),
        ("a.txt", "one two\n", "cannot be read"),
        ("a.npy", "no array", "cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_anchors_that_are_not_numbers_by_four_are_refused(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=match):
        load_anchors(tmp_path / name)
    with pytest.raises(ModelError, match="cannot be read"):
        load_anchors(tmp_path / "none.npy")


def test_anchors_are_read_in_either_form_and_any_format(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3 4\n5 6 7 8\n")
    (tmp_path / "a.csv").write_text("1,2,3,4\n5,6,7,8\n")
    np.save(tmp_path / "a.npy", np.arange(1, 9, dtype=np.int32))
    for name in ("a.txt", "a.csv", "a.npy"):
        loaded = load_anchors(tmp_path / name)
        assert (loaded.tolist(), loaded.dtype) == ([[1, 2, 3, 4], [5, 6, 7, 8]], np.float64)
    anchors = np.array([[10.0, 20.0, 4.0, 8.0]])
    assert as_corners(anchors, "cycxhw").tolist() == [[16, 8, 24, 12]]
    assert as_corners(anchors, "cxcywh").tolist() == [[8, 16, 12, 24]]
    assert as_corners(anchors, "yxyx").tolist() == [[20, 10, 8, 4]]


# ---- how heads are trained to be fed
@pytest.mark.parametrize(
    ("name", "color", "mean", "std", "resize", "anchor", "rounding", "pad", "letterboxed"),
    [
        # https://docs.ultralytics.com/reference/data/augment (LetterBox), https://github.com/ultralytics/yolov5
        ("yolov8", "rgb", (0.0,), (255.0,), "letterbox", "center", "round", 114.0, True),
        ("yolov5", "rgb", (0.0,), (255.0,), "letterbox", "center", "round", 114.0, True),
        ("end2end", "rgb", (0.0,), (255.0,), "letterbox", "center", "round", 114.0, True),
        # preproc() of https://github.com/Megvii-BaseDetection/YOLOX
        ("yolox", "bgr", (0.0,), (1.0,), "letterbox", "top_left", "floor", 114.0, True),
        # the configs of https://github.com/RangiLyu/nanodet
        (
            "nanodet",
            "bgr",
            (103.53, 116.28, 123.675),
            (57.375, 57.12, 58.395),
            "stretch",
            "center",
            "round",
            0.0,
            False,
        ),
        # https://github.com/tensorflow/models/blob/master/research/object_detection
        ("ssd_anchors", "rgb", (127.5,), (127.5,), "stretch", "center", "round", 0.0, False),
        ("tflite_postprocess", "rgb", (127.5,), (127.5,), "stretch", "center", "round", 0.0, False),
        ("classifier", "rgb", (0.0,), (255.0,), "stretch", "center", "round", 0.0, False),
    ],
)
def test_the_input_that_each_head_is_trained_with(name, color, mean, std, resize, anchor, rounding, pad, letterboxed):
    head = HEADS[name]
    assert head.input == {
        "color": color,
        "mean": mean,
        "std": std,
        "resize": resize,
        "anchor": anchor,
        "rounding": rounding,
        "pad": pad,
    }
    assert head.letterboxed is letterboxed
    assert isinstance(head.recognise(seen((1, 2, 3, 4, 5))), (Match, Near, type(None)))


def test_parts_of_an_output_that_holds_boxes_and_scores():
    array = rows(6, r0=[1, 2, 3, 4, 5, 6])
    for first in (False, True):
        given = array.transpose(0, 2, 1) if first else array
        boxes, scores = HEADS["yolov8"].parts(given, spec_of("yolov8", channels_first=first))
        assert (boxes[0].tolist(), scores[0].tolist(), len(boxes)) == ([1, 2, 3, 4], [5, 6], CELLS)
