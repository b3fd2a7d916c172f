"""What was run, on what: the plan, models, data sets, levels, delegates, the machine and the source tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.delegate import NONE, TENSORFLOW, Kind
from auditor.values.breaking_points import BreakingSearch
from auditor.values.findings import Rule
from auditor.values.specs import Diagnosis, Evaluation, InputContract, Json, Made, Postprocess, Source, Transform

__all__ = [
    "BoxSizes",
    "CalibrationRecord",
    "Compatibility",
    "DatasetRecord",
    "DecoderRecord",
    "DelegateRecord",
    "Judging",
    "Machine",
    "ModelRecord",
    "PlanRecord",
    "Provenance",
    "Refusal",
    "RuntimeNeed",
    "ScenarioRecord",
    "ShardRecord",
    "SourceTree",
]

_STRICT = {"extra": "forbid"}
_MIDDLE = 3


@dataclass(frozen=True)
class Machine:
    """The machine that the audit ran on."""

    __pydantic_config__ = _STRICT
    system: str
    architecture: str
    processor: str
    cores: int | None


@dataclass(frozen=True)
class SourceTree:
    """The checkout that the auditor ran from: its commit, or the reason why that is not known."""

    __pydantic_config__ = _STRICT
    commit: str | None = None
    dirty: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Provenance:
    """When the audit ran, by which command, with which versions, on which machine; `seconds` by stage, over all
    workers."""

    __pydantic_config__ = _STRICT
    auditor: str
    command: str
    seed: int
    started: str
    finished: str
    python: str
    versions: Mapping[str, str]
    machine: Machine
    source: SourceTree | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    jobs: int = 1
    audit_sha256: str = ""
    judged: str = ""
    """The command that judged the run by a gates file of its own."""


@dataclass(frozen=True)
class ShardRecord:
    """What a shard measured: which it is of how many, the digest of the whole audit's units, the resume keys of its
    own, and the document, versions and processor that it was measured with."""

    __pydantic_config__ = _STRICT
    number: int
    of: int
    plan: str
    units: tuple[str, ...]
    audit: str
    audit_sha256: str
    given: tuple[str, ...]
    versions: Mapping[str, str]
    processor: str


@dataclass(frozen=True)
class ScenarioRecord:
    """A scenario that was run."""

    __pydantic_config__ = _STRICT
    key: str
    version: int
    about: str
    unit: str
    knobs: Mapping[str, tuple[float, ...]]
    transforms: tuple[Transform, ...]
    remedy: str = ""
    source: str = ""
    monotone: bool = True
    sha256: str | None = None
    """A digest of everything that decides its pixels: knobs, transforms, the code and pictures that these name."""
    distribution: str | None = None
    """The Python package that its pack came with, and its version."""


@dataclass(frozen=True)
class DelegateRecord:
    """A delegate of the audit; `kind` as in `auditor.delegate`."""

    __pydantic_config__ = _STRICT
    name: str
    kind: Kind

    @property
    def is_deployable(self) -> bool:
        """Whether a device can run on it, as `Delegate.is_deployable`."""
        return self.kind != TENSORFLOW.kind

    @property
    def takes_ops(self) -> bool:
        """Whether it takes ops over from the built-in kernels, as `Delegate.takes_ops`."""
        return self.is_deployable and self.kind != NONE.kind


@dataclass(frozen=True)
class CalibrationRecord:
    """The calibration images of one entry: how many were used and could not be read, and what they look like."""

    __pydantic_config__ = _STRICT
    images: int
    unreadable: int
    facts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanRecord:
    """What the audit ran, and by which checks and gates it is judged. `checks` are by name or by a finding's code:
    options, or false where it is left out."""

    __pydantic_config__ = _STRICT
    severities: tuple[float, ...] = ()
    delegates: tuple[DelegateRecord, ...] = ()
    scenarios: tuple[ScenarioRecord, ...] = ()
    calibration: Mapping[str, CalibrationRecord] = field(default_factory=dict)
    checks: Mapping[str, bool | Mapping[str, bool | int | float | str]] = field(default_factory=dict)
    gates: tuple[Rule, ...] = ()
    fail_on: Literal["warning", "error"] | None = None
    undecided: Literal["pass"] | None = None
    """Whether undecided gates let the audit pass."""
    decide: float | None = None
    """The error that deciding gates early may have; None: every cell is measured in whole."""
    """From which level on findings of checks make the verdict `failed`, as gates do; None: never."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    breaking: BreakingSearch | None = None
    """What breaking points are searched."""

    @property
    def middle_severity(self) -> float | None:
        """The severity at which scenarios are compared: a middle one, so that none is lost wholly; None without one."""
        middle = [severity for severity in self.severities if severity <= _MIDDLE]
        return max(middle, default=min(self.severities, default=None))

    def asks(self, check: str) -> bool:
        """Whether a check, or a code, was not left out."""
        return self.checks.get(check) is not False

    def option(self, check: str, name: str, default: float) -> float:
        """A number that the audit sets for a check."""
        options = self.checks.get(check)
        value = options.get(name, default) if isinstance(options, Mapping) else default
        return float(value)


