"""Each head of another family against a decode written from its definition, cell by cell: a made model whose outputs
hold known objects is recognised without a hand, and gives the boxes of the loop."""

from __future__ import annotations

import math

import made_graphs
import numpy as np
import pytest
from by_hand import IMAGES, OBJECTS, SIDE, cells_of, centred, checked, found, joined, levels, logit, near, sigmoid
from tiny_models import write_model

from auditor.errors import ModelError
from auditor.resolve.model import ModelRequest, resolve_model

# ------------------------------------------------------------------------------------------------ distances


def distribution(distance: float, bins: int) -> list[float]:
    """Logits of a distribution whose expectation is `distance`: two neighbouring bins."""
    low = min(int(distance), bins - 2)
    share = distance - low
    values = [-30.0] * bins
    values[low], values[low + 1] = math.log(max(1 - share, 1e-9)), math.log(max(share, 1e-9))
    return values


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("bins", [8, 16])
def test_picodet(tmp_path, separate, bins):
    strides = (8, 16, 32, 64)
    scores, boxes = levels(strides, 2), levels(strides, 4 * bins)
    for box, label, score in OBJECTS:
        for stride in (8, 16) if bins == 8 else (8,):
            for index, x, y in near(box, stride):
                sides = ((x + 0.5) - box[0] / stride, (y + 0.5) - box[1] / stride)
                sides += (box[2] / stride - (x + 0.5), box[3] / stride - (y + 0.5))
                if max(sides) <= bins - 1:
                    scores[stride][index, label] = score
                    boxes[stride][index] = [value for side in sides for value in distribution(side, bins)]
    outputs = {"a": joined(scores), "b": joined(boxes)}
    if separate:
        outputs = {f"s{stride}": scores[stride][np.newaxis] for stride in strides}
        outputs |= {f"b{stride}": boxes[stride][np.newaxis] for stride in strides}
    spec = checked(tmp_path, "picodet", outputs)
    assert spec.decoder_options["bins"] == bins


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize(("unit", "offset"), [("pixels", 0.0), ("strides", 0.5)])
def test_rtmdet_and_raw_yolov6(tmp_path, unit, offset, logits):
    strides = (8, 16, 32)
    scores, boxes = levels(strides, 2, -9.0 if logits else 0.0), levels(strides, 4)
    for box, label, score in OBJECTS:
        for stride in (8, 16):
            for index, x, y in near(box, stride, offset):
                point = (x + offset) * stride, (y + offset) * stride
                sides = np.array([point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]])
                boxes[stride][index] = sides / (1 if unit == "pixels" else stride)
                scores[stride][index, label] = logit(score) if logits else score
    spec = checked(tmp_path, "rtmdet", {"a": joined(scores), "b": joined(boxes)})
    assert (spec.decoder_options["distance_unit"], spec.decoder_options["cell_offset"]) == (unit, offset)
    assert "agree by" in spec.sources["decoder.distance_unit"].note
    assert "its values on the first images" in spec.sources["decoder"].note


def test_decoded_centres_in_cells_are_still_yolov8(tmp_path):
    strides = (8, 16, 32)
    scores, boxes = levels(strides, 2), levels(strides, 4)
    for stride in strides:
        for index, (x, y) in enumerate(cells_of(stride)):
            boxes[stride][index] = (x + 0.5) * stride, (y + 0.5) * stride, stride, stride
    for box, label, score in OBJECTS:
        for index, _, _ in near(box, 16):
            boxes[16][index] = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
            scores[16][index, label] = score
    checked(tmp_path, "yolov8", {"a": joined(boxes), "b": joined(scores)})


def test_yolov6_as_it_is_exported(tmp_path):
    rows = levels((8, 16, 32), 7)
    for stride in rows:
        rows[stride][:, 4] = 1.0
        for index, (x, y) in enumerate(cells_of(stride)):
            rows[stride][index, :4] = (x + 0.5) * stride, (y + 0.5) * stride, stride, stride
    for box, label, score in OBJECTS:
        for index, _, _ in near(box, 16):
            rows[16][index, :4] = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
            rows[16][index, 5 + label] = score
    spec = checked(tmp_path, "yolov6", {"out": joined(rows)})
    assert (spec.input.color, spec.input.std) == ("rgb", (255.0,))
    assert "yolox" in spec.sources["decoder"].note


