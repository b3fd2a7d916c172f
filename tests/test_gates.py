"""Gates and verdicts, on results written by hand."""

from __future__ import annotations

import dataclasses

import pytest
from made_results import DATASET, findings_of, made_cell, made_result, worded

from auditor.judge.catalogue import CATALOGUE
from auditor.judge.data import check_data
from auditor.judge.gates import apply_gates
from auditor.judge.ran import check_run
from auditor.judge.robust import check_robustness
from auditor.judge.verdict import judge
from auditor.values import PlanRecord, Rule, ScenarioRecord


def cell(scenario, severity, value, *, changed="declared", **facts):
    return made_cell(scenario, severity, value, input=changed, **facts)


def result(*cells, **parts):
    return made_result(cells, **parts)


def gated(found, rules):
    return dataclasses.replace(found, plan=dataclasses.replace(found.plan, gates=tuple(rules)))


def judged(found, rules, checks=None):
    return judge(gated(found, rules), checks or {}, CATALOGUE).verdict


BASE = (cell("clean", 0, 0.5), cell("noise/iso", 1, 0.4), cell("noise/iso", 3, 0.2), cell("lighting/low_light", 3, 0.3))


def statuses(rules, *cells):
    return [applied.outcome.status for applied in apply_gates(result(*(cells or BASE)), rules, CATALOGUE)]


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (Rule("AP", "min", 0.5, {"scenario": "clean"}), "passed"),
        (Rule("AP", "min", 0.51, {"scenario": "clean"}), "failed"),
        (Rule("AP", "min", 0.25, {"scenario": "noise"}), "failed"),
        (Rule("AP", "min", 0.2, {"scenario": "noise/iso"}), "passed"),
        (Rule("AP", "max", 0.5), "passed"),
        (Rule("AP", "max_drop", 0.2, {"severity": 3, "scenario": "lighting/low_light"}, against="clean"), "passed"),
        (Rule("AP", "max_drop", 0.2, {"severity": 3}, against="clean"), "failed"),
        (Rule("rPC", "min", 0.59), "passed"),
        (Rule("mPC", "min", 0.31), "failed"),
        (Rule("AP", "min", 0.1, {"scenario": "weather"}), "incomplete"),
        (Rule("AP", "min", 0.1, {"quantization": "int8"}), "incomplete"),
        (Rule("AP75", "min", 0.1), "incomplete"),
        (Rule("AP", "max_drop", 0.1, {"scenario": "clean"}, against="int8"), "incomplete"),
    ],
)
def test_each_kind_of_gate(rule, status):
    assert statuses([rule]) == [status]


def test_a_drop_against_another_level_compares_the_same_cell():
    cells = (
        *BASE,
        cell("clean", 0, 0.47, file="q", quantization="int8"),
        cell("noise/iso", 3, 0.1, file="q", quantization="int8"),
    )
    rules = [Rule("AP", "max_drop", limit, {"quantization": "int8"}, against="float32") for limit in (0.02, 0.05, 0.11)]
    outcomes = apply_gates(result(*cells), rules, CATALOGUE)
    assert [applied.outcome.status for applied in outcomes] == ["failed", "failed", "passed"]
    assert len(outcomes[1].findings) == 1
    assert outcomes[1].findings[0].cell["scenario"] == "noise/iso"


def test_robustness_is_the_mean_of_means():
    (summary,) = result(*BASE).summaries
    assert summary.metrics["mPC"].value == pytest.approx(((0.4 + 0.2) / 2 + 0.3) / 2)
    assert summary.metrics["rPC"].value == pytest.approx(0.3 / 0.5)


def test_a_failed_cell_leaves_no_number():
    (summary,) = result(*BASE[:-1], cell("lighting/low_light", 3, None, status="failed")).summaries
    assert summary.metrics["mPC"].value is None
    assert "failed" in summary.metrics["mPC"].reason
    assert summary.metrics["AP_clean"].value == 0.5


def test_cells_of_a_changed_input_count_nowhere():
    cells = (*BASE, cell("clean", 0, 0.01, changed="color=rgb"))
    assert statuses([Rule("AP", "min", 0.5, {"scenario": "clean"})], *cells) == ["passed"]
    assert len(result(*cells).summaries) == 1


def test_verdicts():
    passing, failing, unmet = (
        Rule("AP", "min", 0.1),
        Rule("AP", "min", 0.45),
        Rule("AP", "min", 0.1, {"scenario": "weather"}),
    )
    failed_cell = (*BASE, cell("noise/shot", 1, None, status="failed"))
    assert judged(result(*BASE), [passing]) == "passed"
    assert judged(result(*BASE), [failing, unmet]) == "failed"
    assert judged(result(*BASE), [passing, unmet]) == "incomplete"
    assert judged(result(*failed_cell), []) == "incomplete"
    assert judged(result(*failed_cell), [failing]) == "failed"
    assert judged(result(*BASE), [passing], {"robustness": check_robustness}) == "passed"


def test_checks_say_where_and_what_to_do():
    iso = ScenarioRecord("noise/iso", 1, "", "", {}, (), remedy="Train with ISONoise.")
    told = list(findings_of(check_robustness, result(*BASE, plan=PlanRecord(scenarios=(iso,)))))
    (weak,) = [item for item in told if item.code == "robustness.weak" and item.facts["severity"] == 3]
    assert (weak.facts["scenario"], weak.facts["remedy"]) == ("noise/iso", "Train with ISONoise.")
    assert worded([weak])[0].level == "warning"
    (broken,) = check_run(result(*BASE, cell("noise/shot", 1, None, status="failed")))
    assert (broken.code, broken.facts["reason"]) == ("run.failed", "it broke")
    dataset = dataclasses.replace(DATASET, images=4, counts={"missing_files": 1, "zero_area_boxes": 2})
    found = {item.code: item.observed for item in check_data(result(*BASE, datasets={"default": dataset}))}
    assert found == {"data.few_images": 4, "data.missing_files": 1, "data.zero_area_boxes": 2}


def test_a_code_or_a_check_is_left_out_by_its_name():
    checks = {"robustness": check_robustness}

    def codes(**left_out):
        plan = PlanRecord(checks=dict.fromkeys(left_out.pop("names", ()), False))
        return {finding.code for finding in judge(result(*BASE, plan=plan), checks, CATALOGUE).findings}

    assert codes() == {"robustness.weak", "robustness.weakest"}
    assert codes(names=["robustness.weak"]) == {"robustness.weakest"}
    assert codes(names=["robustness"]) == set()


def test_the_findings_of_a_gate_begin_with_the_farthest():
    (applied,) = apply_gates(result(*BASE), [Rule("AP", "min", 0.45)], CATALOGUE)
    assert [finding.observed for finding in applied.findings] == [0.2, 0.3, 0.4]
    assert (applied.outcome.measured, applied.outcome.status) == (4, "failed")


@pytest.mark.parametrize(("kind", "limit", "status"), [("min", 0.5, "passed"), ("max", 0.5, "passed")])
def test_a_value_on_its_limit_passes(kind, limit, status):
    assert statuses([Rule("AP", kind, limit, {"scenario": "clean"})]) == [status]
