"""What a cell's AP is lost to, as TIDE tells errors apart, by hotcoco.

Source: Bolya et al. 2020, arXiv:2008.08115; an overlap of 0.5 is right, below 0.1 with every object it is background.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.tasks.anatomy.task import Judged
from auditor.tasks.detection.coco_truth import CocoTruth, prepare_truth
from auditor.tasks.detection.columns import MOST, Columns, Table
from auditor.tasks.detection.hotcoco_sets import detections_table, evaluated, truth_set
from auditor.values import Detections, ErrorCost, ErrorTypes

__all__ = ["error_types"]

_KINDS = {
    "Cls": "class",
    "Loc": "localisation",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
}
_RIGHT, _BACKGROUND = 0.5, 0.1


def error_types(known: CocoTruth, judged: Judged) -> ErrorTypes | None:
    """Each kind of error: how many there are, and by how much AP50 would rise without them; None without any true
    object. Of more detections than are held at once, those of the first images, whose order is that of their
    content."""
    found = judged.predictions
    columns = found if isinstance(found, Columns) else Columns.of(found.items())
    table = columns.found
    if not columns.held:
        table, images = _first(judged.again())
        known = prepare_truth({i: judged.truth[i] for i in images}, judged.categories, judged.evaluation)
    truth, counted = truth_set(known, tuple(range(len(known.classes))))
    if not counted or not len(table):
        return None
    told = evaluated(truth, detections_table(table, known.position_of(table.image))).tide_errors(
        pos_thr=_RIGHT, bg_thr=_BACKGROUND
    )
    costs = (ErrorCost(kind, float(told["delta_ap"][key]), int(told["counts"][key])) for key, kind in _KINDS.items())
    return ErrorTypes(len(known.images), tuple(costs))


def _first(predictions: Iterator[tuple[int, Detections]]) -> tuple[Table, list[int]]:
    """The detections of as many images as are held at once, and these images."""
    table, images = Table(), []
    for image_id, found in predictions:
        if len(table) + len(found.scores) > MOST:
            break
        table.add(image_id, found, None, ())
        images.append(image_id)
    return table, images
