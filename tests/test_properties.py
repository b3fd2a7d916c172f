"""What holds of any input: geometry, boxes, NMS against its definition, gates, documents, and what a resume key is
of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_results import made_cell, made_result

from auditor.boxes import BOX_FORMATS, clip, iou, to_xywh, to_xyxy
from auditor.config import parse_result, result_document
from auditor.datasets.dataset import Dataset
from auditor.delegate import NONE, XNNPACK
from auditor.encoding import encode, geometry_of
from auditor.evaluate.bootstrap import draw_weights
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.gates import apply_gates
from auditor.plan import Entry, Subjects, lay_out
from auditor.tasks.detection.postprocess import suppress
from auditor.values import (
    GroundTruth,
    ImageRecord,
    InputContract,
    MetricValue,
    ModelSpec,
    Postprocess,
    Rule,
    ScenarioSpec,
    Transform,
)

settings.register_profile("auditor", max_examples=60, deadline=None, derandomize=True)
settings.load_profile("auditor")

# ----------------------------------------------------------------------------------------------------------- geometry

sides = st.integers(8, 600)
contracts = st.builds(
    InputContract,
    height=st.integers(16, 320),
    width=st.integers(16, 320),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    anchor=st.sampled_from(["center", "top_left"]),
    rounding=st.sampled_from(["round", "floor"]),
)


@given(contracts, sides, sides, st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5))
def test_boxes_return_from_the_input_to_where_they_were(contract, width, height, corners):
    geometry = geometry_of((width, height), contract)
    boxes = np.array(corners) * [width, height, width, height]
    inside = boxes * np.array(geometry.scale * 2) + np.array(geometry.offset * 2)
    assert geometry.to_original(inside) == pytest.approx(boxes, abs=1e-6)


@given(contracts, sides, sides)
@settings(max_examples=40)
def test_a_pixel_lands_where_the_geometry_says(contract, width, height):
    """A bright square is found in the input at the place that the geometry gives its box, to a pixel."""
    assume(max(width, height) / min(width, height) < 8)
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = width // 4, height // 4, width - width // 4, height - height // 4
    image[top:bottom, left:right] = 255
    tensor, geometry = encode(image, dataclasses.replace(contract, pad=0.0))
    lit = tensor[0, :, :, 0] > 127
    assume(lit.any())
    rows, columns = np.nonzero(lit.any(axis=1))[0], np.nonzero(lit.any(axis=0))[0]
    found = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
    wanted = np.array([[left, top, right, bottom]]) * np.array(geometry.scale * 2) + np.array(geometry.offset * 2)
    assert np.array(found) == pytest.approx(clip(wanted, width=contract.width, height=contract.height), abs=2.0)


boxes_xyxy = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 50), st.floats(0.5, 50)), max_size=30
).map(lambda rows: np.array([[x, y, x + w, y + h] for x, y, w, h in rows]).reshape(-1, 4))


@given(boxes_xyxy, st.sampled_from(BOX_FORMATS))
def test_box_formats_agree(boxes, box_format):
    """A box written in each format by its definition is the same box."""
    x1, y1, x2, y2 = boxes.T
    written = {
        "xyxy": np.stack([x1, y1, x2, y2], axis=1),
        "yxyx": np.stack([y1, x1, y2, x2], axis=1),
        "cxcywh": np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1),
        "xywh": np.stack([x1, y1, x2 - x1, y2 - y1], axis=1),
    }[box_format]
    assert to_xyxy(written, box_format) == pytest.approx(boxes, abs=1e-9)
    assert to_xyxy(to_xywh(boxes), "xywh") == pytest.approx(boxes, abs=1e-9)


@given(boxes_xyxy, boxes_xyxy)
def test_iou_is_what_it_is_defined_as(first, second):
    found = iou(first, second)
    assert found.shape == (len(first), len(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
            assert found[i, j] == pytest.approx(wide * high / union)


# ---------------------------------------------------------------------------------------------------------------- NMS


def greedy(boxes, labels, threshold, most):
    """NMS by its definition: the best that is left is kept, and what overlaps it by more than `threshold` goes."""
    left, kept = list(range(len(boxes))), []
    while left and len(kept) < most:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if labels[i] != labels[best] or iou(boxes[[best]], boxes[[i]])[0, 0] <= threshold]
    return kept


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(4, 30), st.integers(4, 30), st.integers(0, 2)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([0.3, 0.45, 0.5, 0.65, 0.7, 0.9]),
    st.integers(1, 60),
)
@settings(max_examples=150)
def test_nms_is_what_it_is_defined_as(rows, threshold, most):
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], dtype=np.float64)
    labels = np.array([label for *_, label in rows], dtype=np.int64)
    overlaps = iou(boxes, boxes)
    assume(not np.any(np.abs(overlaps - threshold) < 1e-5))  # equal in decimals, not in float32
    scores = np.linspace(0.99, 0.01, len(boxes))
    found = suppress(boxes, scores, labels, iou=threshold, most=most).tolist()
    assert found == greedy(boxes, labels, threshold, most)


def test_the_threshold_of_nms_matters():
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 6]])  # IoU 0.6
    scores, labels = np.array([0.9, 0.8]), np.zeros(2, np.int64)
    assert [len(suppress(boxes, scores, labels, iou=at, most=9)) for at in (0.5, 0.55, 0.65, 0.9)] == [1, 1, 2, 2]


# -------------------------------------------------------------------------------------------------------------- gates

values = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.one_of(st.none(), values), min_size=1, max_size=6), values, st.sampled_from(["min", "max"]))
def test_a_gate_is_its_definition(found, limit, kind):
    """It fails where any value lies beyond the limit, else is incomplete where one is undefined, else passes."""
    cells = [made_cell("noise/iso", severity, value) for severity, value in enumerate(found, start=1)]
    (applied,) = apply_gates(made_result(cells), [Rule("AP", kind, limit)], CATALOGUE)
    outcome = applied.outcome
    known = [value for value in found if value is not None]
    beyond = [value for value in known if (value < limit if kind == "min" else value > limit)]
    assert outcome.status == ("failed" if beyond else "incomplete" if len(known) < len(found) else "passed")
    assert outcome.measured == len(known)
    told = [item for item in applied.findings if item.code == "gate.violated"]
    assert sorted(item.observed for item in told) == sorted(beyond)
    distances = [abs(item.observed - item.limit) for item in told]
    assert distances == sorted(distances, reverse=True)


@given(values, values, st.floats(0.01, 1))
def test_a_drop_is_a_difference(clean, dark, allowed):
    assume(abs((clean - dark) - allowed) > 1e-9)
    cells = [made_cell("clean", 0, clean), made_cell("lighting/low_light", 3, dark)]
    (applied,) = apply_gates(made_result(cells), [Rule("AP", "max_drop", allowed, {}, "clean")], CATALOGUE)
    assert applied.outcome.status == ("failed" if clean - dark > allowed else "passed")


@given(st.lists(values, min_size=1, max_size=5), values, values)
def test_a_harder_gate_is_never_passed_by_what_fails_an_easier_one(found, one, other):
    low, high = sorted((one, other))
    result = made_result([made_cell("noise/iso", severity, value) for severity, value in enumerate(found, start=1)])
    easy, hard = (apply_gates(result, [Rule("AP", "min", limit)], CATALOGUE)[0].outcome.status for limit in (low, high))
    assert (easy, hard) != ("failed", "passed")


# ---------------------------------------------------------------------------------------------------------- documents

metric_values = st.one_of(
    st.builds(
        MetricValue,
        name=st.just("AP"),
        value=st.floats(-1, 1),
        interval=st.one_of(st.none(), st.tuples(st.floats(-1, 1), st.floats(-1, 1))),
        higher_is_better=st.booleans(),
        images=st.integers(0, 5000),
    ),
    st.builds(MetricValue, name=st.just("AP"), value=st.none(), reason=st.text(min_size=1, max_size=20)),
)
places = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(st.tuples(metric_values, places, st.floats(0, 5), places), max_size=4))
def test_a_result_is_the_same_after_its_document(found):
    cells = [
        made_cell(scenario, severity, 0.5, metrics={"AP": metric}, device=device)
        for metric, scenario, severity, device in found
    ]
    result = made_result(cells, summaries=None if not cells else ())
    text = json.dumps(result_document(result), allow_nan=False)
    assert parse_result(json.loads(text), path=Path("result.json")) == result


# -------------------------------------------------------------------------------------------------------- resume keys

IMAGES = tuple(ImageRecord(number, Path(f"{number}.png"), (20, 10), f"{number}" * 8) for number in (1, 2))
SPEC = ModelSpec(
    name="m",
    model="m",
    path="m.tflite",
    sha256="0",
    task="detection",
    quantization="float32",
    input=InputContract(32, 32),
    decoder="yolox",
    decoder_options={"label_offset": 0},
    labels=("a",),
    postprocess=Postprocess(),
    size_bytes=1,
)
SCENARIO = ScenarioSpec("p", "s", 1, "about", "px", {"k": (1, 2, 3, 4, 5)}, (Transform("builtin", "defocus"),))


def keys_of(spec=SPEC, scenario=SCENARIO, images=IMAGES, delegates=(XNNPACK,), **changed):
    truth = {
        image.id: GroundTruth(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), np.zeros(0, bool)) for image in images
    }
    dataset = Dataset("default", "coco", images, truth, ("a",), {}, task="detection")
    subjects = Subjects(
        **{
            "seed": 3,
            "datasets": {"default": dataset},
            "entries": (Entry("m", leads=True),),
            "specs": (spec,),
            "matches": {},
            "scenarios": (scenario,),
            "severities": (1.0, 3.0),
            "asked_delegates": delegates,
            "delegates": {spec.name: delegates},
            "calibration": {},
            "unreadable": {},
            "versions": {"numpy": "2"},
            "hashes": {},
            **changed,
        }
    )
    units = lay_out(subjects, [spec], [scenario], {spec.name: list(delegates)}, {"default": images})
    return [unit.resume_key for unit in units]


def changed_value(value):
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case tuple():
            return (*value, value[0]) if value else ("x",)
        case dict():
            return {**value, "other": 1}
        case None:
            return "x"
    return dataclasses.replace(value, **{dataclasses.fields(value)[0].name: changed_value(first_of(value))})


def first_of(value):
    return getattr(value, dataclasses.fields(value)[0].name)


WHAT_CHANGES_NO_PREDICTION = {
    "path", "output_dtypes", "sources", "made", "role", "diagnosis", "model", "quantization", "labels",
}  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelSpec) if field.name != "dataset"])
def test_every_field_of_a_model_s_spec_changes_the_resume_key(field):
    changed = dataclasses.replace(SPEC, **{field: changed_value(getattr(SPEC, field))})
    same = keys_of(changed) == keys_of()
    assert same == (field in WHAT_CHANGES_NO_PREDICTION), field


@pytest.mark.parametrize("part", ["input", "postprocess"])
def test_every_field_within_a_spec_changes_the_resume_key(part):
    value = getattr(SPEC, part)
    for field in dataclasses.fields(value):
        other = dataclasses.replace(value, **{field.name: changed_value(getattr(value, field.name))})
        assert keys_of(dataclasses.replace(SPEC, **{part: other})) != keys_of(), field.name


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ScenarioSpec)])
def test_every_field_of_a_scenario_that_changes_a_pixel_changes_the_resume_key(field):
    other = dataclasses.replace(SCENARIO, **{field: changed_value(getattr(SCENARIO, field))})
    assert (keys_of(scenario=other) == keys_of()) == (
        field in {"about", "unit", "remedy", "source", "monotone", "folder", "distribution"}
    )


def test_whatever_else_changes_a_pixel_changes_the_resume_key():
    others = [
        keys_of(seed=4),
        keys_of(versions={"numpy": "3"}),
        keys_of(severities=(1.0, 4.0)),
        keys_of(delegates=(NONE,)),
        keys_of(hashes={"p/s": "1"}),
        keys_of(hashes={XNNPACK.name: "1"}),
        keys_of(images=(IMAGES[0], dataclasses.replace(IMAGES[1], sha256="9"))),
        keys_of(images=IMAGES[:1]),
    ]
    assert all(other != keys_of() for other in others)
    assert len({tuple(other) for other in others}) == len(others)
    assert keys_of(hashes={"another/scenario": "1"}) == keys_of()


# ---------------------------------------------------------------------------------------------------------- resamples


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=15)
def test_every_resample_draws_as_many_images_as_there_are(images, seed):
    weights = draw_weights(images, seed=seed)
    assert (weights.sum(axis=1) == images).all()
    assert (weights == draw_weights(images, seed=seed)).all()
