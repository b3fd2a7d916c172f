"""What an audit's verdict says, and to whom: nothing without gates, no impossible gate, findings where nobody opens the
page."""

from __future__ import annotations

import dataclasses
import json
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from made_results import cell_of, made_cell, made_result, minus, model

from auditor.cli import main
from auditor.extensions import every
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.verdict import judge
from auditor.report.junit import render_junit
from auditor.report.outcome import gate_text, worst_groups
from auditor.report.page import render_report
from auditor.report.section import Shown
from auditor.report.sections.trade_off import SECTION
from auditor.report.summary import render_summary
from auditor.values import InRun, Latency, Measurement, PlanRecord, Rule


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def judged(cells, *rules, **parts):
    plan = PlanRecord(gates=rules, **parts.pop("plan", {}))
    return judge(made_result(cells, plan=plan, **parts), every("checks"), CATALOGUE)


BETTER = cell_of(0.6, minus("declared", 0.4, 0.2, 0.5), input="color=bgr")


def better():
    """A model that is fed wrongly, which one warning says, with its line."""
    from test_judge_inputs import fed, other

    found = fed(other(0.5, 0.3, 0.2, 0.4))
    return judge(found, every("checks"), CATALOGUE)


# ------------------------------------------------------------------------------------------------------ without a gate


def test_without_gates_nothing_is_judged(project):
    document = (project / "audit.yaml").read_text().partition("gates:")[0]
    (project / "audit.yaml").write_text(document)
    done = invoke("run", project / "audit.yaml", "-o", project / "out", "--executor", "serial")
    assert done.exit_code == 0
    assert "NOT JUDGED" in done.stderr
    assert "PASSED" not in done.stderr
    assert json.loads((project / "out" / "result.json").read_text())["verdict"] == "not judged"
    suite = ET.parse(project / "out" / "junit.xml").getroot()
    assert int(suite.get("skipped")) >= 1
    (case,) = [case for case in suite if case.get("name") == "gates"]
    assert "sets no gates" in case.find("skipped").get("message")
    page = (project / "out" / "report.html").read_text()
    assert "NOT JUDGED" in page
    assert "PASSED" not in page
    assert (project / "out" / "summary.md").read_text().startswith("# NOT JUDGED")


def test_a_lost_cell_is_incomplete_also_without_gates():
    lost = made_cell("noise/iso", 1, None, status="failed")
    assert judged([made_cell("clean", 0, 0.5), lost]).verdict == "incomplete"


# -------------------------------------------------------------------------------------------------- what counts, where


def test_findings_count_where_the_audit_says_so():
    weak = [made_cell("clean", 0, 0.5), made_cell("noise/iso", 1, 0.1)]
    gate = Rule("AP", "min", 0.05)
    assert judged(weak, gate).verdict == "passed"
    assert judged(weak, gate, plan={"fail_on": "error"}).verdict == "passed"
    failed = judged(weak, gate, plan={"fail_on": "warning"})
    assert failed.verdict == "failed"
    suite = ET.fromstring(render_junit(failed))
    (case,) = [case for case in suite if case.get("name").startswith("robustness.weak:")]
    assert case.find("failure") is not None
    assert "fail_on: warning" in render_summary(failed)


def test_what_counts_does_not_say_that_nothing_was_judged(tmp_path, capsys):
    from auditor.cli.telling import tell

    weak = [made_cell("clean", 0, 0.5), made_cell("noise/iso", 1, 0.1)]
    found = judged(weak, plan={"fail_on": "warning"})
    assert (found.verdict, tell(found, tmp_path, quiet=True)) == ("failed", 1)
    for text in (capsys.readouterr().err, render_summary(found), render_junit(found), render_report(found, {})):
        assert "nothing was judged" not in text
    assert judged([made_cell("clean", 0, 0.5)], plan={"fail_on": "warning"}).verdict == "not judged"


def test_a_drop_is_told_as_one():
    found = judged(
        [made_cell("clean", 0, 0.5), made_cell("noise/iso", 1, 0.45)], Rule("AP", "max_drop", 0.1, {}, "clean")
    )
    assert gate_text(found.gates[0]).startswith("AP 0.450 is 0.050 below clean, 0.050 within the limit 0.1: m (")


