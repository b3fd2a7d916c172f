"""What the report says of a result: which level to deploy, the weakest condition, what matters most, what is worse."""

from __future__ import annotations

import dataclasses

import pytest
from made_pages import wide_result
from made_results import MODEL, cell_of, made_cell, made_result, minus

from auditor import extensions
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.verdict import judge
from auditor.report.bar_chart import Bar, draw_bars
from auditor.report.first_reasons import first_reasons
from auditor.report.ladder_rows import rows_of_result
from auditor.report.line_chart import Line, Tick, draw_lines
from auditor.report.matrix_values import matrix_document, matrix_metrics, mean_of
from auditor.report.trade_points import choices
from auditor.report.weakest import weakest_condition
from auditor.values import (
    DelegateRecord,
    InRun,
    Measurement,
    MetricValue,
    PlanRecord,
    Rule,
    ScenarioRecord,
)

PLAN = PlanRecord(severities=(1.0, 3.0), delegates=(DelegateRecord("xnnpack", "xnnpack"),))


def levels(*facts, gates=()):
    """A judged result of levels: (level, AP, ms, bytes, the paired interval of the loss)."""
    cells, models, times = [], [], []
    for level, value, ms, size, interval in facts:
        file = "m" if level == "float32" else f"m_{level}"
        lost = {} if interval is None else minus("float32", value - facts[0][1], *interval)
        cells.append(cell_of(value, lost, file=file, quantization=level))
        models.append(dataclasses.replace(MODEL, name=file, quantization=level, size_bytes=size))
        times.append(Measurement("invoke_ms_in_run", file, level, "xnnpack", InRun(ms), "ms"))
    plan = dataclasses.replace(PLAN, gates=gates)
    made = made_result(cells, models=tuple(models), measurements=tuple(times), plan=plan)
    return judge(made, extensions.every("checks"), CATALOGUE)


def chosen(result):
    (choice,) = choices(result).values()
    return choice.point.level, choice.holds


def test_the_fastest_of_what_is_as_good_is_deployed_and_of_the_fast_the_smallest():
    first = ("float32", 0.50, 10.0, 4000, None)
    assert chosen(levels(first, ("int8", 0.495, 4.0, 1000, (-0.01, 0.001)))) == ("int8", True)
    assert chosen(levels(first, ("int8", 0.495, 4.0, 1000, (-0.008, -0.002)))) == ("int8", True)  # less than a point
    assert chosen(levels(first, ("int8", 0.48, 4.0, 1000, (-0.03, -0.01)))) == ("float32", True)
    assert chosen(levels(first, ("int8", 0.48, 4.0, 1000, (-0.05, 0.01)))) == ("int8", True)  # chance may explain it
    assert chosen(levels(first, ("int8", 0.46, 4.0, 1000, (-0.1, 0.02)))) == ("float32", True)  # but not so much
    both = (("dynamic", 0.499, 4.2, 1000, (-0.01, 0.01)), ("int8", 0.499, 4.0, 1200, (-0.01, 0.01)))
    assert chosen(levels(first, *both)) == ("dynamic", True)  # as fast within 10 %, and smaller


def test_what_violates_a_gate_is_deployed_only_where_all_do():
    first, small = ("float32", 0.50, 10.0, 4000, None), ("int8", 0.495, 4.0, 1000, (-0.01, 0.001))
    gate = Rule("AP", "min", 0.497)
    assert chosen(levels(first, small, gates=(gate,))) == ("float32", True)
    assert chosen(levels(first, small, gates=(dataclasses.replace(gate, limit=0.6),))) == ("int8", False)


def test_a_gate_that_one_delegate_violates_leaves_the_other_its_level():
    result = levels(("float32", 0.50, 10.0, 4000, None))
    cells = [cell_of(0.5), cell_of(0.4, delegate="none")]
    times = [dataclasses.replace(result.measurements[0], delegate=name) for name in ("xnnpack", "none")]
    plan = dataclasses.replace(
        PLAN,
        delegates=(*PLAN.delegates, DelegateRecord("none", "none")),
        gates=(Rule("AP", "min", 0.45, {"delegate": "none"}),),
    )
    made = judge(made_result(cells, measurements=tuple(times), plan=plan), extensions.every("checks"), CATALOGUE)
    assert {key[1]: choice.holds for key, choice in choices(made).items()} == {"xnnpack": True, "none": False}


