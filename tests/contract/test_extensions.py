"""What every registered extension promises, asked of each."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_results import made_cell, made_result, model

from auditor import extensions
from auditor.delegate import NONE, Delegate
from auditor.errors import InputError
from auditor.heads.anatomy.head import Head, Match, Near, Seen
from auditor.judge.told import NotRun
from auditor.report.section import Shown
from auditor.run import catalogue
from auditor.tasks.anatomy.task import Judged
from auditor.values import ClassTruth, GroundTruth, InputContract, PlanRecord, ScenarioRecord

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
EVERY = [(group, name) for group in extensions.GROUPS for name in extensions.names(group)]
HEADS: dict[str, Head] = extensions.every("heads")


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_it_can_be_imported(group, name):
    assert extensions.resolve(group, name) is not None


@pytest.mark.parametrize("group", ["heads", "tasks", "datasets", "runtimes", "sections", "metrics"])
def test_it_is_called_as_it_is_registered(group):
    assert {name: found.name for name, found in extensions.every(group).items()} == {
        name: name for name in extensions.names(group)
    }


@pytest.mark.parametrize("name", extensions.names("corruptions"))
def test_a_corruption_keeps_shape_type_and_input(name, tmp_path):
    function = extensions.resolve("corruptions", name)
    assert inspect.getdoc(function)
    knobs = set(inspect.signature(function).parameters) - {"image", "rng"}
    before = IMAGE.copy()
    cv2.imwrite(str(tmp_path / "dirt.png"), np.random.default_rng(1).integers(0, 256, (20, 20, 4), dtype=np.uint8))
    usual = {"kelvin": 3000.0, "photons": 20.0, "share": 0.5, "step": 0.5, "files": (tmp_path / "dirt.png",)}
    usual |= {"opacity": 0.5, "mode": "cover", "cover": 0.3, "lines": 1.0, "depth": 0.5}
    values = {knob: usual.get(knob, 2.0) for knob in knobs}
    first = function(IMAGE, rng=np.random.default_rng(5), **values)
    assert (before == IMAGE).all()
    assert (first.shape, first.dtype) == (IMAGE.shape, np.uint8)
    assert (first != IMAGE).any()
    assert (function(IMAGE, rng=np.random.default_rng(5), **values) == first).all()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_head_is_complete(name):
    head = HEADS[name]
    assert head.task in extensions.names("tasks")
    assert head.about
    assert inspect.getdoc(head.decode)
    assert head.input is None or set(head.input) <= {field.name for field in dataclasses.fields(InputContract)}
    assert all(option.expected and not option.right(object()) for option in head.options.values())


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_head_looks_at_any_outputs_without_breaking(name):
    contract = InputContract(height=32, width=32)
    for shape in [(1,), (1, 7), (1, 1, 1, 5), (1, 21, 85), (1, 85, 21), (1, 300, 6), (1, 4, 4, 3), (2, 3, 4)]:
        answer = HEADS[name].recognise(Seen({"out": np.zeros(shape, np.float32)}, contract))
        assert answer is None or isinstance(answer, Match | Near)


def empty_truth(task):
    kinds = {"classification": ClassTruth(None)}
    boxes = np.zeros((0, 4))
    nothing = GroundTruth(boxes, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))
    return kinds.get(task.truths[0], nothing)


@pytest.mark.parametrize("name", extensions.names("tasks"))
def test_a_task_says_none_with_a_reason_of_nothing(name):
    task = extensions.resolve("tasks", name)
    assert task.primary == next(iter(task.metrics))
    values = {column: about.empty() for column, about in task.columns.items()}
    prediction, dropped = task.to_prediction(values, np.array([0]), 0)
    truth = {4: task.restrict(empty_truth(task), {0: 0})}
    found = task.evaluate(Judged(("thing",), truth, {4: prediction}, np.ones((3, 1), np.int64)))
    assert dropped == 0
    assert found.error or all(value.value is None and value.reason for value in found.metrics)


@pytest.mark.parametrize("name", extensions.names("checks"))
def test_a_check_tells_codes_of_the_catalogue(name):
    scenario = ScenarioRecord("noise/iso", 1, "", "", {}, ())
    cells = [made_cell("clean", 0, 0.5), made_cell("noise/iso", 3, 0.1)]
    rich = made_result(cells, models=(model(class_aliases=(("a", "b"),)),), plan=PlanRecord(scenarios=(scenario,)))
    for result in (made_result(), rich):
        told = list(extensions.resolve("checks", name)(result))
        assert all(isinstance(item, NotRun) or item.code in catalogue() for item in told)
        assert all(item.reason for item in told if isinstance(item, NotRun))


@pytest.mark.parametrize("name", extensions.names("sections"))
def test_a_section_takes_an_empty_result(name):
    section = extensions.resolve("sections", name)
    facts = section.facts(Shown(made_result(), {}))
    assert facts is None or isinstance(facts, dict)


@pytest.mark.parametrize("name", extensions.names("runtimes"))
def test_a_runtime_reads_files_or_has_a_stand_in(name):
    runtime = extensions.resolve("runtimes", name)
    assert (runtime.facts is None) == (runtime.stand_in is not None)
    assert not runtime.reads(Path("model.onnx"))
    on = list(runtime.delegates([NONE]))
    assert all(isinstance(delegate, Delegate) for delegate in on)
    assert (on == [NONE]) == (runtime.delegate is None)


@pytest.mark.parametrize("name", extensions.names("datasets"))
def test_a_format_recognises_nothing_in_an_empty_folder_and_says_what_it_lacks(name, tmp_path):
    from auditor.datasets.dataset import DatasetRequest

    form = extensions.resolve("datasets", name)
    assert form.task in ("", *extensions.names("tasks"))
    assert form.detect(tmp_path) is None
    with pytest.raises(InputError):
        form.load(DatasetRequest("d"))


def test_an_unknown_name_and_a_taken_name_are_errors(monkeypatch):
    with pytest.raises(InputError, match="'yolov99' is not registered"):
        extensions.resolve("heads", "yolov99")
    point = extensions.importlib.metadata.EntryPoint(name="yolox", value="mine:HEAD", group="auditor.heads")
    monkeypatch.setattr(extensions.importlib.metadata, "entry_points", lambda group: [point])
    extensions.table.cache_clear()
    with pytest.raises(InputError, match="the auditor itself has that name"):
        extensions.table("heads")
    extensions.table.cache_clear()
