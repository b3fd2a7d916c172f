"""Metrics beside COCO's, each against pycocotools with those parameters alone; COCO's are never changed."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from auditor.cli import main
from auditor.config import load_audit
from auditor.errors import InputError
from auditor.run import load_run, run_audit
from auditor.tasks.detection.coco_ap import NAMES, evaluate_coco
from auditor.values import Detections, Evaluation, GroundTruth

CLASSES = ("a", "b")


def crowded(seed: int = 0, images: int = 4, each: int = 180):
    """Images with many objects, so that limits of detections count."""
    rng = np.random.default_rng(seed)
    truth, said = {}, {}
    for image in range(1, images + 1):
        low = rng.uniform(0, 900, (each, 2))
        boxes = np.concatenate([low, low + rng.lognormal(2.8, 0.9, (each, 2)) + 3], axis=1)
        labels = rng.integers(0, 2, each)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        truth[image] = GroundTruth(boxes, labels, area, np.zeros(each, bool))
        found = np.concatenate([boxes + rng.normal(0, 2, boxes.shape), boxes + rng.normal(0, 30, boxes.shape)])
        order = np.argsort(-(scores := rng.random(2 * each)), kind="stable")
        said[image] = Detections(found[order], scores[order], np.concatenate([labels, labels])[order])
    return truth, said


def by_pycocotools(truth, said, **params) -> tuple[float, float]:
    """AP and AR by pycocotools with these parameters alone."""
    annotations, results = [], []
    for image, found in truth.items():
        for box, label, area in zip(found.boxes.tolist(), found.labels.tolist(), found.area.tolist(), strict=True):
            sides = [box[2] - box[0], box[3] - box[1]]
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": label + 1,
                                "bbox": [*box[:2], *sides], "area": area, "iscrowd": 0})  # fmt: skip
    for image, found in said.items():
        for box, label, score in zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True):
            sides = [box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image, "category_id": label + 1, "bbox": [*box[:2], *sides], "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
        images = [{"id": image} for image in truth]
        data.dataset = {"images": images, "annotations": annotations, "categories": categories}
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(results), "bbox")
        for name, value in params.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    area = len(evaluation.params.areaRng) - 1 if "areaRng" in params else 0
    precision, recall = evaluation.eval["precision"][:, :, :, area, -1], evaluation.eval["recall"][:, :, area, -1]
    return float(precision[precision > -1].mean()), float(recall[recall > -1].mean())


def test_what_is_added_is_what_pycocotools_gives_for_it_alone():
    truth, said = crowded()
    asked = Evaluation((50, 300), (0.4, 0.5), {"tiny": (0.0, 200.0), "huge": (4000.0, 1e9)})
    plain = {metric.name: metric.value for metric in evaluate_coco(truth, said, CLASSES).metrics()}
    found = {metric.name: metric.value for metric in evaluate_coco(truth, said, CLASSES, asked).metrics()}
    assert {name: found[name] for name in (*NAMES, "AP/a", "AP/b")} == {
        name: plain[name] for name in (*NAMES, "AP/a", "AP/b")
    }
    assert set(found) - set(plain) == set(asked.metrics)
    expected = {
        "AP@0.40": by_pycocotools(truth, said, iouThrs=np.array([0.4]))[0],
        "AP@0.50": plain["AP50"],
    }
    for most in (50, 300):
        expected[f"AP@max{most}"], expected[f"AR{most}"] = by_pycocotools(truth, said, maxDets=[1, 10, most])
    for name, limits in asked.areas.items():
        only = {"areaRng": [[0.0, 1e10], list(limits)], "areaRngLbl": ["all", name]}
        expected[f"AP_{name}"], expected[f"AR_{name}"] = by_pycocotools(truth, said, **only)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["AP@max300"] > found["AP"] > found["AP@max50"]


def test_every_name_says_that_it_is_not_coco_s():
    metrics = Evaluation((300,), (0.4,), {"tiny": (0.0, 256.0)}).metrics
    assert not set(metrics) & set(NAMES)
    assert all("not COCO's" in about for name, about in metrics.items() if name.startswith("AP"))
    assert Evaluation((1, 10, 100)).metrics == {}


@pytest.mark.slow
def test_an_audit_with_metrics_of_its_own(project):
    text = (project / "audit.yaml").read_text()
    plain = run_audit(project / "audit.yaml", output=project / "plain", executor="serial")
    (project / "own.yaml").write_text(
        text.replace("{metric: AP, scenario: clean, min: 0.4}", "{metric: ap@0.40, scenario: clean, min: 0.99}")
        + "evaluation: {max_detections: [50, 100], iou: [0.4], areas: {tiny: [0, 1000]}}\n"
    )
    result = run_audit(project / "own.yaml", output=project / "own", executor="serial")
    assert result.verdict == "failed"
    added = ("AP@0.40", "AP@max50", "AR50", "AP_tiny", "AR_tiny")
    for mine, theirs in zip(result.cells, plain.cells, strict=True):
        assert mine.metrics["AP"] == theirs.metrics["AP"]
        assert {name for name in mine.metrics if name in added} == set(added)
    clean, corrupted = result.cells[0], result.cells[1]
    assert clean.metrics["AP@0.40"].interval is not None
    assert "AP@0.40_minus_clean" in corrupted.metrics
    page = (project / "own" / "report.html").read_text()
    assert "AP@0.40" in page
    assert "not COCO" in page
    again = CliRunner().invoke(main, ["judge", str(project / "own")])
    assert again.exit_code == 1
    assert load_run(project / "own")[0].plan.evaluation.iou == (0.4,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluation: {areas: {small: [0, 10]}}", "'small' is COCO's own"),
        ("evaluation: {areas: {tiny: [10, 10]}}", "expected a lower limit and a higher one"),
        ("evaluation: {iou: [0]}", "more than 0"),
        ("evaluation: {iou: [1.5]}", "at most 1"),
        ("evaluation: {max_detections: [300]}", "no model gives more than 100 detections"),
        ("evaluation: {max_detections: [0]}", "at least 1"),
        ("evaluation: {thresholds: [0.5]}", "unknown key"),
    ],
)
def test_bad_settings_are_told_with_their_line(project, line, said):
    (project / "bad.yaml").write_text((project / "audit.yaml").read_text() + line + "\n")
    with pytest.raises(InputError, match=r"bad.yaml:12") as caught:
        load_audit(project / "bad.yaml")
    assert said in str(caught.value)


def test_more_detections_than_are_evaluated_are_refused_with_what_would_evaluate_them(project):
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("labels: labels.txt", "labels: labels.txt, postprocess: {max_detections: 300}")
    )
    (project / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=r"expected at most 100, over which COCO's AP is.*max_detections: \[300\]"):
        load_audit(project / "bad.yaml")
    (project / "bad.yaml").write_text(text + "evaluation: {max_detections: [300]}\n")
    assert load_audit(project / "bad.yaml").models[0].postprocess.max_detections == 300
    assert json.dumps(load_audit(project / "bad.yaml").evaluation.model_dump())
