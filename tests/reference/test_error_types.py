"""Error types against tidecv 1.0.1's figures of the same sets, and flips against a case that is worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from reference.confusing_sets import CLASSES, confusing
from reference.test_operating_point import at, matches

from auditor.evaluate.counted import Seen
from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection import columns, error_types
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.flips import flips, objects_of
from auditor.values import Detections, Evaluation, GroundTruth, Thresholds

KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")
TIDECV = {
    0: ((7.397, 6.891, 0.885, 1.485, 7.327, 4.343), (172, 142, 30, 83, 191, 35)),
    1: ((6.063, 6.373, 1.263, 1.560, 9.366, 4.714), (166, 123, 35, 96, 189, 32)),
    2: ((5.437, 6.683, 1.147, 1.601, 7.394, 6.853), (136, 119, 35, 86, 175, 44)),
}
"""What `confusing_sets.py` says how to make: costs in points of AP50, and how many there are."""


def told(truth, said, predictions=None):
    known = prepare_truth(truth, CLASSES, Evaluation())
    weights = np.ones((1, len(truth)), dtype=np.int64)
    judged = Judged(CLASSES, truth, predictions or said, weights, read_again=list(said.items()))
    return error_types.error_types(known, judged)


@pytest.mark.parametrize("seed", TIDECV)
def test_costs_and_counts_are_those_of_tidecv(seed):
    found = told(*confusing(seed))
    costs, counts = TIDECV[seed]
    assert tuple(cost.kind for cost in found.costs) == KINDS
    assert [100 * cost.cost for cost in found.costs] == pytest.approx(list(costs), abs=0.1)
    assert tuple(cost.count for cost in found.costs) == counts
    assert found.images == 60


def test_of_more_detections_than_are_held_the_first_images_tell(monkeypatch):
    truth, said = confusing(0)
    monkeypatch.setattr(columns, "MOST", 300)
    monkeypatch.setattr(error_types, "MOST", 300)
    held = Columns()
    for image, found in said.items():
        held[image] = found
    assert not held.held
    found = told(truth, said, held)
    fewer = {image: truth[image] for image in list(truth)[: found.images]}
    assert 5 < found.images < 60
    assert found == told(fewer, {image: said[image] for image in fewer})


def test_without_an_object_or_a_detection_nothing_is_told():
    nothing = GroundTruth(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))
    none = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    assert told({1: nothing}, {1: none}) is None


def objects(*boxes, labels):
    found = np.array(boxes, dtype=np.float64)
    return GroundTruth(
        found, np.array(labels), np.prod(found[:, 2:] - found[:, :2], axis=1), np.zeros(len(found), bool)
    )


def said_of(*rows):
    """Detections of (x, score, label): boxes of 10 × 10 px at that place."""
    rows = sorted(rows, key=lambda row: -row[1])
    boxes = np.array([[x, 0.0, x + 10.0, 10.0] for x, _, _ in rows]).reshape(-1, 4)
    return Detections(boxes, np.array([row[1] for row in rows]), np.array([row[2] for row in rows], dtype=np.int64))


def test_what_becomes_of_each_object_by_hand():
    """Six objects of two classes: found still, with too low a score, renamed, moved, gone, and found only now."""
    boxes = [(x, 0, x + 10, 10) for x in (0, 100, 200, 300, 400, 500)]
    truth = {0: objects(*boxes[:3], labels=[0, 0, 0]), 1: objects(*boxes[3:], labels=[0, 1, 1])}
    clean = {
        0: said_of((0, 0.9, 0), (100, 0.8, 0), (200, 0.7, 0)),
        1: said_of((300, 0.9, 0), (400, 0.9, 1), (500, 0.3, 1)),
    }
    dark = {
        0: said_of((0, 0.8, 0), (100, 0.4, 0), (200, 0.6, 1)),
        1: said_of((306, 0.9, 0), (500, 0.7, 1)),
    }
    point, seen = at(Thresholds(0.5)), Seen(np.arange(2), 2, 0)
    here, there = (objects_of(point, matches(truth, said, classes=("a", "b"))) for said in (dark, clean))
    found = {value.name: value.value for value in flips(here, there, seen)}
    assert found == pytest.approx(
        {
            "flips": 4 / 5,
            "flips_lost": 2 / 5,  # its score fell below the threshold; nothing is there
            "flips_relabelled": 1 / 5,
            "flips_moved": 1 / 5,  # an overlap of 0.25
            "flips_new": 1.0,
        }
    )


def test_the_right_detection_of_a_neighbour_is_no_other_name_for_an_object():
    truth = {0: objects((0, 0, 10, 10), (2, 0, 12, 10), labels=[0, 1])}
    clean, dark = {0: said_of((0, 0.9, 0), (2, 0.9, 1))}, {0: said_of((2, 0.9, 1))}
    point, seen = at(Thresholds(0.5)), Seen(np.arange(1), 1, 0)
    here, there = (objects_of(point, matches(truth, said, classes=("a", "b"))) for said in (dark, clean))
    found = {value.name: value.value for value in flips(here, there, seen)}
    assert (found["flips_lost"], found["flips_relabelled"]) == (0.5, 0.0)
    assert found["flips_new"] is None
