"""What heads settle from values: each rule at its edge, on arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from made_heads import BOX, CELLS, HEADS, WIDE, rows, settled, spec_of

from auditor.errors import ModelError
from auditor.heads.anatomy.rows import (
    grid,
)
from auditor.heads.anatomy.settling import settle_offset
from auditor.values import Candidates, Detections


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