@dataclass(frozen=True)
class DecoderRecord:
    """The head's decoder with its settled options."""

    __pydantic_config__ = _STRICT
    name: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class BoxSizes:
    """How large the true boxes are in the model's input (square root of the area): how many there are, the shares under
    8 and 16 px, and how many begin at each of `from_px`."""

    __pydantic_config__ = _STRICT
    boxes: int
    under_8px: float
    under_16px: float
    from_px: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class RuntimeNeed:
    """The oldest runtime that has all ops of a graph, and the op that needs it."""

    __pydantic_config__ = _STRICT
    version: str
    op: str | None
    op_version: int | None


@dataclass(frozen=True)
class Refusal:
    """What a target cannot take of a graph: ops and tensor types with their counts; empty where it takes all."""

    __pydantic_config__ = _STRICT
    ops: Mapping[str, int]
    types: Mapping[str, int]
    source: str
    remedy: str


@dataclass(frozen=True)
class Compatibility:
    """What a graph asks of its target: custom and Flex ops, whether an input is of open size, and what targets
    refuse."""

    __pydantic_config__ = _STRICT
    custom: tuple[str, ...]
    flex: tuple[str, ...]
    dynamic: bool
    runtime: RuntimeNeed
    ops: int
    targets: Mapping[str, Refusal]


@dataclass(frozen=True)
class Judging:
    """By what a task judges its models: the primary metric, the value below which a model is broken rather than weak,
    and the metric of how far confidence is from accuracy (None where a task has no such thing), what its truth is
    counted in, and what the primary metric is."""

    __pydantic_config__ = _STRICT
    primary: str
    broken_below: float | None = None
    calibration: str | None = None
    things: str = "objects"
    about: str = ""
    at_point: Mapping[str, str] = field(default_factory=dict)
    """The metrics at an operating point, each with what it is."""
    over_frames: tuple[str, ...] = ()
    """Those of them that are told from the frames of a clip in their order."""
    compared: Mapping[str, str] = field(default_factory=dict)
    """Those that compare two cells."""
    decided_by: tuple[str, ...] = ()
    """The metrics by which one run is better than another."""
    lower_is_better: tuple[str, ...] = ()
    of_small: str | None = None
    """The primary metric of small things alone; None where a task does not tell them apart."""


@dataclass(frozen=True)
class ModelRecord:
    """One model file: what it is, every setting and where each came from (`sources`, by `input.color` and the like)."""

    __pydantic_config__ = _STRICT
    name: str
    model: str
    file: str
    sha256: str
    size_bytes: int
    quantization: str
    output_dtypes: tuple[str, ...]
    task: str
    dataset: str
    input: InputContract
    decoder: DecoderRecord
    postprocess: Postprocess
    labels: tuple[str | None, ...]
    classes_judged: tuple[str, ...]
    classes_only_model: tuple[str, ...]
    classes_only_truth: tuple[str, ...]
    class_aliases: tuple[tuple[str, str], ...]
    sources: Mapping[str, Source]
    judging: Judging
    state: tuple[str, ...] = ()
    """What it keeps from one image to the next, in words."""
    keeps_state: bool = False
    """Whether that is kept, not set back before each image."""
    letterboxed: bool = False
    """Whether models with its head are trained on letterboxed images."""
    made: Made | None = None
    role: Literal["declared", "level", "remedy", "evidence"] = "declared"
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    boxes_at_input: BoxSizes | None = None
    compatibility: Compatibility | None = None


@dataclass(frozen=True)
class DatasetRecord:
    """One data set: its size and classes, what was met on loading it, and what its images look like."""

    __pydantic_config__ = _STRICT
    format: str
    task: str
    images: int
    boxes: int
    categories: tuple[str, ...]
    counts: Mapping[str, int]
    fingerprint: str
    facts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)
    duplicate_images: int = 0
    duplicate_boxes: int = 0
    boxes_outside: int = 0
    boxes_in_corner: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Images that are missing or cannot be read, by their path below the folder of all, each with what is wrong."""
    deep_images: int = 0
    """How many images have more than 8 bits."""
    bits_used: int = 0
    """How many bits the values of these use, of 16, but for a thousandth of each image."""
    low_images: int = 0
    """How many of these use 12 bits or fewer."""
    beyond_bits: int = 0
    """How many hold more than the bits that the document says."""
    undecided_exif: int = 0
    """How many images have an EXIF orientation that no annotated size confirms or refutes."""
    about: Mapping[str, str | int] = field(default_factory=dict)
    contents: str = ""
    """A digest of the contents of its images, in their order."""
    is_labelled: bool = True
    """Whether its truth is known: without it there is no accuracy."""