# -------------------------------------------------------------------------------------------------- anchors


def retina_anchors(style: str):
    """The anchors by the loops of their papers' programs: (centre x, centre y, width, height)."""
    found = []
    for stride in (8, 16, 32, 64, 128):
        for y in range(math.ceil(SIDE / stride)):
            for x in range(math.ceil(SIDE / stride)):
                if style == "efficientdet":  # google/automl: octaves, then aspect ratios 1, 2, 1/2; centres at halves
                    for octave in range(3):
                        for aspect in (1.0, 2.0, 0.5):
                            base = 4.0 * stride * 2 ** (octave / 3)
                            sides = base * math.sqrt(aspect), base / math.sqrt(aspect)
                            found.append(((x + 0.5) * stride, (y + 0.5) * stride, *sides))
                elif style == "retinanet":  # torchvision: ratios h : w of 1/2, 1, 2, then sizes; centres at corners
                    for ratio in (0.5, 1.0, 2.0):
                        for octave in range(3):
                            base = 4.0 * stride * 2 ** (octave / 3)
                            sides = base / math.sqrt(ratio), base * math.sqrt(ratio)
                            found.append((float(x * stride), float(y * stride), *sides))
    return found


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("style", ["efficientdet", "retinanet"])
def test_retinanet_and_raw_efficientdet(tmp_path, style, separate):
    anchors = retina_anchors(style)
    boxes, scores = np.zeros((len(anchors), 4), np.float32), np.full((len(anchors), 2), -12.0, np.float32)
    for box, label, score in OBJECTS:
        width, height = box[2] - box[0], box[3] - box[1]
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for index, (x, y, w, h) in enumerate(anchors):
            if abs(x - centre[0]) < 12 and abs(y - centre[1]) < 12 and 0.6 < w / width < 1.7 and 0.6 < h / height < 1.7:
                code = (centre[0] - x) / w, (centre[1] - y) / h, math.log(width / w), math.log(height / h)
                boxes[index] = code if style == "retinanet" else (code[1], code[0], code[3], code[2])
                scores[index, label] = logit(score)
    outputs = {"b": boxes[np.newaxis], "s": scores[np.newaxis]}
    if separate:
        outputs, start = {}, 0
        for stride in (8, 16, 32, 64, 128):
            side = math.ceil(SIDE / stride)
            count = 9 * side * side
            outputs[f"b{stride}"] = boxes[start : start + count].reshape(1, side, side, 36)
            outputs[f"s{stride}"] = scores[start : start + count].reshape(1, side, side, 18)
            start += count
    spec = checked(tmp_path, "retinanet", outputs)
    assert spec.decoder_options["style"] == style


def blaze_anchors(strides):
    """The anchors of MediaPipe's SsdAnchorsCalculator with fixed_anchor_size: the centres alone, in 0 to 1."""
    found, layer = [], 0
    while layer < len(strides):
        last, each = layer, 0
        while last < len(strides) and strides[last] == strides[layer]:
            each += 2 if len(strides) > 1 else 1  # an aspect ratio, and the interpolated scale's
            last += 1
        side = math.ceil(SIDE / strides[layer])
        found += [((x + 0.5) / side, (y + 0.5) / side) for y in range(side) for x in range(side) for _ in range(each)]
        layer = last
    return found