def test_a_gates_file_may_say_only_what_counts(finished):
    (finished / "only.yaml").write_text("fail_on: warning\n")
    done = invoke("judge", finished / "out", "--gates", finished / "only.yaml", "-q")
    assert done.exit_code in (0, 1), done.stderr
    document = json.loads((finished / "out" / "result.json").read_text())
    assert (document["plan"]["fail_on"], len(document["gates"])) == ("warning", 1)
    (finished / "gates.yaml").write_text("gates:\n  - {metric: AP, scenario: clean, min: 0.1}\n")
    assert invoke("judge", finished / "out", "--gates", finished / "gates.yaml", "-q").exit_code == done.exit_code
    assert json.loads((finished / "out" / "result.json").read_text())["plan"]["fail_on"] == "warning"
    (finished / "none.yaml").write_text("name: x\n")
    assert invoke("judge", finished / "out", "--gates", finished / "none.yaml").exit_code == 2
    (finished / "more.yaml").write_text(
        "gates:\n  - {metric: AP, min: 30}\n  - {metric: AP}\n  - {metrc: AP, min: 0.1}\n"
    )
    told = invoke("judge", finished / "out", "--gates", finished / "more.yaml").stderr
    assert told.count("error: ") == 4, told  # the unknown key, and that `metric` is missing


def test_what_a_gate_cannot_judge_stays_incomplete_whatever_counts():
    lost = made_cell("noise/iso", 1, None, status="failed")
    found = judged([made_cell("clean", 0, 0.5), lost], Rule("AP", "min", 0.1), plan={"fail_on": "warning"})
    assert found.verdict == "failed"  # the lost cell is a finding of the check `run`
    only = judged([made_cell("clean", 0, 0.5)], Rule("AP", "min", 0.1, {"scenario": "x"}), plan={"fail_on": "error"})
    assert only.verdict == "incomplete"


def test_warnings_reach_junit_and_summary_with_their_lines():
    result = better()
    line = str(result.findings[0].fix) if result.findings[0].fix else ""
    assert line
    suite = ET.fromstring(render_junit(result))
    (case,) = [case for case in suite if case.get("classname") == "finding.input_contract"]
    assert line in case.find("skipped").text
    text = render_summary(result)
    assert f"```yaml\n  # in `models:`, the entry named {result.findings[0].fix.model}\n  {line}" in text


def test_the_terminal_ends_with_the_worst_groups_and_their_lines(monkeypatch, tmp_path):
    from auditor.cli.telling import tell

    said = []
    monkeypatch.setattr("click.echo", lambda text="", **_: said.append(text))
    result = better()
    assert tell(result, tmp_path, quiet=False) == 0
    line = str(result.findings[0].fix)
    assert any(text.strip() == line for text in said), said
    assert said[-1].startswith("NOT JUDGED")
    said.clear()
    tell(result, tmp_path, quiet=True)
    assert [text for text in said if "input.better" in text] == []
    assert len(said) == 2


def test_the_worst_are_the_worst_of_their_kinds():
    cells = [made_cell("clean", 0, 0.5), *(made_cell(f"noise/{name}", 1, 0.1) for name in "abc")]
    found = judged([*cells, made_cell("noise/d", 1, None, status="failed")])
    assert [finding.code for finding in worst_groups(found)][:2] == ["run.failed", "robustness.weak"]
    assert len(worst_groups(found)) == 3


def test_quiet_says_verdict_reasons_and_path_and_nothing_else(project):
    done = invoke("run", project / "audit.yaml", "-o", project / "out", "-q", "--executor", "serial")
    assert done.stdout == ""
    assert done.stderr == f"PASSED: {project / 'out' / 'report.html'}\n"
    more = ["--set", "gates=[{metric: AP, scenario: clean, min: 0.99}]"]
    failed = invoke("run", project / "audit.yaml", "-o", project / "out", "-q", "--executor", "serial", *more)
    assert failed.exit_code == 1
    reason, verdict = failed.stderr.splitlines()
    assert "AP at least 0.99 (scenario clean): failed" in reason
    assert verdict.startswith("FAILED: ")


# ---------------------------------------------------------------------------------------------- what a gate is about


FAMILY = (
    made_cell("clean", 0, 0.5),
    made_cell("clean", 0, 0.49, file="q", quantization="int8"),
    made_cell("clean", 0, 0.1, file="h", quantization="int8_float_head"),
)
MODELS = (model(), model(name="q", quantization="int8"), model(name="h", quantization="int8_float_head", role="remedy"))


@pytest.mark.parametrize(
    ("rule", "status", "measured"),
    [
        (Rule("AP", "min", 0.3), "passed", 2),
        (Rule("AP", "min", 0.3, {"quantization": "int8_float_head"}), "failed", 1),
        (Rule("AP", "min", 0.3, {"model": "h"}), "failed", 1),
        (Rule("AP_clean", "min", 0.3), "passed", 2),
        (Rule("AP", "max_drop", 0.05, {}, against="float32"), "passed", 1),
    ],
)
def test_a_remedy_is_judged_only_by_its_name(rule, status, measured):
    (gate,) = judged(FAMILY, rule, models=MODELS).gates
    assert (gate.status, gate.measured) == (status, measured)


