"""Every check of the judge, at its thresholds and with all of its facts, on results written by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from made_results import DATASET, PROVENANCE, made_cell, made_result, model, worded

from auditor.delegate import NONE, XNNPACK
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.classes import check_labels
from auditor.judge.data import check_data, distance
from auditor.judge.delegates import check_delegates
from auditor.judge.endurance import check_latency, check_memory
from auditor.judge.inputs import check_input_contract
from auditor.judge.quantization import breaks_in_head, check_quantization, loses
from auditor.judge.ran import check_run
from auditor.judge.robust import check_robustness
from auditor.judge.told import as_finding, place_of
from auditor.values import (
    Agreement,
    BoxSizes,
    CalibrationRecord,
    Cell,
    Compared,
    DelegateOps,
    DelegateRecord,
    Diagnosis,
    InputCodes,
    InputContract,
    Judging,
    Latency,
    LayerError,
    LevelTest,
    Made,
    Measurement,
    MemoryLimit,
    MetricValue,
    OutputCodes,
    Patch,
    PlanRecord,
    Replaced,
    ScenarioRecord,
    Source,
    SourceTree,
    Streams,
    Sustained,
)


def codes(check, result):
    return [item.code for item in check(result)]


def only(check, result, code):
    (found,) = [item for item in check(result) if item.code == code]
    assert worded([found])[0].message
    return found


def minus(reference, value, *interval):
    name = f"AP_minus_{reference}"
    reason = None if value is not None else "undefined"
    return {name: MetricValue(name, value, reason=reason, interval=interval or None)}


def cell_of(value, metrics=(), **facts):
    cell = made_cell("clean", 0, value, **facts)
    return dataclasses.replace(cell, metrics={**cell.metrics, **dict(metrics)})


# ---- what ran


def test_cells_that_failed_alike_are_told_once_with_the_last_line_of_the_reason():
    alike = [made_cell("noise/iso", severity, None, status="failed", error="Traceback\nlost") for severity in (1, 2)]
    other = made_cell("clean", 0, None, status="failed", error="  ")
    skipped = made_cell("noise/iso", 3, None, status="skipped")
    first, second = check_run(made_result([made_cell("noise/iso", 4, 0.5), *alike, other, skipped]))
    assert first.facts == {"where": f"2 cells of m, first {alike[0].key}", "reason": "lost"}
    assert first.cell == place_of(alike[0])
    assert second.facts == {"where": str(other.key), "reason": "no reason was recorded"}
    assert second.cell["scenario"] == "clean"


def test_the_same_reason_in_two_files_is_told_twice():
    cells = [made_cell("clean", 0, None, status="failed", file=file, error=None) for file in ("m", "n")]
    assert [item.facts["where"] for item in check_run(made_result(cells))] == [str(cell.key) for cell in cells]


@pytest.mark.parametrize(
    ("tree", "facts"),
    [
        (SourceTree(commit="0123456789abcdef", dirty=True), [{"commit": "0123456789ab"}]),
        (SourceTree(dirty=True), [{"commit": ""}]),
        (SourceTree(commit="0123456789abcdef"), []),
        (None, []),
    ],
)
def test_a_dirty_tree_is_told_with_twelve_digits_of_its_commit(tree, facts):
    result = dataclasses.replace(made_result(), provenance=dataclasses.replace(PROVENANCE, source=tree))
    assert [item.facts for item in check_run(result)] == facts


# ---- robustness


def scenario(key, remedy=""):
    return ScenarioRecord(key, 1, "", "", {}, (), remedy)


ROBUST = [
    made_cell("clean", 0, 0.8),
    made_cell("noise/iso", 4, 0.1),  # beyond the middle severity
    made_cell("noise/iso", 3, 0.3),
    made_cell("noise/iso", 2, 0.4),  # exactly half
    made_cell("noise/iso", 1, 0.8),
    made_cell("lighting/low_light", 1, 0.6),
    made_cell("lighting/low_light", 2, None),
]


def test_a_scenario_that_keeps_less_than_half_by_a_middle_severity_is_weak():
    plan = PlanRecord(scenarios=(scenario("noise/iso", "Denoise."), scenario("lighting/low_light")))
    found = only(check_robustness, made_result(ROBUST, plan=plan), "robustness.weak")
    assert found.facts == {
        "label": "m (float32, xnnpack)",
        "scenario": "noise/iso",
        "severity": 3,
        "metric": "AP",
        "kept": pytest.approx(0.375),
        "value": pytest.approx(0.3),
        "clean": 0.8,
        "remedy": "Denoise.",
    }
    assert (found.observed, found.limit) == (pytest.approx(0.375), 0.5)
    assert (found.cell["scenario"], found.cell["severity"]) == ("noise/iso", 3)


def test_the_mildest_weak_severity_is_told_and_no_other():
    cells = [made_cell("clean", 0, 0.8), *(made_cell("noise/iso", severity, 0.1) for severity in (3, 2, 5))]
    assert only(check_robustness, made_result(cells), "robustness.weak").facts["severity"] == 2


def test_the_weakest_scenario_is_that_of_the_least_mean():
    plan = PlanRecord(scenarios=(scenario("noise/iso"), scenario("lighting/low_light", "Light.")))
    found = only(check_robustness, made_result(ROBUST, plan=plan), "robustness.weakest")
    assert found.facts == {
        "label": "m (float32, xnnpack)",
        "metric": "AP",
        "worst": "noise/iso",
        "kept": pytest.approx((0.1 + 0.3 + 0.4 + 0.8) / 4 / 0.8),
        "best": "lighting/low_light",
        "best_kept": pytest.approx(0.75),
        "remedy": "Train with images of this kind, or keep the condition from reaching the camera.",
    }
    assert found.cell == {
        "model": "m",
        "file": "m",
        "quantization": "float32",
        "delegate": "xnnpack",
        "scenario": "noise/iso",
    }
    assert found.observed == found.facts["kept"]


def test_one_scenario_has_no_weakest_and_another_s_cells_do_not_count():
    alone = [made_cell("clean", 0, 0.8), made_cell("noise/iso", 1, 0.6)]
    foreign = made_cell("blur/motion", 1, 0.0, delegate="none")
    changed = made_cell("blur/motion", 1, 0.0, input="std=255")
    assert codes(check_robustness, made_result([*alone, changed])) == []
    assert codes(check_robustness, made_result([*alone, foreign])) == []


@pytest.mark.parametrize("clean", [0.0, None])
def test_a_scenario_keeps_no_share_of_nothing(clean):
    cells = [made_cell("clean", 0, clean), made_cell("noise/iso", 1, 0.1), made_cell("noise/grain", 1, 0.2)]
    assert "robustness.weak" not in codes(check_robustness, made_result(cells))


BROKEN_HEAD = Diagnosis(outputs=(OutputCodes("o", "int8", 0.1, 0, 0.0, 25.0, zero_scores=0.9),))


@pytest.mark.parametrize(
    ("clean", "changed", "metrics", "plan", "told"),
    [
        (0.0199, {}, {}, {}, True),
        (0.02, {}, {}, {}, False),
        (None, {}, {}, {}, False),
        (0.0, {"judging": Judging("AP")}, {}, {}, False),
        (0.0, {"made": Made("a tool", "1", "m", None)}, {}, {}, False),
        (0.0, {"diagnosis": BROKEN_HEAD}, {}, {}, False),
        (0.0, {}, {}, {"input_contract": False}, False),
        (0.0, {}, minus("declared", 0.3, 0.1, 0.4), {}, False),
        (0.0, {}, minus("declared", 0.3, 0.0, 0.4), {}, True),
        (0.0, {}, minus("declared", 0.3), {}, True),
    ],
)
def test_a_model_that_finds_next_to_nothing_is_broken_unless_something_explains_it(clean, changed, metrics, plan, told):
    result = made_result([cell_of(clean, metrics)], models=(model(**changed),), plan=PlanRecord(checks=plan))
    found = [item for item in check_robustness(result) if item.code == "input.broken"]
    assert len(found) == told
    for item in found:
        assert item.facts == {"label": "m (float32, xnnpack)", "metric": "AP", "value": clean}
        assert (item.observed, item.limit, item.cell["scenario"]) == (clean, 0.02, "clean")


# ---- the input contract


STRETCHED = InputContract(height=32, width=32, resize="stretch")


def other(value, gain, *interval, kind="input", factors=("range",), name="std=255", **facts):
    """A cell of a changed input whose gain over the declared one is `gain`."""
    patch = Patch({"input": {"std": [255.0]}}, model="m")
    contract = facts.pop("contract", InputContract(height=32, width=32, std=(255.0,)) if kind == "input" else None)
    compared = Compared(kind, factors, patch, 17, contract)
    return cell_of(value, minus("declared", gain, *interval), input=name, compared=compared, **facts)


def fed(*others, **changed):
    return made_result([made_cell("clean", 0, 0.2), *others], models=(model(**changed),))


def test_a_better_contract_is_told_with_all_that_it_rests_on():
    found = only(check_input_contract, fed(other(0.5, 0.3, 0.2, 0.4)), "input.better")
    assert found.facts == {
        "file": "m",
        "declared_as": "RGB 0..255, stretch",
        "metric": "AP",
        "declared": pytest.approx(0.2),
        "images": 10,
        "other": "RGB 0..1, stretch (std=255)",
        "reached": 0.5,
        "gain": 0.3,
        "low": 0.2,
        "high": 0.4,
        "comparisons": 17,
        "line": "input: {std: 255}",
    }
    assert (found.observed, found.limit, found.level) == (0.3, 0.01, "error")
    assert found.cell == {"model": "m", "file": "m", "input": "std=255"}
    assert found.fix == Patch({"input": {"std": [255.0]}}, model="m")


@pytest.mark.parametrize(
    ("gain", "low", "code"),
    [
        (0.01, 0.001, "input.better"),
        (0.0099, 0.001, "input.sound"),
        (0.3, 0.0, "input.sound"),
        (0.3, -0.1, "input.sound"),
    ],
)
def test_a_gain_is_told_from_its_least_worth_and_beyond_chance(gain, low, code):
    assert codes(check_input_contract, fed(other(0.5, gain, low, 0.4))) == [code]


@pytest.mark.parametrize(("reached", "level"), [(0.41, "error"), (0.40, None), (0.3, None)])
def test_half_of_what_another_reaches_is_no_error(reached, level):
    found = only(check_input_contract, fed(other(reached, reached - 0.2, 0.01, 0.4)), "input.better")
    assert found.level == level


@pytest.mark.parametrize(
    ("kind", "code"), [("input", "input.better"), ("labels", "labels.better"), ("boxes", "boxes.better")]
)
def test_each_kind_of_reading_has_its_code(kind, code):
    found = only(check_input_contract, fed(other(0.5, 0.3, 0.2, 0.4, kind=kind)), code)
    assert ("declared_as" in found.facts) == (kind == "input")
    assert found.facts["other"] == ("RGB 0..1, stretch (std=255)" if kind == "input" else "std=255")


def test_the_fewest_changes_win_unless_another_is_worth_more():
    one = other(0.5, 0.3, 0.2, 0.4, name="one")
    two = other(0.505, 0.305, 0.2, 0.4, name="two", factors=("color", "range"))
    more = other(0.51, 0.3101, 0.2, 0.4, name="more", factors=("color", "range"))
    assert only(check_input_contract, fed(two, one), "input.better").cell["input"] == "one"
    assert only(check_input_contract, fed(one, more), "input.better").cell["input"] == "more"
    best = other(0.502, 0.302, 0.2, 0.4, name="best")
    assert only(check_input_contract, fed(one, best), "input.better").cell["input"] == "best"


def test_of_feeding_and_reading_what_explains_more_is_told():
    feeding, reading = other(0.5, 0.3, 0.2, 0.4), other(0.6, 0.4, 0.2, 0.5, kind="labels", name="label_offset=1")
    assert codes(check_input_contract, fed(feeding, reading)) == ["labels.better"]
    equal = other(0.5, 0.3, 0.2, 0.4, kind="labels", name="label_offset=1")
    assert codes(check_input_contract, fed(feeding, equal)) == ["input.better"]


def test_a_contract_that_nothing_beats_is_sound():
    worse, even = other(0.1, -0.1, -0.2, 0.0, name="worse"), other(0.2, 0.0, -0.1, 0.1, name="even")
    found = only(check_input_contract, fed(worse, even), "input.sound")
    assert found.facts == {
        "file": "m",
        "tried": 2,
        "declared_as": "RGB 0..255, stretch",
        "metric": "AP",
        "declared": 0.2,
        "images": 10,
        "other": "even",
        "reached": 0.2,
        "gain": 0.0,
        "interval": [-0.1, 0.1],
        "undecided": False,
        "broken": False,
    }
    assert (found.observed, found.limit, found.cell) == (0.0, 0.01, {"model": "m", "file": "m"})


@pytest.mark.parametrize(("gain", "undecided"), [(0.01, True), (0.0099, False)])
def test_a_gain_that_may_be_chance_is_undecided(gain, undecided):
    assert only(check_input_contract, fed(other(0.3, gain, -0.1, 0.1)), "input.sound").facts["undecided"] is undecided


@pytest.mark.parametrize(("reached", "broken"), [(0.019, True), (0.02, False)])
def test_a_model_that_reaches_next_to_nothing_however_it_is_fed_is_broken(reached, broken):
    found = only(check_input_contract, fed(other(reached, 0.0, -0.1, 0.1)), "input.sound")
    assert found.facts["broken"] is broken


def test_a_difference_without_interval_or_value_decides_nothing():
    found = only(check_input_contract, fed(other(0.5, 0.3)), "input.sound")
    assert found.facts["interval"] is None
    found = only(check_input_contract, fed(other(None, None, name="undefined")), "input.sound")
    assert (found.facts["other"], found.facts["gain"], found.facts["reached"]) == ("undefined", 0.0, 0.0)


def test_cells_that_were_not_compared_are_not_judged():
    plain = made_cell("clean", 0, 0.5, input="std=255")
    failed = other(0.5, 0.3, 0.2, 0.4, status="failed")
    unknown = other(0.5, 0.3, 0.2, 0.4, file="unknown")
    assert codes(check_input_contract, fed(plain, failed, unknown)) == []


LETTERBOX = Source("audit.yaml", instead_of=Replaced("letterbox", "default"))


def boxed(*interval, name="resize=letterbox", factors=("resize",), **changed):
    contract = InputContract(height=32, width=32, resize=changed.pop("resize", "letterbox"))
    return other(0.2, 0.005, *interval, name=name, factors=factors, contract=contract)


@pytest.mark.parametrize(
    ("cells", "changed", "told"),
    [
        ([boxed(-0.1, 0.01)], {}, True),
        ([boxed(-0.1, 0.0099)], {}, False),
        ([boxed(-0.1, 0.1, factors=("resize", "range"))], {}, False),
        ([boxed(-0.1, 0.1, resize="stretch")], {}, False),
        ([boxed(-0.1, 0.1)], {"letterboxed": False}, False),
        ([boxed(-0.1, 0.1)], {"sources": {}}, False),
        ([boxed(-0.1, 0.1)], {"sources": {"input.resize": Source("audit.yaml")}}, False),
        (
            [boxed(-0.1, 0.1)],
            {"sources": {"input.resize": Source("audit.yaml", instead_of=Replaced("crop", "default"))}},
            False,
        ),
    ],
)
def test_a_head_that_is_trained_on_letterboxed_images_is_unusual_without(cells, changed, told):
    given = {"input": STRETCHED, "letterboxed": True, "sources": {"input.resize": LETTERBOX}, **changed}
    assert codes(check_input_contract, fed(*cells, **given)) == (["input.unusual"] if told else ["input.sound"])


def test_the_shortest_letterbox_is_told_and_only_that():
    given = {"input": STRETCHED, "letterboxed": True, "sources": {"input.resize": LETTERBOX}}
    cells = [boxed(-0.1, 0.2, name="resize=letterbox,anchor=top_left"), boxed(-0.1, 0.1)]
    found = only(check_input_contract, fed(*cells, **given), "input.unusual")
    assert found.facts == {
        "file": "m",
        "declared_as": "RGB 0..255, stretch",
        "head": "yolox",
        "images": 10,
        "other": "resize=letterbox",
        "gain": 0.005,
        "low": -0.1,
        "high": 0.1,
        "line": "input: {std: 255}",
    }
    assert (found.observed, found.fix) == (0.005, cells[1].compared.patch)
    assert found.cell == {"model": "m", "file": "m", "input": "resize=letterbox"}


@pytest.mark.parametrize(
    ("contract", "described"),
    [
        ({"color": "bgr", "mean": (127.5,), "std": (127.5,)}, "BGR -1..1, stretch"),
        ({"mean": (127.4999,), "std": (127.5001,)}, "RGB -1..1, stretch"),
        (
            {"mean": (123.675, 116.28, 103.53), "std": (58.4, 57.12, 57.375)},
            "RGB (pixel - 123.7/116.3/103.5) / 58.4/57.12/57.38, stretch",
        ),
        ({"resize": "letterbox", "anchor": "top_left"}, "RGB 0..255, letterbox top left"),
    ],
)
def test_a_contract_in_words(contract, described):
    given = InputContract(**{"height": 32, "width": 32, "resize": "stretch", **contract})
    assert (
        only(check_input_contract, fed(other(0.2, 0.0), input=given), "input.sound").facts["declared_as"] == described
    )


CALIBRATED = Judging("AP", calibration="ECE")


def confident(error, *, images=200, **facts):
    ece = {"ECE": MetricValue("ECE", error, reason=None if error is not None else "undefined")}
    return cell_of(0.9, ece, images=images, **facts)


def doubted(*cells, judging=CALIBRATED):
    found = check_input_contract(made_result(cells, models=(model(judging=judging),)))
    return [item for item in found if item.code == "input.overconfident"]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (confident(0.05), 1),
        (confident(0.0499), 0),
        (confident(None), 0),
        (confident(0.2, images=199), 0),
        (dataclasses.replace(confident(0.2), scenario="noise/iso", severity=1), 0),
        (dataclasses.replace(confident(0.2), input="std=255"), 0),
        (dataclasses.replace(confident(0.2), file="unknown"), 0),
    ],
)
def test_confidence_far_from_accuracy_is_told(cell, told):
    assert len(doubted(cell)) == told
    assert doubted(cell, judging=Judging("AP")) == []


def test_overconfidence_is_told_once_a_family_with_what_lessens_it():
    def fed_otherwise(error, name):
        ece = MetricValue("ECE", error)
        cell = other(0.9, 0.0, -0.1, 0.1, name=name, images=50)
        return dataclasses.replace(cell, metrics={**cell.metrics, "ECE": ece})

    first, second = confident(0.06), confident(0.3, delegate="none")
    (found,) = doubted(first, second, fed_otherwise(0.02, "std=255"), fed_otherwise(0.04, "std=127.5"))
    assert found.facts == {
        "label": "m (float32, xnnpack)",
        "metric": "AP",
        "value": 0.9,
        "images": 200,
        "error": 0.06,
        "other": "RGB 0..1, stretch (std=255)",
        "other_images": 50,
        "other_error": 0.02,
        "line": "input: {std: 255}",
    }
    assert (found.observed, found.limit, found.fix) == (0.06, 0.05, Patch({"input": {"std": [255.0]}}, model="m"))
    (found,) = doubted(first, fed_otherwise(0.06, "std=255"))  # not better
    assert (found.facts["other"], found.facts["line"], found.fix) == ("", "", None)
    (found,) = doubted(first)
    assert (found.facts["other_images"], found.facts["other_error"]) == (0, 0.06)


def test_a_model_that_is_read_wrongly_is_not_called_overconfident():
    reading = other(0.6, 0.4, 0.2, 0.5, kind="labels", name="label_offset=1")
    assert doubted(confident(0.2), reading) == []


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
    facts = {"duplicate_images": 1, "duplicate_boxes": 2, "boxes_outside": 3}
    counts = {"missing_files": 0, "zero_area_boxes": 4, "difficult_objects": 5, "something_else": 6}
    found = list(check_data(described(**facts, counts=counts)))
    assert [(item.code, item.facts, item.observed) for item in found] == [
        ("data.zero_area_boxes", {"count": 4, "dataset": "the data set"}, 4),
        ("data.duplicate_images", {"count": 1, "dataset": "the data set"}, 1),
        ("data.duplicate_boxes", {"count": 2, "dataset": "the data set"}, 2),
        ("data.boxes_outside", {"count": 3, "dataset": "the data set"}, 3),
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
    assert (unreadable.facts, unreadable.observed) == ({"count": 3}, 3)
    size = only(check_data, made_result(cells), "data.other_size")
    assert (size.facts, size.observed) == ({"count": 2}, 2)
    missing = {"default": dataclasses.replace(DATASET, counts={"missing_files": 5})}
    assert "data.unreadable" not in codes(check_data, made_result(cells, datasets=missing))


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
    aliases, missing, extra = check_labels(made_result([], models=(model(**changed),)))
    assert (aliases.code, aliases.facts) == ("labels.aliases", {"file": "m", "pairs": ["tv = tvmonitor"]})
    assert (missing.code, missing.facts) == (
        "labels.missing",
        {"file": "m", "missing": ["b", "c"], "metric": "AP", "judged": 1},
    )
    assert (extra.code, extra.facts) == ("labels.extra", {"file": "m", "extra": ["d"]})
    assert all(item.cell == {"model": "m", "file": "m"} for item in (aliases, missing, extra))
    assert codes(check_labels, made_result([])) == []


# ---- delegates


def gone(**facts):
    return made_cell("clean", 0, None, status="skipped", cause="delegate", error="no such library", **facts)


def test_a_delegate_that_cannot_be_had_is_told_once():
    cells = [gone(), dataclasses.replace(gone(), scenario="noise/iso", severity=1), gone(delegate="gpu")]
    level = made_cell("clean", 0, None, status="skipped", cause="level", delegate="other")
    failed = made_cell("clean", 0, None, status="failed", cause="delegate", delegate="third")
    first, second = check_delegates(made_result([*cells, level, failed]))
    assert first.facts == {"file": "m", "delegate": "xnnpack", "reason": "no such library"}
    assert first.cell == {"file": "m", "delegate": "xnnpack"}
    assert second.facts["delegate"] == "gpu"


def took(delegated, delegate="xnnpack"):
    return Measurement("delegate_ops", "m", "float32", delegate, DelegateOps(delegated, 9), "ops")


def test_a_delegate_that_took_nothing_is_told():
    plan = PlanRecord(delegates=(DelegateRecord("xnnpack", XNNPACK.kind), DelegateRecord("none", NONE.kind)))
    measured = (took(0), took(0, "none"), took(1), Measurement("delegate_ops", "m", "float32", "gpu", None, "ops"))
    (found,) = check_delegates(made_result([], plan=plan, measurements=measured))
    assert (found.code, found.facts) == ("delegate.took_nothing", {"file": "m", "delegate": "xnnpack", "ops": 9})
    assert (found.observed, found.cell) == (0.0, {"file": "m", "delegate": "xnnpack"})


def agreeing(matched, metrics=(), **facts):
    return cell_of(0.5, metrics, parity=Agreement("none", 0.25, 3.0, 7, matched), **facts)


@pytest.mark.parametrize(("matched", "told"), [(0.9499, 1), (0.95, 0), (None, 0)])
def test_delegates_that_match_less_are_not_interchangeable(matched, told):
    assert len(list(check_delegates(made_result([agreeing(matched)])))) == told


@pytest.mark.parametrize(
    ("interval", "noise", "level"),
    [
        ((-0.2, -0.1), False, "warning"),
        ((0.1, 0.2), False, "warning"),
        ((-0.1, 0.0), True, None),
        ((0.0, 0.1), True, None),
        ((), None, None),
    ],
)
def test_a_difference_of_delegates_may_be_noise(interval, noise, level):
    (found,) = check_delegates(made_result([agreeing(0.5, minus("delegate", 0.04, *interval))]))
    assert found.facts == {
        "file": "m",
        "device": None,
        "delegate": "xnnpack",
        "against": "none",
        "matched": 0.5,
        "score": 0.25,
        "corner_px": 3.0,
        "image": 7,
        "metric": "AP",
        "change": 0.04,
        "interval": list(interval) or None,
        "noise": noise,
    }
    assert (found.level, found.observed, found.limit) == (level, 0.5, 0.95)
    assert found.cell == {"file": "m", "delegate": "xnnpack", "quantization": "float32"}


def test_parity_is_judged_on_clean_images_and_names_the_device():
    dark = dataclasses.replace(agreeing(0.5), scenario="lighting/low_light", severity=1)
    assert codes(check_delegates, made_result([dark])) == []
    (found,) = check_delegates(made_result([agreeing(0.5, device="phone")]))
    assert (found.facts["device"], found.facts["change"], found.facts["noise"]) == ("phone", None, None)


# ---- latency and memory


def probed(value, probe="latency_ms", **facts):
    return Measurement(probe, "m", "float32", "xnnpack", value, "ms", **facts)


def timed(value, **facts):
    return list(check_latency(made_result([], measurements=(probed(value, **facts),))))


WHERE = {"file": "m", "quantization": "float32", "delegate": "xnnpack"}


def test_what_could_not_be_timed_is_told():
    (found,) = timed(None, error="it hung")
    assert (found.code, found.facts) == (
        "latency.failed",
        {"file": "m", "delegate": "xnnpack", "reason": "it hung"},
    )
    assert found.cell == WHERE
    assert timed(None, probe="arena_mb", error="it hung") == []
    assert timed(Latency(1, 1, 1, 1, 1, 1)) == []


@pytest.mark.parametrize(("verdict", "level"), [("steady", None), ("degrading", "warning")])
def test_a_sustained_run_is_told_as_it_went(verdict, level):
    (found,) = timed(Sustained(60.0, (9.0, 8.0), -0.25, 0.01, verdict, 8.0), probe="sustained")
    assert found.facts == {
        "file": "m",
        "delegate": "xnnpack",
        "verdict": verdict,
        "seconds": 60.0,
        "drift": -0.25,
        "p": 0.01,
        "lowest_fps": 8.0,
        "degrading": level is not None,
    }
    assert (found.level, found.observed, found.cell) == (level, -0.25, WHERE)


@pytest.mark.parametrize(("p99", "level"), [(40.0, None), (40.1, "warning")])
def test_streams_that_stand_in_each_other_s_way(p99, level):
    (found,) = timed(Streams(4, 6.0, p99, 5.0, 90.0), probe="streams")
    assert found.facts == {
        "file": "m",
        "delegate": "xnnpack",
        "streams": 4,
        "p99": p99,
        "grown": p99 / 5.0,
        "throughput_fps": 90.0,
    }
    assert (found.level, found.observed, found.cell) == (level, p99 / 5.0, WHERE)
    assert timed(Streams(4, 6.0, p99, 0.0, 90.0), probe="streams") == []
    assert len(timed(Streams(4, 6.0, p99, 0.5, 90.0), probe="streams")) == 1


@pytest.mark.parametrize(("fits", "reason", "level"), [(True, None, None), (False, "out of memory", "error")])
def test_a_memory_limit_is_an_error_where_the_model_does_not_fit(fits, reason, level):
    limit = probed(MemoryLimit(64.0, fits, reason), probe="memory_limit")
    (found,) = check_memory(made_result([], measurements=(limit, probed(12.0, probe="arena_mb"))))
    assert found.facts == {
        "file": "m",
        "delegate": "xnnpack",
        "fits": fits,
        "limit_mb": 64.0,
        "reason": reason or "",
    }
    assert (found.level, found.limit, found.cell) == (level, 64.0, WHERE)


# ---- quantization


def level_of(name, quantization, size=500, **changed):
    return model(name=name, quantization=quantization, size_bytes=size, **changed)


def level_cell(name, quantization, value, lost=None, *interval, **facts):
    metrics = minus("float32", lost, *interval) if lost is not None else {}
    return cell_of(value, metrics, file=name, quantization=quantization, **facts)


@pytest.mark.parametrize(("lost", "told"), [(-0.0201, True), (-0.02, False), (0.1, False)])
def test_a_loss_is_told_beyond_its_limit(lost, told):
    cell = level_cell("m8", "int8", 0.3, lost)
    assert loses(cell, 0.02) is told
    assert not loses(dataclasses.replace(cell, scenario="noise/iso"), 0.02)
    result = made_result([cell], models=(model(), level_of("m8", "int8")))
    assert codes(check_quantization, result) == ["quantization.loss"] * told
    strict = dataclasses.replace(result, plan=PlanRecord(checks={"quantization": {"max_loss": 0.01}}))
    assert codes(check_quantization, strict) == ["quantization.loss"] * (lost < -0.01)


@pytest.mark.parametrize(("high", "noise", "level"), [(-0.001, False, None), (0.0, True, "info"), (0.1, True, "info")])
def test_a_loss_may_be_noise(high, noise, level):
    test = LevelTest(3, 9, 0.146)
    cell = level_cell("m8", "int8", 0.3, -0.2, -0.4, high, level_test=test)
    (found,) = check_quantization(made_result([cell], models=(model(), level_of("m8", "int8"))))
    assert found.facts == {
        "file": "m8",
        "level": "int8",
        "delegate": "xnnpack",
        "metric": "AP",
        "lost": 0.2,
        "interval": [-0.4, high],
        "noise": noise,
        "right_here": 3,
        "right_there": 9,
        "p": 0.146,
    }
    assert (found.level, found.observed, found.limit) == (level, -0.2, -0.02)
    assert found.cell == {"model": "m", "file": "m8", "quantization": "int8"}


def test_a_loss_without_interval_or_test_is_told_as_it_is():
    cell = level_cell("m8", "int8", 0.3, -0.2)
    (found,) = check_quantization(made_result([cell], models=(model(), level_of("m8", "int8"))))
    assert (found.facts["interval"], found.facts["noise"], found.facts["p"], found.level) == (None, False, None, None)


@pytest.mark.parametrize(
    ("change", "quantization", "scenario", "level"),
    [
        (-0.0201, "float32", "clean", "warning"),
        (-0.02, "float32", "clean", None),
        (0.0, "float32", "clean", None),
        (-0.3, "int8", "clean", "absent"),
        (-0.3, "float32", "noise/iso", "absent"),
        (None, "float32", "clean", "absent"),
    ],
)
def test_what_the_conversion_cost_is_told_apart(change, quantization, scenario, level):
    cell = dataclasses.replace(
        cell_of(0.5, minus("parent", change, -0.4, 0.1), quantization=quantization), scenario=scenario
    )
    found = [item for item in check_quantization(made_result([cell])) if item.code == "quantization.conversion"]
    assert len(found) == (level != "absent")
    for item in found:
        assert item.facts == {
            "file": "m",
            "delegate": "xnnpack",
            "metric": "AP",
            "change": change,
            "interval": [-0.4, 0.1],
            "lost": level == "warning",
        }
        assert (item.level, item.observed, item.limit) == (level, change, -0.02)


def diagnosed(**facts):
    return list(check_quantization(made_result([], models=(model(diagnosis=Diagnosis(**facts)),))))


def output(scale=0.1, high=25.0, **facts):
    return OutputCodes("o", "int8", scale, 3, -1.0, high, **facts)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (output(high=0.0), "quantization.never_positive"),
        (output(high=-1.0), "quantization.never_positive"),
        (output(high=0.01, scale=0.001, score_values=(0.0, 0.0)), None),
        (output(scale=0.0501, zero_scores=0.9), "quantization.one_scale"),
        (output(scale=0.05, zero_scores=0.9), None),  # twenty codes from 0 to 1
        (output(scale=0.06), None),
        (output(high=0.5, scale=0.002, score_values=(0.0, 0.5)), "quantization.saturates"),
        (output(high=0.5, scale=0.125, score_values=(0.0, 0.375)), "quantization.saturates"),  # one code below
        (output(high=0.5, scale=0.125, score_values=(0.0, 0.37)), None),
        (output(high=0.9, scale=0.002, score_values=(0.0, 0.9)), None),
        (output(high=0.5, scale=0.002), None),
    ],
)
def test_what_an_output_s_codes_show(given, code):
    assert [item.code for item in diagnosed(outputs=(given,))] == ([code] if code else [])
    assert breaks_in_head(Diagnosis(outputs=(output(scale=0.001), given))) is (code == "quantization.one_scale")


def test_an_output_s_codes_are_told_in_figures():
    where = {"model": "m", "file": "m", "quantization": "float32"}
    never, scale, saturating = diagnosed(
        outputs=(
            output(high=-0.5),
            output(scale=0.25, zero_scores=0.99, box_values=(0.0, 640.0), distinct_scores=4),
            output(high=0.5, scale=0.002, score_values=(0.0, 0.5)),
        )
    )
    assert never.facts == {"file": "m", "output": "o", "high": -0.5, "scale": 0.1, "zero_point": 3}
    assert (never.observed, never.limit, never.cell) == (-0.5, 0.0, where)
    remedy = scale.facts["remedy"]
    assert remedy.startswith("Export the model with boxes divided by the input size")
    assert scale.facts == {
        "file": "m",
        "output": "o",
        "scale": 0.25,
        "box_high": 640.0,
        "zero": 0.99,
        "distinct": 4,
        "remedy": remedy,
    }
    assert (scale.observed, scale.limit, scale.cell) == (4.0, 20.0, where)
    assert (saturating.facts, saturating.observed, saturating.limit) == (
        {"file": "m", "output": "o", "high": 0.5},
        0.5,
        0.9,
    )
    (bare,) = diagnosed(outputs=(output(scale=0.25, zero_scores=0.0),))
    assert (bare.facts["box_high"], bare.facts["zero"], bare.facts["distinct"]) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("used", "clipped", "told"), [(192, 0.01, False), (191, 0.0, True), (256, 0.0101, True), (256, 0.0, False)]
)
def test_an_input_that_leaves_codes_unused_or_clips(used, clipped, told):
    found = diagnosed(input=InputCodes("int8", 0.1, 3, -1.0, 1.0, 0.0, 255.0, used, clipped))
    assert [item.code for item in found] == ["quantization.input_codes"] * told
    for item in found:
        assert item.facts == {
            "file": "m",
            "low": -1.0,
            "high": 1.0,
            "fed_low": 0.0,
            "fed_high": 255.0,
            "codes_used": used,
            "clipped": clipped,
        }
        assert (item.observed, item.limit) == (float(used), 192.0)


def test_the_worst_layers_are_told_three_at_most():
    rows = tuple(LayerError(f"t{index}", f"OP{index}", 1.0 + index, 0.0) for index in range(4))
    (found,) = diagnosed(layers=rows, layer_images=8)
    assert found.facts == {"file": "m", "images": 8, "worst": ["OP0 t0 1.0 dB", "OP1 t1 2.0 dB", "OP2 t2 3.0 dB"]}
    assert found.observed == 1.0
    (silent,) = diagnosed(layers=(LayerError("t", "OP", None, 0.0),), layer_images=8)
    assert silent.facts["worst"] == ["OP t 0.0 dB"]


def test_tensors_beyond_their_calibration_are_told_from_one_in_a_hundred():
    rows = tuple(LayerError(f"t{share}", "OP", 9.0, share) for share in (0.05, 0.04, 0.03, 0.0101, 0.01))
    (found,) = diagnosed(saturating=rows, saturating_tensors=12)
    assert found.facts == {"file": "m", "tensors": 12, "worst": ["OP t0.05 5.0%", "OP t0.04 4.0%", "OP t0.03 3.0%"]}
    assert (found.observed, found.limit) == (0.05, 0.01)
    assert diagnosed(saturating=rows[4:]) == []
    assert len(diagnosed(saturating=rows[3:])) == 1


def test_levels_and_calibration_images_that_could_not_be_had():
    plan = PlanRecord(calibration={"m": CalibrationRecord(20, 2), "n": CalibrationRecord(20, 0)})
    skipped = made_cell("clean", 0, None, status="skipped", cause="level", quantization="int8", error="no images")
    again = dataclasses.replace(skipped, scenario="noise/iso", severity=1)
    dynamic = dataclasses.replace(skipped, quantization="dynamic_range")
    other_cause = dataclasses.replace(skipped, quantization="float16", cause="delegate")
    images, first, second = check_quantization(made_result([skipped, again, dynamic, other_cause], plan=plan))
    assert images.facts == {"entry": "m", "unreadable": 2, "images": 20}
    assert (images.observed, images.cell) == (2.0, {"model": "m"})
    assert first.facts == {"file": "m", "level": "int8", "reason": "no images"}
    assert first.cell == {"file": "m", "quantization": "int8"}
    assert second.facts["level"] == "dynamic_range"


def remedy_of(remedied=None, more=None, *, levels=(), before=0.1, reference=0.5, made=None):
    """What is advised for an int8 file that lost its scores, where its float32 parent has `reference`."""
    tool = Made("tool", "1.0", "m", 20)
    models = [model(size_bytes=4000), level_of("m8", "int8", 1000, diagnosis=BROKEN_HEAD, made=made)]
    cells = [cell_of(reference)] if reference is not None else []
    cells += [level_cell("m8", "int8", before, (before or 0) - 0.5)]
    for name, role, value in (("head", "remedy", remedied), ("more", "evidence", more)):
        if value is not None:
            models.append(level_of(name, f"int8_{name}", 1200, role=role, made=tool))
            cells.append(level_cell(name, f"int8_{name}", value, value - 0.5))
    for name, quantization, lost in levels:
        models.append(level_of(name, quantization, 2000))
        cells.append(level_cell(name, quantization, 0.5 + lost, lost))
    found = check_quantization(made_result(cells, models=tuple(models)))
    (scale,) = [item for item in found if item.code == "quantization.one_scale"]
    return scale.facts["remedy"]


TOOL = Made("tool", "1.0", "m", 20)


def test_a_head_in_float_that_mends_all_is_advised_with_its_price():
    assert remedy_of(0.5, made=TOOL) == (
        "Keep the head in float, as head does: AP 0.100 becomes 0.500 at 1,200 bytes instead of 1,000."
    )
    assert remedy_of(0.485, made=TOOL) == (
        "Keep the head in float, as head does: AP 0.100 becomes 0.485 at 1,200 bytes instead of 1,000."
    )
    assert "AP undefined becomes 0.480" in remedy_of(0.48, before=None)
    assert "(made with tool 1.0 of the float32 file, where this level was made with another program)" in remedy_of(0.5)
    assert remedy_of(0.3, reference=None, made=TOOL).endswith("instead of 1,000.")


def test_what_stays_lost_is_told_with_what_else_there_is():
    text = remedy_of(0.4, made=TOOL, levels=[("m16", "float16", -0.01), ("bad", "dynamic_range", -0.03)])
    assert text.endswith(
        "; 0.100 of the float32 AP 0.500 stay lost. To mend the rest, take m16 (-0.010, 2,000 bytes), or train with "
        "quantization in the loop."
    )
    text = remedy_of(0.4, made=TOOL, levels=[("m16", "float16", -0.02), ("m32", "dynamic_range", 0.0)])
    assert "take m16 (-0.020, 2,000 bytes) or m32 (+0.000, 2,000 bytes), or train" in text
    assert remedy_of(0.4, made=TOOL).endswith("To mend the rest, train with quantization in the loop.")


def test_more_float_is_advised_only_where_it_helps():
    helps = remedy_of(0.3, 0.33, made=TOOL)
    assert helps.endswith(
        "More float helps: more, with four more weighted ops of each path in float, has AP 0.330 at 1,200 bytes."
    )
    none = remedy_of(0.3, 0.315, made=TOOL)
    assert none.endswith(
        "More float does not help: with four more weighted ops of each path in float (more) AP is 0.315, so the rest "
        "is lost in the 8-bit activations of the backbone: train with quantization in the loop."
    )


def test_a_head_in_float_that_does_not_help_is_not_advised():
    assert remedy_of(0.119, made=TOOL) == (
        "Keeping the head in float does not help here (head: AP 0.119 instead of 0.100): train with quantization "
        "in the loop."
    )
    assert remedy_of(0.121, made=TOOL).startswith("Keep the head in float")


# ---- words


def test_a_finding_is_worded_from_its_facts_alone():
    (told,) = check_run(made_result([made_cell("clean", 0, None, status="failed")]))
    assert as_finding(dataclasses.replace(told, level="info"), CATALOGUE).level == "info"
    with pytest.raises(ValueError, match=r"run\.failed"):
        as_finding(dataclasses.replace(told, facts={"where": "x"}), CATALOGUE)
    with pytest.raises(ValueError, match=r"no\.such"):
        as_finding(dataclasses.replace(told, code="no.such"), CATALOGUE)
    assert place_of(Cell("m", "f", "int8", "none", "clean", 0), "file", "delegate") == {"file": "f", "delegate": "none"}