@pytest.mark.parametrize(("strides", "keypoints"), [((8, 16, 16, 16), 6), ((8, 16, 32, 32, 32), 4), ((4,), 6)])
def test_mediapipe(tmp_path, strides, keypoints):
    anchors = blaze_anchors(strides)
    if strides == (8, 16, 16, 16):
        assert len(anchors) == 896  # as the model card of BlazeFace's 128 × 128 input has it
    boxes = np.zeros((1, len(anchors), 4 + 2 * keypoints), np.float32)
    scores = np.full((1, len(anchors), 1), -50.0, np.float32)
    for box, _, score in OBJECTS:
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for index, (x, y) in enumerate(anchors):
            if abs(x * SIDE - centre[0]) < 10 and abs(y * SIDE - centre[1]) < 10:
                boxes[0, index, :2] = centre[0] - x * SIDE, centre[1] - y * SIDE
                boxes[0, index, 2:4] = box[2] - box[0], box[3] - box[1]
                scores[0, index, 0] = logit(score)
    path = write_model(
        tmp_path / "m.tflite", {"regressors": boxes, "classificators": scores}, input_shape=(1, SIDE, SIDE, 3)
    )
    (tmp_path / "labels.txt").write_text("face")
    spec = resolve_model(ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="labels.txt", images=IMAGES))
    assert spec.decoder == "mediapipe"
    got = found(spec, path)
    assert [label for _, label, _ in got] == [0, 0]
    for (box, _, score), (true, _, expected) in zip(got, OBJECTS, strict=True):
        assert box == pytest.approx(true, abs=1e-3)
        assert score == pytest.approx(expected, abs=1e-5)


# ------------------------------------------------------------------------------------------- grids and maps


def by_formula(formula: str, cell, anchor, stride: int, raw, stretch: float):
    """One box of a raw grid, from its definition."""
    x, y = (sigmoid(value) for value in raw[:2])
    if formula == "v3":
        centre = (x + cell[0]) * stride, (y + cell[1]) * stride
        size = anchor[0] * math.exp(raw[2]), anchor[1] * math.exp(raw[3])
    elif formula == "v4":
        centre = tuple((v * stretch - (stretch - 1) / 2 + c) * stride for v, c in zip((x, y), cell, strict=True))
        size = anchor[0] * math.exp(raw[2]), anchor[1] * math.exp(raw[3])
    else:
        centre = (2 * x - 0.5 + cell[0]) * stride, (2 * y - 0.5 + cell[1]) * stride
        size = anchor[0] * (2 * sigmoid(raw[2])) ** 2, anchor[1] * (2 * sigmoid(raw[3])) ** 2
    return centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2


V3 = [[(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)]]
V4 = [[(12, 16), (19, 36), (40, 28)], [(36, 75), (76, 55), (72, 146)], [(142, 110), (192, 243), (459, 401)]]
TINY_V4 = [[(23, 27), (37, 58), (81, 82)], [(81, 82), (135, 169), (344, 319)]]
TINY = [[(10, 14), (23, 27), (37, 58)], [(81, 82), (135, 169), (344, 319)]]
GRIDS = {
    "v3": (V3, (8, 16, 32), (1.0, 1.0, 1.0)),
    "v4": (V4, (8, 16, 32), (1.2, 1.1, 1.05)),
    "v5": (V3, (8, 16, 32), (1.0, 1.0, 1.0)),
    "v7": (V4, (8, 16, 32), (1.0, 1.0, 1.0)),
    "v3 tiny": (TINY, (16, 32), (1.0, 1.0)),
    "v4 tiny": (TINY_V4, (16, 32), (1.05, 1.05)),
}


@pytest.mark.parametrize("five", [False, True])
@pytest.mark.parametrize("kind", sorted(GRIDS))
def test_raw_grids_of_three_anchors(tmp_path, kind, five):
    anchors, strides, stretches = GRIDS[kind]
    formula = kind.split()[0]
    outputs = {}
    for level, stride in enumerate(strides):
        side = SIDE // stride
        raw = np.zeros((side, side, 3, 7), np.float32)
        raw[..., 4:] = -12.0
        for box, label, score in OBJECTS:
            centre = (box[0] + box[2]) / 2 / stride, (box[1] + box[3]) / 2 / stride
            for y in range(side):
                for x in range(side):
                    for number, anchor in enumerate(anchors[level]):
                        code = _encoded(formula, box, centre, (x, y), anchor, stretches[level])
                        if code is not None:
                            raw[y, x, number, :4] = code
                            raw[y, x, number, 4], raw[y, x, number, 5 + label] = 12.0, logit(score)
                            # The loop's own decode gives the object again
                            got = by_formula(formula, (x, y), anchor, stride, code, stretches[level])
                            assert got == pytest.approx(box, abs=0.01)
        outputs[f"o{stride}"] = raw[np.newaxis] if five else raw.reshape(1, side, side, 21)
    named = {"formula": formula} if formula in ("v5", "v7") else None
    if named:  # nothing but their document tells these two apart
        with pytest.raises(ModelError, match="write `formula: v5` or `formula: v7`"):
            checked(tmp_path, "yolov3", outputs)
    spec = checked(tmp_path, "yolov3", outputs, options=named)
    assert spec.decoder_options["formula"] == formula
    assert named or "agree by" in spec.sources["decoder.formula"].note


