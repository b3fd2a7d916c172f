"""Breaking points: found on drawn curves, on the demo's detector, in gates, in the report."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_project
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pages import rendered
from made_results import made_cell, made_result

from auditor.cli import main
from auditor.config import result_document
from auditor.errors import InputError
from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.crossing import MOST, Curve, better_again, limit_of_curve, next_severity
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.gates import apply_gates
from auditor.report.limit_words import sentence_of
from auditor.run import load_run, run_audit
from auditor.values import BreakingPoint, BreakingSearch, PlanRecord, Rule, ScenarioRecord

GRID = (1.0, 3.0, 5.0)


def curve(points, *, samples=None, images=100):
    severities, drops = np.array(sorted(points)), np.array([points[s] for s in sorted(points)], dtype=float)
    rows = np.zeros((0, len(drops))) if samples is None else samples
    return Curve(severities, drops, rows, images)


def around(points, spread, *, resamples=400):
    """Resamples that scatter independently around the drops."""
    drops = np.array([points[s] for s in sorted(points)], dtype=float)
    return drops + np.random.default_rng(0).normal(0, spread, (resamples, len(drops)))


# ----------------------------------------------------------------------------------------------------- drawn curves


@pytest.mark.parametrize(
    ("points", "limit"),
    [
        ({1: 0.0, 3: 0.05, 5: 0.25}, 3.5),
        ({1: 0.0, 2: 0.1, 5: 0.2}, 2.0),
        ({1: 0.2, 3: 0.3, 5: 0.4}, -math.inf),
        ({1: 0.0, 3: 0.01, 5: 0.09}, math.inf),
        ({1: 0.0, 2: 0.12, 3: 0.06, 4: 0.09, 5: 0.39}, 4.0 + 0.01 / 0.3),
    ],
)
def test_the_limit_is_where_the_drop_is_reached_first(points, limit):
    """By hand; the last by pooling 0.12, 0.06 and 0.09 to 0.09."""
    assert limit_of_curve(curve(points), 0.1).severity == pytest.approx(limit)


def test_the_interval_is_of_the_resamples_and_open_where_they_leave_the_range():
    points = {1: 0.0, 3: 0.05, 5: 0.25}
    inside = limit_of_curve(curve(points, samples=around(points, 0.01)), 0.1)
    assert inside.interval is not None
    assert 3.1 < inside.interval[0] < 3.5 < inside.interval[1] < 3.8
    late = {1: 0.0, 3: 0.05, 5: 0.11}
    assert limit_of_curve(curve(late, samples=around(late, 0.02)), 0.1).interval[1] == math.inf
    early = {1: 0.09, 3: 0.2, 5: 0.3}
    assert limit_of_curve(curve(early, samples=around(early, 0.02)), 0.1).interval[0] == -math.inf


def test_a_drop_that_goes_back_is_seen_where_it_is_beyond_chance():
    back = {1: 0.0, 2: 0.15, 3: 0.02, 5: 0.3}
    sure = curve(back, samples=around(back, 0.01))
    assert better_again(sure) == 3
    assert limit_of_curve(sure, 0.1).severity == pytest.approx(1 + 0.1 / 0.15)
    unsure = curve(back, samples=around(back, 0.2))
    assert better_again(unsure) is None
    assert limit_of_curve(unsure, 0.1).severity > 3  # the two are pooled to 0.085


@settings(max_examples=200, deadline=None)
@given(
    where=st.floats(0.5, 5.5),
    steepness=st.floats(0.02, 3),
    grid=st.sampled_from([(1.0, 2.0, 3.0, 4.0, 5.0), GRID, (5.0,), (3.0,), (2.0, 4.0)]),
)
def test_a_search_ends_in_seven_cells_next_to_the_truth(where, steepness, grid):
    def drop(severity):
        return 0.1 + 0.2 * math.tanh(steepness * (severity - where))

    known, tried = {severity: drop(severity) for severity in grid}, []
    while (asked := next_severity(curve(known), 0.1, left=MOST - len(tried))) is not None:
        assert 1 <= asked <= 5
        assert asked not in known
        known[asked] = drop(asked)
        tried.append(asked)
    assert len(tried) <= MOST
    found = limit_of_curve(curve(known), 0.1).severity
    if 1 < where <= 5:
        assert found == pytest.approx(where, abs=1 / 8)
    else:
        assert math.isinf(found)
        assert (found > 0) == (where > 5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """200 sets of 120 images with 4 objects each, alike within an image; recall falls from 0.9 by logistic limits, so
    that the severity of a drop of 0.1 over all such images is known. 95 % of intervals cover it: fewer than 180 of 200
    would come about in 1 of 300 tries."""
    rng, covered = np.random.default_rng(5), 0
    severities = np.array([1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0])

    def recall(severity):
        return 0.9 / (1 + np.exp(1.2 * (severity - 5)))

    clean, truth = recall(0.0), 5 + np.log(0.9 / (recall(0.0) - 0.1) - 1) / 1.2
    for turn in range(200):
        ease = rng.normal(0, 0.5, (120, 1)) + rng.normal(0, 0.3, (120, 4))  # of images, and of objects in them
        rank = np.argsort(np.argsort(ease.ravel())).reshape(ease.shape) / ease.size
        hits = np.stack([(rank < recall(severity)).sum(axis=1) for severity in (0.0, *severities)], axis=1)
        noise = rng.integers(-1, 2, hits.shape)  # chance of its own at each severity
        hits = np.clip(hits + noise * (rng.random(hits.shape) < 0.3), 0, 4)
        weights = draw_weights(120, seed=turn, resamples=300)
        values = weights @ hits / 480
        point = hits.sum(axis=0) / 480
        found = Curve(severities, point[0] - point[1:], values[:, :1] - values[:, 1:], 120)
        low, high = limit_of_curve(found, float(clean - recall(truth))).interval
        covered += low <= truth <= high
    assert covered >= 180


# --------------------------------------------------------------------------------------------- the demo's detector


def audit(folder, *, metric="recall", max_drop=0.10, scenarios="[lighting/low_light]", severities="[1, 3, 5]", more=""):
    write_project(folder)
    ours = ("scenarios", "severities", "gates", "  - {metric", "measure", "checks", "gallery")
    kept = [line for line in (folder / "audit.yaml").read_text().splitlines() if not line.startswith(ours)]
    kept += [
        f"scenarios: {scenarios}",
        f"severities: {severities}",
        f"breaking_points: {{metric: {metric}, max_drop: {max_drop}}}",
        "measure: {threads: []}",
        "checks: {input_contract: false}",
        "gallery: false",
        more,
    ]
    (folder / "audit.yaml").write_text("\n".join(kept))
    return folder / "audit.yaml"


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    found = run_audit(audit(folder), output=folder / "out", executor="serial")
    return folder, found


def test_a_limit_is_found_and_every_value_of_it_is_what_a_grid_of_such_severities_gives(searched, tmp_path):
    _, found = searched
    (point,) = found.breaking_points
    assert (point.outcome, point.knob, point.unit, point.range) == ("reached", "stops", "exposure, stops", (-1, -5))
    assert point.evaluations <= MOST
    assert point.at == pytest.approx(-point.severity)
    own = [item for item in point.tried if item.searched]
    assert own
    listed = ", ".join(f"{item.severity}" for item in own)
    other = run_audit(audit(tmp_path, severities=f"[{listed}]"), output=tmp_path / "out", executor="serial")
    cells = {cell.severity: cell for cell in other.cells if not cell.is_clean and cell.is_declared}
    clean = next(cell for cell in other.cells if cell.is_clean and cell.is_declared).metrics["recall"].value
    assert point.clean == clean
    for item in own:
        value = cells[item.severity].metrics["recall"].value
        assert (item.value, item.drop) == (value, pytest.approx(clean - value))
    before = max((item for item in point.tried if item.severity <= point.severity), key=lambda item: item.severity)
    behind = min((item for item in point.tried if item.severity >= point.severity), key=lambda item: item.severity)
    assert before.drop <= 0.1 <= behind.drop
    low, high = point.severities
    assert low is None or low <= point.severity
    assert high is None or point.severity <= high


def test_what_was_searched_is_found_again(searched):
    folder, first = searched
    files = {path: path.stat().st_mtime_ns for path in (folder / "out" / "measurements").iterdir()}
    again = run_audit(folder / "audit.yaml", output=folder / "out", executor="serial")
    assert again.breaking_points == first.breaking_points
    assert {path: path.stat().st_mtime_ns for path in (folder / "out" / "measurements").iterdir()} == files


def test_cells_of_the_search_are_of_no_summary_and_no_matrix(searched):
    _, found = searched
    assert {cell.severity for cell in found.cells if cell.is_declared} == {0, 1, 3, 5}


@pytest.mark.parametrize(("max_drop", "outcome"), [(0.99, "never"), (0.0001, "already")])
def test_never_and_already_are_answers(tmp_path, max_drop, outcome):
    given = audit(tmp_path, max_drop=max_drop, scenarios="[noise/gaussian]", severities="[3]")
    (point,) = run_audit(given, output=tmp_path / "out", executor="serial").breaking_points
    assert (point.outcome, point.at) == (outcome, None)
    assert {1, 3, 5} <= {item.severity for item in point.tried}
    assert f"{point.range[1 if outcome == 'never' else 0]:g}" in sentence_of(point)


def test_a_metric_that_is_better_when_lower_rises_to_its_limit(tmp_path):
    given = audit(tmp_path, metric="missed", max_drop=1)
    (point,) = run_audit(given, output=tmp_path / "out", executor="serial").breaking_points
    assert point.outcome == "reached"
    drops = [item.drop for item in point.tried]
    assert drops == sorted(drops)
    assert all(item.value >= point.clean for item in point.tried[1:])


PYTHON = """\
def fog(image, *, severity, rng):
    if severity != int(severity):
        raise ValueError("whole only")
    return (image * (1 - severity / 5.5)).astype("uint8")
