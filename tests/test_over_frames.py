"""What a detector does over the frames of a clip, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.evaluate.counted import Seen, measured
from auditor.tasks.anatomy.cells import _frames
from auditor.tasks.anatomy.task import Frames
from auditor.tasks.detection.at_point import count
from auditor.tasks.detection.over_frames import count_over_frames
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import OperatingPoint, Thresholds


def matches(rows, frames):
    """Detections and true objects of one class from rows (frame, track, where the object is, where it is found and
    with which score, or None): boxes of 10 by 10 pixels at (x, 0); track None is a false detection."""
    truths = [(frame, track, x) for frame, track, x, _ in rows if track is not None]
    found = sorted(
        ((row[0], *row[3], truths.index(row[:3]) if row[1] is not None else -1) for row in rows if row[3]),
        key=lambda item: (item[0], -item[2]),
    )

    def boxes(places):
        left = np.array(places, dtype=float).reshape(-1, 1)
        return np.concatenate([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], axis=1)

    return PointMatches(
        "a",
        np.array([item[0] for item in found], dtype=np.int64),
        np.array([item[2] for item in found], dtype=float),
        boxes([item[1] for item in found]),
        np.array([item[3] for item in found], dtype=np.int64),
        np.array([item[0] for item in truths], dtype=np.int64),
        boxes([item[2] for item in truths]),
        np.array([item[1] for item in truths], dtype=np.int64),
    )


def over(rows, frames=6, positions=None):
    seen = Seen(np.arange(frames) if positions is None else np.array(positions), frames + 4, 0)
    point = OperatingPoint("m", "threshold", Thresholds(0.5), 0.5)
    clip = Frames(seen.positions * 0.5, np.diff(seen.positions, prepend=-9) == 1, 0.5)
    counted = count_over_frames(point, [matches(rows, frames)], seen, clip)
    return {value.name: value.value for value in measured(counted, frames)}


def test_metrics_over_frames_by_hand():
    rows = [
        (0, 1, 0, None),
        (1, 1, 1, (1, 0.9)),
        (2, 1, 2, (5, 0.9)),  # moves by 3 against the object
        (3, 1, 3, (3, 0.4)),  # below the threshold
        (4, 1, 4, (4, 0.9)),
        (2, 2, 50, None),
        (3, 2, 50, None),
        (1, None, 80, (80, 0.8)),
        (2, None, 82, (82, 0.8)),  # the same alarm goes on
        (4, None, 82, (82, 0.8)),  # another, after a frame without
        (5, None, 60, (60, 0.8)),  # another, elsewhere
        (5, None, 84, (84, 0.2)),  # below the threshold
    ]
    found = over(rows)
    assert found["flicker"] == pytest.approx(3 / 5)  # frames 0-1, 2-3, 3-4 of track 1; track 2 has one pair
    assert found["jitter_px"] == pytest.approx(3.0)
    assert found["first_detection_s"] == pytest.approx(0.5)
    assert found["never_found"] == pytest.approx(0.5)
    assert found["alarm_events_per_hour"] == pytest.approx(3 / 3.0 * 3600)


def test_frames_that_could_not_be_read_join_nothing():
    rows = [(0, 1, 0, (0, 0.9)), (1, 1, 0, None), (0, None, 80, (80, 0.8)), (1, None, 80, (80, 0.8))]
    assert over(rows, 2, positions=[0, 1])["flicker"] == 1.0
    apart = over(rows, 2, positions=[0, 3])
    assert apart["flicker"] is None
    assert apart["alarm_events_per_hour"] == pytest.approx(2 / 1.0 * 3600)  # the gap was not watched


def test_no_alarm_at_all_is_still_so_many_an_hour_at_most():
    """Of no event in n independent frames the rate is below 3.69 / n (Garwood 1936), whatever unit it is told in."""
    seen = Seen(np.arange(100), 100, 0)
    point = OperatingPoint("m", "threshold", Thresholds(0.5), 0.5, fps=2.0)
    only = matches([(0, 1, 0, (0, 0.9)), (1, 1, 0, (0, 0.9))], 100)
    clip = Frames(np.arange(100) / 2, np.arange(100) > 0, 0.5)
    counted = count_over_frames(point, [only], seen, clip)
    within = {value.name: value.interval for value in measured(counted, 100)}
    assert within["alarm_events_per_hour"] == pytest.approx((0, 3.689 / 100 * 7200), rel=1e-3)
    within = {value.name: value.interval for value in measured(count(point, [only], seen), 100)}
    assert within["fppi"] == pytest.approx((0, 3.689 / 100), rel=1e-3)
    assert within["false_alarms_per_hour"] == pytest.approx((0, 3.689 / 100 * 7200), rel=1e-3)
    assert within["fppi_background"] == pytest.approx((0, 3.689 / 98), rel=1e-3)


def test_a_class_of_which_nothing_counts_here_adds_nothing():
    """All of its objects are crowds, or it is on other frames alone."""
    seen, frames = Seen(np.arange(4), 4, 0), Frames(np.arange(4) / 2, np.arange(4) > 0, 0.5)
    point = OperatingPoint("m", "threshold", Thresholds(0.5), 0.5)
    some = matches([(0, 1, 0, (0, 0.9)), (1, 1, 0, None)], 4)
    nothing = matches([(2, None, 5, (5, 0.9))], 4)
    counted = count_over_frames(point, [some, nothing], seen, frames)
    found = {value.name: value.value for value in measured(counted, 4)}
    assert found["flicker"] == 1.0
    assert found["never_found"] == 0.0
    assert found["alarm_events_per_hour"] == pytest.approx(3600 / 2)


def test_frames_follow_each_other_where_nothing_lies_between_that_was_not_looked_at():
    times = {1: 0.0, 4: 0.3, 7: 0.6, 25: 2.4, 28: 2.7}
    whole = _frames(list(times), times)
    assert whole.follows.tolist() == [False, True, True, False, True]
    np.testing.assert_allclose(whole.lasts, 0.3)
    part = _frames([1, 7, 25], times)
    assert part.follows.tolist() == [False, False, False]
    np.testing.assert_allclose(part.lasts, 0.3)
    assert _frames([3], {3: 0.0}).lasts.tolist() == [0.0]
