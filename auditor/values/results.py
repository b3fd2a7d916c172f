"""What an audit found: cells with their metrics, summaries, probes, and everything that is recorded of how they came
about.

`AuditResult` is `result.json`, field by field; every leaf has a type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from auditor.values.breaking_points import BreakingPoint
from auditor.values.drifts import Drift
from auditor.values.findings import CheckOutcome, Decision, Finding, FindingGroup, GateOutcome
from auditor.values.frames import as_frame
from auditor.values.parts import Slice, Suspect
from auditor.values.records import DatasetRecord, ModelRecord, PlanRecord, Provenance
from auditor.values.specs import (
    CLEAN,
    DECLARED,
    InputContract,
    Patch,
)
from auditor.values.speeds import LOCAL, Measurement
from auditor.values.thresholds import Moved, OperatingPoint

__all__ = [
    "ENOUGH_TO_CALIBRATE",
    "MISCALIBRATED",
    "PARITY",
    "WORTH",
    "Agreement",
    "AuditResult",
    "Baseline",
    "Cell",
    "CellResult",
    "Compared",
    "Confusion",
    "ErrorCost",
    "ErrorTypes",
    "LevelTest",
    "MetricValue",
    "RunLabel",
    "Summary",
    "Ties",
    "Verdict",
]

OVER_SCENARIOS = ("mPC", "rPC")
"""Metrics of a summary that are over all scenarios, beside that of clean images."""

WORTH = 0.01
"""A gain below this, in the metric that a task is judged by, is not worth another line of YAML."""

MISCALIBRATED = 0.05
"""An expected calibration error from which scores should not be read as probabilities."""

ENOUGH_TO_CALIBRATE = 200
"""Images on which such an error is more than that of chance."""

PARITY = 0.95
"""With a smaller share of their detections matched, two delegates are not interchangeable."""

Verdict = Literal["passed", "failed", "incomplete", "undecided", "not judged"]
"""`not judged` is an audit without gates, all of whose cells were measured."""

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True, order=True)
class Cell:
    """The key of one judged set of predictions. `input` is `declared` or the changed keys of the input contract."""

    __pydantic_config__ = _STRICT
    model: str
    file: str
    quantization: str
    delegate: str
    scenario: str
    severity: float
    input: str = DECLARED
    device: str = LOCAL

    @property
    def pack(self) -> str:
        return self.scenario.split("/", 1)[0]

    @property
    def is_clean(self) -> bool:
        return self.scenario == CLEAN

    @property
    def is_declared(self) -> bool:
        """Whether the model is fed and read as the audit declares."""
        return self.input == DECLARED

    @property
    def is_local(self) -> bool:
        return self.device == LOCAL

    def __str__(self) -> str:
        where = self.scenario if self.severity == 0 else f"{self.scenario} at severity {self.severity:g}"
        return f"{self.file} ({self.quantization}, {self.delegate}{_on(self.device)}) on {where}"


def _on(device: str) -> str:
    return "" if device == LOCAL else f", {device}"


@dataclass(frozen=True)
class MetricValue:
    """A metric: `value` is None where it is undefined, and `reason` then says why. `interval` is a 95 % interval."""

    __pydantic_config__ = _STRICT
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
class Agreement:
    """How two runs of one model differ: compared with `against` (a delegate, or a level's file), the largest
    differences of a matched score and corner, the image with the most detections that have no partner, and the share
    that has one."""

    __pydantic_config__ = _STRICT
    against: str
    score: float
    corner_px: float
    image: int | None
    matched: float | None = None


@dataclass(frozen=True)
class Ties:
    """What the primary metric would be with equal scores in other orders: the lowest and the highest over `orders`
    random ones and that which counts; None, with a reason, where that could not be found."""

    __pydantic_config__ = _STRICT
    orders: int
    low: float | None
    high: float | None
    reason: str | None = None

    @property
    def spread(self) -> float:
        """How far they are apart; 0 where that is not known."""
        return (self.high or 0.0) - (self.low or 0.0)


@dataclass(frozen=True)
class Confusion:
    """How many images of the class `truth` are taken for `predicted`."""

    __pydantic_config__ = _STRICT
    truth: str
    predicted: str
    images: int


@dataclass(frozen=True)
class ErrorCost:
    """One kind of error: by how much the metric would rise without it (`cost`), and how many there are."""

    __pydantic_config__ = _STRICT
    kind: str
    cost: float
    count: int


@dataclass(frozen=True)
class ErrorTypes:
    """What a cell's primary metric is lost to, on so many images."""

    __pydantic_config__ = _STRICT
    images: int
    costs: tuple[ErrorCost, ...]

    def cost(self, kind: str) -> float:
        """What one kind costs."""
        return next((item.cost for item in self.costs if item.kind == kind), 0.0)


@dataclass(frozen=True)
class LevelTest:
    """Whether a level is as good as its reference on the same images: how many only this one has right, how many only
    the reference, and the exact two-sided p-value of McNemar's test."""

    __pydantic_config__ = _STRICT
    right_here: int
    right_there: int
    p: float


@dataclass(frozen=True)
class Compared:
    """Another way to feed (`kind` input) or to read (`labels`, `boxes`) a model, compared with the declared one beside
    `comparisons` in all: what was changed, the contract it was fed by, and what declares it. `chosen` is the one from
    which on nothing else is surely better."""

    __pydantic_config__ = _STRICT
    kind: Literal["input", "labels", "boxes"]
    factors: tuple[str, ...]
    patch: Patch
    comparisons: int
    contract: InputContract | None = None
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class CellResult(Cell):
    """What was measured of one cell. `status` is `ok`, `failed` or `skipped`; only `ok` carries metrics. `judged_by`
    names the metric that its task is judged by. `cause` says what cannot be had of a cell without metrics."""

    status: Literal["ok", "failed", "skipped"]
    images: int
    judged_by: str = ""
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    cause: Literal["delegate", "level", "measuring", "evaluating", "decided"] | None = None
    of_images: int | None = None
    """How many images it is of in whole, where fewer were measured since its gates were decided by then."""
    blocks: int | None = None
    """Of a clip, in how many blocks of neighbouring frames its frames are drawn for intervals."""
    parity: Agreement | None = None
    level_parity: Agreement | None = None
    level_test: LevelTest | None = None
    confused: tuple[Confusion, ...] = ()
    compared: Compared | None = None
    ties: Ties | None = None
    moved: Moved | None = None
    """How its scores lie beside the operating point."""
    errors: ErrorTypes | None = None
    """What it is lost to."""

    @classmethod
    def of(cls, cell: Cell, **facts: object) -> CellResult:
        """The result of a cell."""
        own = {name.name: getattr(cell, name.name) for name in dataclasses.fields(Cell)}
        return cls(**own, **facts)  # type: ignore[arg-type]

    @property
    def key(self) -> Cell:
        return Cell(**{name.name: getattr(self, name.name) for name in dataclasses.fields(Cell)})

    @property
    def independent(self) -> int:
        """How many of its images say something of their own."""
        return self.images if self.blocks is None else self.blocks

    @property
    def primary(self) -> MetricValue | None:
        """The metric that the cell's task is judged by; None where it was not computed."""
        return self.metrics.get(self.judged_by)

    @property
    def value(self) -> float | None:
        """The value of the primary metric, None where it is undefined."""
        return self.primary.value if self.primary is not None else None

    def difference(self, reference: str) -> MetricValue | None:
        """The primary metric's difference from `reference`: clean, float32, parent, delegate or declared."""
        return self.metrics.get(f"{self.judged_by}_minus_{reference}")


@dataclass(frozen=True)
class Summary:
    """Metrics over all the cells of one model on one delegate: that of `judged_by` on clean images, `mPC`, `rPC`."""

    __pydantic_config__ = _STRICT
    model: str
    file: str
    quantization: str
    delegate: str
    judged_by: str
    metrics: Mapping[str, MetricValue]
    device: str = LOCAL

    def __str__(self) -> str:
        return f"{self.file} ({self.quantization}, {self.delegate}{_on(self.device)})"

    @property
    def clean(self) -> MetricValue:
        """The primary metric on clean images."""
        return self.metrics[f"{self.judged_by}_clean"]

    def holds(self, cell: Cell) -> bool:
        """Whether it is over this cell."""
        return cell.is_declared and (cell.file, cell.delegate, cell.device) == (self.file, self.delegate, self.device)


@dataclass(frozen=True)
class RunLabel:
    """Which run: its audit's name, when it ended, by which version of the auditor, of which commit."""

    __pydantic_config__ = _STRICT
    name: str
    finished: str
    auditor: str
    commit: str | None = None


@dataclass(frozen=True)
class Baseline:
    """The run that gates compare with: its cells by the name of this run's, without what is not of whole cells, and why
    others cannot be compared."""

    __pydantic_config__ = _STRICT
    run: RunLabel
    cells: Mapping[str, CellResult]
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditResult:
    """The whole outcome of an audit; `findings`, `groups`, `checks`, `gates` and `verdict` are recomputed by judging,
    never trusted from a file."""

    __pydantic_config__ = _STRICT
    schema_version: str
    name: str
    provenance: Provenance
    plan: PlanRecord
    models: tuple[ModelRecord, ...]
    datasets: Mapping[str, DatasetRecord]
    cells: tuple[CellResult, ...]
    summaries: tuple[Summary, ...]
    measurements: tuple[Measurement, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    """By family the thresholds that its cells are held at."""
    drifts: tuple[Drift, ...] = ()
    """Where files depart from their references, op by op."""
    slices: tuple[Slice, ...] = ()
    """Parts of the data on which a file does worse than on the rest, beyond chance."""
    suspects: tuple[Suspect, ...] = ()
    """What may be missing in the truth."""
    baseline: Baseline | None = None
    """The run that gates compare with."""
    breaking_points: tuple[BreakingPoint, ...] = ()
    """By file, delegate and scenario where it breaks, as far as the audit asks for that."""
    decisions: tuple[Decision, ...] = ()
    """What gates were decided by early, where the audit asks for that."""
    findings: tuple[Finding, ...] = ()
    groups: tuple[FindingGroup, ...] = ()
    """The findings of checks by code and cause, those that explain others first."""
    checks: tuple[CheckOutcome, ...] = ()
    """What became of each check."""
    gates: tuple[GateOutcome, ...] = ()
    verdict: Verdict = "incomplete"

    def fails_on(self, finding: Finding) -> bool:
        """Whether the audit's `fail_on` makes a finding count as a violated gate does; what gates could not judge makes
        a verdict incomplete instead."""
        levels = {"error": ("error",), "warning": ("error", "warning")}.get(self.plan.fail_on or "", ())
        return finding.level in levels and not (finding.check == "gate" and finding.level == "error")

    def operating_point(self, model: str) -> OperatingPoint | None:
        """The point of a family; None where its task has none."""
        return next((point for point in self.operating_points if point.model == model), None)

    def rows(self) -> Iterator[dict[str, str | float | int | bool | None]]:
        """One row for each metric of each cell: the cell's key, its status, and the metric's value and interval."""
        for cell in self.cells:
            key = {name.name: getattr(cell, name.name) for name in dataclasses.fields(Cell)}
            for metric in cell.metrics.values():
                low, high = metric.interval or (None, None)
                yield {
                    **key,
                    "status": cell.status,
                    "images": cell.images,
                    "metric": metric.name,
                    "value": metric.value,
                    "low": low,
                    "high": high,
                    "higher_is_better": metric.higher_is_better,
                    "reason": metric.reason,
                }

    def to_frame(self) -> Any:
        """These rows as a pandas DataFrame, or as a pyarrow Table where pandas is not installed."""
        return as_frame(self.rows())

    def model(self, file: str) -> ModelRecord | None:
        """The record of a model file."""
        return next((model for model in self.models if model.name == file), None)
