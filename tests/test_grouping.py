"""Findings by code and cause."""

from __future__ import annotations

import dataclasses

from made_results import BROKEN_HEAD, MODEL, made_cell, made_result, model

from auditor import extensions
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.grouping import group_findings
from auditor.judge.verdict import judge
from auditor.values import Finding, PlanRecord, Rule


def finding(code, **facts):
    """A finding of a code; `file`, `model`, `scenario` and `level` are its place and level."""
    place = {name: facts.pop(name) for name in ("file", "model", "scenario") if name in facts}
    level = facts.pop("level", CATALOGUE[code].level)
    return Finding(code, CATALOGUE[code].check, level, f"{code} of {place}", "do it", place, facts=facts)


def weak(file, scenario="noise/shot", severity=3.0, kept=0.3):
    facts = {"label": file, "scenario": scenario, "severity": severity, "metric": "AP", "kept": kept}
    place = {"file": file, "model": "m", "scenario": scenario}
    return Finding("robustness.weak", "robustness", "warning", "one", "train", place, observed=kept, facts=facts)


def test_alike_findings_are_one_and_the_worst_is_named_first():
    found = [weak("a", kept=0.3), weak("b", kept=0.29), weak("c", kept=0.295), weak("a", scenario="noise/iso")]
    first, second = group_findings(found, CATALOGUE)
    assert first.findings == (1, 2, 0)
    assert first.message == "noise/shot, severity 3: 3 models keep 29% to 30% of their clean AP: b, c, a"
    assert (second.findings, second.message) == ((3,), "one")


def test_a_root_cause_stands_before_what_it_explains():
    found = [weak("a"), weak("b"), finding("point.ceiling", file="a"), finding("quantization.one_scale", file="a")]
    groups = group_findings(found, CATALOGUE)
    assert [(g.code, g.findings, g.cause, g.follow) for g in groups] == [
        ("quantization.one_scale", (3,), None, (1, 3)),
        ("robustness.weak", (0,), 0, ()),
        ("robustness.weak", (1,), None, ()),
        ("point.ceiling", (2,), 0, ()),
    ]


def test_a_cause_of_causes_is_followed_to_the_first():
    found = [finding("quantization.loss", file="a"), finding("quantization.departs", file="a")]
    found += [finding("quantization.never_positive", file="a")]
    groups = group_findings(found, CATALOGUE)
    assert [(group.code, group.cause) for group in groups] == [
        ("quantization.never_positive", None),
        ("quantization.loss", 0),
        ("quantization.departs", 0),
    ]


def test_a_cause_of_a_whole_data_set_explains_every_file():
    found = [weak("a"), finding("data.dark_bits", dataset="the data set")]
    groups = group_findings(found, CATALOGUE)
    assert [(group.code, group.cause) for group in groups] == [("data.dark_bits", None), ("robustness.weak", 0)]


def test_codes_explain_codes_that_are_there_and_never_one_another():
    def reached(code, seen):
        for other in CATALOGUE[code].explains:
            assert other in CATALOGUE, other
            assert other not in seen, (*seen, other)
            reached(other, (*seen, other))

    for code in CATALOGUE:
        reached(code, (code,))


def test_no_group_repeats_a_gate_and_every_other_finding_is_in_one():
    cells = [made_cell("clean", 0, 0.5), *(made_cell(f"noise/{name}", 3, 0.1) for name in "abc")]
    plan = PlanRecord(gates=(Rule("AP", "min", 0.4, line=3),))
    broken = dataclasses.replace(MODEL, diagnosis=BROKEN_HEAD)
    found = judge(made_result(cells, plan=plan, models=(broken,)), extensions.every("checks"), CATALOGUE)
    grouped = [index for group in found.groups for index in group.findings]
    assert sorted(grouped) == [i for i, item in enumerate(found.findings) if item.check != "gate"]
    assert any(item.check == "gate" for item in found.findings)
    assert found.groups[0].code == "quantization.one_scale"
    assert [found.groups[index].code for index in found.groups[0].follow].count("robustness.weak") == 3


def test_checks_that_could_not_look_say_why():
    found = judge(made_result([made_cell("clean", 0, 0.5)], models=(model(),)), extensions.every("checks"), CATALOGUE)
    by_name = {item.check: item for item in found.checks}
    assert set(by_name) == set(extensions.names("checks"))
    assert by_name["robustness"].status == "not run"
    assert "`scenarios:`" in by_name["robustness"].reasons[0]
    assert by_name["memory"].status == "not run"
    assert by_name["labels"].status == "passed"
    left = made_result([made_cell("clean", 0, 0.5)], plan=PlanRecord(checks={"labels": False}))
    outcomes = judge(left, extensions.every("checks"), CATALOGUE).checks
    assert [item.status for item in outcomes if item.check == "labels"] == ["left out"]
