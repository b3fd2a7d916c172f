"""COCO average precision and recall by pycocotools, the AP of record.

Source: https://cocodataset.org/#detection-eval; pycocotools.cocoeval.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xywh, to_xyxy
from auditor.tasks.detection.coco_truth import ClassTruth, CocoTruth, limits_of, prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.point_matches import PointMatches
from auditor.tasks.detection.resampling import ClassMatches
from auditor.values import COCO_LIMITS, Detections, Evaluation, GroundTruth, MetricValue, iou_metric

__all__ = [
    "ABOUT",
    "NAMES",
    "NOTHING_COUNTS",
    "CocoEvaluation",
    "Matched",
    "evaluate_coco",
    "evaluate_parts",
    "match_parts",
    "per_class",
]

ABOUT = {
    "AP": "COCO average precision, the mean over IoU 0.50 to 0.95 and classes",
    "AP50": "AP at IoU 0.50",
    "AP75": "AP at IoU 0.75",
    "AP_small": "AP of objects under 32 × 32 pixels",
    "AP_medium": "AP of objects from 32 × 32 to 96 × 96 pixels",
    "AP_large": "AP of larger objects",
    "AR1": "average recall with one detection an image",
    "AR10": "average recall with 10 detections an image",
    "AR100": "average recall with 100 detections an image",
    "AR_small": "AR100 of objects under 32 × 32 pixels",
    "AR_medium": "AR100 of objects from 32 × 32 to 96 × 96 pixels",
    "AR_large": "AR100 of larger objects",
}
"""COCO's twelve metrics. Source: https://cocodataset.org/#detection-eval."""
NAMES = tuple(ABOUT)

NOTHING_COUNTS = "no true object counts here"
_THRESHOLDS = 10
"""COCO's IoU thresholds, 0.50 to 0.95, the first that are evaluated."""
_AREAS = {"": 0, "_small": 1, "_medium": 2, "_large": 3}


