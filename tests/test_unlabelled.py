"""Images without truth: stability, parity and speed are told, and that accuracy is unknown."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_project
from tiny_models import write_model

from auditor.cli import main
from auditor.errors import InputError
from auditor.evaluate.counted import Seen
from auditor.run import run_audit
from auditor.tasks.detection.alone import KeptDetections, flips_alone

AUDIT = """\
name: field
dataset: {format: images, images: images}
models:
  - {name: detector, path: detector.tflite, labels: labels.txt, operating_point: 0.5}
  - {name: small, path: int8.tflite, variant_of: detector}
scenarios: [lighting/low_light, noise/gaussian]
severities: [1, 5]
measure: {threads: []}
gates:
  - {metric: flips, scenario: noise/gaussian, severity: 1, max: 0.9}
  - {metric: flips, scenario: noise/gaussian, severity: 5, max: 0.1}
  - {metric: level_matched, min: 0.2}
"""


@pytest.fixture
def field(tmp_path):
    """Pictures that nobody annotated."""
    folder = write_project(tmp_path)
    (folder / "instances.json").unlink()
    shutil.copy(DEMO_MODEL.parent / "detector_int8.tflite", folder / "int8.tflite")
    (folder / "audit.yaml").write_text(AUDIT)
    return folder


@pytest.mark.slow
def test_stability_is_told_and_that_accuracy_is_unknown(field):
    result = run_audit(field / "audit.yaml", output=field / "out", executor="serial")
    assert [gate.status for gate in result.gates] == ["passed", "failed", "passed"]
    assert not result.datasets["default"].is_labelled
    for cell in result.cells:
        assert cell.status == "ok"
        assert cell.value is None
        assert "recall" not in cell.metrics
        assert cell.metrics["detections"].value > 0
    by_key = {(cell.file, cell.scenario, cell.severity): cell.metrics for cell in result.cells}
    assert "flips" not in by_key["detector", "clean", 0]
    assert by_key["small", "clean", 0]["flips"].value < 0.2
    noisy = by_key["detector", "noise/gaussian", 5]
    assert noisy["flips"].value > 0.5
    assert noisy["flips"].interval is not None
    parts = (noisy[f"flips_{part}"].value for part in ("lost", "relabelled", "moved"))
    assert sum(parts) == pytest.approx(noisy["flips"].value)
    assert [finding for finding in result.findings if finding.code == "data.unlabelled"]
    assert not [finding for finding in result.findings if finding.check in ("input_contract", "robustness")]
    page = (field / "out" / "report.html").read_text()
    assert "without truth: accuracy is unknown" in page
    assert "How stable it is" in page
    assert '<option value="AP">' not in page  # there is no accuracy to show
    assert '<option value="flips">' in page
    assert "There are no pictures: the data set has no truth" in page
    assert "AP by severity" not in page
    told = CliRunner().invoke(main, ["judge", str(field / "out")])
    assert "accuracy unknown: the data set has no truth" in told.output
    assert told.exit_code == 1


def test_what_needs_truth_is_refused_before_anything_runs(field):
    text = AUDIT.replace(", operating_point: 0.5", "").replace("level_matched, min: 0.2", "AP, min: 0.2")
    (field / "audit.yaml").write_text(
        text.replace("metric: flips, scenario: noise/gaussian, severity: 1", "metric: recall")
    )
    with pytest.raises(InputError) as caught:
        run_audit(field / "audit.yaml", output=field / "out", executor="serial")
    told = "\n".join(caught.value.problems)
    assert "`operating_point: {threshold: 0.35}`" in told
    assert "AP needs truth, which the data set of images alone has not (default)" in told
    assert "recall needs truth" in told
    assert "flips" in told
    assert not (field / "out").exists()


@pytest.mark.slow
def test_a_threshold_above_all_scores_is_told(field):
    text = AUDIT.replace("operating_point: 0.5", "operating_point: 1").replace("severities: [1, 5]", "severities: [1]")
    (field / "audit.yaml").write_text(text.partition("gates:")[0])
    result = run_audit(field / "audit.yaml", output=field / "out", executor="serial")
    told = [finding for finding in result.findings if finding.code == "point.nothing"]
    assert len(told) == 2
    assert "detects nothing on any clean image at 1" in told[0].message


def test_truth_beside_a_format_without_truth_is_refused(field):
    """A key that a format does not read is no option that does nothing."""
    (field / "audit.yaml").write_text(AUDIT.replace("images: images}", "images: images, annotations: instances.json}"))
    with pytest.raises(InputError) as error:
        run_audit(field / "audit.yaml", output=field / "out")
    assert "audit.yaml:2: dataset.annotations: the format images takes no `annotations`, only images" in str(
        error.value
    )
    assert not (field / "out").exists()


@pytest.mark.slow
def test_a_classifier_has_the_share_of_other_first_classes(tmp_path):
    """A model that says the same of every image never flips; one that copies its input's brightness would."""
    folder = write_project(tmp_path)
    write_model(folder / "c.tflite", {"p": np.array([[0.1, 0.7, 0.2]], dtype=np.float32)})
    (folder / "names.txt").write_text("a\nb\nc\n")
    (folder / "audit.yaml").write_text(
        "name: c\ndataset: {format: images, images: images}\nmodels:\n"
        "  - {name: c, path: c.tflite, labels: names.txt, task: classification, input: {color: rgb, mean: 0, std: 255,"
        " resize: stretch}}\nscenarios: [noise/gaussian]\nseverities: [1]\nmeasure: {threads: []}\n"
        "gates: [{metric: flips, max: 0}]\n"
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out", executor="serial")
    assert result.verdict == "passed"
    noisy = next(cell for cell in result.cells if not cell.is_clean)
    assert noisy.metrics["flips"].value == 0
    assert noisy.metrics["top1"].value is None


def kept(*rows):
    """Detections of (image, x, label): boxes of 10 × 10 px at that place, the most confident first."""
    ordered = sorted(rows, key=lambda row: row[0])
    boxes = np.array([[x, 0.0, x + 10.0, 10.0] for _, x, _ in ordered]).reshape(-1, 4)
    image, label = (np.array([row[part] for row in ordered], dtype=np.int64) for part in (0, 2))
    return KeptDetections(image, label, boxes, 0.5)


def test_what_becomes_of_each_detection_by_hand():
    clean = kept((0, 0, 0), (0, 100, 0), (0, 200, 0), (1, 300, 1), (1, 400, 1))
    dark = kept((0, 1, 0), (0, 100, 1), (0, 206, 0), (1, 300, 1), (1, 600, 1), (2, 0, 0))
    found = {value.name: value.value for value in flips_alone(dark, clean, Seen(np.arange(3), 3, 0))}
    assert found == pytest.approx(
        {
            "flips": 3 / 5,
            "flips_lost": 1 / 5,
            "flips_relabelled": 1 / 5,
            "flips_moved": 1 / 5,
            "flips_new": 4 / 6,  # of the six that are here, two have a partner
        }
    )
    same = {value.name: value.value for value in flips_alone(clean, clean, Seen(np.arange(3), 3, 0))}
    assert set(same.values()) == {0.0}


def test_one_detection_is_the_partner_of_one_alone():
    twice, once = kept((0, 0, 0), (0, 1, 0)), kept((0, 0, 0))
    found = {value.name: value.value for value in flips_alone(twice, once, Seen(np.arange(1), 1, 0))}
    assert (found["flips"], found["flips_new"]) == (0.0, 0.5)
    found = {value.name: value.value for value in flips_alone(once, twice, Seen(np.arange(1), 1, 0))}
    assert (found["flips"], found["flips_lost"]) == (0.5, 0.5)


def test_nothing_is_undefined_with_a_reason():
    nothing = kept()
    for value in flips_alone(nothing, nothing, Seen(np.arange(2), 2, 0)):
        assert value.value is None
        assert value.reason


@pytest.mark.slow
def test_a_labelled_set_flips_as_its_detections_do(project):
    """With truth, flips are of true objects: a file beside itself has none, and they are in the result."""
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(
        text.replace("labels: labels.txt}", "labels: labels.txt, operating_point: 0.4}")
    )
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    cells = {(cell.scenario, cell.severity): cell for cell in result.cells}
    for cell in cells.values():
        assert cell.errors is not None
        assert ("flips" in cell.metrics) == (not cell.is_clean)
    dark = cells["lighting/low_light", 5].metrics
    kept_share = dark["recall"].value / cells["clean", 0].metrics["recall"].value
    assert dark["flips"].value >= 1 - kept_share - 1e-9
    document = json.loads((project / "out" / "result.json").read_text())
    assert {cost["kind"] for cost in document["cells"][0]["errors"]["costs"]} >= {"missed", "duplicate"}