def test_the_size_of_a_remedy_is_judged_only_by_its_name():
    sizes = tuple(
        Measurement("file_mb", name, level, "xnnpack", size, "MB")
        for name, level, size in (("q", "int8", 1.0), ("h", "int8_float_head", 9.0))
    )
    (gate,) = judged(FAMILY, Rule("file_mb", "max", 2.0), models=MODELS, measurements=sizes).gates
    assert (gate.status, gate.measured) == ("passed", 1)


def test_a_model_without_a_family_is_skipped_by_a_gate_against_a_level():
    alone = made_cell("clean", 0, 0.1, model="other", file="other", quantization="int8")
    models = (*MODELS, model(name="other", model="other", quantization="int8"))
    rule = Rule("AP", "max_drop", 0.05, {}, against="float32")
    (gate,) = judged((*FAMILY, alone), rule, models=models).gates
    assert (gate.status, gate.measured) == ("passed", 1)
    lost = made_cell("clean", 0, None, file="f", quantization="float32", model="other", status="skipped")
    (gate,) = judged((*FAMILY, alone, lost), rule, models=models).gates
    assert (gate.status, gate.unjudged) == ("incomplete", 1)  # it has the level, which could not be had


def test_a_gate_that_holds_shows_its_number_and_margin():
    found = judged([made_cell("clean", 0, 0.5), made_cell("noise/iso", 1, 0.35)], Rule("AP", "min", 0.3))
    (gate,) = found.gates
    assert (gate.nearest.value, round(gate.nearest.margin, 9)) == (0.35, 0.05)
    assert gate_text(gate).startswith("nearest of 2: AP 0.350, 0.050 within the limit 0.300: m (float32")
    for text in (render_summary(found), render_junit(found), render_report(found, {})):
        assert "0.050 within the limit" in text


def test_the_result_has_every_outcome_and_never_trusts_it(finished):
    out = finished / "out"
    document = json.loads((out / "result.json").read_text())
    (gate,) = document["gates"]
    assert (gate["status"], gate["measured"], gate["rule"]["metric"]) == ("passed", 1, "AP")
    assert gate["nearest"]["margin"] == pytest.approx(gate["nearest"]["value"] - 0.4)
    (out / "result.json").write_text(json.dumps({**document, "gates": [], "verdict": "failed"}))
    assert invoke("judge", out).exit_code == 0
    assert json.loads((out / "result.json").read_text())["gates"] == document["gates"]


def test_summary_and_page_name_the_device_and_the_gates_file(finished):
    out = finished / "out"
    (finished / "mine.yaml").write_text("gates:\n  - {metric: AP, scenario: clean, min: 0.2}\nfail_on: error\n")
    assert invoke("judge", out, "--gates", finished / "mine.yaml").exit_code == 0
    summary = (out / "summary.md").read_text()
    machine = json.loads((out / "result.json").read_text())["provenance"]["machine"]["processor"]
    assert f"| xnnpack | local ({machine}) |" in summary
    assert f"auditor judge {out} --gates {finished / 'mine.yaml'}" in summary
    assert f"--gates {finished / 'mine.yaml'}" in (out / "report.html").read_text()
    assert json.loads((out / "result.json").read_text())["plan"]["fail_on"] == "error"


# ----------------------------------------------------------------------------------------------------- impossible gates

IMPOSSIBLE = [
    ("{metric: AP, min: 30}", "gates[0].min: expected a limit from 0 to 1, between which AP lies, but got 30"),
    ("{metric: AP, min: 30}", "30 % is 0.3"),
    ("{metric: AP, max_drop: 2, against: clean}", "gates[0].max_drop: expected a limit from 0 to 1"),
    ("{metric: file_mb, max: -1}", "expected a limit above 0, as file_mb always is, but got -1"),
    ("{metric: file_mb, max: 0}", "expected a limit above 0"),
    ("{metric: rPC, max_drop: 0.1, against: clean}", "rPC is one value of a model, without a reference; give `min`"),
    ("{metric: AP, scenario: noise/shot, min: 0.1}", "no scenario 'noise/shot'"),
    ("{metric: AP, scenario: resolution, min: 0.1}", "no scenario 'resolution'"),
    ("{metric: AP, severity: 3, min: 0.1}", "no severity 3; it has 0, 1, 5"),
    ("{metric: AP, quantization: int8, min: 0.1}", "no level 'int8'"),
    ("{metric: AP, delegate: none, min: 0.1}", "no delegate 'none'"),
    ("{metric: AP, device: phone, min: 0.1}", "no device 'phone'"),
    ("{metric: AP/dog, min: 0.1}", "no class 'dog' is judged; judged are: ball"),
    ("{metric: top1, min: 0.1}", "top1 is a metric of another task than detection"),
    (
        "{metric: latency_p90_ms, max: 20}",
        "nothing of this audit measures latency_p90_ms; write `measure: {threads: [1]}`",
    ),
    ("{metric: sustained_fps, min: 20}", "write `measure: {sustained: 60s}`"),
    ("{metric: AP, scenario: clean, severity: 5, min: 0.1}", "goes with no scenario 'clean'"),
    ("{metric: AP, scenario: clean, max_drop: 0.1, against: clean}", "clean drops nothing against itself"),
    ("{metric: AP_minus_float32, min: -0.1}", "AP_minus_float32 compares with float32"),
    ("{metric: parity_matched, min: 0.9}", "one of each"),
]


