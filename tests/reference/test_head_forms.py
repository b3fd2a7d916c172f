"""The forms in which a head may come: its layout, its scale of scores, what its outputs are called, its options."""

from __future__ import annotations

import numpy as np
import pytest
from by_hand import IMAGES, OBJECTS, SIDE, cells_of, centred, checked, joined, levels, near
from tiny_models import write_model

from auditor.errors import ModelError
from auditor.resolve.model import ModelRequest, resolve_model


def rtm(tmp_path, scores_of, *, classes: int = 2, offset: float = 0.0, names=("a", "b"), first: bool = False):
    """RTMDet's outputs with scores as `scores_of` writes them."""
    scores, boxes = levels((8, 16, 32), classes, scores_of(0.0)), levels((8, 16, 32), 4)
    for stride in (8, 16):
        for index, (x, y) in enumerate(cells_of(stride)):
            boxes[stride][index] = stride / 3 + (x % 3) + (y % 2)  # what lies where there is nothing
    for box, label, score in OBJECTS:
        for stride in (8, 16):
            for index, x, y in near(box, stride, offset):
                point = (x + offset) * stride, (y + offset) * stride
                boxes[stride][index] = point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]
                scores[stride][index, label] = scores_of(score)
    found_of = {names[0]: joined(scores), names[1]: joined(boxes)}
    return {name: array.transpose(0, 2, 1).copy() for name, array in found_of.items()} if first else found_of


def test_per_cent_is_told_before_logits(tmp_path):
    spec = checked(tmp_path, "rtmdet", rtm(tmp_path, lambda score: 100 * score))
    assert (spec.decoder_options["activation"], spec.decoder_options["score_scale"]) == ("none", 0.01)
    assert spec.decoder_options["distance_unit"] == "pixels"
    written = rtm(tmp_path, lambda score: 100 * score)
    spec = checked(tmp_path, "rtmdet", written, options={"score_scale": 0.01})
    assert spec.decoder_options["activation"] == "none"


def test_cells_of_fcos_have_their_points_in_the_middle(tmp_path):
    spec = checked(tmp_path, "rtmdet", rtm(tmp_path, lambda score: score, offset=0.5))
    assert (spec.decoder_options["distance_unit"], spec.decoder_options["cell_offset"]) == ("pixels", 0.5)


@pytest.mark.parametrize("first", [False, True])
def test_channels_may_come_first_and_outputs_be_named_by_hand(tmp_path, first):
    outputs = rtm(tmp_path, lambda score: score, first=first)
    spec = checked(tmp_path, "rtmdet", outputs)
    assert bool(spec.decoder_options.get("channels_first")) == first
    if not first:
        checked(tmp_path, "rtmdet", outputs, options={"boxes": ["b"], "scores": ["a"]})


def test_four_classes_are_told_from_boxes_by_their_names(tmp_path):
    outputs = rtm(tmp_path, lambda score: score, classes=4, names=("cls_scores", "bbox_preds"))
    checked(tmp_path, "rtmdet", outputs, labels="abcd")


def test_detr_with_another_number_of_labels_is_told_so(tmp_path):
    logits, boxes = np.zeros((1, 100, 92), np.float32), np.full((1, 100, 4), 0.5, np.float32)
    logits[..., 91] = 9.0
    path = write_model(tmp_path / "m.tflite", {"l": logits, "b": boxes}, input_shape=(1, SIDE, SIDE, 3))
    request = ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="coco80", images=IMAGES)
    with pytest.raises(ModelError, match="detr with 92 classes, or 91 and none"):
        resolve_model(request)


def test_queries_of_two_classes_are_no_end_to_end_rows(tmp_path):
    rows = np.full((1, 300, 6), 0.5, np.float32)
    rows[..., 4:] = 0.01
    for index, (box, label, score) in enumerate(OBJECTS):
        rows[0, 3 * index, :4], rows[0, 3 * index, 4 + label] = centred(box), score
    checked(tmp_path, "rtdetr", {"out": rows})


def test_corners_in_cells_are_read_as_corners(tmp_path):
    """As YOLO-NAS exports them: decoded corners, and scores."""
    scores, boxes = levels((8, 16, 32), 2), levels((8, 16, 32), 4)
    for stride in boxes:
        for index, (x, y) in enumerate(cells_of(stride)):
            boxes[stride][index] = x * stride, y * stride, (x + 1) * stride, (y + 1) * stride
    for box, label, score in OBJECTS:
        for index, _, _ in near(box, 16):
            boxes[16][index], scores[16][index, label] = box, score
    spec = checked(tmp_path, "yolov8", {"b": joined(boxes), "s": joined(scores)})
    assert spec.decoder_options["box_format"] == "xyxy"


@pytest.mark.parametrize("options", [{"anchors": [[1, 2, 3, 4, 5, 6]]}, {"scale_xy": [1.05]}])
def test_entries_of_each_scale_are_counted(tmp_path, options):
    outputs = {f"o{stride}": np.zeros((1, SIDE // stride, SIDE // stride, 21), np.float32) for stride in (8, 16, 32)}
    with pytest.raises(ModelError, match="1 entries for 3 scales"):
        checked(tmp_path, "yolov3", outputs, options={"formula": "v4", **options})


def test_grids_with_another_number_of_labels_are_told_so(tmp_path):
    outputs = {f"o{stride}": np.zeros((1, SIDE // stride, SIDE // stride, 21), np.float32) for stride in (8, 16, 32)}
    path = write_model(tmp_path / "m.tflite", outputs, input_shape=(1, SIDE, SIDE, 3))
    request = ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="coco80", images=IMAGES)
    with pytest.raises(ModelError, match="yolov3 with 2 classes, but the model has 80 labels"):
        resolve_model(request)


def test_three_maps_of_two_channels_are_asked_which_is_which(tmp_path):
    maps = {name: np.zeros((1, SIDE // 4, SIDE // 4, 2), np.float32) for name in ("x", "y", "z")}
    with pytest.raises(ModelError, match=r"decoder centernet expects .*write `scores:`, `sizes:` and `offsets:`"):
        checked(tmp_path, "centernet", maps)
