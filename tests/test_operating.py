"""The operating point of an audit: chosen once, held everywhere, judged by gates, and told where it does not suit."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL
from made_results import codes, findings_of, made_cell, made_result, only, worded
from reference.test_operating_point import at, matches, scenes

from auditor.cli import main
from auditor.config import load_audit
from auditor.errors import InputError
from auditor.evaluate.counted import Seen
from auditor.judge.operating import check_operating_point
from auditor.run import load_run, run_audit
from auditor.tasks.detection.at_point import count, moved
from auditor.values import AtThreshold, Detections, MetricValue, Moved, OperatingPoint, Thresholds

INT8 = DEMO_MODEL.parent / "detector_int8.tflite"


def write(project, point, *, more="", gates="", models=""):
    """The project's audit with an operating point, and more."""
    shutil.copy(INT8, project / "int8.tflite")
    text = (project / "audit.yaml").read_text()
    text = text.replace("labels: labels.txt}", f"labels: labels.txt, operating_point: {point}}}\n{models}", 1)
    text = text.replace("  - {metric: AP, scenario: clean, min: 0.4}\n", gates or "  - {metric: AP, min: 0}\n")
    (project / "audit.yaml").write_text(text + more)
    return project / "audit.yaml"


def problems_of(project, point, **more):
    with pytest.raises(InputError) as caught:
        run_audit(write(project, point, **more), output=project / "out", executor="serial")
    assert not (project / "out").exists()
    return "\n".join(caught.value.problems)


VARIANT = "  - {name: small, variant_of: detector, path: int8.tflite}\n"


def test_one_threshold_is_held_for_every_cell_and_level(project):
    gates = (
        "  - {metric: recall, scenario: clean, min: 0.5}\n"
        "  - {metric: recall, scenario: noise/gaussian, severity: 5, max_drop: 0.1, against: clean}\n"
        "  - {metric: fppi, max: 0.01}\n"
        "  - {metric: recall/ring, scenario: clean, quantization: float32, min: 0.1}\n"
    )
    audit = write(project, "{threshold: 0.5, levels: {int8: 0.4}, fps: 10}", models=VARIANT, gates=gates)
    result = run_audit(audit, output=project / "out", executor="serial")
    (point,) = result.operating_points
    assert (point.by, point.thresholds, point.optimism) == ("threshold", Thresholds(0.5), {})
    assert point.levels == {"int8": Thresholds(0.4)}
    assert point.chosen_on == "detector (float32, xnnpack) on clean"
    cells = [cell for cell in result.cells if cell.is_declared]
    assert len(cells) == 10
    by_file = {(cell.file, cell.scenario, cell.severity): cell for cell in cells}
    clean = by_file["detector", "clean", 0]
    for cell in cells:
        for name in ("precision", "recall", "F1", "fppi", "missed", "error_free", "false_alarms_per_hour"):
            assert name in cell.metrics
        if not cell.is_clean:
            difference = cell.metrics["recall_minus_clean"]
            own_clean = by_file[cell.file, "clean", 0]
            assert difference.value == pytest.approx(cell.metrics["recall"].value - own_clean.metrics["recall"].value)
            assert difference.interval is not None
    assert {"recall_minus_float32", "fppi_minus_float32"} <= by_file["small", "clean", 0].metrics.keys()
    assert point.clean["recall"] == pytest.approx(clean.metrics["recall"].value)
    assert [gate.status for gate in result.gates] == ["passed", "failed", "failed", "passed"]
    again, _ = load_run(project / "out")
    assert again.operating_points == result.operating_points
    assert again.cells == result.cells
    page = (project / "out" / "report.html").read_text()
    assert "At the operating point" in page
    assert "given in audit.yaml" in page


