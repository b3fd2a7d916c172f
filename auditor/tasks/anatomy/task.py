"""A task as one value: what is true and predicted of an image, by which metrics it is judged, and how two runs
compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from auditor.evaluate.counted import Counted, Seen
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.worst_slices import Sliced
from auditor.values import (
    Cell,
    CellResult,
    Confusion,
    ErrorTypes,
    Evaluation,
    Geometry,
    ImageRecord,
    Mark,
    Marked,
    MetricValue,
    ModelSpec,
    Moved,
    OperatingPoint,
    Patch,
    PointChoice,
    Postprocess,
    Ties,
    Tiles,
)
from auditor.values.warps import Warp

__all__ = ["Column", "Evaluated", "Framed", "Judged", "Metric", "Pictured", "Reading", "Task"]

Values = Mapping[str, NDArray[Any]]
"""A prediction as the store keeps it: arrays (N,) or (N, width) by column."""


@dataclass(frozen=True)
class Column:
    """One array of a prediction: `width` numbers a row, 0 where it has one dimension; `about` says what it holds."""

    dtype: str
    width: int
    about: str

    def empty(self) -> NDArray[Any]:
        """The array of a prediction that says nothing."""
        return np.zeros((0, self.width) if self.width else 0, dtype=self.dtype)


@dataclass(frozen=True)
class Framed:
    """Where the pixels of an original image of `size` (height, width) landed in the input of the model `spec`; `orders`
    asks for what other orders of equal scores would give."""

    spec: ModelSpec
    geometry: Geometry
    size: tuple[int, int]
    orders: bool = False


@dataclass(frozen=True)
class Metric:
    """A metric of a task: statistics of each image, reduced under weights, so that it has intervals and differences as
    any other.

    `per_image(truth, prediction, categories)` gives K numbers of one image, of whatever type the task's truth and
    predictions have; `reduce(statistics, weights)` turns those of N images, (N, K), weighted in R ways, (R, N), into R
    values; NaN is undefined.
    """

    name: str
    about: str
    per_image: Callable[[Any, Any, tuple[str, ...]], Sequence[float]]
    reduce: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
    task: str
    higher_is_better: bool = True
    bounds: tuple[float, float] | None = None
    """Between which values it lies, so that a gate beyond them is refused; None: anything."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Of N frames of a clip in their order the seconds after the first (`times`), and whether each `follows` the one
    before it at once, so that nothing lies between that was not looked at; `usual_s` is for how long most are shown."""

    times: NDArray[np.float64]
    follows: NDArray[np.bool_]
    usual_s: float

    @property
    def lasts(self) -> NDArray[np.float64]:
        """The seconds for which each is shown (N,); before a gap as long as most are."""
        known = np.append(self.follows[1:], False)
        return np.where(known, np.append(np.diff(self.times), 0.0), self.usual_s)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a cell is evaluated from: truth and predictions of the images that could be read, by image id, their labels
    indices of `categories`; `weights` (R, N) are the resamples of these images, in their order. `dropped` are
    predictions of classes that are not judged. `orders` asks for what other orders of equal scores would give.
    `evaluation` is what is evaluated beside the task's own metrics. `prepared` is what the task made of the truth. What
    only `screens` needs the primary metric and its samples alone."""

    categories: tuple[str, ...]
    truth: Mapping[int, Any]
    predictions: Mapping[int, Any]
    weights: NDArray[np.integer[Any]]
    dropped: int = 0
    orders: bool = False
    evaluation: Evaluation = field(default_factory=Evaluation)
    prepared: Any = None
    screens: bool = False
    read_again: Iterable[tuple[int, Any]] | None = None
    """The predictions by image id, read once more whenever they are gone through."""
    cell: Cell | None = None
    seen: Seen | None = None
    """Which images of the data set these are."""
    point: PointChoice | OperatingPoint | None = None
    """The operating point that the cell is held at, or how it is chosen on this cell."""
    frames: Frames | None = None
    """Of a clip whose objects have tracks, how its frames follow each other."""

    @property
    def blocks(self) -> int | None:
        """Of the frames of a clip, how many blocks of them."""
        return None if self.seen is None or self.seen.block == 1 else self.independent

    @property
    def independent(self) -> int:
        """How many of the images say something of their own."""
        return len(self.truth) if self.seen is None else self.seen.independent(len(self.truth))

    def again(self) -> Iterator[tuple[int, Any]]:
        """The prediction of each image once more, however many were held."""
        if self.read_again is None:
            yield from self.predictions.items()
            return
        for image_id, prediction in self.read_again:
            if image_id in self.truth:
                yield image_id, prediction


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What a task found of a cell: metrics, the values on every resample of those that are compared between cells,
    counts, and what only this task compares (`kept`)."""

    metrics: tuple[MetricValue, ...]
    samples: Mapping[str, NDArray[np.float64]]
    fixed: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Of means over classes: the same, with the value on all images in the place of a class that drops out."""
    stored: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Further metrics on each resample, which another run is compared by."""
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """The values of each image, from 0 to 1, of metrics that are their mean."""
    counts: Mapping[str, int] = field(default_factory=dict)
    kept: Any = None
    confused: tuple[Confusion, ...] = ()
    images: int | None = None
    error: str | None = None
    ties: Ties | None = None
    counted: Counted | None = None
    """What was counted on each image, for metrics that are compared between cells too."""
    point: OperatingPoint | None = None
    """The operating point that was held, or chosen."""
    moved: Moved | None = None
    errors: ErrorTypes | None = None


@dataclass(frozen=True)
class Reading:
    """The same predictions read otherwise: other labels or another offset (`kind` labels), or boxes in another order or
    unit (`kind` boxes): from what is declared to what, by option."""

    name: str
    kind: Literal["labels", "boxes"]
    patch: Patch
    label_offset: int
    labels: tuple[str | None, ...]
    options: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    nms_inside: bool = False


@dataclass(frozen=True)
class Pictured:
    """A place on an image (its position): a class, a box xyxy in its pixels, and how confident is who sees it."""

    image: int
    label: str
    box: tuple[float, ...]
    score: float


@dataclass(frozen=True)
class Task:
    """What models of a kind are for, and how they are judged.

    `truths` are the tasks whose data sets can judge it. `columns` are what a prediction has in the store; `finish`
    turns what a head decodes into them, in pixels of the original image. `to_prediction` reads them again, for the
    judged classes:
    `table` gives the judged index of each class of the model, -1 where it has none; it returns how many were dropped.
    `restrict` keeps the truth of the judged classes. `metrics` has the primary first; of them `per_class` exists for
    each class as `name/class`. `compare` adds to a cell what two runs of one model say of each other.
    """

    name: str
    about: str
    truths: tuple[str, ...]
    columns: Mapping[str, Column]
    metrics: Mapping[str, str]
    primary: str
    finish: Callable[[Any, Framed], Values]
    to_prediction: Callable[[Values, NDArray[np.int64], int], tuple[Any, int]]
    restrict: Callable[[Any, Mapping[int, int]], Any]
    evaluate: Callable[[Judged], Evaluated]
    evaluate_alone: Callable[[Judged], Evaluated] | None = None
    """What can be told of predictions without truth, which is None for every image; None where that is nothing."""
    gathers: Callable[[], Any] = dict
    """What the predictions of a cell are put into, by image id: all, or what is needed of them."""
    prepare: Callable[[Mapping[int, Any], Sequence[str], Evaluation], Any] = lambda *_: None
    """What is made of the truth of images once, and used by every cell of them."""
    compare: Callable[[CellResult, CellEvaluation, CellEvaluation, str, str], CellResult] = lambda result, *_: result
    compared_metrics: Mapping[str, str] = field(default_factory=dict)
    """Metrics that `compare` adds."""
    alone_metrics: Mapping[str, str] = field(default_factory=dict)
    """Metrics that need no truth; those that `compare` adds need none either, but for `needs_truth`."""
    needs_truth: tuple[str, ...] = ()
    beside_clean: tuple[str, ...] = ()
    """Those of them that compare with the clean cell, and of clean cells with another level's."""
    per_class: tuple[str, ...] = ()
    reads_coco: bool = False
    """Whether its label lists may be COCO's, so that its predictions are tried with others of these."""
    reread: Callable[[Values, Reading, Framed], Values] | None = None
    """Read stored boxes in another order or unit; None for tasks without boxes."""
    bounds: tuple[float, float] | None = None
    """Between which values all its metrics lie, so that a gate beyond them is refused; None: anything."""
    of_small: str | None = None
    """The metric that is the primary one of small things alone; None where a task does not tell them apart."""
    broken_below: float | None = None
    """The primary metric on clean images below which a model is broken rather than weak."""
    calibration: str | None = None
    """The metric of how far confidence is from accuracy."""
    things: str = "objects"
    """What its truth is counted in."""
    evaluation_ms: float = 1.0
    """About how long evaluating a cell takes for each of its images, before it is seen."""

    at_point: Mapping[str, str] = field(default_factory=dict)
    """The metrics at an operating point, each with what it is; empty where models of the task have none."""
    without_interval: tuple[str, ...] = ()
    """Metrics that have none."""
    per_hour: tuple[str, ...] = ()
    """Those of them that need to know how many images an hour has."""
    over_frames: tuple[str, ...] = ()
    """Those of them that are of a clip whose objects have tracks."""
    unbounded: tuple[str, ...] = ()
    """Metrics that are 0 or more, without a bound."""
    sliced: Callable[[CellEvaluation, ModelSpec, Sequence[ImageRecord]], Sliced | None] | None = None
    """What was to be found in a cell, by group; None where that is not told apart."""
    suspects: Callable[[Mapping[str, CellEvaluation]], list[Pictured]] = lambda _: []
    """Where the truth may lack something that every one of these files finds."""
    merged: Callable[[Sequence[Values], Tiles, Postprocess], Values] | None = None
    """What is said of an image from what is said of its tiles, in pixels of the image; None where models of the task
    cannot be fed in tiles."""
    moved: Callable[[Any, Sequence[Warp], tuple[int, int]], Any] | None = None
    """The truth of an image of (height, width) after a scenario moved what is on it; None where truth cannot follow."""
    marked: Callable[[Judged], Mapping[int, Marked]] | None = None
    """What is true and what is said of each image of a cell, by its id; None where that cannot be shown."""
    said: Callable[[Values, Sequence[str | None], int], tuple[Mark, ...]] | None = None
    """What a prediction says, the most confident first, by the model's own labels and the offset of its classes in
    them; None where that cannot be shown."""
    decided_by: tuple[str, ...] = ()
    """The metrics by which one run is better than another: the primary one, and what it is at an operating point."""
    lower_is_better: tuple[str, ...] = ()
    """Metrics of which less is better."""
    added_metrics: Callable[[Evaluation], Mapping[str, str]] = lambda evaluation: {}  # noqa: ARG005
    """The metrics that `evaluation:` adds, each with what it is."""

    def gate_metrics(self, categories: Sequence[str]) -> list[str]:
        """Every metric that a cell of these classes may have, beside differences and registered ones."""
        by_class = [f"{name}/{category}" for name in self.per_class for category in categories]
        return [*self.metrics, *self.at_point, *self.compared_metrics, *by_class]

    def point_metrics(self, *, tracked: bool) -> dict[str, str]:
        """The metrics at an operating point on such images, each with what it is."""
        return {name: about for name, about in self.at_point.items() if tracked or name not in self.over_frames}

    @property
    def has_point(self) -> bool:
        """Whether its models are deployed at a threshold."""
        return bool(self.at_point)
