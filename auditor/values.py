"""The values that flow between the rooms: frozen dataclasses, no behaviour beyond what their fields mean.

Arrays inside a value are read-only, also after unpickling. Boxes are xyxy float64 pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLEAN",
    "EVIDENCE_LEVELS",
    "MEASURED_METRICS",
    "PARITY",
    "PRIMARY_METRICS",
    "SUMMARY_METRICS",
    "WORTH",
    "AuditResult",
    "Candidates",
    "Cell",
    "CellResult",
    "ClassScores",
    "Detections",
    "ExternalDelegate",
    "Finding",
    "GateOutcome",
    "Geometry",
    "GroundTruth",
    "ImageRecord",
    "InputContract",
    "Judgement",
    "Measurement",
    "MetricValue",
    "ModelSpec",
    "Postprocess",
    "Rule",
    "ScenarioSpec",
    "Summary",
    "Unit",
]

CLEAN = "clean"
"""The scenario of uncorrupted images; its only severity is 0."""

EVIDENCE_LEVELS = frozenset({"int8_float_more"})
"""Quantization levels made to back a finding: measured on clean images alone, in no summary, and in no gate that does
not name them."""

PRIMARY_METRICS = {"detection": "AP", "classification": "top1"}
"""The metric that a task is judged by: what scenarios, levels and inputs cost is told in it."""

WORTH = 0.01
"""A gain below this, in AP or top1, is not worth another line of YAML."""

PARITY = 0.95
"""With a smaller share of their detections matched, two delegates are not interchangeable."""

MEASURED_METRICS = {
    "latency_p50_ms": ("latency_ms", "p50"),
    "latency_p90_ms": ("latency_ms", "p90"),
    "latency_p99_ms": ("latency_ms", "p99"),
    "throughput_fps": ("latency_ms", "throughput_fps"),
    "sustained_fps": ("sustained", "lowest_fps"),
    "peak_memory_mb": ("peak_memory_mb", None),
    "arena_mb": ("arena_mb", None),
    "file_mb": ("file_mb", None),
}
"""What a gate can look at beside accuracy: the probe that measures it, and its key there."""

SUMMARY_METRICS = ("AP_clean", "top1_clean", "mPC", "rPC")
"""Metrics of a summary, over all the cells of one model file on one delegate."""


class _FrozenArrays:
    """Make every array field read-only, on construction and after unpickling."""

    def __post_init__(self) -> None:
        self._freeze()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._freeze()

    def _freeze(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


# ---------------------------------------------------------------------------------------------- images and predictions


@dataclass(frozen=True, eq=False)
class GroundTruth(_FrozenArrays):
    """The true objects of one image: `boxes` (N, 4), `labels` (N,) int64 class indices of the data set,
    `area` (N,) square pixels (COCO's segmentation area where it is given), `iscrowd` (N,) bool."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    area: NDArray[np.float64]
    iscrowd: NDArray[np.bool_]


@dataclass(frozen=True)
class ImageRecord:
    """Where one image is: `size` is (width, height) as annotated, None where the annotations do not say; `sha256` is
    None where the file is missing; `index` is the image's place in a file that holds many (IDX)."""

    id: int
    path: Path
    size: tuple[int, int] | None
    sha256: str | None
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Candidates(_FrozenArrays):
    """What a detection head proposes before NMS: `boxes` (N, 4) in input pixels, `scores` (N, C) in [0, 1]."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Detections(_FrozenArrays):
    """Detected objects by descending score: `boxes` (N, 4), `scores` (N,) in [0, 1], `labels` (N,) int64 class
    indices."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassScores(_FrozenArrays):
    """What a classifier says of one image: `scores` (C,) in [0, 1], by its own class indices."""

    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """Where a pixel of the original image lands in the model's input: `input = original * scale + offset`.

    `scale` and `offset` are (x, y).
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_original(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 4) xyxy boxes from input pixels to pixels of the original image.

        >>> Geometry((0.5, 0.5), (0.0, 10.0)).to_original(np.array([[10.0, 20.0, 30.0, 40.0]])).tolist()
        [[20.0, 20.0, 60.0, 60.0]]
        """
        return np.asarray((boxes - np.array(self.offset * 2)) / np.array(self.scale * 2))


# ------------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class InputContract:
    """How an image becomes the model's input tensor.

    `mean` and `std` are in 8-bit pixel units, one number per channel in the order of `color`: the model gets the real
    value `(pixel - mean) / std`, quantized with `scale` and `zero_point` where `dtype` is an integer type (scale 0
    means that the tensor is not quantized: the real value is rounded and cast).
    """

    height: int
    width: int
    layout: str = "nhwc"
    color: str = "rgb"
    resize: str = "stretch"
    anchor: str = "center"
    rounding: str = "round"
    pad: float = 114.0
    interpolation: str = "linear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3


@dataclass(frozen=True)
class Postprocess:
    """What happens between a head's candidates and the detections that are judged; every field moves AP.

    Where the head has NMS inside, only `score_floor`, `max_detections` and `clip` apply.
    """

    score_floor: float = 0.001
    nms_iou: float = 0.65
    class_wise: bool = True
    multi_label: bool = True
    max_detections: int = 100
    clip: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run one model file on one delegate's choice of kernels; it holds no interpreter, so it
    pickles.

    `model` is the family's name, `name` the entry's own. `labels` are class names by index; None stands for an id that
    the model's label map leaves empty. `sources` says where each value came from: `audit.yaml`, `metadata`, `graph`,
    `images` (measured on the first images) or `default`. `diagnosis` holds what a quantized file's own codes show.
    `variant` says which keys of the input contract are not the declared ones. `outputs`, of a Keras or SavedModel
    parent only, is the position of each output under the name that its float32 conversion gives it, in that file's
    order.
    """

    name: str
    model: str
    path: str
    sha256: str
    task: str
    quantization: str
    input: InputContract
    decoder: str
    decoder_options: Mapping[str, Any]
    labels: tuple[str | None, ...]
    postprocess: Postprocess
    size_bytes: int
    output_dtypes: tuple[str, ...] = ()
    outputs: Mapping[str, int] = field(default_factory=dict)
    dataset: str = "default"
    sources: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Mapping[str, Any] = field(default_factory=dict)
    variant: str = "declared"

    @property
    def key(self) -> str:
        """What its predictions are stored under."""
        return self.name if self.variant == "declared" else f"{self.name}[{self.variant}]"


# ------------------------------------------------------------------------------------------------------ scenarios, plan


@dataclass(frozen=True)
class ScenarioSpec:
    """One scenario of a pack: `knobs` maps a knob's name to its values at severities 1..5; `transforms` is the list of
    (kind, target, arguments), where an argument `$knob` takes that knob's value. Kind is `albumentations`, `builtin`
    or `function`."""

    pack: str
    name: str
    version: int
    about: str
    unit: str
    knobs: Mapping[str, tuple[float, ...]]
    transforms: tuple[tuple[str, str, Mapping[str, Any]], ...]
    folder: str | None = None

    @property
    def key(self) -> str:
        return f"{self.pack}/{self.name}"


@dataclass(frozen=True)
class ExternalDelegate:
    """A delegate of one's own: `name` is the file name of its shared library `path`, `options` go to its
    constructor."""

    name: str
    path: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Unit:
    """A shard of images × a scenario: every severity and every model, so that one read and one corruption feed all.
    `libraries` are the external delegates among those that the models are run on."""

    dataset: str
    images: tuple[ImageRecord, ...]
    scenario: ScenarioSpec | None
    severities: tuple[float, ...]
    models: tuple[tuple[ModelSpec, str], ...]
    seed: int
    resume_key: str
    libraries: tuple[ExternalDelegate, ...] = ()

    @property
    def scenario_key(self) -> str:
        return CLEAN if self.scenario is None else self.scenario.key


@dataclass(frozen=True)
class Measurement:
    """One probe of one model on one delegate: a value in a unit, or an error."""

    probe: str
    model: str
    quantization: str
    delegate: str
    value: Any
    unit: str
    device: str = "local"
    threads: int = 1
    error: str | None = None


@dataclass(frozen=True, order=True)
class Cell:
    """The key of one judged set of predictions. `input` is `declared` or the changed keys of the input contract."""

    model: str
    file: str
    quantization: str
    delegate: str
    scenario: str
    severity: float
    input: str = "declared"
    device: str = "local"

    @property
    def pack(self) -> str:
        return self.scenario.split("/", 1)[0]

    def __str__(self) -> str:
        where = self.scenario if self.severity == 0 else f"{self.scenario} at severity {self.severity:g}"
        device = "" if self.device == "local" else f", {self.device}"
        return f"{self.file} ({self.quantization}, {self.delegate}{device}) on {where}"


# ------------------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class MetricValue:
    """A metric: `value` is None where it is undefined, and `reason` then says why. `interval` is a 95 % interval."""

    name: str
    value: float | None
    reason: str | None = None
    interval: tuple[float, float] | None = None
    higher_is_better: bool = True
    images: int = 0

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError(f"expected a reason with the undefined metric {self.name} but got none")


@dataclass(frozen=True)
class CellResult:
    """What was measured of one cell. `status` is `ok`, `failed` or `skipped`; only `ok` carries metrics. `details` are
    what a metric does not say: confused classes, the YAML of a changed input."""

    cell: Cell
    status: str
    images: int
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def primary(self) -> MetricValue | None:
        """The metric that the cell's task is judged by; None where it was not computed."""
        return next((self.metrics[name] for name in PRIMARY_METRICS.values() if name in self.metrics), None)

    @property
    def value(self) -> float | None:
        """The value of the primary metric, None where it is undefined."""
        return self.primary.value if self.primary is not None else None

    def difference(self, reference: str) -> MetricValue | None:
        """The primary metric's difference from `reference`: clean, float32, parent or declared."""
        return next(
            (metric for name in PRIMARY_METRICS.values() if (metric := self.metrics.get(f"{name}_minus_{reference}"))),
            None,
        )


@dataclass(frozen=True)
class Summary:
    """Metrics over all the cells of one model on one delegate: `AP_clean` (or `top1_clean`), `mPC`, `rPC`."""

    model: str
    file: str
    quantization: str
    delegate: str
    metrics: Mapping[str, MetricValue]
    device: str = "local"

    def __str__(self) -> str:
        return (
            f"{self.file} ({self.quantization}, {self.delegate}{'' if self.device == 'local' else f', {self.device}'})"
        )

    @property
    def clean(self) -> MetricValue:
        """The primary metric on clean images."""
        return next(metric for name, metric in self.metrics.items() if name.endswith("_clean"))


@dataclass(frozen=True)
class Rule:
    """A gate: `metric` of every cell (or summary) that `selectors` match, compared with one limit.

    `kind` is `min`, `max` or `max_drop`; `against` names what `max_drop` is a drop from. `line` is the gate's line in
    its YAML file.
    """

    metric: str
    kind: str
    limit: float
    selectors: Mapping[str, str | float] = field(default_factory=dict)
    against: str | None = None
    level: str = "error"
    line: int | None = None

    def __str__(self) -> str:
        shown = {key: f"{value:g}" if isinstance(value, float) else value for key, value in self.selectors.items()}
        where = ", ".join(f"{key} {value}" for key, value in shown.items()) or "every one"
        limit = f"{self.limit:g}"
        text = {
            "min": f"at least {limit}",
            "max": f"at most {limit}",
            "max_drop": f"at most {limit} below {self.against}",
        }
        return f"{self.metric} {text[self.kind]} ({where})"


@dataclass(frozen=True)
class Finding:
    """Something a reader should know or act on. `level` is `error`, `warning` or `info`; `remedy` says what to do."""

    check: str
    level: str
    message: str
    remedy: str
    cell: Mapping[str, Any] = field(default_factory=dict)
    observed: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class GateOutcome:
    """What one rule met: `status` is passed, failed or incomplete; `findings` say where and by how much."""

    rule: Rule
    status: str
    measured: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class AuditResult:
    """The whole outcome of an audit; `findings` and `verdict` are recomputed by judging, never trusted from a file."""

    schema_version: str
    name: str
    provenance: Mapping[str, Any]
    plan: Mapping[str, Any]
    models: tuple[Mapping[str, Any], ...]
    datasets: Mapping[str, Mapping[str, Any]]
    cells: tuple[CellResult, ...]
    summaries: tuple[Summary, ...]
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: str = "incomplete"

    def judged(self, findings: tuple[Finding, ...], verdict: str) -> AuditResult:
        """Return this result with new findings and verdict."""
        return dataclasses.replace(self, findings=findings, verdict=verdict)


@dataclass(frozen=True)
class Judgement:
    """A result with its findings and verdict, and what each gate met."""

    result: AuditResult
    gates: tuple[GateOutcome, ...]
