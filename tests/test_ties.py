"""Equal scores and the order of images decide nothing but by one rule; what other orders would give is told."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_MODEL
from made_results import cell_of, findings_of, made_cell, made_result, only
from made_sets import scenes, write_coco, write_voc, write_yolo

from auditor.boxes import area, iou
from auditor.demo.scenes import CLASSES
from auditor.evaluate.bootstrap import draw_weights
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.gates import apply_gates
from auditor.judge.quantization import check_quantization
from auditor.run import run_audit
from auditor.tasks.anatomy.task import Judged
from auditor.tasks.classification.accuracy import first_classes_of, top1_of_orders
from auditor.tasks.detection import TASK
from auditor.tasks.detection.coco_ap import evaluate_coco
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.postprocess import postprocess
from auditor.tasks.detection.tied_ap import TiedAP
from auditor.tasks.detection.ties import ORDERS, Ranked
from auditor.values import (
    Candidates,
    Detections,
    Evaluation,
    Geometry,
    GroundTruth,
    InputContract,
    Postprocess,
    Rule,
    Ties,
)

SAME = Geometry((1.0, 1.0), (0.0, 0.0))


# ------------------------------------------------------------------------------------------ one set, one AP


def audited(folder: Path, dataset: str, jobs: int):
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    (folder / "audit.yaml").write_text(
        f"""\
name: one
dataset: {dataset}
models:
  - {{name: m, path: {DEMO_MODEL.with_name("detector_int8.tflite")}, labels: labels.txt}}
