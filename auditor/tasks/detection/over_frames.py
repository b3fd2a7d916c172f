"""What a detector does over the frames of a clip: whether what it finds comes and goes, trembles, comes late, and how
often it raises a false alarm.

Each is counted on the frame where it shows, so that blocks of frames give an interval of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import iou
from auditor.evaluate.counted import Counted, Named, Seen
from auditor.tasks.anatomy.task import Frames
from auditor.tasks.detection.point_choice import is_held
from auditor.tasks.detection.point_matches import PointMatches
from auditor.values import OperatingPoint

__all__ = ["OVER_FRAMES", "WITHOUT_BOUND", "count_over_frames"]

OVER_FRAMES = {
    "flicker": "share of the true objects that are found in one frame and not in the next, or the other way round",
    "jitter_px": "how far a detection moves against its true object from one frame to the next, pixels",
    "first_detection_s": "seconds until a true object is first found, of those that are found",
    "never_found": "share of the true objects of a clip that are found in none of its frames",
    "alarm_events_per_hour": "false alarms per hour of the clip; one that goes on over frames is one",
}
"""The metrics of a clip whose objects have tracks, at the operating point; less is better of each."""
WITHOUT_BOUND = ("jitter_px", "first_detection_s", "alarm_events_per_hour")
"""Those that are no share."""

_ON = 0.3
"""A false detection goes on where one of its class in the next frame overlaps it by at least this IoU."""
_PAIRS, _CHANGES, _BOTH, _MOVED, _TRACKS, _FOUND, _WAITED, _EVENTS, _SECONDS = range(9)
_COLUMNS = 9
_REASONS = {
    "flicker": "no object is in two frames after each other",
    "jitter_px": "no object is found in two frames after each other",
    "first_detection_s": "no object is ever found",
    "never_found": "no true object counts here",
    "alarm_events_per_hour": "the clip has no length",
}


def count_over_frames(point: OperatingPoint, found: Sequence[PointMatches], seen: Seen, frames: Frames) -> Counted:
    """Count, on each frame, what goes on from the one before, at the point; of classes that are deployed alone."""
    table = np.zeros((len(frames.times), _COLUMNS))
    table[:, _SECONDS] = frames.lasts
    for item in found:
        if point.thresholds.of(item.category) is not None:
            held = is_held(item, point.thresholds)
            _count_tracks(table, item, held, frames)
            _count_events(table, item, held & ~item.hit, frames)
    image, column = np.nonzero(table)
    seconds = float(table[:, _SECONDS].mean()) if len(table) else 0.0
    unit = 3600 / seconds if seconds else 1.0
    metrics = [
        Named(
            name,
            _REASONS[name],
            higher_is_better=False,
            kind="rate" if name == "alarm_events_per_hour" else "other" if name in WITHOUT_BOUND else "share",
            unit=unit if name == "alarm_events_per_hour" else 1.0,
        )
        for name in OVER_FRAMES
    ]
    return Counted.of(seen, metrics, _reduced, columns=_COLUMNS, entries=(image, column, table[image, column]))


def _count_tracks(table: NDArray[np.float64], item: PointMatches, held: NDArray[np.bool_], frames: Frames) -> None:
    """Of each track of a class, over the frames in which it counts: changes, moves and when it is first found."""
    is_found = np.zeros(len(item.truths), dtype=bool)
    offset = np.zeros((len(item.truths), 2))
    right = np.nonzero(held & item.hit)[0]
    mine = item.object[right]
    is_found[mine] = True
    offset[mine] = _centres(item.boxes[right]) - _centres(item.objects[mine])
    order = np.lexsort((item.truths, item.tracks))
    track, image = item.tracks[order], item.truths[order]
    is_found, offset = is_found[order], offset[order]
    goes_on = (track[1:] == track[:-1]) & (np.diff(image) == 1) & frames.follows[image[1:]]
    later = image[1:]
    both = goes_on & is_found[1:] & is_found[:-1]
    np.add.at(table[:, _PAIRS], later[goes_on], 1)
    np.add.at(table[:, _CHANGES], later[goes_on & (is_found[1:] != is_found[:-1])], 1)
    np.add.at(table[:, _BOTH], later[both], 1)
    np.add.at(table[:, _MOVED], later[both], np.hypot(*np.diff(offset, axis=0).T)[both])
    starts = np.flatnonzero(np.diff(track, prepend=track[:1] - 1))
    for begin, end in zip(starts, np.append(starts, len(track))[1:], strict=True):
        table[image[begin], _TRACKS] += 1
        there = np.nonzero(is_found[begin:end])[0]
        if len(there):
            table[image[begin], _FOUND] += 1
            table[image[begin], _WAITED] += frames.times[image[begin + there[0]]] - frames.times[image[begin]]


def _count_events(table: NDArray[np.float64], item: PointMatches, false: NDArray[np.bool_], frames: Frames) -> None:
    """Of each false detection of a class whether it begins here, or goes on from the frame before."""
    order = np.argsort(item.image[false], kind="stable")
    image, boxes = item.image[false][order], item.boxes[false][order]
    for here in np.unique(image).tolist():
        begin, end = np.searchsorted(image, [here, here + 1])
        new = np.ones(end - begin, dtype=bool)
        if frames.follows[here]:
            before, until = np.searchsorted(image, [here - 1, here])
            if until > before:
                new = iou(boxes[begin:end], boxes[before:until]).max(axis=1) < _ON
        table[here, _EVENTS] += new.sum()


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def _reduced(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    columns = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                columns[_CHANGES] / columns[_PAIRS],
                columns[_MOVED] / columns[_BOTH],
                columns[_WAITED] / columns[_FOUND],
                1 - columns[_FOUND] / columns[_TRACKS],
                columns[_EVENTS] / columns[_SECONDS] * 3600,
            ],
            axis=1,
        )