def test_a_threshold_of_all_its_own_is_measured_as_if_alone(project):
    """The int8 file with its own threshold has the figures of an audit of it alone at that."""
    both = run_audit(
        write(project, "{threshold: 0.5, levels: {int8: 0.4}}", models=VARIANT), output=project / "a", executor="serial"
    )
    text = (
        (project / "audit.yaml").read_text().replace(VARIANT, "").replace("path: detector.tflite", "path: int8.tflite")
    )
    (project / "audit.yaml").write_text(text.replace("{threshold: 0.5, levels: {int8: 0.4}}", "0.4"))
    alone = run_audit(project / "audit.yaml", output=project / "b", executor="serial")
    first = {(c.scenario, c.severity): c.metrics for c in both.cells if c.file == "small" and c.is_declared}
    for cell in (cell for cell in alone.cells if cell.is_declared):
        for name in ("precision", "recall", "fppi", "D-ECE", "recall/ring"):
            assert first[cell.scenario, cell.severity][name] == cell.metrics[name]


def test_left_out_it_is_chosen_by_the_best_f1_and_says_what_that_flatters(finished):
    result, _ = load_run(finished / "out")
    (point,) = result.operating_points
    assert (point.by, point.target) == ("best_f1", None)
    assert point.images == 10
    assert set(point.optimism) == {"precision", "recall", "F1", "fppi"}
    page = (finished / "out" / "report.html").read_text()
    assert "chosen by the auditor as that of the best F1" in page
    assert "Cross-fitted over images" in page


def test_a_class_that_is_not_named_is_not_deployed(project):
    result = run_audit(write(project, "{Ring: 0.4, crate: 0.3}"), output=project / "out", executor="serial")
    assert result.operating_points[0].thresholds == Thresholds(None, {"ring": 0.4, "crate": 0.3})
    clean = result.cells[0]
    named = {name.partition("/")[2] for name in clean.metrics if name.startswith("recall/") and "minus" not in name}
    assert named == {"ring", "crate"}
    objects = clean.metrics["missed/ring"].value + clean.metrics["missed/crate"].value
    assert clean.metrics["missed"].value == pytest.approx(objects)


def test_what_contradicts_the_model_is_said_at_once(project):
    told = problems_of(project, "{threshold: {rung: 0.4, crate: 0.0001}, levels: {int9: 0.3, int8: 0.2}}")
    assert "no class 'rung' is judged" in told
    assert "did you mean ring" in told or "ring" in told
    assert "below `postprocess: {score_floor: 0.001}`" in told
    assert "unknown level 'int9'" in told
    assert "this family has no level 'int8'" in told
    assert told.count("audit.yaml:5") == 4


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (
            "{precision: 0.9, recall: 0.9}",
            "expected one of threshold, precision, recall, fppi but got precision and recall",
        ),
        ("{threshold: 2}", "1"),
        ("often", "best_f1"),
        ("{recall: {at_most: 0.9}}", "at_most"),
    ],
)
def test_a_wrong_point_is_one_error_with_its_line(project, point, expected):
    told = problems_of(project, point)
    assert "audit.yaml:5: models[0].operating_point" in told
    assert expected in told


def test_a_variant_and_a_classifier_have_none_of_their_own(project):
    variant = VARIANT.replace("}", ", operating_point: 0.3}")
    assert "is a variant of detector, whose operating point holds for all its levels" in problems_of(
        project, "0.5", models=variant
    )


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("{metric: fppi, scenario: noise, max_drop: 0.1, against: clean}", "better when it is lower"),
        ("{metric: recall, min: 90}", "90 % is 0.9"),
        ("{metric: false_alarms_per_hour, max: 3}", "operating_point: {fps: 25}"),
        ("{metric: recal, min: 0.5}", "recall"),
        ("{metric: recall/person, min: 0.5}", "no class 'person' is judged"),
    ],
)
def test_a_gate_that_cannot_be_is_said_before_anything_runs(project, gate, expected):
    assert expected in problems_of(project, "0.5", gates=f"  - {gate}\n")