scenarios: [noise/gaussian]
severities: [3]
checks: {{input_contract: false}}
measure: {{threads: []}}
"""
    )
    result = run_audit(folder / "audit.yaml", output=folder / "out", jobs=jobs)
    return [(cell.scenario, dict(cell.metrics), cell.ties) for cell in result.cells]


@pytest.mark.slow
def test_one_set_in_three_formats_and_any_order_gives_one_ap_to_the_last_bit(tmp_path):
    found = scenes(20)
    order = np.random.default_rng(1).permutation(20).tolist()
    written = {
        "coco": lambda place: write_coco(place, found),
        "other ids": lambda place: write_coco(place, found, order=order, first_id=900),
        "yolo": lambda place: write_yolo(place, found),
        "voc": lambda place: write_voc(place, found),
    }
    cells = {}
    for jobs, (name, write) in enumerate(written.items(), start=1):
        place = tmp_path / name
        place.mkdir()
        cells[name] = audited(place, write(place), 1 + jobs % 2)
    assert cells["coco"][0][1]["AP"].value > 0.5
    assert cells["coco"][0][2].orders == ORDERS  # its scores tie
    for name in ("other ids", "yolo", "voc"):
        for mine, theirs in zip(cells[name], cells["coco"], strict=True):
            assert mine[0] == theirs[0]
            assert mine[1] == theirs[1], (name, mine[0])
            assert mine[2] == theirs[2]


def test_equal_scores_are_ordered_by_the_detection_alone():
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 60, (300, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 30, (300, 2))], axis=1)
    scores = rng.integers(0, 5, (300, 3)) / 5
    order = rng.permutation(300)

    def kept(boxes, scores):
        return postprocess(Candidates(boxes, scores), Postprocess(), geometry=SAME, image_size=(99, 99))

    first, second = kept(boxes, scores), kept(boxes[order], scores[order])
    assert (first.boxes == second.boxes).all()
    assert (first.labels == second.labels).all()
    labels = rng.integers(0, 3, 300)
    inside = [Detections(boxes[rows], scores[rows, 0], labels[rows]) for rows in (np.arange(300), order)]
    first, second = (postprocess(found, Postprocess(), geometry=SAME, image_size=(99, 99)) for found in inside)
    assert len(first.scores) == 100
    assert (first.boxes == second.boxes).all()


# ------------------------------------------------------------------------------------- what other orders give


def true_objects(*boxes) -> GroundTruth:
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    area = np.prod(array[:, 2:] - array[:, :2], axis=1)
    return GroundTruth(array, np.zeros(len(array), np.int64), area, np.zeros(len(array), bool))


def judged(truth, predictions) -> Judged:
    weights = draw_weights(len(truth), seed=0)
    return Judged(("a",), truth, predictions, weights, orders=True)


def test_the_order_of_images_by_hand():
    """A hit and a false alarm of one score in two images of an object each: precision is 1 or 1/2 up to recall 1/2."""
    box = [[0.0, 0.0, 50.0, 50.0]]
    truth = {1: true_objects(*box), 2: true_objects([200.0, 0.0, 250.0, 50.0])}
    said = {number: Detections(np.array(box), np.array([0.5]), np.array([0])) for number in (1, 2)}
    found = TASK.evaluate(judged(truth, said))
    assert (found.ties.orders, found.ties.low, found.ties.high) == (
        ORDERS,
        pytest.approx(51 / 202),
        pytest.approx(51 / 101),
    )
    assert found.metrics[0].value == pytest.approx(51 / 101)
    assert found.metrics[0].interval[0] < 0.2


def test_the_order_in_nms_by_hand():
    """Two boxes of one score overlap, and the one that NMS keeps is a hit at IoU 0.5 to 0.95 or at 0.5 to 0.8."""
    exact, near = [10.0, 10.0, 110.0, 110.0], [10.0, 10.0, 110.0, 92.0]
    candidates = Candidates(np.array([near, exact]), np.array([[0.5], [0.5]]))
    kept = postprocess(candidates, Postprocess(), geometry=SAME, image_size=(200, 200), orders=True)
    assert isinstance(kept, Ranked)
    assert kept.boxes.tolist() == [exact]  # the larger of the two
    assert {tuple(kept.drawn(number).boxes[0]) for number in range(ORDERS)} == {tuple(exact), tuple(near)}
    values = TASK.finish(candidates, _framed())
    assert values["other_boxes"].tolist() == [near]
    prediction, _ = TASK.to_prediction(values, np.array([0]), 0)
    found = TASK.evaluate(judged({1: true_objects(exact)}, {1: prediction}))
    assert (found.ties.low, found.ties.high) == (pytest.approx(0.7), pytest.approx(1.0))


def _framed():
    from auditor.tasks.anatomy.task import Framed
    from auditor.values import ModelSpec

    spec = ModelSpec("m", "m", "", "", "detection", "int8", InputContract(200, 200), "", {}, ("a",), Postprocess(), 0)
    return Framed(spec, SAME, (200, 200), orders=True)


def test_the_limit_on_detections_cuts_through_a_tie():
    boxes = np.array([[10.0 * index, 0.0, 10.0 * index + 5, 5.0] for index in range(6)])
    inside = Detections(boxes, np.full(6, 0.5), np.zeros(6, np.int64))
    kept = postprocess(inside, Postprocess(max_detections=2), geometry=SAME, image_size=(99, 99), orders=True)
    assert kept.boxes.tolist() == boxes[:2].tolist()
    assert all(len(kept.drawn(number).scores) == 2 for number in range(ORDERS))
    assert len({tuple(kept.drawn(number).boxes[:, 0]) for number in range(ORDERS)}) > 5


@pytest.mark.parametrize("orders", [False, True])
def test_distinct_scores_have_one_order(orders):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 60, (900, 2))
    candidates = Candidates(np.concatenate([low, low + 20], axis=1), rng.permutation(900)[:, None] / 900)
    kept = postprocess(candidates, Postprocess(), geometry=SAME, image_size=(99, 99), orders=orders)
    assert type(kept) is Detections
    truth = {1: true_objects(kept.boxes[3], kept.boxes[40])}
    ties = TASK.evaluate(judged(truth, {1: kept})).ties
    assert (ties.orders, ties.spread) == (0, 0.0)


def test_the_orders_are_what_pycocotools_gives_for_them():
    """Each order, as distinct scores, by pycocotools."""
    rng = np.random.default_rng(5)
    truth, said = {}, {}
    for image in range(8):
        low = rng.uniform(0, 200, (5, 2))
        truth[image] = true_objects(*np.concatenate([low, low + 60], axis=1))
        boxes = np.repeat(truth[image].boxes, 4, axis=0) + rng.normal(0, 6, (20, 4))
        said[image] = Detections(boxes, np.sort(rng.integers(1, 4, 20) / 4)[::-1].copy(), np.zeros(20, np.int64))
    tied = TiedAP(prepare_truth(truth, ("a",), Evaluation()))
    tied.add(Columns.of(said.items()))
    ranked, values = tied.values
    assert ranked == pytest.approx(evaluate_coco(truth, said, ("a",)).metrics()[0].value, abs=1e-12)
    draws = []
    rng = np.random.default_rng(0)
    flat = np.concatenate([said[image].scores for image in said])
    for _ in range(ORDERS):
        rank = np.empty(len(flat))
        rank[np.lexsort((rng.random(len(flat)), flat))] = np.arange(1, len(flat) + 1) / len(flat)
        other, start = {}, 0
        for image, found in said.items():
            mine = rank[start : start + 20]
            order = np.argsort(-mine)
            other[image] = Detections(found.boxes[order], mine[order].copy(), found.labels[order])
            start += 20
        with contextlib.redirect_stdout(io.StringIO()):
            draws.append(evaluate_coco(truth, other, ("a",)).metrics()[0].value)
    assert values == pytest.approx(draws, abs=1e-12)
    assert values.max() - values.min() > 0.01


def test_equal_class_scores_by_hand():
    scores = np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0]])
    images = [first_classes_of(row, np.array([0, 1, 2])) for row in scores]
    drawn = top1_of_orders(images, np.array([1, 0]))
    assert set(drawn) == {0.5, 1.0}
    assert len(drawn) == ORDERS
    assert top1_of_orders(images[1:], np.array([0])) == [1.0]


def test_suppression_gives_the_ap_of_its_definition_in_float64():
    rng = np.random.default_rng(9)
    truth, ours, plain = {}, {}, {}
    for image in range(12):
        low = rng.uniform(0, 300, (6, 2))
        truth[image] = true_objects(*np.concatenate([low, low + rng.uniform(20, 90, (6, 2))], axis=1))
        boxes = np.repeat(truth[image].boxes, 60, axis=0) + rng.normal(0, 9, (360, 4))
        candidates = Candidates(boxes, rng.integers(1, 256, (360, 1)) / 256)
        ours[image] = postprocess(candidates, Postprocess(), geometry=SAME, image_size=(400, 400))
        scores = candidates.scores[:, 0]
        kept: list[int] = []
        for index in np.lexsort((boxes[:, 1], boxes[:, 0], -area(boxes), -scores)):
            if not kept or iou(boxes[index : index + 1], boxes[kept]).max() <= 0.65:
                kept.append(int(index))
        kept = kept[:100]
        plain[image] = Detections(boxes[kept], scores[kept], np.zeros(len(kept), np.int64))
    values = [evaluate_coco(truth, said, ("a",)).metrics()[0].value for said in (ours, plain)]
    assert values[0] == values[1] > 0.1


# ----------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(("high", "told"), [(0.5021, True), (0.5019, False)])
def test_a_wide_spread_is_told_of_the_widest_cell(high, told):
    cells = [cell_of(0.5, ties=Ties(20, 0.5, high)), made_cell("a/b", 3, 0.4, ties=Ties(20, 0.4, 0.401))]
    found = [item.code for item in findings_of(check_quantization, made_result(cells))]
    assert ("quantization.ties" in found) == told
    if told:
        item = only(check_quantization, made_result(cells), "quantization.ties")
        assert (item.facts["low"], item.facts["high"], item.facts["cells"]) == (0.5, high, 1)


def test_two_evaluators_that_disagree_are_told():
    cells = [cell_of(0.5, ties=Ties(20, None, None, "one says 0.4"))]
    assert "one says 0.4" in str(only(check_quantization, made_result(cells), "quantization.ties_unknown").facts)


@pytest.mark.parametrize(
    ("rule", "near"),
    [
        (Rule("AP", "min", 0.5005, {}), True),
        (Rule("AP", "min", 0.4995, {}), True),
        (Rule("AP", "min", 0.52, {}), False),
        (Rule("AP", "max", 0.5005, {}), True),
        (Rule("AP50", "min", 0.5005, {}), False),
    ],
)
def test_a_gate_within_the_spread_is_told_and_judged_all_the_same(rule, near):
    cell = cell_of(0.5, {"AP50": cell_of(0.5).metrics["AP"]}, ties=Ties(20, 0.4992, 0.501))
    (applied,) = apply_gates(made_result([cell]), (rule,), CATALOGUE)
    assert applied.outcome.status == (
        "failed" if (rule.limit < 0.5 if rule.kind == "max" else rule.limit > 0.5) else "passed"
    )
    assert ("gate.ties" in [finding.code for finding in applied.findings]) == near