def test_the_weakest_condition_is_told_in_its_own_unit():
    shot = ScenarioRecord("noise/shot", 1, "", "photons at full white", {"photons": (200, 80, 30)}, ())
    plan = dataclasses.replace(PLAN, scenarios=(shot,))
    cells = [made_cell("clean", 0, 0.5), made_cell("noise/shot", 1, 0.4), made_cell("noise/shot", 3, 0.2)]
    result = made_result([*cells, made_cell("noise/iso", 1, 0.45), made_cell("noise/iso", 3, 0.4)], plan=plan)
    (row,) = rows_of_result(result)
    assert weakest_condition(result, row) == ("noise/shot", "below half from photons at full white: 30 (severity 3)")
    above = made_result([*cells[:2], made_cell("noise/shot", 3, 0.3)], plan=plan)
    told = weakest_condition(above, rows_of_result(above)[0])
    assert told == ("noise/shot", "keeps 60% at photons at full white: 30 (severity 3)")
    assert weakest_condition(made_result(cells[:1]), rows_of_result(made_result(cells[:1]))[0]) is None


def test_a_failed_gate_comes_first_with_what_mends_it_and_its_place():
    result = wide_result()
    first, *others = first_reasons(result)
    assert first.title.endswith(": failed")
    assert first.link.startswith("matrix?file=")
    assert "scenario=weather%2Fcondition_19" in first.link
    assert "at=3" in first.link
    assert len(others) <= 2
    assert len({reason.text for reason in (first, *others)}) == len(others) + 1


def test_a_root_cause_comes_before_the_gates_that_fail_of_it():
    from made_results import BROKEN_HEAD

    cells = [made_cell("clean", 0, 0.5), *(made_cell(f"noise/{name}", 3, 0.1) for name in "abc")]
    broken = dataclasses.replace(MODEL, diagnosis=BROKEN_HEAD)
    plan = dataclasses.replace(PLAN, gates=(Rule("AP", "min", 0.4),))
    found = judge(made_result(cells, plan=plan, models=(broken,)), extensions.every("checks"), CATALOGUE)
    titles = [reason.title for reason in first_reasons(found)]
    assert titles[0] == "quantization.one_scale"
    assert titles[1] == "AP at least 0.4 (every one): failed"


def test_worse_is_marked_where_the_paired_interval_says_so():
    result = wide_result(models=1, scenarios=4, severities=2)
    document = matrix_document(result)
    for metric in ("AP",):
        for column, name in enumerate(document["scenarios"]):
            for index, severity in enumerate(document["severities"]):
                cell = next(c for c in result.cells if c.scenario == name and c.severity == severity)
                entry = document["values"][metric][0][column][index]
                assert entry[0] == pytest.approx(cell.value, abs=1e-4)
                assert (len(entry) == 4) == (cell.metrics["AP_minus_clean"].interval[1] < 0)


def test_a_mean_needs_every_severity():
    cells = [
        made_cell("clean", 0, 0.5),
        made_cell("noise/iso", 1, 0.4),
        made_cell("noise/iso", 3, None, status="failed"),
    ]
    result = made_result(cells, plan=PLAN)
    (metric,) = [item for item in matrix_metrics(result) if item.name == "AP"]
    (row,) = rows_of_result(result)
    assert mean_of(row, "noise/iso", metric, PLAN.severities).value is None
    assert mean_of(row, "noise/iso", metric, (1.0,)).value == 0.4


def test_a_registered_metric_has_a_place_in_the_switch():
    extra = {"own": MetricValue("own", 0.3), "own_minus_clean": MetricValue("own_minus_clean", -0.1)}
    noisy = made_cell("noise/iso", 1, 0.4)
    cells = [made_cell("clean", 0, 0.5), dataclasses.replace(noisy, metrics={**noisy.metrics, **extra})]
    assert [item.name for item in matrix_metrics(made_result(cells, plan=PLAN))] == ["AP", "own"]


def test_charts_stay_in_their_frames_and_escape_what_they_are_called():
    lines = [Line("<b>", "c0", [(0, 0.5), (5, 0.2)], [(0, 0.4, 0.6), (5, -0.1, 1.4)])]
    svg = draw_lines("a & b", lines, ticks=[Tick(0, "clean"), Tick(5, "x", "5")], top=1.0)
    assert "<b>" not in svg
    assert "a &amp; b" in svg
    numbers = [float(part) for pair in svg.split('points="')[1].split('"')[0].split() for part in pair.split(",")]
    assert min(numbers) >= 0
    assert max(numbers) <= 330
    bars = draw_bars("c", ["one", "two"], [Bar("<i>", (0.1, -0.05))], title="t")
    assert "<i>" not in bars
    assert bars.count("<rect") == 2
