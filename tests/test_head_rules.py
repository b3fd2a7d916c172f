"""What heads are told by, what they settle and what they compute, each rule at its edge, on arrays alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auditor import extensions
from auditor.errors import ModelError
from auditor.heads.anatomy.anchors import as_corners, generate_anchors, load_anchors
from auditor.heads.anatomy.head import Match, Near, Seen, Settling
from auditor.heads.anatomy.recognition import recognise
from auditor.heads.anatomy.rows import (
    activated,
    boxes_first,
    cells_of,
    grid,
    pair_of,
    roles_by_name,
    row_structure,
    row_view,
    sorted_detections,
    strides_of,
)
from auditor.heads.anatomy.settling import activation_of, settle_offset
from auditor.values import Candidates, Detections, InputContract, ModelSpec, Postprocess

HEADS = {
    name: extensions.resolve("heads", name)
    for name in ("classifier", "end2end", "nanodet", "ssd_anchors", "tflite_postprocess", "yolov5", "yolov8", "yolox")
}
WIDE = InputContract(height=32, width=64)
CELLS = 32 + 8 + 2  # of strides 8, 16 and 32
ANY = Path()


def seen(*shapes, names=None, contract=WIDE, **facts):
    names = names or [f"o{index}" for index in range(len(shapes))]
    return Seen(
        {name: np.zeros(shape, np.float32) for name, shape in zip(names, shapes, strict=True)}, contract, **facts
    )


def spec_of(decoder, labels="ab", score_floor=0.001, **options):
    return ModelSpec(
        name="m",
        model="m",
        path="m.tflite",
        sha256="0",
        task=HEADS[decoder].task,
        quantization="float32",
        input=WIDE,
        decoder=decoder,
        decoder_options=options,
        labels=tuple(labels),
        postprocess=Postprocess(score_floor=score_floor),
        size_bytes=1,
    )


def settled(decoder, samples, *, labels="ab", more=(), given=None, **options):
    head = HEADS[decoder]
    return head.settle(Settling(head, spec_of(decoder, labels, **options), samples, given or {}, lambda: more))


# ---- shapes and grids


@pytest.mark.parametrize(
    ("shape", "pair"), [((1, 1, 3, 4), (3, 4)), ((3, 4), (3, 4)), ((2, 3, 4), None), ((1, 2, 3, 4), None), ((4,), None)]
)
def test_a_table_has_ones_before_its_two_last_dimensions(shape, pair):
    assert pair_of(shape) == pair


@pytest.mark.parametrize(
    ("count", "anchors", "strides"),
    [
        (32 + 8 + 2, 1, (8, 16, 32)),
        (32 + 8 + 2 + 1, 1, (8, 16, 32, 64)),
        (128 + 32 + 8 + 2, 1, (4, 8, 16, 32)),
        (8 + 2, 1, (16, 32)),
        (32 + 8, 1, (8, 16)),
        (3 * 42, 3, (8, 16, 32)),
        (42, 3, None),
        (41, 1, None),
    ],
)
def test_strides_are_told_by_the_cells_of_the_input(count, anchors, strides):
    assert strides_of(count, WIDE, anchors=anchors) == strides


def test_a_grid_goes_row_by_row_and_counts_partial_cells():
    cells, strides = grid(InputContract(height=17, width=24), (8, 16))
    assert cells.tolist() == [
        *([x, y] for y in range(3) for x in range(3)),
        *([x, y] for y in range(2) for x in range(2)),
    ]
    assert strides.ravel().tolist() == [8] * 9 + [16] * 4
    with pytest.raises(ValueError, match="expected 3 candidates"):
        cells_of(np.zeros((3, 5)), spec_of("yolox"))
    assert len(cells_of(np.zeros((10, 5)), spec_of("yolox", strides=[16, 32]))[0]) == 10


@pytest.mark.parametrize(
    ("shape", "first", "channels", "count"),
    [
        ((1, CELLS, 6), False, 6, CELLS),
        ((1, 6, CELLS), True, 6, CELLS),
        ((1, 3 * CELLS, 200), False, 200, 3 * CELLS),  # the grid says so, though 200 is more
        ((1, 200, CELLS), True, 200, CELLS),
        ((1, 5, 300), True, 5, 300),
        ((1, 300, 5), False, 5, 300),
        ((1, 7, 7), False, 7, 7),
        ((1, CELLS, 10), False, 10, CELLS),  # both count the cells of a grid: the shorter is channels
    ],
)
def test_which_axis_holds_channels(shape, first, channels, count):
    view = row_view(seen(shape))
    assert (view.first, view.channels, view.count) == (first, channels, count)
    assert view.shown == f"one output (1, {shape[1]}, {shape[2]})"
    assert view.on_grid == strides_of(count, WIDE, anchors=1)
    assert view.on_anchors == strides_of(count, WIDE, anchors=3)
    options, wide, long = row_structure("h", seen(shape), least=1)
    assert (options, wide, long) == ({"channels_first": first}, channels, count)


def test_several_outputs_or_none_of_two_dimensions_are_no_table():
    assert row_view(seen((1, 5, 42), (1, 5, 42))) is None
    assert row_view(seen((1, 2, 5, 42))) is None


def test_a_split_head_is_joined_boxes_first():
    options, channels, count = row_structure("h", seen((1, 2, CELLS), (1, 4, CELLS), names=["s", "b"]), least=5)
    assert (options, channels, count) == ({"channels_first": True, "outputs": ["b", "s"]}, 6, CELLS)
    options, channels, count = row_structure("h", seen((1, CELLS, 4), (1, CELLS, 3), names=["b", "s"]), least=5)
    assert (options, channels, count) == ({"channels_first": False, "outputs": ["b", "s"]}, 7, CELLS)
    options, *_ = row_structure("h", seen((1, CELLS, 2), (1, CELLS, 4), names=["s", "b"], ordered=True), least=5)
    assert options == {"channels_first": False, "outputs": ["s", "b"]}
    by_name = seen((1, CELLS, 4), (1, CELLS, 4), names=["class_scores", "bbox"])
    assert row_structure("h", by_name, least=5)[0]["outputs"] == ["bbox", "class_scores"]
    with pytest.raises(ModelError, match="cannot be told"):
        row_structure("h", seen((1, CELLS, 4), (1, CELLS, 4)), least=5)


@pytest.mark.parametrize(
    ("shapes", "least", "exactly", "match"),
    [
        ([(1, CELLS, 4)], 5, False, "at least 5"),
        ([(1, CELLS, 7)], 6, True, "exactly 6"),
        ([(1, 2, CELLS, 4)], 5, False, r"expects outputs \(1, N, channels\)"),
        ([(1, CELLS, 4), (1, CELLS + 1, 4)], 5, False, "over the same candidates"),
    ],
)
def test_shapes_that_are_not_the_head_s_are_refused(shapes, least, exactly, match):
    with pytest.raises(ModelError, match=match):
        row_structure("h", seen(*shapes), least=least, exactly=exactly)


def test_roles_are_given_away_by_names_unless_two_claim_one():
    names = ["raw_prior", "LOCation", "class_probabilities", "x"]
    assert roles_by_name(seen((1,), (1,), (1,), (1,), names=names)) == {
        "anchors": "raw_prior",
        "boxes": "LOCation",
        "scores": "class_probabilities",
    }
    assert roles_by_name(seen((1,), (1,), names=["box_a", "box_b"])) == {}
    called = seen((1,), (1,), names=["a", "b"], called={"a": "Anchors", "b": "confidence"})
    assert roles_by_name(called) == {"anchors": "a", "scores": "b"}
    assert boxes_first(seen((1,), (1,), names=["s", "regression"]), []) == ["regression", "s"]
    for word, role in [("anchor", "anchors"), ("regress", "boxes"), ("score", "scores"), ("prob", "scores")]:
        assert roles_by_name(seen((1,), names=[word])) == {role: word}


# ---- who recognises what


@pytest.mark.parametrize(
    ("shapes", "classes", "answers"),
    [
        ([(1, CELLS, 7)], 2, {"yolox": "match", "yolov8": "near"}),
        ([(1, CELLS, 7)], 3, {"yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 7)], 9, {"yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 5)], 1, {"yolov8": "match"}),
        ([(1, CELLS, 4)], 1, {}),
        ([(1, CELLS, 6)], 1, {"yolox": "match", "yolov8": "near"}),
        ([(1, CELLS, 6)], 3, {"end2end": "sure", "yolov8": "near", "yolox": "near"}),
        ([(1, 301, 6)], 2, {"end2end": "sure", "yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 84)], None, {"yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 85)], None, {"yolox": "match", "yolov8": "near"}),
        ([(1, CELLS, 112)], None, {"nanodet": "match", "yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 83)], None, {"yolov8": "near", "yolox": "near"}),
        ([(1, 7, CELLS)], 3, {"yolov8": "match"}),
        ([(1, 7, CELLS)], None, {"yolov8": "match"}),
        ([(1, 7, CELLS)], 2, {"yolov8": "near"}),
        ([(1, 4, CELLS)], 1, {}),
        ([(1, CELLS, 2 + 32)], 2, {"nanodet": "match", "yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 2 + 64)], 2, {"nanodet": "match", "yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 2 + 44)], 2, {"nanodet": "match", "yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 2 + 36)], 2, {"yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 2 + 33)], 2, {"yolov8": "near", "yolox": "near"}),
        ([(1, 2 + 32, CELLS)], 2, {"yolov8": "near"}),
        ([(1, 3 * CELLS, 7)], 2, {"yolov5": "sure", "yolox": "match", "yolov8": "near"}),
        ([(1, 3 * CELLS, 5)], 2, {"yolov8": "near"}),
        ([(1, 7, 3 * CELLS)], 2, {"yolov8": "near"}),
        ([(1, 3 * CELLS, 6)], 1, {"yolov5": "sure", "yolox": "match", "yolov8": "near"}),
        ([(1, CELLS, 4), (1, CELLS, 2)], 2, {"yolov8": "match", "ssd_anchors": "match"}),
        ([(1, 4, CELLS), (1, 2, CELLS)], 2, {"yolov8": "match"}),
        ([(1, 2, CELLS), (1, 4, CELLS)], 2, {"yolov8": "match"}),
        ([(1, 4, CELLS), (1, 2, CELLS + 1)], 2, {}),
        ([(1, 5, CELLS), (1, 2, CELLS)], 2, {}),
        ([(1, 99, 4), (1, 99, 2)], 2, {"ssd_anchors": "match"}),
        ([(1, 99, 2), (1, 99, 4)], 2, {"ssd_anchors": "match"}),
        ([(1, 99, 4), (1, 98, 2)], 2, {}),
        ([(1, 99, 5), (1, 99, 2)], 2, {}),
        ([(1, 99, 4), (1, 99, 2), (99, 4)], 2, {"ssd_anchors": "match"}),
        ([(1, 99, 4), (1, 99, 2), (99,)], 2, {}),
        ([(1, 99, 4), (1, 99, 2), (1, 99, 4), (1, 99, 4)], 2, {"tflite_postprocess": "match"}),
        ([(1, 9, 4), (1, 9), (1, 9), (1,)], 2, {"tflite_postprocess": "match"}),
        ([(1, 9, 4), (1, 9), (1, 9), (1, 1, 1, 1)], 2, {}),
        ([(1, 9, 4), (1, 9), (1, 9)], 2, {}),
        ([(1, 10)], 10, {"classifier": "sure"}),
        ([(1, 1, 1, 10)], 10, {"classifier": "sure"}),
        ([(1, 2)], 2, {"classifier": "sure"}),
        ([(1, 1)], 1, {}),
        ([(2, 10)], 10, {}),
        ([(1, 1, 2, 10)], 10, {}),
        ([(10,)], 10, {}),
        ([(1, 10), (1, 10)], 10, {}),
    ],
)
def test_which_heads_know_a_file_s_outputs(shapes, classes, answers):
    looked_at = seen(*shapes, classes=classes)
    found = {name: head.recognise(looked_at) for name, head in HEADS.items()}
    kinds = {
        name: "near" if isinstance(answer, Near) else "sure" if answer.sure else "match"
        for name, answer in found.items()
        if answer is not None
    }
    assert kinds == answers


@pytest.mark.parametrize(
    ("notes", "sure"),
    [
        ({"end2end": True}, True),
        ({"args": {"nms": True}}, True),
        ({"args": {"nms": False}}, False),
        ({"args": 1}, False),
    ],
)
def test_an_export_s_notes_tell_detections_from_raw_rows_of_six(notes, sure):
    answer = HEADS["end2end"].recognise(seen((1, CELLS, 6), classes=2, notes=notes))
    assert (answer is not None) is sure


@pytest.mark.parametrize(("classes", "asked"), [(None, True), (1, True), (2, True), (3, False)])
def test_a_round_number_of_rows_of_six_on_a_grid_is_asked_about(classes, asked):
    contract = InputContract(height=192, width=320)  # 960 + 240 + 60 cells: 300 is those of strides 16 and 32
    if asked:
        with pytest.raises(ModelError, match="may be detections"):
            HEADS["end2end"].recognise(seen((1, 300, 6), classes=classes, contract=contract))
    else:
        assert HEADS["end2end"].recognise(seen((1, 300, 6), classes=classes, contract=contract)).sure
    ragged = InputContract(height=32, width=64)
    assert (HEADS["end2end"].recognise(seen((1, CELLS, 6), classes=classes, contract=ragged)) is None) is asked


def test_the_op_itself_is_known_whatever_the_outputs():
    op = {"TFLite_Detection_PostProcess": ("b", "c", "s", "n")}
    assert HEADS["tflite_postprocess"].recognise(seen((1, 9), op_outputs=op)).sure


@pytest.mark.parametrize(
    ("shapes", "facts", "match"),
    [
        ([], {}, "no outputs"),
        ([(1, 1)], {}, "single value"),
        ([(1, 10), (1, 20)], {}, "classifier with two outputs"),
        ([(1, 8, 8, 3)], {}, "segmentation model"),
        ([(1, 116, CELLS), (1, 8, 8, 32)], {}, "instance segmentation"),
        ([(1, 4, 4, 21), (1, 2, 2, 21)], {}, "raw feature maps"),
        ([(1, 56, CELLS)], {"classes": 80}, "pose model"),
        ([(1, CELLS, 7)], {"notes": {"task": "segment"}, "classes": 2}, "its task is 'segment'"),
        ([(1, 9)] * 8, {"called": {"o0": "raw_detection_boxes"}}, "eight outputs"),
        ([(1, 9, 9, 9), (3,)], {}, "fit no decoder"),
        ([(1, CELLS, 7)], {"classes": 9}, "yolov8 with 3 classes or yolox with 2 classes, but the model has 9 labels"),
        ([(1, CELLS, 4), (1, CELLS, 2)], {"classes": 2}, "`decoder: ssd_anchors` or `decoder: yolov8`"),
    ],
)
def test_what_no_head_or_several_know_is_told(shapes, facts, match):
    with pytest.raises(ModelError, match=match):
        recognise(seen(*shapes, **facts), HEADS, tasks="detectors and classifiers")


def test_what_is_sure_goes_before_what_shapes_suggest():
    head, reason = recognise(seen((1, 3 * CELLS, 7), classes=2), HEADS, tasks="")
    assert head.name == "yolov5"
    assert reason == "one output (1, 126, 7): 126 is three anchors a cell, 7 is box, objectness and 2 classes"
    assert recognise(seen((1, 52 + 4, CELLS), classes=52), HEADS, tasks="")[0].name == "yolov8"
    assert recognise(seen((1, 10), classes=10, notes={"task": "classify"}), HEADS, tasks="")[0].name == "classifier"
    assert recognise(seen((1, 7, CELLS), classes=3, notes={"task": "detect"}), HEADS, tasks="")[0].name == "yolov8"


# ---- decoding, on an input that is not square


BOX = [12.0, 8.0, 20.0, 24.0]  # xyxy in the pixels of 64 × 32


def rows(channels, count=CELLS, **at):
    array = np.zeros((1, count, channels), np.float32)
    for index, row in at.items():
        array[0, int(index[1:])] = row
    return array


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


# ---- structure of the heads


def test_nanodet_s_bins_are_what_the_classes_leave():
    structure = HEADS["nanodet"].structure
    assert structure(seen((1, CELLS, 2 + 44), classes=2)) == {
        "channels_first": False,
        "strides": [8, 16, 32],
        "bins": 11,
    }
    assert structure(seen((1, CELLS, 112)))["bins"] == 8
    assert "bins" not in structure(seen((1, CELLS, 34), given={"bins": 8}))
    assert "strides" not in structure(seen((1, 99, 34), classes=2, given={"strides": [3]}))
    for shape, classes, match in [
        ((1, CELLS, 35), 2, "35 channels are not 2 classes"),
        ((1, CELLS, 32), None, "32 channels"),
        ((1, 99, 34), 2, "99 candidates are not the cells"),
    ]:
        with pytest.raises(ModelError, match=match):
            structure(seen(shape, classes=classes))


def test_yolox_keeps_the_strides_that_its_cells_show():
    assert HEADS["yolox"].structure(seen((1, 10, 7))) == {"channels_first": False, "strides": [16, 32]}
    assert HEADS["yolox"].structure(seen((1, 99, 7))) == {"channels_first": False}


@pytest.mark.parametrize(
    ("names", "shapes", "given", "roles"),
    [
        (["b", "s"], [(1, 9, 4), (1, 9, 2)], {}, {"boxes": "b", "scores": "s"}),
        (["s", "b"], [(1, 9, 2), (1, 9, 4)], {}, {"boxes": "b", "scores": "s"}),
        (["a", "s", "b"], [(9, 4), (1, 9, 2), (1, 9, 4)], {}, {"scores": "s", "open_boxes": ["a", "b"]}),
        (
            ["anchor", "s", "b"],
            [(9, 4), (1, 9, 2), (1, 9, 4)],
            {},
            {"anchors": "anchor", "scores": "s", "boxes": "b"},
        ),
        (["a", "s", "box"], [(9, 4), (1, 9, 2), (1, 9, 4)], {}, {"anchors": "a", "scores": "s", "boxes": "box"}),
        (["score", "b"], [(1, 9, 4), (1, 9, 4)], {}, {"scores": "score", "boxes": "b"}),
        (["a", "s", "b"], [(9, 4), (1, 9, 4), (1, 9, 4)], {"boxes": "b", "scores": "s"}, {"anchors": "a"}),
        (["s", "b"], [(1, 9, 4), (1, 9, 4)], {"boxes": "b", "scores": "s"}, {}),
        (
            ["a", "s", "b"],
            [(9, 4), (1, 9, 4), (1, 9, 4)],
            {"boxes": "b", "scores": "s", "anchors": "f"},
            {},
        ),
    ],
)
def test_the_roles_of_ssd_outputs(names, shapes, given, roles):
    assert HEADS["ssd_anchors"].structure(seen(*shapes, names=names, given=given)) == roles


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 9, 4)],
        [(1, 9, 2), (1, 9, 2), (1, 9, 4)],
        [(1, 9, 4), (1, 9, 4), (1, 9, 4), (1, 9, 2)],
        [(1, 9, 4), (1, 9, 4)],
    ],
)
def test_roles_of_ssd_outputs_that_cannot_be_told(shapes):
    with pytest.raises(ModelError, match="which is which"):
        HEADS["ssd_anchors"].structure(seen(*shapes))


FOUR = [(1, 9, 4), (1, 9), (1, 9), (1,)]
SLOTS = ("boxes", "classes", "scores", "count")


@pytest.mark.parametrize(
    ("names", "shapes", "facts", "slots"),
    [
        (list("bcsn"), FOUR, {}, "bcsn"),
        (list("sbnc"), [(1, 9), (1, 9, 4), (1,), (1, 9)], {}, "bcsn"),
        (["x:1", "x:0", "x:2", "x:3"], [(1, 9), (1, 9, 4), (1, 9), (1,)], {}, ["x:0", "x:1", "x:2", "x:3"]),
        (["x:1", "y:0", "x:2", "x:3"], [(1, 9), (1, 9, 4), (1, 9), (1,)], {}, ["y:0", "x:2", "x:1", "x:3"]),
        (
            list("bcsn"),
            FOUR,
            {"op_outputs": {"TFLite_Detection_PostProcess": ("b", "s", "c", "n")}},
            "bscn",
        ),
        (list("bcsn"), FOUR, {"op_outputs": {"TFLite_Detection_PostProcess": ("b", "s", "c", "other")}}, "bcsn"),
        (
            list("wxyz"),
            [(1, 9), (1, 9), (1, 9, 4), (1,)],
            {"called": {"w": "scores", "x": "categories", "y": "boxes", "z": "num"}},
            "yxwz",
        ),
    ],
)
def test_the_slots_of_the_op(names, shapes, facts, slots):
    found = HEADS["tflite_postprocess"].structure(seen(*shapes, names=names, **facts))
    assert found == {"box_unit": "normalized", "slots": dict(zip(SLOTS, slots, strict=True))}
    given = HEADS["tflite_postprocess"].structure(seen(*shapes, names=names, given={"slots": {}}, **facts))
    assert given == {"box_unit": "normalized"}


@pytest.mark.parametrize("shapes", [FOUR[:3], [(1, 9, 4), (1, 9), (1,), (1,)], [(1, 9, 4), (1, 9, 4), (1, 9), (1,)]])
def test_other_shapes_have_no_slots(shapes):
    with pytest.raises(ModelError, match="decoder tflite_postprocess expects"):
        HEADS["tflite_postprocess"].structure(seen(*shapes))


def test_a_classifier_has_one_output():
    assert HEADS["classifier"].structure(seen((1, 3))) == {}
    assert HEADS["classifier"].structure(seen((1, 3), ordered=True)) == {"outputs": ["o0"]}
    with pytest.raises(ModelError, match="expects one output"):
        HEADS["classifier"].structure(seen((1, 3), (1, 3)))


# ---- options


@pytest.mark.parametrize(
    ("name", "option", "right", "wrong"),
    [
        ("yolox", "strides", [[8], [8, 16]], [[], [0], [8, -1], [True], 8, [8.0]]),
        ("yolox", "grid", ["raw", "decoded"], ["Raw", None]),
        ("yolox", "outputs", [["a"], ["a", "b"]], [[], ["a", 1], "a"]),
        ("yolox", "label_offset", [0, -1, 1], [True, 0.5, "1"]),
        ("nanodet", "bins", [2, 8], [1, True, 8.0]),
        ("nanodet", "cell_offset", [0, 0.5, -1.0], [True, float("nan"), float("inf"), "0"]),
        ("nanodet", "activation", ["none", "sigmoid"], ["softmax"]),
        ("ssd_anchors", "variances", [[0.1, 0.1, 0.2, 0.2], [1, 1, 1, 1]], [[0.1], [0.1, 0.1, 0.2, "x"], 0.1]),
        ("ssd_anchors", "anchors", ["output", {}], [5, [1]]),
        ("ssd_anchors", "background", [None, 0, 3], [-1, True, "0"]),
        ("ssd_anchors", "boxes", ["a"], [1, ["a"]]),
        ("classifier", "outputs", [["a"]], [["a", "b"], [], [1], "a"]),
        (
            "tflite_postprocess",
            "slots",
            [dict(zip(SLOTS, "abcd", strict=True))],
            [dict(zip(SLOTS, "abca", strict=True)), {"boxes": "a"}, dict.fromkeys(SLOTS, 1), [], None],
        ),
    ],
)
def test_what_an_option_takes(name, option, right, wrong):
    checked = HEADS[name].options[option]
    assert [checked.right(value) for value in right] == [True] * len(right)
    assert [checked.right(value) for value in wrong] == [False] * len(wrong)


def test_wrong_options_are_told_all_at_once():
    with pytest.raises(ModelError, match=r"no option 'gird'; it has box_format, .*; decoder yolox: grid is 'x'"):
        HEADS["yolox"].checked_options({"gird": "raw", "grid": "x"}, folder=ANY)


def test_ssd_options_are_completed(tmp_path):
    complete = HEADS["ssd_anchors"].checked_options
    assert complete({}, folder=ANY) == {
        "encoding": "center_size",
        "box_format": "yxyx",
        "variances": [0.1, 0.1, 0.2, 0.2],
    }
    assert complete({"encoding": "corner_offsets"}, folder=ANY)["box_format"] == "xyxy"
    made = complete({"anchors": {"feature_maps": [[1, 1]], "reduce_lowest": False}}, folder=ANY)["anchors"]
    assert len(made) == 6
    np.save(tmp_path / "a.npy", [[0.5, 0.25, 0.1, 0.2]])  # centre y, x, then height and width: as corners inverted
    corners = complete({"anchors": "a.npy"}, folder=tmp_path)["anchors"]
    assert corners == [pytest.approx([0.15, 0.45, 0.35, 0.55])]
    corners = complete({"anchors": "a.npy", "box_format": "xyxy"}, folder=tmp_path)["anchors"]
    assert corners == [pytest.approx([0.45, 0.15, 0.55, 0.35])]
    given = complete({"anchors": "a.npy", "anchor_format": "cxcywh"}, folder=tmp_path)["anchors"]
    assert given == [pytest.approx([0.45, 0.15, 0.55, 0.35])]
    for options in ({"anchor_format": "xyxy"}, {"encoding": "corner_offsets"}):
        with pytest.raises(ModelError, match="inverted"):
            complete({"anchors": "a.npy", **options}, folder=tmp_path)
    with pytest.raises(ModelError, match="cannot be generated"):
        complete({"anchors": {}}, folder=ANY)


# ---- what values settle


@pytest.mark.parametrize(("side", "unit"), [(1.51, "pixels"), (1.49, "normalized")])
def test_boxes_wider_than_the_input_s_unit_are_pixels(side, unit):
    array = rows(7, r0=[1, 1, side, 0.5, 1, 1, 1])
    found = settled("yolov8", [{"o": array}], labels="abc")
    assert (found.options["box_unit"], found.sources["box_unit"].origin) == (unit, "images")


def test_the_unit_is_the_median_of_the_best_candidates_alone():
    # twenty small boxes of score 1 beside forty large ones of a tenth and less
    many = {f"r{index}": [1, 1, 0.5, 0.5, 1, 0, 0] for index in range(20)}
    rest = {f"r{index}": [1, 1, 40, 40, 0.9, 0, 0] for index in range(20, CELLS)}
    assert settled("yolov8", [{"o": rows(7, **many, **rest)}], labels="abc").options["box_unit"] == "normalized"
    few = {"r0": [1, 1, 0.5, 0.5, 1, 0, 0], **{f"r{i}": [1, 1, 40, 40, 0.09, 0, 0] for i in range(1, 9)}}
    assert settled("yolov8", [{"o": rows(7, **few)}], labels="abc").options["box_unit"] == "normalized"
    enough = {"r0": [1, 1, 0.5, 0.5, 1, 0, 0], **{f"r{i}": [1, 1, 40, 40, 0.1, 0, 0] for i in range(1, 9)}}
    assert settled("yolov8", [{"o": rows(7, **enough)}], labels="abc").options["box_unit"] == "pixels"


def test_more_images_are_looked_at_where_the_first_show_nothing():
    empty, full = rows(6, count=9), rows(6, count=9, r0=[*BOX, 0.9, 1])
    found = settled("end2end", [{"o": empty}], more=[{"o": full}])
    assert found.options["box_unit"] == "pixels"
    with pytest.raises(ModelError, match="nothing is detected"):
        settled("end2end", [{"o": empty}], more=[{"o": rows(6, count=9, r0=[*BOX, 0.0009, 1])}])
    shown = settled("end2end", [{"o": empty}], more=[{"o": rows(6, count=9, r0=[*BOX, 0.0011, 1])}])
    assert shown.options["box_unit"] == "pixels"


@pytest.mark.parametrize(
    ("score", "match"),
    [(1.011, "from 0 to 1.01"), (-0.011, "from -0.011 to 0"), (np.nan, "not finite"), (np.inf, "not finite")],
)
def test_what_can_be_no_score_is_refused(score, match):
    with pytest.raises(ModelError, match=match):
        settled("yolov8", [{"o": rows(7, r0=[16, 16, 8, 16, score, 0, 0])}], labels="abc", box_unit="pixels")


@pytest.mark.parametrize("score", [1.0099, -0.0099])
def test_scores_a_little_beyond_their_range_are_scores(score):
    settled("yolov8", [{"o": rows(7, r0=[16, 16, 8, 16, score, 0, 0])}], labels="abc", box_unit="pixels")


def candidates_of(classes):
    return [Candidates(np.zeros((1, 4)), np.zeros((1, classes)))]


def ids_of(*labels):
    return [Detections(np.zeros((len(labels), 4)), np.ones(len(labels)), np.array(labels, dtype=np.int64))]


@pytest.mark.parametrize(
    ("labels", "decoded", "given", "offset", "origin"),
    [
        ("ab", candidates_of(2), {}, 0, "graph"),
        (["background", "a", "b"], candidates_of(2), {}, 1, "graph"),
        (["background", "a", "b"], candidates_of(3), {}, 0, "graph"),
        ("ab", candidates_of(2), {"label_offset": 1}, 1, "audit.yaml"),
        ("ab", candidates_of(2), {"label_offset": -1}, -1, "audit.yaml"),
        ("", candidates_of(2), {}, 0, "default"),
        ("", candidates_of(2), {"label_offset": 1}, 1, "audit.yaml"),
        ("ab", ids_of(0, 1), {}, 0, "metadata"),
        ("ab", ids_of(1, 2), {}, -1, "images"),
        ("ab", ids_of(1), {}, 0, "metadata"),
        ([None, "a", "b"], ids_of(0, 1), {}, 1, "metadata"),
        ([None, "a", "b"], ids_of(1, 2), {}, 0, "images"),
        ([None, "a", "b"], ids_of(), {}, 1, "metadata"),
        ("ab", ids_of(), {}, 0, "metadata"),
    ],
)
def test_how_far_a_class_lies_before_its_label(labels, decoded, given, offset, origin):
    found, source = settle_offset(HEADS["tflite_postprocess"], spec_of("tflite_postprocess", labels), decoded, given)
    assert (found, source.origin) == (offset, origin)


@pytest.mark.parametrize(
    ("labels", "decoded", "given", "match"),
    [
        ("abc", candidates_of(2), {}, "2 classes but `labels` has 3;"),
        (["x"] * 90, candidates_of(80), {}, "sparse COCO list: use coco80"),
        (["x"] * 91, candidates_of(80), {}, "sparse COCO list: use coco80"),
        (["x"] * 92, candidates_of(80), {}, "`labels` has 92;"),
        (["x"] * 90, candidates_of(81), {}, "`labels` has 90;"),
        ("ab", candidates_of(2), {"label_offset": 2}, "expected -1, 0 or 1"),
        ("ab", candidates_of(2), {"label_offset": -2}, "expected -1, 0 or 1"),
        ("ab", candidates_of(3), {"label_offset": 1}, "need 4 labels"),
        ("abcd", candidates_of(2), {"label_offset": 0}, "need 2 labels"),
        ("ab", ids_of(0, 2), {}, "gives class 2 but `labels` has only 2 names"),
        ("ab", ids_of(0, 1), {"label_offset": 1}, "gives class 1"),
    ],
)
def test_labels_that_do_not_fit(labels, decoded, given, match):
    with pytest.raises(ModelError, match=match):
        settle_offset(HEADS["tflite_postprocess"], spec_of("tflite_postprocess", labels), decoded, given)


def test_a_background_is_asked_about_where_a_head_does_not_say():
    with pytest.raises(ModelError, match="begins with a background"):
        settle_offset(HEADS["end2end"], spec_of("end2end", ["background", "a"]), ids_of(0), {})


def test_yolox_s_grid_is_told_by_whether_centres_follow_their_cells():
    cells, strides = grid(WIDE, (8, 16, 32))
    follows = rows(7)
    follows[0, :, :2], follows[0, :, 4:] = (cells + 0.5) * strides, 0.5
    still = rows(7)
    still[0, :, :2] = 3.0
    random = rows(7)
    random[0, :, :2] = np.random.default_rng(0).normal(size=(CELLS, 2))
    for array, expected in [(follows, "decoded"), (still, "raw"), (random, "raw")]:
        found = settled("yolox", [{"o": array}], strides=[8, 16, 32], box_unit="pixels", channels_first=False)
        assert (found.options["grid"], found.sources["grid"].origin) == (expected, "images")
    turned = {"o": follows.transpose(0, 2, 1)}
    found = settled("yolox", [turned], strides=[8, 16, 32], box_unit="pixels", channels_first=True)
    assert found.options["grid"] == "decoded"
    assert "grid" not in settled("yolox", [{"o": follows}], box_unit="pixels").options
    given = settled("yolox", [{"o": follows}], strides=[8, 16, 32], box_unit="pixels", grid="raw")
    assert given.options["grid"] == "raw"


@pytest.mark.parametrize(("top", "activation"), [(1.0, "none"), (1.2, "sigmoid")])
def test_nanodet_s_scores_are_logits_beyond_1(top, activation):
    array = np.full((1, CELLS, 2 + 32), 9.0, np.float32)  # the bins are never scores
    array[0, :, :2] = 0.0
    array[0, 0, 1] = top
    options = {"bins": 8, "strides": [8, 16, 32], "box_unit": "pixels"}
    found = settled("nanodet", [{"o": array}], **options)
    assert (found.options["activation"], found.sources["activation"].origin) == (activation, "images")
    given = settled("nanodet", [{"o": array}], **options, activation="sigmoid")
    assert "activation" not in given.sources


def ssd_samples(*scores, boxes=((0.0,) * 4,)):
    return [{"b": np.array([boxes], np.float32), "s": np.array([[row]], np.float32)} for row in scores]


SSD = {"encoding": "corner_offsets", "box_format": "xyxy", "boxes": "b", "scores": "s"}


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ((0.5, 0.5), "ab", (None, "none")),
        ((0.5, 3.0), "ab", (None, "sigmoid")),
        ((0.2, 0.4, 0.4), "ab", (0, "none")),
        ((0.2, 0.4, 3.0), "ab", (0, "softmax")),
    ],
)
def test_a_column_more_than_labels_is_the_background(scores, labels, expected):
    found = settled("ssd_anchors", ssd_samples(scores), labels=labels, anchors=[[0.0, 0.0, 1.0, 1.0]], **SSD)
    assert (found.options["background"], found.options["activation"]) == expected
    assert found.sources["background"].origin == "graph"
    assert found.sources["activation"].origin == "images"


@pytest.mark.parametrize(("high", "unit"), [(4.0, "normalized"), (4.1, "pixels")])
def test_anchors_beyond_the_input_s_unit_are_pixels(high, unit):
    found = settled("ssd_anchors", ssd_samples((0.5, 0.5)), anchors=[[0.0, 0.0, 1.0, high]], **SSD)
    assert (found.options["box_unit"], found.sources["box_unit"].origin) == (unit, "graph")


def test_what_anchors_must_be():
    one = ssd_samples((0.5, 0.5))
    with pytest.raises(ModelError, match="2 anchors for 1 boxes"):
        settled("ssd_anchors", one, anchors=[[0.0, 0.0, 1.0, 1.0]] * 2, **SSD)
    with pytest.raises(ModelError, match="no output of anchors"):
        settled("ssd_anchors", one, **SSD)
    with pytest.raises(ModelError, match="background is column 2, but there are 2 columns"):
        settled("ssd_anchors", one, anchors=[[0.0, 0.0, 1.0, 1.0]], background=2, **SSD)
    settled("ssd_anchors", ssd_samples((0.5, 0.5, 0.5)), anchors=[[0.0, 0.0, 1.0, 1.0]], background=2, **SSD)
    named = [{**sample, "a": np.array([[0.0, 0.0, 0.5, 1.0]])} for sample in one]
    found = settled("ssd_anchors", named, anchors="a", **SSD)
    assert found.options["anchors"] == [[0.0, 0.0, 0.5, 1.0]]


def test_of_two_outputs_the_one_that_never_changes_holds_the_anchors():
    def sample(value):
        scores = np.array([[[0.5, 0.5]]], np.float32)
        return {"x": np.array([[[0.0, 0.0, 1.0, 1.0]]]), "y": np.array([[[value] * 4]]), "s": scores}

    options = {"encoding": "corner_offsets", "box_format": "xyxy", "scores": "s", "open_boxes": ["x", "y"]}
    found = settled("ssd_anchors", [sample(0.1), sample(0.2)], **options)
    assert (found.options["boxes"], found.options["anchors"]) == ("y", [[0.0, 0.0, 1.0, 1.0]])
    assert (found.sources["anchors"].origin, "open_boxes" in found.options) == ("images", False)
    given = settled("ssd_anchors", [sample(0.1), sample(0.2)], anchors=[[0.0, 0.0, 2.0, 2.0]], **options)
    assert (given.options["boxes"], given.options["anchors"]) == ("y", [[0.0, 0.0, 2.0, 2.0]])
    for samples in ([sample(0.1)], [sample(0.1), sample(0.1)]):
        with pytest.raises(ModelError, match="none is named as anchors"):
            settled("ssd_anchors", samples, **options)


# ---- classifiers


def scored(*values):
    return [{"o": np.array([row], np.float32)} for row in values]


@pytest.mark.parametrize(
    ("values", "labels", "given", "activation", "offset"),
    [
        ((0.25, 0.75), "ab", {}, "none", 0),
        ((0.25, 1.5), "ab", {}, "softmax", 0),
        ((-0.5, 0.5), "ab", {}, "softmax", 0),
        ((0.25, 0.75), ["background", "a", "b"], {}, "none", 1),
        ((0.2, 0.2, 0.6), "ab", {}, "none", -1),
        ((0.25, 0.75), "abc", {"label_offset": 1}, "none", 1),
        ((0.25, 0.75), "abc", {"label_offset": 0}, "none", 0),
        ((0.25, 0.75), "", {}, "none", 0),
    ],
)
def test_what_a_classifier_settles(values, labels, given, activation, offset):
    found = settled("classifier", scored(values, values), labels=labels, given=given)
    assert (found.options["activation"], found.options["label_offset"]) == (activation, offset)
    assert found.sources["label_offset"].origin == ("audit.yaml" if given else "graph")
    assert found.sources["activation"].origin == "images"


@pytest.mark.parametrize(
    ("values", "labels", "options", "match"),
    [
        ((np.nan, 0.5), "ab", {}, "not finite"),
        ((0.25, 0.75), "abc", {}, "2 classes but `labels` has 3"),
        ((0.25, 0.75), "abcd", {}, "2 classes but `labels` has 4"),
        ((0.25, 1.011), "ab", {"activation": "none"}, "from 0.25 to 1.01"),
        ((-0.011, 0.5), "ab", {"activation": "none"}, "from -0.011 to 0.5"),
    ],
)
def test_what_a_classifier_refuses(values, labels, options, match):
    with pytest.raises(ModelError, match=match):
        settled("classifier", scored(values), labels=labels, **options)


def test_a_classifier_s_scores_a_little_beyond_their_range_are_scores():
    settled("classifier", scored((1.0099, -0.0099)), activation="none")
    softmax = HEADS["classifier"].decode(
        {"o": np.array([[0.0, np.log(3)]])}, spec_of("classifier", activation="softmax")
    )
    assert softmax.scores.tolist() == pytest.approx([0.25, 0.75])
    chosen = HEADS["classifier"].decode(
        {"o": np.zeros((1, 2)), "p": np.ones((1, 1, 1, 3))}, spec_of("classifier", outputs=["p"])
    )
    assert chosen.scores.tolist() == [1, 1, 1]


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
