"""Every head, from a file with constant outputs to boxes in original pixels, checked against boxes worked by hand.

The image is 64 × 48, the input 32 × 32.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import write_model

from auditor import extensions
from auditor.delegate import XNNPACK
from auditor.encoding import encode
from auditor.errors import ModelError
from auditor.heads.anatomy.anchors import generate_anchors
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.runtimes.anatomy.runtime import open_spec
from auditor.tasks.detection.postprocess import postprocess

IMAGES = tuple(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8) for seed in range(2))
CELLS = 16 + 4 + 1  # strides 8, 16, 32 of a 32 × 32 input


def detect(tmp_path: Path, outputs, *, labels="ab", request=None, **model):
    """Resolve a model, run it on an image, and return (spec, detections)."""
    path = write_model(tmp_path / "model.tflite", outputs, **model)
    (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    asked = {"labels": None if model.get("files") else "labels.txt", **(request or {})}
    spec = resolve_model(
        ModelRequest(name="m", model="m", path=str(path), dataset="d", folder=str(tmp_path), images=IMAGES, **asked)
    )
    tensor, geometry = encode(IMAGES[0], spec.input)
    outputs = open_spec(spec, delegate=XNNPACK, threads=1).invoke(tensor)
    decoded = extensions.resolve("heads", spec.decoder).decode(outputs, spec)
    return spec, postprocess(decoded, spec.postprocess, geometry=geometry, image_size=(48, 64))


def found(detections):
    return [
        ([round(x, 3) for x in box], round(float(score), 4), int(label))
        for box, score, label in zip(detections.boxes, detections.scores, detections.labels, strict=True)
    ]


STRETCH = {"input": {"resize": "stretch"}}
# a box of x 4..12, y 8..24 in the 32 × 32 input is x 8..24, y 12..36 in the 64 × 48 image, stretched
EXPECTED = ([8.0, 12.0, 24.0, 36.0], 0.9, 1)


def candidates(channels, count, row, at=3, fill=(16, 16, 2, 2)):
    array = np.zeros((1, count, channels), np.float32)
    array[0, :, :4] = fill
    array[0, at] = row
    return array


@pytest.mark.parametrize("unit", [1.0, 32.0])
def test_yolov8_channels_first(tmp_path, unit):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]) / np.array([unit] * 4 + [1, 1], np.float32)
    spec, got = detect(tmp_path, {"out": array.transpose(0, 2, 1).copy()}, request=STRETCH)
    assert (spec.decoder, spec.decoder_options["box_unit"]) == ("yolov8", "pixels" if unit == 1 else "normalized")
    assert found(got) == [EXPECTED]


def test_yolov8_transposed(tmp_path):
    spec, got = detect(tmp_path, {"out": candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9])}, request=STRETCH)
    assert spec.decoder == "yolov8"
    assert found(got) == [EXPECTED]


def test_yolov8_split_into_boxes_and_scores(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1)
    array[0, :2, np.arange(CELLS) != 3] = centres()[np.arange(CELLS) != 3]
    spec, got = detect(tmp_path, {"scores": array[:, 4:].copy(), "boxes": array[:, :4].copy()}, request=STRETCH)
    assert spec.decoder == "yolov8"
    assert found(got) == [EXPECTED]


def centres():
    cells = [((x + 0.5) * s, (y + 0.5) * s) for s in (8, 16, 32) for y in range(32 // s) for x in range(32 // s)]
    return np.array(cells, np.float32)


def test_yolox_decoded(tmp_path):
    array = np.zeros((1, CELLS, 7), np.float32)
    array[0, :, :2], array[0, :, 2:4] = centres(), 4
    array[0, 3] = [8, 16, 8, 16, 0.9, 0, 1.0]
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert (spec.decoder, spec.decoder_options["grid"], spec.input.color) == ("yolox", "decoded", "bgr")
    assert found(got) == [EXPECTED]


def test_yolox_raw_grid(tmp_path):
    array = np.zeros((1, CELLS, 7), np.float32)
    # candidate 9 of stride 8 is cell x 1, y 2: centre (0 + 1) × 8, (0 + 2) × 8 and size exp(log 1) × 8, exp(log 2) × 8
    array[0, 9] = [0, 0, 0, np.log(2), 0.9, 0, 1.0]
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert spec.decoder_options["grid"] == "raw"
    assert found(got) == [EXPECTED]


def test_yolov5_multiplies_objectness_and_class(tmp_path):
    array = candidates(7, 3 * CELLS, [8, 16, 8, 16, 0.9, 0.0, 1.0]) / np.array([32] * 4 + [1] * 3, np.float32)
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert (spec.decoder, spec.decoder_options["box_unit"]) == ("yolov5", "normalized")
    assert found(got) == [EXPECTED]


@pytest.mark.parametrize("unit", [1.0, 32.0])
def test_end2end(tmp_path, unit):
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [4 / unit, 8 / unit, 12 / unit, 24 / unit, 0.9, 1]
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert spec.decoder == "end2end"
    assert found(got) == [EXPECTED]


POSTPROCESS = {
    "boxes": np.array([[[8, 4, 24, 12], [0, 0, 0, 0]]], np.float32) / 32,
    "classes": np.array([[1.0, 0.0]], np.float32),
    "scores": np.array([[0.9, 0.0]], np.float32),
    "count": np.array([1.0], np.float32),
}


@pytest.mark.parametrize(
    "order", [("boxes", "classes", "scores", "count"), ("scores", "boxes", "count", "classes")], ids=["TF1", "TF2"]
)
@pytest.mark.parametrize("signed", [True, False])
def test_postprocess_outputs_without_the_op(tmp_path, order, signed):
    called = {
        "boxes": "detection_boxes",
        "classes": "detection_classes",
        "scores": "detection_scores",
        "count": "num_detections",
    }
    outputs = {f"StatefulPartitionedCall:{index}": POSTPROCESS[name] for index, name in enumerate(order)}
    signature = (
        {f"StatefulPartitionedCall:{index}": called[name] for index, name in enumerate(order)} if signed else None
    )
    spec, got = detect(tmp_path, outputs, signature=signature, request=STRETCH)
    assert spec.decoder == "tflite_postprocess"
    assert found(got) == [EXPECTED]


def test_signature_names_win_over_the_order(tmp_path):
    outputs = {
        "a": POSTPROCESS["scores"],
        "b": POSTPROCESS["classes"],
        "c": POSTPROCESS["boxes"],
        "d": POSTPROCESS["count"],
    }
    signature = {"a": "scores", "b": "classes", "c": "boxes", "d": "count"}
    assert found(detect(tmp_path, outputs, signature=signature, request=STRETCH)[1]) == [EXPECTED]


ANCHOR = [8, 16, 16, 32]  # xyxy in pixels: centre (12, 24), size (8, 16)


def ssd(encoding, *, background, logits=False):
    boxes = np.zeros((1, 5, 4), np.float32)
    if encoding == "center_size":  # y, x, h, w: centre moves by -8 of 16 and -4 of 8 → (8, 16), size stays
        boxes[0, 2] = [-0.5 / 0.1, -0.5 / 0.1, 0, 0]
    else:  # x1, y1, x2, y2: each corner by -4 of 8 and -8 of 16
        boxes[0, 2] = [-0.5, -0.5, -0.5, -0.5]
    scores = np.zeros((1, 5, 3 if background else 2), np.float32)
    scores[0, 2, -1] = 0.9
    if background:
        scores[0, :, 0] = 1 - scores[0, :, 1:].sum(axis=1)
    if logits:
        scores = np.log(np.maximum(scores, 1e-6)) + 3
    anchors = np.tile(np.array(ANCHOR, np.float32), (5, 1)) / 32
    return boxes, scores.astype(np.float32), anchors


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("encoding", ["center_size", "corner_offsets"])
def test_ssd_with_anchors_as_an_output(tmp_path, encoding, background):
    boxes, scores, anchors = ssd(encoding, background=background)
    outputs = {
        "raw_boxes": boxes,
        "anchors": anchors[:, [1, 0, 3, 2]] if encoding == "center_size" else anchors,
        "scores": scores,
    }
    request = {**STRETCH, "decoder": "ssd_anchors", "decoder_options": {"encoding": encoding}}
    spec, got = detect(tmp_path, outputs, request=request)
    assert spec.decoder_options["background"] == (0 if background else None)
    assert found(got) == [EXPECTED]


def test_ssd_logits_with_background_are_softmaxed(tmp_path):
    boxes, scores, anchors = ssd("corner_offsets", background=True, logits=True)
    request = {**STRETCH, "decoder": "ssd_anchors", "decoder_options": {"encoding": "corner_offsets"}}
    spec, got = detect(tmp_path, {"b": boxes, "prior_boxes": anchors, "s": scores}, request=request)
    assert spec.decoder_options["activation"] == "softmax"
    assert found(got)[0][1] == pytest.approx(0.9, abs=1e-3)


def test_ssd_anchors_from_a_file(tmp_path):
    boxes, scores, anchors = ssd("corner_offsets", background=False)
    np.save(tmp_path / "anchors.npy", anchors)
    np.savetxt(tmp_path / "anchors.csv", anchors, delimiter=",")
    for name in ("anchors.npy", "anchors.csv"):
        options = {"encoding": "corner_offsets", "anchors": name}
        assert found(
            detect(
                tmp_path,
                {"b": boxes, "s": scores},
                request={**STRETCH, "decoder": "ssd_anchors", "decoder_options": options},
            )[1]
        ) == [EXPECTED]


def test_generated_anchors_have_tensorflows_count_and_first_layer():
    anchors = generate_anchors(
        {"feature_maps": [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]], "min_scale": 0.2, "max_scale": 0.95}
    )
    assert len(anchors) == 1917  # what TensorFlow's SSD MobileNet v1 and v2 at 300 × 300 have
    first = anchors[0]
    assert (first[:2] + first[2:]) / 2 == pytest.approx([0.5 / 19, 0.5 / 19])
    assert first[2:] - first[:2] == pytest.approx([0.1, 0.1])


def test_nanodet_integrates_its_bins(tmp_path):
    array = np.full((1, CELLS, 2 + 32), -20.0, np.float32)
    array[0, :, :2] = 0
    # candidate 9 is cell x 1, y 2 of stride 8, centre (12, 20); distances of 1, 1.5, 0, 0.5 strides
    array[0, 9, 1] = 0.9
    for side, weights in enumerate(({1: 1.0}, {1: 0.5, 2: 0.5}, {0: 1.0}, {0: 0.5, 1: 0.5})):
        for bin_, weight in weights.items():
            array[0, 9, 2 + 8 * side + bin_] = np.log(weight)
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert spec.decoder == "nanodet"
    assert found(got) == [EXPECTED]


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (-1, 32, 32, 3), (4, 32, 32, 3)])
def test_inputs_of_other_layouts_and_batches(tmp_path, shape):
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [4, 8, 12, 24, 0.9, 1]
    spec, got = detect(tmp_path, {"out": array}, input_shape=shape, request=STRETCH)
    assert spec.input.layout == ("nchw" if shape[1] == 3 else "nhwc")
    assert found(got) == [EXPECTED]


def test_an_open_size_is_asked_for(tmp_path):
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [4, 8, 12, 24, 0.9, 1]
    with pytest.raises(ModelError, match=r"size: \[height, width\]"):
        detect(tmp_path, {"out": array}, input_shape=(1, -1, -1, 3))
    spec, got = detect(
        tmp_path, {"out": array}, input_shape=(1, -1, -1, 3), request={"input": {"size": (32, 32), "resize": "stretch"}}
    )
    assert (spec.input.height, found(got)) == (32, [EXPECTED])


def test_integer_outputs_are_dequantized(tmp_path):
    array = np.zeros((1, 300, 6), np.int8)
    array[0, 0] = [4, 8, 12, 24, 1, 1]
    _, got = detect(
        tmp_path,
        {"out": array},
        input_dtype="int8",
        input_quantization=(1 / 255, -128),
        output_quantization={"out": (1.0, 0)},
        request=STRETCH,
    )
    assert found(got) == [([8.0, 12.0, 24.0, 36.0], 1.0, 1)]


@pytest.mark.parametrize("name", ["metadata.json", "temp_meta.txt"])
def test_the_notes_of_ultralytics_exports_are_read(tmp_path, name):
    notes = {"names": {"0": "cat", "1": "dog"}, "task": "detect", "imgsz": [32, 32]}
    text = json.dumps(notes) if name.endswith("json") else repr(notes)
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    spec, _ = detect(tmp_path, {"out": array}, files={name: text})
    assert spec.labels == ("cat", "dog")
    origins = [spec.sources[name].origin for name in ("labels", "input.resize")]
    assert (origins, spec.input.std) == (["metadata", "metadata"], (255.0,))


def test_labels_that_do_not_fit_the_head_are_refused(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    with pytest.raises(ModelError, match="labels"):
        detect(tmp_path, {"out": array}, labels="abc")


def test_a_background_line_before_the_labels_is_skipped(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    spec, _ = detect(tmp_path, {"out": array}, labels=["background", "a", "b"], request={"decoder": "yolov8"})
    assert spec.decoder_options["label_offset"] == 1


def test_scores_out_of_range_name_the_wrong_head(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 7.5]).transpose(0, 2, 1).copy()
    with pytest.raises(ModelError, match=r"scores from 0 to 7.5"):
        detect(tmp_path, {"out": array})


def test_an_unknown_option_of_a_decoder_is_named(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    with pytest.raises(ModelError, match="box_unit is 'px'"):
        detect(tmp_path, {"out": array}, request={"decoder": "yolov8", "decoder_options": {"box_unit": "px"}})
    with pytest.raises(ModelError, match="no option 'boxformat'"):
        detect(tmp_path, {"out": array}, request={"decoder": "yolov8", "decoder_options": {"boxformat": "xyxy"}})


def test_everything_that_is_settled_has_a_source(tmp_path):
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    spec, _ = detect(tmp_path, {"out": array})
    assert {f"input.{field.name}" for field in dataclasses.fields(spec.input)} <= set(spec.sources)
    assert {f"postprocess.{field.name}" for field in dataclasses.fields(spec.postprocess)} <= set(spec.sources)
    assert {f"decoder.{name}" for name in spec.decoder_options} <= set(spec.sources)


# ------------------------------------------------------------------------ misreadings that would be silent, and are not


def test_classes_and_scores_in_the_converters_order(tmp_path):
    """Four outputs called output_0 to output_3 in TF1's order, stored in another: the numbers tell, not the
    positions."""
    roles = {"output_1": "classes", "output_3": "count", "output_0": "boxes", "output_2": "scores"}
    outputs = {f"tensor{index}": POSTPROCESS[role] for index, role in enumerate(roles.values())}
    signature = dict(zip(outputs, roles, strict=True))
    assert found(detect(tmp_path, outputs, signature=signature, request=STRETCH)[1]) == [EXPECTED]


def test_class_ids_from_1_without_a_background_line(tmp_path):
    outputs = {**POSTPROCESS, "classes": np.array([[2.0, 1.0]], np.float32), "count": np.array([2.0], np.float32)}
    spec, got = detect(tmp_path, outputs, request=STRETCH)
    assert spec.decoder_options["label_offset"] == -1
    assert spec.labels[got.labels[0] + spec.decoder_options["label_offset"]] == "b"


def test_a_unit_that_nothing_shows_is_asked_for(tmp_path):
    with pytest.raises(ModelError, match="write `box_unit"):
        detect(tmp_path, {"out": np.zeros((1, 300, 6), np.float32)})


def test_boxes_that_are_not_numbers_are_refused(tmp_path):
    array = candidates(6, CELLS, [np.nan] * 4 + [0, 0.9], fill=[np.nan] * 4).transpose(0, 2, 1).copy()
    with pytest.raises(ModelError, match="finite"):
        detect(tmp_path, {"out": array}, request={"decoder_options": {"box_unit": "pixels"}, "decoder": "yolov8"})


def test_tensorflows_anchors_of_centres_and_sizes_are_told_from_corners(tmp_path):
    boxes, scores, anchors = ssd("center_size", background=False)
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    cycxhw = np.concatenate([centre[:, ::-1], size[:, ::-1]], axis=1)
    _, got = detect(
        tmp_path, {"boxes": boxes, "scores": scores, "anchors": cycxhw}, request={**STRETCH, "decoder": "ssd_anchors"}
    )
    assert found(got) == [EXPECTED]


def test_four_score_columns_are_told_from_boxes_by_name(tmp_path):
    boxes, scores, anchors = ssd("corner_offsets", background=False)
    four = np.concatenate([scores, np.zeros((1, 5, 2), np.float32)], axis=2)
    request = {**STRETCH, "decoder": "ssd_anchors", "decoder_options": {"encoding": "corner_offsets"}}
    _, got = detect(
        tmp_path, {"class_scores": four, "boxes": boxes, "anchors": anchors}, labels="abcd", request=request
    )
    assert found(got) == [EXPECTED]
    with pytest.raises(ModelError, match="which is which"):
        detect(tmp_path, {"x": four, "y": boxes, "z": anchors}, labels="abcd", request=request)
    request["decoder_options"] |= {"boxes": "y", "scores": "x", "anchors": "anchors.npy"}
    np.save(tmp_path / "anchors.npy", anchors)
    assert found(detect(tmp_path, {"x": four, "y": boxes}, labels="abcd", request=request)[1]) == [EXPECTED]


def test_rows_of_six_on_a_grid_are_asked_about(tmp_path):
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [4, 8, 12, 24, 0.9, 1]
    with pytest.raises(ModelError, match="decoder: end2end"):
        detect(tmp_path, {"out": array}, input_shape=(1, 192, 320, 3))
    notes = json.dumps({"names": {"0": "a", "1": "b"}, "task": "detect", "args": {"nms": True}})
    assert (
        detect(tmp_path, {"out": array}, input_shape=(1, 192, 320, 3), files={"metadata.json": notes})[0].decoder
        == "end2end"
    )


def test_named_outputs_are_settled_like_any_others(tmp_path):
    array = np.zeros((1, CELLS, 7), np.float32)
    array[0, 9] = [0, 0, 0, np.log(2), 0.9, 0, 1.0]
    request = {**STRETCH, "decoder": "yolox", "decoder_options": {"outputs": ["out"]}}
    spec, got = detect(tmp_path, {"out": array}, request=request)
    assert (spec.decoder_options["grid"], found(got)) == ("raw", [EXPECTED])
    split = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1)
    request = {**STRETCH, "decoder": "yolov8", "decoder_options": {"outputs": ["b", "a"]}}
    assert found(detect(tmp_path, {"a": split[:, 4:].copy(), "b": split[:, :4].copy()}, request=request)[1]) == [
        EXPECTED
    ]


def test_classes_that_are_whole_but_for_rounding_are_whole(tmp_path):
    outputs = {**POSTPROCESS, "classes": np.array([[1.0, 5e-15]], np.float32), "count": np.array([2.0], np.float32)}
    assert found(detect(tmp_path, outputs, request=STRETCH)[1])[0] == EXPECTED


def test_padding_of_next_to_no_score_does_not_vote_on_the_unit(tmp_path):
    array = np.full((1, 300, 6), 1e-12, np.float32)
    array[0, 0] = [4, 8, 12, 24, 0.9, 1]
    spec, got = detect(tmp_path, {"out": array}, request=STRETCH)
    assert (spec.decoder_options["box_unit"], found(got)) == ("pixels", [EXPECTED])


def test_a_background_before_labels_of_ids_is_asked_about(tmp_path):
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [4, 8, 12, 24, 0.9, 1]
    with pytest.raises(ModelError, match="label_offset"):
        detect(tmp_path, {"out": array}, labels=["background", "a", "b"])


@pytest.mark.parametrize(
    ("decoder", "options"),
    [
        ("yolov8", {"label_offset": "a"}),
        ("nanodet", {"bins": "x"}),
        ("yolox", {"strides": [8, -1]}),
        ("ssd_anchors", {"variances": ["a", 1, 1, 1]}),
        ("ssd_anchors", {"background": True}),
        ("ssd_anchors", {"anchors": 5}),
        ("ssd_anchors", {"anchors": {"feature_maps": [[1, 1]], "bogus": 1}}),
        ("tflite_postprocess", {"slots": {"boxes": "x"}}),
    ],
)
def test_options_of_the_wrong_kind_are_told(tmp_path, decoder, options):
    with pytest.raises(ModelError, match=f"decoder {decoder}"):
        detect(
            tmp_path,
            {"out": candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9])},
            request={"decoder": decoder, "decoder_options": options},
        )


def test_labels_that_are_numbered_from_one_are_told_apart_from_classes(tmp_path):
    """TensorFlow's label maps begin with 1: the line of 0 is a background that the head need not have."""
    array = candidates(6, CELLS, [8, 16, 8, 16, 0, 0.9]).transpose(0, 2, 1).copy()
    path = write_model(tmp_path / "model.tflite", {"out": array})
    (tmp_path / "map.pbtxt").write_text('item { id: 1 name: "a" } item { id: 2 name: "b" }')
    spec = resolve_model(ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="map.pbtxt", images=IMAGES))
    assert (spec.decoder, spec.labels, spec.decoder_options["label_offset"]) == ("yolov8", (None, "a", "b"), 1)
