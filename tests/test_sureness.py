"""Gates with a confidence: passed, failed or undecided, and how many images would decide."""

from __future__ import annotations

import dataclasses
from statistics import NormalDist
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from made_results import made_cell, made_result

from auditor import extensions
from auditor.cli import main
from auditor.judge.verdict import judge
from auditor.report.junit import render_junit
from auditor.run.judging import catalogue
from auditor.values import MetricValue, PlanRecord, Rule


def cell(value, low, high, scenario="clean", **more):
    metrics = {"AP": MetricValue("AP", value, interval=(low, high), images=100), **more}
    return dataclasses.replace(made_cell(scenario, 0 if scenario == "clean" else 3, value), metrics=metrics)


def judged(rule, *cells, **plan):
    result = made_result(cells, plan=PlanRecord(gates=(rule,), **plan))
    return judge(result, extensions.every("checks"), catalogue())


@pytest.mark.parametrize(
    ("value", "kind", "limit", "status"),
    [
        (0.50, "min", 0.40, "passed"),
        (0.50, "min", 0.47, "undecided"),
        (0.50, "min", 0.53, "undecided"),
        (0.50, "min", 0.60, "failed"),
        (0.50, "max", 0.60, "passed"),
        (0.50, "max", 0.47, "undecided"),
        (0.50, "max", 0.40, "failed"),
    ],
)
def test_a_value_passes_or_fails_only_where_that_is_sure(value, kind, limit, status):
    found = judged(Rule("AP", kind, limit, confidence=0.95), cell(value, 0.45, 0.56))
    assert found.gates[0].status == status
    assert found.verdict == status
    plain = judged(Rule("AP", kind, limit), cell(value, 0.45, 0.56)).gates[0].status
    assert plain == ("passed" if (value >= limit) == (kind == "min") else "failed")


def test_the_number_of_images_is_that_which_narrows_the_interval_to_the_limit():
    found = judged(Rule("AP", "min", 0.47, confidence=0.95), cell(0.50, 0.45, 0.56))
    (met,) = found.gates[0].met
    reach = 0.05 / NormalDist().inv_cdf(0.975) * NormalDist().inv_cdf(0.95)
    assert met.undecided
    assert met.enough == int(np.ceil(100 * (reach / 0.03) ** 2))
    (told,) = [finding for finding in found.findings if finding.code == "gate.undecided"]
    assert f"about {met.enough:,} images would decide" in told.message
    more = judged(Rule("AP", "min", 0.47, confidence=0.99), cell(0.50, 0.45, 0.56))
    assert more.gates[0].met[0].enough > met.enough
    assert judged(Rule("AP", "min", 0.5, confidence=0.95), cell(0.50, 0.45, 0.56)).gates[0].met[0].enough is None


def test_a_drop_is_as_sure_as_its_paired_difference():
    clean = cell(0.5, 0.4, 0.6)
    dark = cell(
        0.42, 0.3, 0.5, "noise/iso", AP_minus_clean=MetricValue("AP_minus_clean", -0.08, interval=(-0.09, -0.07))
    )
    rule = Rule("AP", "max_drop", 0.10, {"scenario": "noise/iso"}, "clean", confidence=0.95)
    assert judged(rule, clean, dark).verdict == "passed"
    assert judged(dataclasses.replace(rule, limit=0.079), clean, dark).verdict == "undecided"
    assert judged(dataclasses.replace(rule, limit=0.05), clean, dark).verdict == "failed"
    without = dataclasses.replace(dark, metrics={"AP": dark.metrics["AP"]})
    assert judged(rule, clean, without).verdict == "undecided"


def test_failed_comes_before_incomplete_and_that_before_undecided():
    rule = Rule("AP", "min", 0.47, confidence=0.95)
    sure, open_, lost = (
        cell(0.3, 0.25, 0.35),
        cell(0.5, 0.45, 0.56, "noise/iso"),
        made_cell("x/y", 1, None, status="failed"),
    )
    assert judged(rule, sure, open_, lost).verdict == "failed"
    assert judged(rule, cell(0.9, 0.85, 0.95), open_, lost).verdict == "incomplete"
    assert judged(rule, cell(0.9, 0.85, 0.95), open_).verdict == "undecided"
    passed = judged(rule, cell(0.9, 0.85, 0.95), open_, undecided="pass")
    assert (passed.verdict, passed.gates[0].status) == ("passed", "undecided")


def test_junit_holds_an_undecided_value_for_an_error_unless_it_may_pass():
    rule, open_ = Rule("AP", "min", 0.47, confidence=0.95), cell(0.5, 0.45, 0.56)
    suite = ET.fromstring(render_junit(judged(rule, open_)))
    assert suite[0][0].tag == "error"
    assert suite[0][0].get("message").startswith("undecided: AP 0.500, 0.030 within the limit 0.470")
    assert ET.fromstring(render_junit(judged(rule, open_, undecided="pass")))[0][0].tag == "skipped"


def test_a_gates_file_may_ask_to_be_sure_and_let_the_undecided_pass(finished):
    value = "gates:\n  - {metric: AP, scenario: clean, min: 0.8, confidence: 0.95}\n"
    (finished / "gates.yaml").write_text(value)
    command = ["judge", str(finished / "out"), "--gates", str(finished / "gates.yaml"), "-q"]
    told = CliRunner().invoke(main, command)
    assert (told.exit_code, "UNDECIDED" in told.stderr) == (3, True), told.output
    assert "images would decide" in told.stderr
    assert "status-undecided" in (finished / "out" / "report.html").read_text()
    (finished / "gates.yaml").write_text(value + "undecided: pass\n")
    assert CliRunner().invoke(main, command).exit_code == 0
    (finished / "gates.yaml").write_text(value.replace("0.95", "95"))
    assert CliRunner().invoke(main, command).exit_code == 2


def test_what_has_no_interval_is_never_sure_and_says_why(finished):
    bare = dataclasses.replace(cell(0.5, 0.4, 0.6), metrics={"AP": MetricValue("AP", 0.5)})
    found = judged(Rule("AP", "min", 0.1, confidence=0.95), bare)
    (told,) = [finding for finding in found.findings if finding.code == "gate.undecided"]
    assert found.verdict == "undecided"
    assert "it has no interval here, since there is too little of it" in told.message
    assert "20 of a class" in told.remedy
    (finished / "gates.yaml").write_text("gates:\n  - {metric: AR100, min: 0.1, confidence: 0.95}\n")
    told = CliRunner().invoke(main, ["judge", str(finished / "out"), "--gates", str(finished / "gates.yaml")])
    assert told.exit_code == 2
    assert "AR100 has no interval, so nothing is sure of it" in told.stderr
    (finished / "gates.yaml").write_text("gates:\n  - {metric: recall/unicorn, min: 0.1}\n")
    told = CliRunner().invoke(main, ["judge", str(finished / "out"), "--gates", str(finished / "gates.yaml")])
    assert told.stderr.count("star") == 1
