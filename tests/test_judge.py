"""What ran, robustness, delegates, endurance: every threshold and fact of the checks, on results written by hand."""

from __future__ import annotations

import dataclasses

import pytest
from made_results import (
    BROKEN_HEAD,
    PROVENANCE,
    cell_of,
    codes,
    findings_of,
    made_cell,
    made_result,
    minus,
    model,
    only,
    worded,
)

from auditor.delegate import NONE, XNNPACK
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.delegates import check_delegates
from auditor.judge.endurance import check_latency, check_memory
from auditor.judge.ran import check_run
from auditor.judge.robust import check_robustness
from auditor.judge.told import as_finding, place_of
from auditor.values import (
    Agreement,
    Cell,
    DelegateOps,
    DelegateRecord,
    ErrorCost,
    ErrorTypes,
    Judging,
    Latency,
    Made,
    Measurement,
    MemoryLimit,
    PlanRecord,
    ScenarioRecord,
    SourceTree,
    Streams,
    Sustained,
)


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
        "kind": None,
        "grew": 0.0,
    }
    assert (found.observed, found.limit) == (pytest.approx(0.375), 0.5)
    assert (found.cell["scenario"], found.cell["severity"]) == ("noise/iso", 3)


def lost_to(**costs):
    return ErrorTypes(40, tuple(ErrorCost(kind, cost, 3) for kind, cost in costs.items()))


def test_what_a_weak_scenario_loses_to_most_is_told():
    cells = [
        made_cell("clean", 0, 0.8, errors=lost_to(missed=0.05, background=0.1)),
        made_cell("noise/iso", 3, 0.1, errors=lost_to(missed=0.31, background=0.12)),
    ]
    (told,) = worded([only(check_robustness, made_result(cells), "robustness.weak")])
    assert told.message.endswith("what it loses to most is objects that are missed (+0.260 AP50)")
    cells[1] = made_cell("noise/iso", 3, 0.1, errors=lost_to(missed=0.06, background=0.1))
    assert only(check_robustness, made_result(cells), "robustness.weak").facts["kind"] is None


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
    found = [item for item in findings_of(check_robustness, result) if item.code == "input.broken"]
    assert len(found) == told
    for item in found:
        assert item.facts == {"label": "m (float32, xnnpack)", "metric": "AP", "value": clean}
        assert (item.observed, item.limit, item.cell["scenario"]) == (clean, 0.02, "clean")


# ---- delegates
def gone(**facts):
    return made_cell("clean", 0, None, status="skipped", cause="delegate", error="no such library", **facts)


def test_a_delegate_that_cannot_be_had_is_told_once():
    cells = [gone(), dataclasses.replace(gone(), scenario="noise/iso", severity=1), gone(delegate="gpu")]
    level = made_cell("clean", 0, None, status="skipped", cause="level", delegate="other")
    failed = made_cell("clean", 0, None, status="failed", cause="delegate", delegate="third")
    first, second = findings_of(check_delegates, made_result([*cells, level, failed]))
    assert first.facts == {"file": "m", "delegate": "xnnpack", "reason": "no such library"}
    assert first.cell == {"file": "m", "delegate": "xnnpack"}
    assert second.facts["delegate"] == "gpu"


def took(delegated, delegate="xnnpack"):
    return Measurement("delegate_ops", "m", "float32", delegate, DelegateOps(delegated, 9), "ops")


def test_a_delegate_that_took_nothing_is_told():
    plan = PlanRecord(delegates=(DelegateRecord("xnnpack", XNNPACK.kind), DelegateRecord("none", NONE.kind)))
    measured = (took(0), took(0, "none"), took(1), Measurement("delegate_ops", "m", "float32", "gpu", None, "ops"))
    (found,) = findings_of(check_delegates, made_result([], plan=plan, measurements=measured))
    assert (found.code, found.facts) == ("delegate.took_nothing", {"file": "m", "delegate": "xnnpack", "ops": 9})
    assert (found.observed, found.cell) == (0.0, {"file": "m", "delegate": "xnnpack"})


def agreeing(matched, metrics=(), **facts):
    return cell_of(0.5, metrics, parity=Agreement("none", 0.25, 3.0, 7, matched), **facts)


@pytest.mark.parametrize(("matched", "told"), [(0.9499, 1), (0.95, 0), (None, 0)])
def test_delegates_that_match_less_are_not_interchangeable(matched, told):
    assert len(list(findings_of(check_delegates, made_result([agreeing(matched)])))) == told


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
    (found,) = findings_of(check_delegates, made_result([agreeing(0.5, minus("delegate", 0.04, *interval))]))
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
    (found,) = findings_of(check_delegates, made_result([agreeing(0.5, device="phone")]))
    assert (found.facts["device"], found.facts["change"], found.facts["noise"]) == ("phone", None, None)


# ---- latency and memory
def probed(value, probe="latency_ms", **facts):
    return Measurement(probe, "m", "float32", "xnnpack", value, "ms", **facts)


def timed(value, **facts):
    return list(findings_of(check_latency, made_result([], measurements=(probed(value, **facts),))))


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
    (found,) = findings_of(check_memory, made_result([], measurements=(limit, probed(12.0, probe="arena_mb"))))
    assert found.facts == {
        "file": "m",
        "delegate": "xnnpack",
        "fits": fits,
        "limit_mb": 64.0,
        "reason": reason or "",
    }
    assert (found.level, found.limit, found.cell) == (level, 64.0, WHERE)


# ---- words
def test_a_finding_is_worded_from_its_facts_alone():
    (told,) = check_run(made_result([made_cell("clean", 0, None, status="failed")]))
    assert as_finding(dataclasses.replace(told, level="info"), CATALOGUE).level == "info"
    with pytest.raises(ValueError, match=r"run\.failed"):
        as_finding(dataclasses.replace(told, facts={"where": "x"}), CATALOGUE)
    with pytest.raises(ValueError, match=r"no\.such"):
        as_finding(dataclasses.replace(told, code="no.such"), CATALOGUE)
    assert place_of(Cell("m", "f", "int8", "none", "clean", 0), "file", "delegate") == {"file": "f", "delegate": "none"}