def _encoded(formula, box, centre, cell, anchor, stretch):
    """The raw values of a box in a cell, None where it cannot be held there."""
    width, height = (box[2] - box[0]) / anchor[0], (box[3] - box[1]) / anchor[1]
    if not (0.3 < width < 3.5 and 0.3 < height < 3.5):
        return None
    offsets = [c - at for c, at in zip(centre, cell, strict=True)]
    if formula == "v3":
        within = offsets
    elif formula == "v4":
        within = [(value + (stretch - 1) / 2) / stretch for value in offsets]
    else:
        within = [(value + 0.5) / 2 for value in offsets]
    if not all(0.02 < value < 0.98 for value in within):
        return None
    if formula in ("v3", "v4"):
        sizes = math.log(width), math.log(height)
    else:
        sizes = logit(math.sqrt(width) / 2), logit(math.sqrt(height) / 2)
    return [*map(logit, within), *sizes]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("logits", [False, True])
def test_centernet(tmp_path, named, logits):
    side = SIDE // 4
    classes = 2 if named else 3  # of two, names alone tell the heat map from the others
    heat = np.full((1, side, side, classes), -9.0 if logits else 0.0, np.float32)
    sizes, offsets = np.zeros((1, side, side, 2), np.float32), np.zeros((1, side, side, 2), np.float32)
    for box, label, score in OBJECTS:
        centre = (box[0] + box[2]) / 8 + 0.3, (box[1] + box[3]) / 8 + 0.4
        x, y = int(centre[0]), int(centre[1])
        for dx in (-1, 0, 1):  # the neighbours are lower, and are no objects
            heat[0, y, x + dx, label] = logit(score if dx == 0 else 0.5) if logits else (score if dx == 0 else 0.5)
        sizes[0, y, x] = (box[2] - box[0]) / 4, (box[3] - box[1]) / 4
        offsets[0, y, x] = centre[0] - 0.3 - x, centre[1] - 0.4 - y
    names = ("hm", "wh", "reg") if named else ("x", "y", "z")
    outputs = dict(zip(names, (heat, sizes, offsets) if named else (offsets, heat, sizes), strict=True))
    checked(tmp_path, "centernet", outputs, labels="abc"[:classes])


# ------------------------------------------------------------------------------------------------- queries


@pytest.mark.parametrize("queries", [100, 300])
def test_detr_with_no_object(tmp_path, queries):
    boxes = np.full((1, queries, 4), 0.5, np.float32)
    logits = np.zeros((1, queries, 3), np.float32)
    logits[..., 2] = 9.0
    for index, (box, label, score) in enumerate(OBJECTS):
        boxes[0, 7 * index] = centred(box)
        logits[0, 7 * index] = math.log((1 - score) / 2)
        logits[0, 7 * index, label] = math.log(score)
    spec = checked(tmp_path, "detr", {"logits": logits, "boxes": boxes})
    assert (spec.decoder_options["no_object"], spec.decoder_options["activation"]) == (True, "softmax")


