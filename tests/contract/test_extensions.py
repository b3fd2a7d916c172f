"""What every registered extension promises, asked of each."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from auditor import extensions
from auditor.errors import InputError
from auditor.evaluate.robustness import summarize
from auditor.values import AuditResult, Detections, Finding, GroundTruth, MetricValue

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
EVERY = [(group, name) for group in extensions.GROUPS for name in extensions.names(group)]


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_it_can_be_imported_and_is_documented(group, name):
    assert inspect.getdoc(extensions.resolve(group, name))


@pytest.mark.parametrize("name", extensions.names("decoders"))
def test_a_decoder_takes_outputs_and_spec(name):
    assert list(inspect.signature(extensions.resolve("decoders", name)).parameters) == ["outputs", "spec"]


@pytest.mark.parametrize("name", extensions.names("corruptions"))
def test_a_corruption_keeps_shape_type_and_input(name):
    function = extensions.resolve("corruptions", name)
    (knob,) = set(inspect.signature(function).parameters) - {"image", "rng"}
    before = IMAGE.copy()
    value = {"kelvin": 3000.0, "photons": 20.0}.get(knob, 2.0)
    first = function(IMAGE, rng=np.random.default_rng(5), **{knob: value})
    assert (before == IMAGE).all()
    assert (first.shape, first.dtype) == (IMAGE.shape, np.uint8)
    assert (first != IMAGE).any()
    assert (function(IMAGE, rng=np.random.default_rng(5), **{knob: value}) == first).all()


def scene(count):
    boxes = np.array([[0.0, 0.0, 10.0, 10.0]] * count).reshape(-1, 4)
    labels = np.zeros(count, dtype=np.int64)
    return boxes, labels


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("name", extensions.names("metrics"))
def test_a_metric_is_none_with_a_reason_or_a_number(name, count):
    boxes, labels = scene(count)
    truth = {4: GroundTruth(boxes, labels, np.full(count, 100.0), np.zeros(count, dtype=bool))}
    values = extensions.resolve("metrics", name)(truth, {4: Detections(boxes, np.ones(count), labels)}, ("thing",))
    for value in [values] if isinstance(values, MetricValue) else values:
        assert (value.value is None) == bool(value.reason)
        assert value.value is None or np.isfinite(value.value)


@pytest.mark.parametrize("name", extensions.names("checks"))
def test_a_check_takes_an_empty_result(name):
    result = AuditResult("1.0", "empty", {}, {"gates": []}, (), {}, (), summarize(()))
    assert all(isinstance(finding, Finding) for finding in extensions.resolve("checks", name)(result))


def test_an_unknown_name_and_a_taken_name_are_errors(monkeypatch):
    with pytest.raises(InputError, match="'yolov99' is not registered"):
        extensions.resolve("decoders", "yolov99")
    point = extensions.importlib.metadata.EntryPoint(name="yolox", value="mine:decode", group="auditor.decoders")
    monkeypatch.setattr(extensions.importlib.metadata, "entry_points", lambda group: [point])
    extensions.table.cache_clear()
    with pytest.raises(InputError, match="the auditor itself has that name"):
        extensions.table("decoders")
    extensions.table.cache_clear()
