"""Whether a model is fed and read as trained: every threshold and fact of the check, on results written by hand."""

from __future__ import annotations

import dataclasses

import pytest
from made_results import (
    cell_of,
    codes,
    findings_of,
    made_cell,
    made_result,
    minus,
    model,
    only,
)

from auditor.judge.inputs import check_input_contract
from auditor.values import (
    Compared,
    InputContract,
    Judging,
    MetricValue,
    Patch,
    Replaced,
    Source,
)

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
        "tried": 17,
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


@pytest.mark.parametrize(("gain", "level"), [(0.1, None), (0.3, "warning")])
def test_a_reading_that_too_few_images_decide_is_named(gain, level):
    """More than twice the declared AP, by a reading that is not sure: nobody is told that all is well."""
    reading = other(0.2 + gain, gain, -0.1, 0.6, kind="decoder", name="box_format=yxyx")
    found = only(check_input_contract, fed(other(0.2, 0.0, -0.1, 0.1), reading), "input.sound")
    assert (found.facts["other"], found.facts["undecided"], found.level) == ("box_format=yxyx", True, level)


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
    found = findings_of(check_input_contract, made_result(cells, models=(model(judging=judging),)))
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
