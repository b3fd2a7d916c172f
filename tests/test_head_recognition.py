"""What heads are told by, and which output is which: each rule at its edge, on arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from made_heads import ANY, CELLS, HEADS, SLOTS, WIDE, seen, spec_of

from auditor.errors import ModelError
from auditor.heads.anatomy.head import Near
from auditor.heads.anatomy.recognition import recognise
from auditor.heads.anatomy.rows import (
    boxes_first,
    cells_of,
    grid,
    pair_of,
    roles_by_name,
    row_structure,
    row_view,
    strides_of,
)
from auditor.values import InputContract


def grey(head):
    """No images to decide on."""
    return []


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
        ([(1, CELLS, 7)], 2, {"yolox": "match", "yolov6": "match", "yolov8": "near"}),
        ([(1, CELLS, 7)], 3, {"yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 7)], 9, {"yolov8": "near", "yolox": "near"}),
        ([(1, CELLS, 5)], 1, {"yolov8": "match"}),
        ([(1, CELLS, 4)], 1, {}),
        ([(1, CELLS, 6)], 1, {"yolox": "match", "yolov6": "match", "yolov8": "near"}),
        ([(1, CELLS, 6)], 3, {"end2end": "sure", "yolov8": "near", "yolox": "near"}),
        ([(1, 301, 6)], 2, {"end2end": "sure", "yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 84)], None, {"yolov8": "match", "yolox": "near"}),
        ([(1, CELLS, 85)], None, {"yolox": "match", "yolov6": "match", "yolov8": "near"}),
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
        ([(1, CELLS, 4), (1, CELLS, 2)], 2, {"yolov8": "match", "rtmdet": "match", "ssd_anchors": "match"}),
        ([(1, 4, CELLS), (1, 2, CELLS)], 2, {"yolov8": "match", "rtmdet": "match"}),
        ([(1, 2, CELLS), (1, 4, CELLS)], 2, {"yolov8": "match", "rtmdet": "match"}),
        ([(1, 4, CELLS), (1, 2, CELLS + 1)], 2, {}),
        ([(1, 5, CELLS), (1, 2, CELLS)], 2, {}),
        ([(1, 99, 4), (1, 99, 2)], 2, {"detr": "sure", "ssd_anchors": "match"}),
        ([(1, 99, 2), (1, 99, 4)], 2, {"detr": "sure", "ssd_anchors": "match"}),
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
        recognise(seen(*shapes, **facts), HEADS, tasks="detectors and classifiers", samples_for=grey)


def test_what_is_sure_goes_before_what_shapes_suggest():
    head, reason = recognise(seen((1, 3 * CELLS, 7), classes=2), HEADS, tasks="", samples_for=grey)
    assert head.name == "yolov5"
    assert reason == "one output (1, 126, 7): 126 is three anchors a cell, 7 is box, objectness and 2 classes"
    assert recognise(seen((1, 52 + 4, CELLS), classes=52), HEADS, tasks="", samples_for=grey)[0].name == "yolov8"
    assert (
        recognise(seen((1, 10), classes=10, notes={"task": "classify"}), HEADS, tasks="", samples_for=grey)[0].name
        == "classifier"
    )
    assert (
        recognise(seen((1, 7, CELLS), classes=3, notes={"task": "detect"}), HEADS, tasks="", samples_for=grey)[0].name
        == "yolov8"
    )


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