@pytest.mark.parametrize(("single", "logits"), [(False, False), (False, True), (True, False)])
def test_rt_detr(tmp_path, single, logits):
    boxes = np.full((1, 300, 4), 0.5, np.float32)
    values = np.full((1, 300, 3), -9.0 if logits else 0.0, np.float32)
    for index, (box, label, score) in enumerate(OBJECTS):
        boxes[0, 5 * index], values[0, 5 * index, label] = centred(box), logit(score) if logits else score
    outputs = {"out": np.concatenate([boxes, values], axis=2)} if single else {"b": boxes, "v": values}
    spec = checked(tmp_path, "rtdetr" if single else "detr", outputs, labels="abc")
    assert single or spec.decoder_options["no_object"] is False


def test_yolo26_end_to_end(tmp_path):
    rows = np.zeros((1, 300, 6), np.float32)
    for index, (box, label, score) in enumerate(OBJECTS):
        rows[0, index] = [*(side / SIDE for side in box), score, label]
    checked(tmp_path, "end2end", {"serving_default_output_0": rows})


@pytest.mark.parametrize("name", ["output_0", "serving_default_args_0"])
def test_litert_exports_of_ultralytics_are_nchw(tmp_path, name):
    """Channels first, boxes in 0 to 1, and output names that are no Identity."""
    rows = levels((8, 16, 32), 6)
    for box, label, score in OBJECTS:
        for index, _, _ in near(box, 16):
            rows[16][index, :4], rows[16][index, 4 + label] = centred(box), score
    outputs = {name: joined(rows).transpose(0, 2, 1).copy()}
    path = write_model(tmp_path / "m.tflite", outputs, input_shape=(1, 3, SIDE, SIDE))
    (tmp_path / "labels.txt").write_text("a\nb")
    spec = resolve_model(ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="labels.txt", images=IMAGES))
    assert (spec.decoder, spec.input.layout, spec.decoder_options["box_unit"]) == ("yolov8", "nchw", "normalized")
    got = found(spec, path)
    assert [label for _, label, _ in got] == [1, 0]
    assert [box for box, _, _ in got] == [pytest.approx(true, abs=1e-3) for true, _, _ in OBJECTS]


# ------------------------------------------------------------------------------------------ NMS inside the file


@pytest.mark.parametrize("regular", [False, True])
def test_efficientdet_lite_and_ssd_end_in_the_real_op(tmp_path, regular):
    """Encodings against anchors by hand, one object twice: the op decodes, and keeps one of it, by either NMS."""
    anchors = np.array(
        [[0.4, 0.3, 0.5, 0.3], [0.6, 0.7, 0.4, 0.4], [0.4, 0.35, 0.5, 0.3], [0.5, 0.5, 0.9, 0.9]], np.float32
    )
    wanted = [(*OBJECTS[0], 0), (*OBJECTS[1], 1), (OBJECTS[0][0], 1, 0.7, 2)]
    boxes, scores = np.zeros((4, 4), np.float32), np.zeros((4, 3), np.float32)
    for box, label, score, at in wanted:
        y, x, h, w = anchors[at].tolist()
        centre = (box[1] + box[3]) / 2 / SIDE, (box[0] + box[2]) / 2 / SIDE
        size = (box[3] - box[1]) / SIDE, (box[2] - box[0]) / SIDE
        boxes[at] = (
            (centre[0] - y) / h * 10,
            (centre[1] - x) / w * 10,
            math.log(size[0] / h) * 5,
            math.log(size[1] / w) * 5,
        )
        scores[at, 1 + label] = score
    path = made_graphs.postprocess(tmp_path / "m.tflite", boxes, scores, anchors, regular=regular)
    (tmp_path / "labels.txt").write_text("a\nb")
    spec = resolve_model(ModelRequest("m", "m", str(path), "d", str(tmp_path), labels="labels.txt", images=IMAGES))
    assert (spec.decoder, spec.decoder_options["slots"]["boxes"]) == ("tflite_postprocess", "boxes")
    got = found(spec, path)
    assert [(label, round(score, 3)) for _, label, score in got] == [(1, 0.9), (0, 0.8)]
    assert [box for box, _, _ in got] == [pytest.approx(box, abs=0.01) for box, _, _ in OBJECTS]