@pytest.mark.parametrize(("gate", "expected"), IMPOSSIBLE)
def test_an_impossible_gate_is_told_before_anything_runs(project, gate, expected):
    done = invoke("run", project / "audit.yaml", "-o", project / "out", "--set", f"gates=[{gate}]")
    assert done.exit_code == 2, done.stderr
    assert expected in done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    assert not (project / "out").exists()


def test_a_gate_over_scenarios_needs_one(project):
    more = ["--set", "scenarios=[]", "--set", "gates=[{metric: rPC, min: 0.5}]"]
    done = invoke("run", project / "audit.yaml", "-o", project / "out", *more)
    assert (done.exit_code, "no scenario but clean" in done.stderr) == (2, True)


@pytest.mark.parametrize(("gate", "expected"), [pair for pair in IMPOSSIBLE if "measure" not in pair[1]])
def test_judging_again_refuses_the_same(finished, gate, expected):
    (finished / "mine.yaml").write_text(f"gates:\n  - {gate}\n")
    done = invoke("judge", finished / "out", "--gates", finished / "mine.yaml")
    assert done.exit_code == 2, done.stderr
    assert "mine.yaml:2: " in done.stderr


def test_possible_gates_are_not_refused(project):
    gates = (
        "gates=[{metric: AP, min: 0}, {metric: AP/ball, scenario: noise, severity: 5, min: 0}, {metric: rPC, min: 0},"
        " {metric: AP_minus_clean, severity: 1, min: -1}, {metric: AP, model: detector, device: local, min: 0},"
        " {metric: file_mb, max: 100}, {metric: AP, scenario: lighting/low_light, max_drop: 1, against: clean}]"
    )
    done = invoke("run", project / "audit.yaml", "-o", project / "out", "--executor", "serial", "--set", gates)
    assert done.exit_code == 0, done.stderr


# ------------------------------------------------------------------------------------------------- one time for a thing


def test_the_trade_off_shows_the_time_that_the_table_of_speeds_shows():
    def timed(name, level, alone, in_run):
        latency = Latency(1.0, 10, 100, p50=alone, p90=alone, p99=alone)
        return (
            Measurement("invoke_ms_in_run", name, level, "xnnpack", InRun(in_run), "ms"),
            Measurement("latency_ms", name, level, "xnnpack", latency, "ms"),
        )

    times = (*timed("m", "float32", 1.95, 6.1), *timed("q", "int8", 3.0, 2.0))
    result = made_result(FAMILY[:2], models=MODELS[:2], measurements=times, plan=PlanRecord(delegates=()))
    from auditor.values import DelegateRecord

    plan = PlanRecord(delegates=(DelegateRecord("xnnpack", "xnnpack"),))
    (family,) = SECTION.facts(Shown(dataclasses.replace(result, plan=plan), {}))["families"]
    assert (family["alone"], [level.ms for level in family["levels"]]) == (True, [1.95, 3.0])
    head = made_cell("clean", 0, 0.48, file="h", quantization="int8_float_more")
    evidence = model(name="h", quantization="int8_float_more", role="evidence")
    shown = dataclasses.replace(
        result,
        plan=plan,
        cells=(*result.cells, head),
        models=(*result.models, evidence),
        measurements=(*times, Measurement("invoke_ms_in_run", "h", "int8_float_more", "xnnpack", InRun(9.0), "ms")),
    )
    (family,) = SECTION.facts(Shown(shown, {}))["families"]  # what nobody asked for, and is not timed, changes nothing
    assert (family["alone"], [level.ms for level in family["levels"]]) == (True, [1.95, 3.0])
    fewer = dataclasses.replace(result, plan=plan, measurements=times[:3])
    (family,) = SECTION.facts(Shown(fewer, {}))["families"]
    assert (family["alone"], [level.ms for level in family["levels"]]) == (False, [6.1, 2.0])