def test_with_decide_a_threshold_must_be_given(project):
    gates = "  - {metric: recall, scenario: clean, min: 0.1}\n"
    told = problems_of(project, "best_f1", gates=gates, more="decide: {error: 0.1}\n")
    assert "`operating_point: {threshold: …}`" in told
    audit = project / "audit.yaml"
    audit.write_text(audit.read_text().replace("best_f1", "0.3"))
    result = run_audit(audit, output=project / "out", executor="serial")
    assert result.verdict == "passed"
    assert result.operating_points[0].clean == {}


def test_where_the_clean_cell_fails_nothing_is_chosen_and_that_is_said(project):
    """Images that cannot be read leave no clean cell to choose on; what is given is held all the same."""
    for image in (project / "images").iterdir():
        image.write_bytes(b"no image")
    result = run_audit(
        write(project, "best_f1", gates="  - {metric: recall, scenario: clean, min: 0.1}\n"),
        output=project / "out",
        executor="serial",
    )
    (point,) = result.operating_points
    assert point.reason is not None
    assert "detector (float32, xnnpack) on clean" in point.reason
    assert [finding for finding in result.findings if finding.code == "point.unknown"]
    assert result.verdict == "incomplete"


def test_the_command_line_prints_the_page_and_the_codes():
    assert "held for every cell" in CliRunner().invoke(main, ["docs", "operating"]).output
    assert "operating" in CliRunner().invoke(main, ["explain", "point.moved"]).output


def test_scores_that_shrink_are_found_again_at_a_lower_threshold():
    truth, said = scenes(0, images=60)
    lower = {image: Detections(found.boxes, found.scores * 0.8, found.labels) for image, found in said.items()}
    point = dataclasses.replace(at(Thresholds(0.5)), clean={})
    first = matches(truth, said, classes=("a", "b", "c"))
    clean = count(point, first, Seen(np.arange(60), 60, 0))
    recall, precision = clean.reduce(clean.sums[np.newaxis])[0, [1, 0]]
    point = dataclasses.replace(point, clean={"recall": recall, "precision": precision})
    here, there = moved(point, first, 60), moved(point, matches(truth, lower, classes=("a", "b", "c")), 60)
    assert here.restores_recall.threshold == pytest.approx(0.5, abs=0.01)
    assert there.restores_recall.threshold == pytest.approx(0.4, abs=0.01)
    assert there.restores_recall.precision >= precision - 1e-9
    assert there.ceiling == pytest.approx(here.ceiling * 0.8)
    assert there.best_f1.f1 == pytest.approx(here.best_f1.f1)
    assert sum(item.detections for item in there.reliability) == sum(len(found.scores) for found in said.values())


def test_nothing_is_restored_by_keeping_nothing():
    truth, said = scenes(0, images=20)
    point = dataclasses.replace(at(Thresholds(1.0)), clean={"recall": 0.0, "precision": None})
    found = moved(point, matches(truth, said, classes=("a", "b", "c")), 20)
    assert found.restores_recall is None
    assert found.restores_precision is None
    assert found.best_f1.threshold < 1


POINT = OperatingPoint(
    "m", "threshold", Thresholds(0.35), 0.5, clean={"recall": 0.71}, chosen_on="m (float32, xnnpack) on clean"
)
SUITS = AtThreshold(1.0, 0.35, 0.8, 0.71, 0.75, 0.1)


def cells(*, interval=(-0.16, -0.1), ceiling=0.9, better=0.74):
    """A float32 file, and an int8 one that finds less at the same threshold."""
    first = made_cell("clean", 0, 0.5, moved=Moved(0.99, SUITS, SUITS, SUITS))
    metrics = {
        **{name: MetricValue(name, value) for name, value in (("recall", 0.58), ("F1", 0.66), ("fppi", 0.09))},
        "recall_minus_float32": MetricValue("recall_minus_float32", -0.13, interval=interval),
    }
    again = AtThreshold(0.77, 0.27, 0.78, 0.70, better, 0.1)
    other = made_cell("clean", 0, 0.5, file="m8", quantization="int8", moved=Moved(ceiling, again, again))
    return [first, dataclasses.replace(other, metrics={**other.metrics, **metrics})]