@dataclass(frozen=True, eq=False)
class CocoEvaluation:
    """What pycocotools found: `precision` (IoUs, recalls, classes, areas, limits), `recall` (IoUs, classes, areas,
    limits)."""

    images: int
    categories: tuple[str, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    evaluation: Evaluation = field(default_factory=Evaluation)
    matches: tuple[ClassMatches, ...] = ()
    """How the detections of each class were matched among all sizes, where that is kept."""

    def metrics(self) -> list[MetricValue]:
        """COCO's twelve metrics, and `AP/<class>` for each class; over no true object a metric is None."""
        precision, recall = self.precision[:_THRESHOLDS], self.recall[:_THRESHOLDS]
        one, ten, hundred = (limits_of(self.evaluation).index(most) for most in COCO_LIMITS)
        values = {"AP50": precision[0, :, :, 0, hundred], "AP75": precision[5, :, :, 0, hundred]}
        for suffix, area in _AREAS.items():
            values[f"AP{suffix}"] = precision[:, :, :, area, hundred]
            values[f"AR{suffix or '100'}"] = recall[:, :, area, hundred]
        values |= {"AR1": recall[:, :, 0, one], "AR10": recall[:, :, 0, ten]}
        metrics = [_metric(name, values[name], self.images) for name in NAMES]
        metrics += [_metric(name, value, self.images) for name, value in self._added().items()]
        of_classes = [precision[:, :, index, 0, hundred] for index in range(len(self.categories))]
        return metrics + [
            _metric(per_class(name), value, self.images)
            for name, value in zip(self.categories, of_classes, strict=True)
        ]

    def _added(self) -> dict[str, NDArray[np.float64]]:
        """The values that the metrics beside COCO's average."""
        asked, limits, found = self.evaluation, limits_of(self.evaluation), {}
        hundred = limits.index(COCO_LIMITS[-1])
        for index, iou in enumerate(asked.iou, start=_THRESHOLDS):
            found[iou_metric(iou)] = self.precision[index, :, :, 0, hundred]
        precision, recall = self.precision[:_THRESHOLDS], self.recall[:_THRESHOLDS]
        for index, most in enumerate(limits):
            if most not in COCO_LIMITS:
                found[f"AP@max{most}"] = precision[:, :, :, 0, index]
                found[f"AR{most}"] = recall[:, :, 0, index]
        for index, name in enumerate(asked.areas, start=len(_AREAS)):
            found[f"AP_{name}"] = precision[:, :, :, index, hundred]
            found[f"AR_{name}"] = recall[:, :, index, hundred]
        return found


@dataclass(frozen=True, eq=False)
class Matched:
    """How a class was matched: over all sizes by COCO's IoU thresholds (`coco`), at each `further` IoU, and by these
    thresholds among true objects of each of the `sizes`; and at that of the operating point."""

    coco: ClassMatches
    further: Mapping[float, ClassMatches]
    sizes: Mapping[str, ClassMatches]
    at_point: PointMatches


Took = Callable[[Matched], None]
"""What takes how a class was matched."""


def evaluate_coco(
    truth: Mapping[int, GroundTruth],
    predictions: Mapping[int, Detections],
    categories: Sequence[str],
    asked: Evaluation = Evaluation(),  # noqa: B008 (it is frozen)
    prepared: CocoTruth | None = None,
) -> CocoEvaluation:
    """Evaluate with pycocotools: averages over IoU 0.50 to 0.95, at most 100 detections an image and class.

    `truth` and `predictions` are by image id over the same images, `labels` of both index `categories`. Equal scores of
    different images are ranked in the order of `truth`; the classes stand in the result in the order of their names.
    What is `asked` beside COCO's metrics changes none of these. `prepared` is what `prepare_truth` made of this truth.

    Raises:
        ValueError: truth and predictions are not of the same images.
    """
    if truth.keys() != predictions.keys():
        raise ValueError(f"expected predictions for the {len(truth)} images of the truth but got {len(predictions)}")
    matches: list[ClassMatches] = []
    known = prepared or prepare_truth(truth, categories, asked)
    found = evaluate_parts(known, [Columns.of(predictions.items())], asked, lambda mine: matches.append(mine.coco))
    return dataclasses.replace(found, matches=tuple(matches))


def evaluate_parts(known: CocoTruth, parts: Iterable[Columns], asked: Evaluation, took: Took) -> CocoEvaluation:
    """As `evaluate_coco`, of detections that come some classes at a time.

    Every number comes out of pycocotools' own overlaps, matching and accumulation, and is what they give, bit for bit;
    they are spared what cannot change one: detections that overlap no true object enough to match, and in accumulation
    those that count as nothing, and false alarms ranked below the last hit.
    """
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(iouType="bbox")
    ious, limits, areas = (len(known.params.__dict__[name]) for name in ("iouThrs", "maxDets", "areaRng"))
    recalls, classes = len(known.params.recThrs), len(known.classes)
    precision, recall = -np.ones((ious, recalls, classes, areas, limits)), -np.ones((ious, classes, areas, limits))
    for label, mine in _rows(parts, known):
        of_class = known.classes[label]
        hit, ignored, matched = _matched(evaluation, of_class, mine, known.params, known.point)
        _accumulate(evaluation, of_class, mine, hit, ignored, (precision[:, :, label], recall[:, label]), known.params)
        ranked = mine.rank < COCO_LIMITS[-1]
        found = ClassMatches(
            mine.image[ranked], mine.score[ranked], hit[0][:, ranked], ignored[0][:, ranked], of_class.counted
        )
        further = {iou: _at(found, slice(index, index + 1)) for index, iou in enumerate(asked.iou, start=_THRESHOLDS)}
        at_point = PointMatches.of(
            known.categories[label],
            (found.image, found.score, to_xyxy(mine.boxes[ranked], "xywh")),
            matched[ranked],
            ignored[0][known.point, ranked],
            (of_class.image, to_xyxy(of_class.boxes, "xywh"), ~of_class.ignored[0], of_class.tracks),
        )
        took(
            Matched(
                _at(found, slice(0, _THRESHOLDS)),
                further,
                _sizes(known, of_class, found, (hit, ignored, ranked)),
                at_point,
            )
        )
    return CocoEvaluation(len(known.images), known.categories, precision, recall, asked)


def _sizes(
    known: CocoTruth,
    truth: ClassTruth,
    found: ClassMatches,
    matched: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
) -> dict[str, ClassMatches]:
    """How a class was matched among objects of each size of which it has one."""
    hit, ignored, ranked = matched
    return {
        name: dataclasses.replace(
            found,
            hit=hit[area][:_THRESHOLDS, ranked],
            ignored=ignored[area][:_THRESHOLDS, ranked],
            truths=truth.image[~truth.ignored[area]],
        )
        for area, name in enumerate(known.params.areaRngLbl)
        if area and not truth.ignored[area].all()
    }


def match_parts(known: CocoTruth, parts: Iterable[Columns]) -> Iterator[ClassMatches]:
    """How the detections of each class that has an AP are matched, over all sizes, as in `evaluate_parts`: all that AP
    itself needs."""
    from pycocotools.cocoeval import COCOeval

    evaluation, params = COCOeval(iouType="bbox"), copy.copy(known.params)
    params.areaRng, params.iouThrs = params.areaRng[:1], params.iouThrs[:_THRESHOLDS]
    for label, mine in _rows(parts, known):
        of_class = known.classes[label]
        if not len(of_class.counted):
            continue  # a class of which nothing counts has no AP
        ranked = mine.at(mine.rank < COCO_LIMITS[-1])
        alone = dataclasses.replace(of_class, ignored=of_class.ignored[:1])
        hit, ignored, _ = _matched(evaluation, alone, ranked, params)
        yield ClassMatches(ranked.image, ranked.score, hit[0], ignored[0], of_class.counted)


def _at(found: ClassMatches, thresholds: slice) -> ClassMatches:
    """The matching at some of the thresholds."""
    return dataclasses.replace(found, hit=found.hit[thresholds], ignored=found.ignored[thresholds])


def per_class(category: str) -> str:
    """Name the AP of one class.

    >>> per_class("person")
    'AP/person'
    """
    return f"AP/{category}"


def _metric(name: str, values: NDArray[np.float64], images: int) -> MetricValue:
    """Average as pycocotools' summarize does: -1 marks what is absent."""
    present = values[values > -1]
    if present.size == 0:
        return MetricValue(name, None, reason=NOTHING_COUNTS, images=images)
    return MetricValue(name, float(np.mean(present)), images=images)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Detections of one class by image and descending score: `image` (D,) positions, `boxes` (D, 4) xywh, `score`
    (D,), and `rank` (D,) among those of the same image."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float64]
    score: NDArray[np.float64]
    rank: NDArray[np.int64]

    def at(self, chosen: NDArray[Any]) -> _Rows:
        """Some of them."""
        return _Rows(*(getattr(self, part.name)[chosen] for part in dataclasses.fields(self)))


def _rows(parts: Iterable[Columns], known: CocoTruth) -> Iterator[tuple[int, _Rows]]:
    """By class the detections that count at all: no more of an image than the highest limit."""
    for part in parts:
        table = part.found
        place, position = known.place[table.label], known.position_of(table.image)
        order = np.argsort(place, kind="stable")
        classes = known.place[list(part.labels)] if part.labels else np.arange(len(known.classes))
        for label in sorted(classes.tolist()):
            begin, end = np.searchsorted(place, [label, label + 1], sorter=order)
            mine = order[begin:end]
            mine = mine[np.lexsort((-table.score[mine], position[mine]))]  # stable: equal scores stay in their order
            image = position[mine]
            begins = np.nonzero(np.diff(image, prepend=-1))[0]
            rank = np.arange(len(mine)) - np.repeat(begins, np.diff([*begins, len(mine)]))
            rows = _Rows(image, to_xywh(table.boxes[mine]), table.score[mine], rank)
            yield label, rows.at(rank < known.params.maxDets[-1])


def _matched(
    evaluation: Any, truth: ClassTruth, found: _Rows, params: Any, point: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which detections of a class pycocotools matches, and which it ignores, (areas, IoUs, D) both; and with which true
    object it matches each among all sizes, at the IoU number `point`: (D,), -1 for none.

    It is given the images where a detection overlaps a true object enough, with these detections alone: any other
    matches nothing there, and is ignored where its area is out of range.
    """
    from pycocotools import mask

    evaluation.params = params
    ranges, thresholds = np.array(params.areaRng, dtype=np.float64), np.asarray(params.iouThrs)
    area = found.boxes[:, 2] * found.boxes[:, 3]
    outside = (area < ranges[:, :1]) | (area > ranges[:, 1:])
    hit = np.zeros((len(ranges), len(thresholds), len(area)), dtype=bool)
    matched = np.full(len(area), -1, dtype=np.int64)
    ignored = np.repeat(outside[:, np.newaxis], len(thresholds), axis=1)
    least = min(float(thresholds.min()), 1 - 1e-10)
    counts = np.asarray((~truth.ignored).any(axis=1))
    counts[0] = True  # all sizes: what is resampled
    places, firsts, objects = np.unique(truth.image, return_index=True, return_counts=True)
    begins, ends = np.searchsorted(found.image, places), np.searchsorted(found.image, places, side="right")
    bounds = np.stack([firsts, firsts + objects, begins, ends], axis=1).tolist()
    for first, last, begin, end in bounds:
        if begin == end:
            continue
        overlaps = mask.iou(found.boxes[begin:end], truth.boxes[first:last], truth.crowd[first:last])
        near = np.nonzero((~(overlaps < least)).any(axis=1))[0]
        if not len(near):
            continue
        rows = begin + near
        scores, areas = found.score[rows].tolist(), area[rows].tolist()
        evaluation._gts[1, 1] = truth.annotations(first, last)
        evaluation._dts[1, 1] = [
            {"id": number, "score": score, "area": size}
            for number, (score, size) in enumerate(zip(scores, areas, strict=True), start=1)
        ]
        evaluation.ious[1, 1] = overlaps[near]
        seen: dict[bytes, dict[str, Any]] = {}
        for index in np.nonzero(counts)[0].tolist():
            same = truth.ignored[index, first:last].tobytes() + outside[index, rows].tobytes()
            if same not in seen:  # all that a range of areas changes
                seen[same] = evaluation.evaluateImg(1, 1, params.areaRng[index], len(rows))
            hit[index][:, rows] = seen[same]["dtMatches"] > 0
            ignored[index][:, rows] = seen[same]["dtIgnore"]
            if index == 0:
                matched[rows] = seen[same]["dtMatches"][point].astype(np.int64) - 1
    return hit, ignored, matched


def _accumulate(
    evaluation: Any,
    truth: ClassTruth,
    found: _Rows,
    hit: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    into: tuple[NDArray[np.float64], NDArray[np.float64]],
    params: Any,
) -> None:
    """Let pycocotools accumulate one class `into` its precision (IoUs, recalls, areas, limits) and recall (IoUs, areas,
    limits): -1 where no true object counts, 0 where nothing is hit."""
    precision, recall = into
    counted = np.nonzero((~truth.ignored).any(axis=1))[0]
    precision[:, :, counted], recall[:, counted] = 0.0, 0.0
    ranked = np.argsort(-found.score, kind="mergesort")
    before, most = -1, len(found.score)
    for limit in reversed(range(len(params.maxDets))):
        kept = ranked[found.rank[ranked] < params.maxDets[limit]]
        if before >= 0 and len(kept) == most:  # a limit that cuts nothing more gives the same
            precision[..., limit], recall[..., limit] = precision[..., before], recall[..., before]
            continue
        before, most = limit, len(kept)
        records, areas = [], []
        for area in counted.tolist():
            hits = (hit[area][:, kept] & ~ignored[area][:, kept]).any(axis=0)
            if hits.any():
                mine = kept[: int(np.nonzero(hits)[0][-1]) + 1]
                mine = mine[~ignored[area][:, mine].all(axis=0)]
                records.append(
                    {
                        "dtScores": found.score[mine],
                        "dtMatches": hit[area][:, mine],
                        "dtIgnore": ignored[area][:, mine],
                        "gtIgnore": truth.ignored[area],
                    }
                )
                areas.append(area)
        if not areas:
            continue
        whole = np.concatenate([item[name] for item in records for name in ("dtMatches", "dtIgnore")], axis=1)
        rows = [row.tobytes() for row in whole]
        kinds = {row: index for index, row in reversed(list(enumerate(rows)))}
        first, which = list(kinds.values()), [list(kinds).index(row) for row in rows]
        for item in records:  # thresholds at which all are matched alike give the same
            item |= {name: item[name][first] for name in ("dtMatches", "dtIgnore")}
        evaluation.params = asked = copy.copy(params)
        asked.imgIds, asked.catIds, asked.maxDets = [1], [1], [max(1, most)]
        asked.areaRng, asked.iouThrs = [params.areaRng[area] for area in areas], params.iouThrs[first]
        evaluation.evalImgs, evaluation._paramsEval = records, asked
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
            evaluation.accumulate()
        precision[:, :, areas, limit] = evaluation.eval["precision"][which][:, :, 0, :, 0]
        recall[:, areas, limit] = evaluation.eval["recall"][which][:, 0, :, 0]
