"""What is too large to hold is done some at a time: classes of a cell, models of a unit. The same result, bounded."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from auditor.evaluate.bootstrap import draw_weights
from auditor.measure import predict
from auditor.run import run_audit
from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection import TASK, columns, resampling
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.parity import compare_detections
from auditor.tasks.detection.ties import Ranked
from auditor.values import Detections, Evaluation, GroundTruth

CLASSES = tuple(f"class {letter}" for letter in "dbfaec")
ASKED = Evaluation(iou=(0.3,), areas={"mid": (400.0, 2500.0)}, max_detections=(5,))


def made(images: int = 30, *, tied: bool, seed: int = 0):
    """Truth and detections of six classes, in an order of images that is not that of their ids."""
    rng = np.random.default_rng(seed)
    truth, said = {}, {}
    for image in rng.permutation(images).tolist():
        low = rng.uniform(0, 200, (4, 2))
        boxes = np.concatenate([low, low + rng.uniform(10, 90, (4, 2))], axis=1)
        labels = rng.integers(0, 5, 4)  # nothing true of the last class
        crowd = rng.random(4) < 0.1
        truth[image] = GroundTruth(boxes, labels, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), crowd)
        seen = np.concatenate([boxes + rng.normal(0, 6, boxes.shape)] * 3)
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 1)
        scores = np.sort(rng.integers(1, 9, 12) / 8 if tied else rng.random(12))[::-1].copy()
        found = Detections(seen, scores, np.where(rng.random(12) < 0.8, np.tile(labels, 3), rng.integers(0, 6, 12)))
        if tied:
            bits = rng.integers(0, 2**20, 12)
            found = Ranked(found.boxes, found.scores, found.labels, bits, found, rng.integers(0, 2**20, 12))
        said[image] = found
    return truth, said


def evaluated(truth, said, *, screens: bool = False):
    gathered = Columns()
    for image_id in sorted(said):
        gathered[image_id] = said[image_id]
    weights = draw_weights(len(truth), seed=3, resamples=200)
    again = [(image_id, said[image_id]) for image_id in sorted(said)]
    judged = Judged(CLASSES, truth, gathered, weights, orders=True, evaluation=ASKED, read_again=again, screens=screens)
    return TASK.evaluate(judged), gathered


@pytest.mark.parametrize("screens", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_some_classes_at_a_time_give_the_same(monkeypatch, tied, screens):
    truth, said = made(tied=tied)
    whole, held = evaluated(truth, said, screens=screens)
    assert held.held
    monkeypatch.setattr(columns, "MOST", 100)
    parts, dropped = evaluated(truth, said, screens=screens)
    assert not dropped.held
    assert len(dropped.found) == 0
    assert [dataclasses.astuple(metric) for metric in parts.metrics][1:] == [
        dataclasses.astuple(metric) for metric in whole.metrics
    ][1:]
    assert parts.metrics[0].value == whole.metrics[0].value
    assert parts.counts == whole.counts
    if tied and not screens:  # other draws of the same orders
        assert parts.ties.orders == whole.ties.orders == 20
        assert parts.ties.high == pytest.approx(whole.ties.high, abs=0.05)
        assert parts.ties.spread > 0
    else:
        assert parts.ties == whole.ties
        assert parts.metrics[0].interval == whole.metrics[0].interval
        assert all((parts.samples[name] == whole.samples[name]).all() for name in whole.samples)


def test_parts_hold_no_more_than_what_is_meant_but_for_one_class(monkeypatch):
    monkeypatch.setattr(columns, "MOST", 150)
    truth, said = made(tied=False)
    gathered = Columns()
    for image_id, found in said.items():
        gathered[image_id] = found
    parts = list(columns.in_parts(gathered, lambda: iter(said.items()), range(len(CLASSES))))
    assert [label for part in parts for label in part.labels] == list(range(len(CLASSES)))
    assert sum(len(part.found) for part in parts) == 12 * len(truth) == gathered.counts.sum()
    assert all(len(part.found) <= 150 or len(part.labels) == 1 for part in parts)
    assert max(len(part.labels) for part in parts) > 1


@pytest.mark.parametrize("tied", [False, True])
def test_resamples_are_the_same_however_many_at_a_time(monkeypatch, tied):
    truth, said = made(tied=tied)
    whole, _ = evaluated(truth, said)
    for most in (1, 50, 900):  # sums over all detections, a few resamples at a time
        monkeypatch.setattr(resampling, "_ELEMENTS", most)
        found, _ = evaluated(truth, said)
        assert found.samples["AP"] == pytest.approx(whole.samples["AP"], abs=1e-14)


def test_two_cells_are_compared_whatever_the_order_of_their_images():
    _, mine = made(tied=False)
    _, else_said = made(tied=False, seed=1)
    theirs = {image_id: else_said[image_id] if image_id % 2 else found for image_id, found in mine.items()}
    ordered = compare_detections(mine.items(), ((image_id, theirs[image_id]) for image_id in mine))
    other = compare_detections(sorted(mine.items()), sorted(theirs.items(), reverse=True))
    assert (ordered.matched, ordered.score, ordered.detections) == (other.matched, other.score, other.detections)
    only = compare_detections([(1, mine[1])], [(2, theirs[2])])
    assert (only.matched, only.detections) == (None, 0)


def test_more_models_than_are_held_open_are_measured_alike(project, monkeypatch):
    """Five models, two at a time: the same cells, and no more than two interpreters."""
    entry = "{name: detector, path: detector.tflite, labels: labels.txt}"
    text = (project / "audit.yaml").read_text()
    several = "\n".join(f"  - {entry.replace('detector', f'm{number}')}" for number in range(5))
    for number in range(5):
        shutil.copy(project / "detector.tflite", project / f"m{number}.tflite")
    assert f"  - {entry}" in text
    text = text.replace(f"  - {entry}", several)
    (project / "audit.yaml").write_text(text[: text.index("gates:")])
    whole = run_audit(project / "audit.yaml", output=project / "whole", executor="serial")
    predict._opened.clear()
    monkeypatch.setattr(predict, "_OPEN", 2)
    parts = run_audit(project / "audit.yaml", output=project / "parts", executor="serial")
    assert len(predict._opened) == 2
    assert {cell.file for cell in parts.cells} == {f"m{number}" for number in range(5)}
    assert [(cell.key, cell.value) for cell in parts.cells] == [(cell.key, cell.value) for cell in whole.cells]
    assert len({cell.value for cell in parts.cells if cell.is_clean}) == 1
