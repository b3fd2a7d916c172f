"""Whether data and labels carry the numbers: every threshold and fact of the checks, on results written by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from made_results import (
    DATASET,
    codes,
    findings_of,
    made_cell,
    made_result,
    model,
    only,
)

from auditor.judge.catalogue import CATALOGUE
from auditor.judge.classes import check_labels
from auditor.judge.data import check_data, distance
from auditor.values import (
    BoxSizes,
    CalibrationRecord,
    InputContract,
    Judging,
    PlanRecord,
)


# ---- data
def described(name="default", models=None, **facts):
    dataset = dataclasses.replace(DATASET, **facts)
    return made_result([], datasets={name: dataset}, models=(model(dataset=name),) if models is None else models)


@pytest.mark.parametrize(("images", "told"), [(199, ["data.few_images"]), (200, [])])
def test_few_images_are_told(images, told):
    assert codes(check_data, described(images=images)) == told


def test_few_images_are_counted_in_what_the_task_counts():
    found = only(check_data, described(images=20), "data.few_images")
    assert found.facts == {"dataset": "the data set", "images": 20, "boxes": 900, "enough": 200}
    assert (found.observed, found.limit) == (20, 200)
    other_task = (model(dataset="night", judging=Judging("top1", things="images")),)
    found = only(check_data, described("night", other_task, images=20), "data.few_images")
    assert (found.facts["dataset"], found.facts["boxes"]) == ("the data set night", None)
    assert only(check_data, described(models=(), images=20), "data.few_images").facts["boxes"] is None


@pytest.mark.parametrize(
    ("about", "code", "remedy"),
    [
        ({"boxes_on_every": 5}, "data.sparse_truth", "`every: 5`, which takes the frames 1, 6, 11"),
        ({"boxes_on_every": 5, "last_box_on": 96}, "data.sparse_truth", "`every: 5`"),
        ({"last_box_on": 96}, "data.truth_ends", "`limit: 96`"),
    ],
)
def test_truth_of_a_part_of_a_clip_is_told_with_the_line_that_leaves_the_rest_out(about, code, remedy):
    result = described(images=600, about=about, counts={"images_without_truth": 480})
    assert codes(check_data, result) == [code]
    found = only(check_data, result, code)
    assert (found.observed, found.facts["frames"]) == (480, 600)
    assert remedy in CATALOGUE[code].words(**found.facts).remedy


def test_classes_with_few_instances_are_named():
    assert codes(check_data, described(instances={"a": 10})) == []
    found = only(check_data, described(instances={"a": 10, "b": 9, "c": 0, "d": 1}), "data.rare_classes")
    assert found.facts == {
        "dataset": "the data set",
        "rare": ["b 9", "c 0", "d 1"],
        "classes": 4,
        "few": 10,
        "things": "boxes",
        "without": 1,
    }
    assert found.observed == 3


def test_each_flaw_of_the_truth_has_its_code():
    facts = {"duplicate_images": 1, "duplicate_boxes": 2, "boxes_outside": 3, "boxes_in_corner": 7}
    counts = {"missing_files": 0, "zero_area_boxes": 4, "difficult_objects": 5, "something_else": 6}
    found = list(check_data(described(**facts, counts=counts)))
    assert [(item.code, item.facts, item.observed) for item in found] == [
        ("data.zero_area_boxes", {"count": 4, "dataset": "the data set"}, 4),
        ("data.duplicate_images", {"count": 1, "dataset": "the data set"}, 1),
        ("data.duplicate_boxes", {"count": 2, "dataset": "the data set"}, 2),
        ("data.boxes_outside", {"count": 3, "dataset": "the data set"}, 3),
        ("data.boxes_in_corner", {"count": 7, "dataset": "the data set"}, 7),
        ("data.difficult_objects", {"count": 5, "dataset": "the data set"}, 5),
    ]


def test_images_that_could_not_be_read_are_those_that_are_there():
    cells = [
        made_cell("clean", 0, 0.5, counts={"failed_images": 3, "images_of_other_size": 2}),
        made_cell("noise/iso", 1, 0.5, counts={"failed_images": 5, "images_of_other_size": 1}),
        made_cell("noise/iso", 2, None, status="failed", counts={"failed_images": 9}),
    ]
    missing = {"default": dataclasses.replace(DATASET, counts={"missing_files": 2})}
    unreadable = only(check_data, made_result(cells, datasets=missing), "data.unreadable")
    assert (unreadable.facts, unreadable.observed) == ({"count": 3, "named": []}, 3)
    size = only(check_data, made_result(cells), "data.other_size")
    assert (size.facts, size.observed) == ({"count": 2}, 2)
    missing = {"default": dataclasses.replace(DATASET, counts={"missing_files": 5})}
    assert "data.unreadable" not in codes(check_data, made_result(cells, datasets=missing))


def test_images_are_named_where_so_many_are_unreadable_that_nothing_is_measured():
    lost = {**{f"{index}.png": "it is empty (0 bytes)" for index in range(12)}, "gone.png": "No such file or directory"}
    cells = [made_cell("clean", 0, None, status="failed", counts={"failed_images": 13})]
    datasets = {"default": dataclasses.replace(DATASET, counts={"missing_files": 1}, unreadable=lost)}
    found = only(check_data, made_result(cells, datasets=datasets), "data.unreadable")
    assert found.observed == 12
    assert found.facts["named"] == [f"{index}.png: it is empty (0 bytes)" for index in range(10)]


def small(share, boxes=10, **changed):
    return model(boxes_at_input=BoxSizes(boxes, share, 0.6, (0.0,), (boxes,)), **changed)


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ([small(0.2)], 1),
        ([small(0.1999)], 0),
        ([small(0.9, boxes=0)], 0),
        ([model()], 0),
        ([small(0.3), small(0.4, name="n")], 1),
        ([small(0.3), small(0.4, name="n", dataset="night")], 2),
        ([small(0.3), small(0.4, name="n", input=InputContract(height=64, width=32))], 2),
        ([small(0.3), small(0.4, name="n", input=InputContract(height=32, width=64))], 2),
        ([small(0.3), small(0.4, name="n", input=InputContract(height=32, width=32, resize="letterbox"))], 2),
    ],
)
def test_small_boxes_are_told_once_for_each_size_of_input(models, told):
    found = list(check_data(made_result([], models=tuple(models))))
    assert [item.code for item in found] == ["data.small_boxes"] * told
    for item in found[:1]:
        share = models[0].boxes_at_input.under_8px
        assert item.facts == {"file": "m", "under_8px": share, "under_16px": 0.6, "width": 32, "height": 32}
        assert (item.observed, item.limit, item.cell) == (share, 0.2, {"model": "m", "file": "m"})


def unlike(mine, theirs, fact="brightness"):
    plan = PlanRecord(calibration={"m": CalibrationRecord(len(mine), 0, {fact: tuple(mine)})})
    datasets = {"default": dataclasses.replace(DATASET, facts={fact: tuple(theirs)})}
    return list(check_data(made_result([], plan=plan, datasets=datasets)))


def test_calibration_images_unlike_the_evaluated_are_told():
    mine, theirs = [float(value) for value in range(128)], [float(value) for value in range(33, 161)]
    (found,) = unlike(mine, theirs)
    assert found.facts == {"entry": "m", "fact": "brightness", "mine": 64.0, "theirs": 97.0, "apart": 33 / 128}
    assert (found.observed, found.limit, found.cell) == (33 / 128, 0.25, {"model": "m"})
    assert unlike(mine, [value - 1 for value in theirs]) == []  # D is 0.25 exactly
    assert unlike(mine, theirs, fact="hue") == []
    assert unlike([], theirs) == unlike(mine, []) == []


def test_what_few_images_can_show_is_not_called_unlike():
    assert 1.63 * math.sqrt(20 / 100) == pytest.approx(0.729, abs=1e-4)  # D's 1 % point for 10 and 10
    ten = [float(value) for value in range(10)]
    assert unlike(ten, [value + 7 for value in ten]) == []  # 0.7
    assert len(unlike(ten, [value + 8 for value in ten])) == 1  # 0.8
    assert 1.63 * math.sqrt(25 / 100) == pytest.approx(0.815)  # for 5 and 20
    assert unlike([0.0] * 5, [0.0] * 4 + [1.0] * 16) == []  # 0.8
    assert len(unlike([0.0] * 5, [0.0] * 3 + [1.0] * 17)) == 1  # 0.85


def test_distance_is_kolmogorovs():
    assert distance([1, 2, 3, 4], [2, 3, 4, 5]) == 0.25
    assert distance([0], [1, 1, 1, 0]) == 0.75
    assert distance([3, 1, 2], [2, 3, 1]) == 0.0


# ---- labels
def test_classes_that_are_not_judged_are_named():
    changed = {
        "classes_judged": ("a",),
        "class_aliases": (("tv", "tvmonitor"),),
        "classes_only_truth": ("b", "c"),
        "classes_only_model": ("d",),
    }
    aliases, missing, extra = findings_of(check_labels, made_result([], models=(model(**changed),)))
    assert (aliases.code, aliases.facts) == ("labels.aliases", {"file": "m", "pairs": ["tv = tvmonitor"]})
    assert (missing.code, missing.facts) == (
        "labels.missing",
        {"file": "m", "missing": ["b", "c"], "metric": "AP", "judged": 1},
    )
    assert (extra.code, extra.facts) == ("labels.extra", {"file": "m", "extra": ["d"]})
    assert all(item.cell == {"model": "m", "file": "m"} for item in (aliases, missing, extra))
    assert codes(check_labels, made_result([])) == []