"""
PACK = """\
pack: mine
version: 1
scenarios:
  fog:
    knobs: {share: [0.2, 0.4, 0.6, 0.8, 0.95]}
    unit: share
    transforms: [{function: fog_code:fog}]
"""


def test_a_scenario_that_cannot_be_had_between_severities_is_unknown_with_its_reason(tmp_path):
    given = audit(tmp_path, scenarios="[./mine.yaml]", more="allow_code: true\n")
    (tmp_path / "mine.yaml").write_text(PACK)
    (tmp_path / "fog_code.py").write_text(PYTHON)
    found = run_audit(given, output=tmp_path / "out", executor="serial")
    (point,) = found.breaking_points
    assert point.outcome == "unknown"
    assert "whole only" in point.reason
    assert found.verdict == "not judged"


def test_a_scenario_of_which_every_cell_fails_is_unknown_and_the_audit_ends(tmp_path):
    given = audit(tmp_path, scenarios="[./mine.yaml]", more="allow_code: true\n")
    (tmp_path / "mine.yaml").write_text(PACK)
    large = "def fog(image, *, severity, rng):\n    assert len(image) < 100, 'too large'\n    return image // 2\n"
    (tmp_path / "fog_code.py").write_text(large)
    (point,) = run_audit(given, output=tmp_path / "out", executor="serial").breaking_points
    assert (point.outcome, point.tried) == ("unknown", ())
    assert "too large" in point.reason


def test_what_cannot_be_lost_is_told(tmp_path):
    given = audit(tmp_path, metric="AP", max_drop=1, severities="[3]")
    (point,) = run_audit(given, output=tmp_path / "out", executor="serial").breaking_points
    assert point.outcome == "never"
    assert "which cannot fall by 1" in sentence_of(point)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"metric": "recal"},
            "breaking_points.metric: no clean cell of this audit has 'recal'; did you mean 'recall'?",
        ),
        ({"metric": "rPC"}, "no clean cell of this audit has 'rPC'"),
        ({"metric": "top1"}, "top1 is a metric of another task"),
        ({"max_drop": 1.5}, "breaking_points.max_drop: expected at most 1"),
        ({"max_drop": 0}, "breaking_points.max_drop: expected more than 0"),
        ({"scenarios": "[]"}, "no scenario but clean"),
        ({"more": "decide: {}\ngates: [{metric: AP, min: 0.1}]\n"}, "leave one out"),
        ({"more": "gates: [{breaking_point: lighting/low_light, at_least: -7}]\n"}, "expected a value from -1 to -5"),
        ({"more": "gates: [{breaking_point: noise/iso, at_least: 1}]\n"}, "breaking_point: this audit has no scenario"),
        ({"more": "gates: [{breaking_point: lighting/low_light, min: -2}]\n"}, "at_least: this key is required"),
        ({"more": "gates: [{breaking_point: lighting/low_light, min: -2}]\n"}, "min: unknown key"),
        (
            {"more": "gates: [{breaking_point: lighting, at_least: -2}]\n"},
            "lighting is a pack, whose scenarios have knobs",
        ),
        ({"more": "gates: [{breaking_point: lighting/low_light, at_last: -2}]\n"}, "did you mean 'at_least'"),
        ({"more": "gates: [{metric: breaking_point, min: -2}]\n"}, "write `breaking_point:` with a scenario"),
        ({"more": "gates: [{metric: AP, at_least: 2}]\n"}, "at_least: unknown key"),
        ({"more": "gates: [{min: 2}]\n"}, "metric: this key is required"),
    ],
)
def test_what_cannot_be_searched_or_gated_is_told_before_anything_runs(tmp_path, changes, told):
    with pytest.raises(InputError) as caught:
        run_audit(audit(tmp_path, **changes), output=tmp_path / "out", executor="serial")
    assert told in str(caught.value)


def test_a_gate_on_breaking_points_needs_a_search(tmp_path):
    given = audit(tmp_path, more="gates: [{breaking_point: lighting/low_light, at_least: -2}]\n")
    lines = given.read_text().splitlines()
    given.write_text("\n".join(line for line in lines if not line.startswith("breaking_points")))
    with pytest.raises(InputError, match="nothing of this audit searches for breaking points"):
        run_audit(given, output=tmp_path / "out", executor="serial")


# ----------------------------------------------------------------------------------------------- gates and the report


def point(outcome="reached", *, at=-2.3, interval=(-1.9, -2.6), file="m", **facts):
    return BreakingPoint(
        *("m", file, "float32", "xnnpack", "lighting/low_light", "recall", 0.1, outcome, "stops", "exposure, stops"),
        range=(-1.0, -5.0),
        at=at if outcome == "reached" else None,
        severity=None if at is None else -at,
        interval=interval,
        severities=None if interval is None else tuple(None if end is None else -end for end in interval),
        clean=0.8,
        images=50,
        **facts,
    )


def result_of(*points):
    scenario = ScenarioRecord(
        "lighting/low_light", 1, "Too little light.", "exposure, stops", {"stops": (-1, -2, -3, -4, -5)}, ()
    )
    plan = PlanRecord(
        severities=(1, 3, 5),
        scenarios=(scenario,),
        breaking=BreakingSearch("recall", 0.1, ("lighting/low_light",)),
    )
    cells = [made_cell("clean", 0, 0.5), made_cell("lighting/low_light", 3, 0.3)]
    return made_result(cells, plan=plan, breaking_points=points)


@pytest.mark.parametrize(
    ("found", "limit", "confidence", "status"),
    [
        (point(), -2.0, None, "passed"),
        (point(), -2.5, None, "failed"),
        (point(), -2.0, 0.95, "undecided"),
        (point(interval=(-2.2, -2.4)), -2.0, 0.95, "passed"),
        (point(interval=(-2.2, -2.4)), -2.5, 0.95, "failed"),
        (point(interval=(-2.2, None)), -2.5, 0.95, "undecided"),
        (point("never", interval=(-4.5, None)), -5.0, None, "passed"),
        (point("never", interval=(-5.0, None)), -5.0, 0.95, "passed"),
        (point("never", interval=(-5.0, None)), -2.0, 0.95, "passed"),
        (point("never", interval=(-4.5, None)), -4.8, 0.95, "undecided"),
        (point("already", interval=(None, -1.0)), -1.0, 0.95, "failed"),
        (point("already", interval=(None, -1.2)), -1.0, None, "failed"),
        (point("unknown", reason="a cell failed"), -2.0, None, "incomplete"),
    ],
)
def test_a_gate_asks_for_a_value_of_the_knob_or_a_harder_one(found, limit, confidence, status):
    selectors = {"scenario": "lighting/low_light"}
    rule = Rule("breaking_point", "at_least", limit, selectors, confidence=confidence)
    (applied,) = apply_gates(result_of(found), [rule], CATALOGUE)
    assert applied.outcome.status == status


def test_a_gate_is_told_in_the_knobs_own_values():
    rule = Rule("breaking_point", "at_least", -2.5, {"scenario": "lighting/low_light"})
    (applied,) = apply_gates(result_of(point()), [rule], CATALOGUE)
    assert applied.findings[0].message.startswith("it breaks at -2.3, milder than the -2.5 that it must hold to: m")
    rises = dataclasses.replace(point(at=12.0, interval=None), range=(6.0, 56.0))
    for limit, status in ((10.0, "passed"), (13.0, "failed")):
        (applied,) = apply_gates(result_of(rises), [dataclasses.replace(rule, limit=limit)], CATALOGUE)
        assert applied.outcome.status == status


def test_the_report_draws_a_strip_for_each_level_and_the_summary_a_row_for_each_scenario(searched):
    folder, found = searched
    page, summary = (folder / "out" / "report.html").read_text(), (folder / "out" / "summary.md").read_text()
    (one,) = found.breaking_points
    assert page.count('class="strip"') == 1
    assert f"<b>{sentence_of(one).partition(' (')[0]}</b>" in page
    assert f"| lighting/low_light | exposure, stops | {sentence_of(one)} |" in summary
    made = rendered(result_of(point(), point("never", interval=(-4.5, None)), point("already", better_again=3.0)))
    for text in ("<b>-2.3</b>", "95 % -1.9 to -2.6", "never up to -5", "95 % -4.5 to beyond -5", "already at -1"):
        assert text in made
    assert "better again at severity 3" in made
    assert 'aria-label="exposure, stops"' in made


def test_a_result_keeps_its_limits_and_is_judged_again_by_them(searched, tmp_path):
    folder, found = searched
    assert load_run(folder / "out")[0].breaking_points == found.breaking_points
    assert json.loads(json.dumps(result_document(found)))["breaking_points"][0]["outcome"] == "reached"
    gates = tmp_path / "gates.yaml"
    for limit, code in ((-1.1, 0), (-4.9, 1), (-9, 2)):
        gates.write_text(f"- {{breaking_point: lighting/low_light, at_least: {limit}}}\n")
        done = CliRunner().invoke(main, ["judge", str(folder / "out"), "--gates", str(gates)])
        assert done.exit_code == code, done.stderr