def result_of(found, **parts):
    model8 = dataclasses.replace(made_result().models[0], name="m8", quantization="int8")
    return made_result(found, models=(made_result().models[0], model8), operating_points=(POINT,), **parts)


def test_a_level_that_would_be_right_at_another_threshold_gets_its_line():
    (told,) = worded([only(check_operating_point, result_of(cells()), "point.moved")])
    assert "at 0.35 its recall is 0.580 where the first level's is 0.710" in told.message
    assert "at 0.27 it is 0.700, at +0.01 false alarms an image" in told.message
    assert told.fix.lines == [
        "# in `models:`, the entry named m",
        "operating_point: {threshold: 0.35, levels: {int8: 0.27}}",
    ]


@pytest.mark.parametrize("changed", [{"interval": (-0.2, 0.01)}, {"better": 0.6}])
def test_chance_and_a_level_that_is_worse_everywhere_get_none(changed):
    assert "point.moved" not in codes(check_operating_point, result_of(cells(**changed)))


def test_a_ceiling_below_the_threshold_or_the_first_level_is_said():
    assert "point.ceiling" in codes(check_operating_point, result_of(cells(ceiling=0.84)))
    (lost,) = worded([only(check_operating_point, result_of(cells(ceiling=0.3)), "point.out_of_reach")])
    assert "its highest score on all clean images is 0.300, below the threshold 0.35" in lost.message


def test_a_target_that_is_missed_and_a_flattering_choice_are_said():
    point = dataclasses.replace(
        POINT,
        by="recall",
        target=0.9,
        unreached=("others",),
        clean={"recall": 0.6, "precision": 0.9, "F1": 0.72},
        optimism={"recall": 0.05, "precision": 0.01, "F1": 0.04},
    )
    result = dataclasses.replace(result_of(cells()), operating_points=(point,))
    unreached, optimistic = worded(
        [only(check_operating_point, result, code) for code in ("point.unreached", "point.optimistic")]
    )
    assert "no threshold gives a recall of 0.9" in unreached.message
    assert "expect F1 0.680 on others instead of 0.720" in optimistic.message


def test_the_worst_scenarios_at_the_point_are_named():
    found = cells()
    worse = [
        dataclasses.replace(
            made_cell(scenario, 3, 0.4),
            metrics={name: MetricValue(name, value) for name, value in (("recall", recall), ("fppi", fppi))},
        )
        for scenario, recall, fppi in (("lighting/low_light", 0.4, 0.2), ("noise/shot", 0.6, 2.5))
    ]
    (told,) = worded(
        [
            item
            for item in findings_of(check_operating_point, result_of([*found, *worse]))
            if item.code == "point.weakest"
        ][:1]
    )
    assert "finds 40% of the objects" in told.message
    assert "2.50 false alarms an image" in told.message
    assert "noise/shot" in told.message


def test_what_the_fix_says_is_read_again(tmp_path):
    told = only(check_operating_point, result_of(cells()), "point.moved")
    (tmp_path / "audit.yaml").write_text(
        "name: n\ndataset: {format: coco, images: i, annotations: a.json}\n"
        "models:\n  - name: m\n    path: m.tflite\n    " + told.fix.lines[1]
    )
    choice = load_audit(tmp_path / "audit.yaml").models[0].operating_point.value
    assert (choice.thresholds, choice.levels) == (Thresholds(0.35), {"int8": Thresholds(0.27)})


def test_nothing_of_single_images_is_in_the_result(finished):
    document = json.loads((finished / "out" / "result.json").read_text())
    assert not {"counted", "kept"} & document["cells"][0].keys()
