"""Gates and verdicts, on results written by hand."""

from __future__ import annotations

import pytest

from auditor.evaluate.robustness import summarize
from auditor.judge.checks import check_robustness, check_run
from auditor.judge.data import check_data
from auditor.judge.gates import apply_gates
from auditor.judge.judge import judge
from auditor.values import AuditResult, Cell, CellResult, MetricValue, Rule


def cell(scenario, severity, value, *, file="m", quantization="float32", status="ok", changed="declared"):
    metrics = (
        {} if status != "ok" else {"AP": MetricValue("AP", value, reason=None if value is not None else "nothing true")}
    )
    key = Cell("m", file, quantization, "xnnpack", scenario, severity, input=changed)
    return CellResult(key, status, images=10, metrics=metrics, error=None if status == "ok" else "it broke")


def result(*cells):
    return AuditResult("1.0", "r", {}, {"gates": []}, (), {}, cells, summarize(cells))


BASE = (cell("clean", 0, 0.5), cell("noise/iso", 1, 0.4), cell("noise/iso", 3, 0.2), cell("lighting/low_light", 3, 0.3))


def statuses(rules, *cells):
    return [outcome.status for outcome in apply_gates(result(*(cells or BASE)), rules)]


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
    outcomes = apply_gates(result(*cells), rules)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "passed"]
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
    assert judge(result(*BASE), [passing], {}).result.verdict == "passed"
    assert judge(result(*BASE), [failing, unmet], {}).result.verdict == "failed"
    assert judge(result(*BASE), [passing, unmet], {}).result.verdict == "incomplete"
    assert judge(result(*failed_cell), [], {}).result.verdict == "incomplete"
    assert judge(result(*failed_cell), [failing], {}).result.verdict == "failed"
    assert judge(result(*BASE), [passing], {"robustness": check_robustness}).result.verdict == "passed"


def test_checks_say_where_and_what_to_do():
    findings = list(check_robustness(result(*BASE)))
    assert any(
        finding.level == "warning" and "noise/iso at severity 3" in finding.message and "ISONoise" in finding.remedy
        for finding in findings
    )
    (broken,) = check_run(result(*BASE, cell("noise/shot", 1, None, status="failed")))
    assert "it broke" in broken.message
    dataset = {"images": 4, "boxes": 9, "counts": {"missing_files": 1, "zero_area_boxes": 2}}
    messages = [
        finding.message for finding in check_data(AuditResult("1.0", "r", {}, {}, (), {"default": dataset}, BASE, ()))
    ]
    assert [any(text in message for message in messages) for text in ("4 images", "1 image files", "2 true boxes")] == [
        True
    ] * 3
