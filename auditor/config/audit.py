"""`audit.yaml` and gates files, as written by a person."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from auditor.config.breaking_config import BreakingConfig
from auditor.config.data_config import CalibrationConfig, DatasetConfig, ImagesConfig, PathText
from auditor.config.evaluation_config import EvaluationConfig
from auditor.config.gallery_config import GalleryConfig
from auditor.config.gates_config import FailOn, Gate, GatesConfig, plain_level, rule_of
from auditor.config.given import put
from auditor.config.operating_config import OperatingPoint
from auditor.config.partly import Partly, validate_partly
from auditor.config.tiles_config import TilesConfig
from auditor.config.yaml_file import Document, YamlFile, nearest, read_yaml
from auditor.delegate import BUILT_IN, XNNPACK, Delegate, external
from auditor.errors import InputError
from auditor.values import COCO_LIMITS, Rule
from auditor.values.levels import ALIASES, ASKABLE, CALIBRATED, FLOAT32, INT8, REMEDIES

__all__ = [
    "AuditConfig",
    "DecoderConfig",
    "ExternalDelegateConfig",
    "InputConfig",
    "Judged",
    "ModelConfig",
    "PostprocessConfig",
    "load_audit",
    "load_gates",
    "read_audit",
    "read_judging",
]


def _per_channel(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if len(values) not in (1, 3) or any(isinstance(item, bool) or not isinstance(item, int | float) for item in values):
        raise ValueError(
            f"expected a number, or three in the order of `color`, in 8-bit pixel units, but got {value!r}"
        )
    if not all(math.isfinite(item) for item in values):
        raise ValueError(f"expected finite numbers but got {value!r}")
    return tuple(float(item) for item in values)


PerChannel = Annotated[
    tuple[float, ...], BeforeValidator(_per_channel, json_schema_input_type=float | tuple[float, float, float])
]
Side = Annotated[int, Field(strict=True, ge=1, le=16384)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Severity = Annotated[float, Field(strict=True, ge=1, le=5)]


def _asked(level: str) -> str:
    level = plain_level(level)
    if level not in ASKABLE:
        raise ValueError(f"unknown level {level!r}; {nearest(level, ASKABLE)}")
    return level


def _built_in_delegate(name: str) -> str:
    if name not in BUILT_IN:
        raise ValueError(
            f"unknown delegate {name!r}; expected {', '.join(BUILT_IN)}, or a library of your own as {{path: …}}"
        )
    return name


AskedLevel = Annotated[str, AfterValidator(_asked), Field(json_schema_extra={"enum": [*ASKABLE, *ALIASES]})]
LevelName = Annotated[Name, AfterValidator(plain_level)]
DelegateName = Annotated[str, AfterValidator(_built_in_delegate), Field(json_schema_extra={"enum": list(BUILT_IN)})]


class InputConfig(Document):
    """What `audit.yaml` says of the input contract; what it leaves out comes from the file, then from the head's
    default."""

    size: tuple[Side, Side] | None = None
    """(height, width), only for a model whose input leaves them open."""
    color: Literal["rgb", "bgr", "gray"] | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    resize: Literal["stretch", "letterbox", "crop"] | None = None
    anchor: Literal["center", "top_left"] | None = None
    rounding: Literal["round", "floor"] | None = None
    pad: Annotated[float, Field(strict=True, ge=0, le=255)] | None = None
    interpolation: Literal["linear", "area", "nearest", "cubic"] | None = None
    tiles: TilesConfig | None = None

    @field_validator("std")
    @classmethod
    def _not_zero(cls, std: PerChannel | None) -> PerChannel | None:
        if any(value <= 0 for value in std or ()):
            raise ValueError("expected a std above 0, in 8-bit pixel units (255 feeds the model 0..1)")
        return std


class PostprocessConfig(Document):
    """What `audit.yaml` says of the post-processing."""

    score_floor: Annotated[float, Field(strict=True, ge=0, lt=1)] | None = None
    nms_iou: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    class_wise: bool | None = None
    multi_label: bool | None = None
    max_detections: Annotated[int, Field(strict=True, ge=1)] | None = None
    clip: bool | None = None


class DecoderConfig(BaseModel):
    """A decoder's name and its options; which options a decoder takes, the decoder knows."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class QuantizeConfig(Document):
    """The quantization levels to make of a float model, and to audit beside it."""

    levels: Annotated[tuple[AskedLevel, ...], Field(min_length=1)]
    calibration: CalibrationConfig | None = None
    io: Literal["float32", "int8"] = "float32"

    @model_validator(mode="after")
    def _calibrated(self) -> QuantizeConfig:
        needing = [level for level in self.levels if level in CALIBRATED]
        if needing and self.calibration is None:
            raise ValueError(f"{', '.join(needing)} need `calibration:` with the images to calibrate on")
        return self


class ModelConfig(Document):
    """One model: a `.tflite` file, a `.keras` file or a SavedModel folder."""

    name: Name
    path: PathText
    variant_of: Name | None = None
    quantization: LevelName | None = None
    dataset: Name | None = None
    task: str | None = None
    decoder: str | DecoderConfig | None = None
    labels: PathText | None = None
    input: InputConfig = InputConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    quantize: QuantizeConfig | None = None
    operating_point: OperatingPoint | None = None
    state: Literal["reset", "keep"] | None = None
    """Of a model with state: set back before each image, or kept from each to the next, as in a video."""

    @property
    def decoder_name(self) -> str | None:
        return self.decoder.name if isinstance(self.decoder, DecoderConfig) else self.decoder

    @property
    def decoder_options(self) -> dict[str, Any]:
        return self.decoder.options if isinstance(self.decoder, DecoderConfig) else {}

    @property
    def made_levels(self) -> tuple[str, ...]:
        """The levels that are made of it, remedies included."""
        levels: tuple[str, ...] = self.quantize.levels if self.quantize else ()
        levels += tuple(level for level in REMEDIES if INT8 in levels and level not in levels)
        return levels if self.path.endswith(".tflite") else (*levels, FLOAT32)


class ExternalDelegateConfig(Document):
    """A delegate of one's own: a shared library, and what its constructor gets."""

    path: PathText
    options: dict[str, str | int | float | bool] = Field(default={})
    name: Name | None = None
    """What its cells are called; the file's name where it is left out."""

    @model_validator(mode="after")
    def _own_name(self) -> ExternalDelegateConfig:
        external(Path(self.path), name=self.name)
        return self


def _seconds(value: Any) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min)?\s*", str(value)) if not isinstance(value, bool) else None
    if match is None or not 0 < float(match[1]) * (60 if match[2] == "min" else 1) <= 86400:
        raise ValueError(f"expected a time above 0 in s or min, such as 60s or 2min, but got {value!r}")
    return float(match[1]) * (60 if match[2] == "min" else 1)


def _megabytes(value: Any) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(KB|MB|GB)\s*", str(value))
    if match is None or not 0 < float(match[1]) * {"KB": 1e-3, "MB": 1.0, "GB": 1e3}[match[2]] <= 1e6:
        raise ValueError(f"expected a size above 0 in KB, MB or GB (10^3 bytes, …), such as 64MB, but got {value!r}")
    return float(match[1]) * {"KB": 1e-3, "MB": 1.0, "GB": 1e3}[match[2]]


Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str)]
Megabytes = Annotated[float, BeforeValidator(_megabytes, json_schema_input_type=str)]


class MeasureConfig(Document):
    """What is measured of speed and memory, on each delegate, after predicting and one at a time."""

    threads: tuple[Annotated[int, Field(strict=True, ge=1, le=256)], ...] = (1,)
    """Latency at each; an empty list measures none."""
    sustained: Seconds | None = None
    """How long to run without pause, in seconds."""
    streams: Annotated[int, Field(strict=True, ge=2, le=64)] | None = None
    memory_limit: Megabytes | None = None
    """In megabytes (10^6 bytes), above a bare interpreter process."""
    timeout: Seconds = 60.0
    """How long one delegate may take to open and to answer, in seconds, before it is stopped."""

    @model_validator(mode="after")
    def _threads_of_load(self) -> MeasureConfig:
        if not self.threads and (self.sustained is not None or self.streams is not None):
            raise ValueError("`sustained` and `streams` need a number of threads: write `threads: [1]`")
        if len(set(self.threads)) < len(self.threads):
            raise ValueError(f"each number of threads once, but got {list(self.threads)}")
        return self


class InputContractCheck(Document):
    """Whether another input contract would be better: on how many clean images to begin."""

    images: Annotated[int, Field(strict=True, ge=1)] = 40


class QuantizationCheck(Document):
    """What quantization cost: the loss in AP (or top1) from which a level is named and its causes are looked for."""

    max_loss: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.02


class ChecksConfig(BaseModel):
    """Checks by name, or findings by code: options of a check, or false to leave it out. Which names there are, the
    registered checks and their catalogues say."""

    model_config = ConfigDict(extra="allow", frozen=True)
    input_contract: InputContractCheck | Literal[False] = InputContractCheck()
    quantization: QuantizationCheck | Literal[False] = QuantizationCheck()

    @property
    def by_name(self) -> dict[str, Any]:
        """Options, or False, of every check that the document or its defaults say something of."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class DecideConfig(Document):
    """Whether gates are decided before all images are measured: with which error, over all of them."""

    error: Annotated[float, Field(strict=True, gt=0, le=0.5)] = 0.05


class AuditConfig(Document):
    """One audit."""

    name: str
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    dataset: DatasetConfig | None = None
    datasets: dict[Name, DatasetConfig] = Field(default={})
    images: ImagesConfig = ImagesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    scenarios: tuple[PathText, ...] = ("lighting", "resolution", "noise")
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    delegates: Annotated[tuple[DelegateName | ExternalDelegateConfig, ...], Field(min_length=1)] = (XNNPACK.name,)
    measure: MeasureConfig = MeasureConfig()
    checks: ChecksConfig = ChecksConfig()
    breaking_points: BreakingConfig | None = None
    gallery: GalleryConfig | Literal[False] = GalleryConfig()
    """False: no pixel of an image leaves it; boxes are shown on grey."""
    baseline: PathText | None = None
    """A run folder, or its result.json, that cells and gates are compared with."""
    gates: tuple[Gate, ...] = ()
    fail_on: FailOn | None = None
    """From which level on findings of checks fail the audit, as gates do; left out: never."""
    undecided: Literal["pass"] | None = None
    """Whether gates that are neither held nor violated with their confidence let the audit pass."""
    decide: DecideConfig | None = None
    """Decide gates on as few images as that takes; left out: every cell is measured in whole."""
    allow_code: bool = False

    _read: Partly[AuditConfig] = PrivateAttr()

    @property
    def runs_on(self) -> tuple[Delegate, ...]:
        """The delegates, made of what the document says of them."""
        return tuple(
            BUILT_IN[entry]
            if isinstance(entry, str)
            else external(
                self.path(entry.path),
                name=entry.name,
                options=tuple((key, str(value)) for key, value in entry.options.items()),
            )
            for entry in self.delegates
        )

    @property
    def shows(self) -> GalleryConfig:
        """What the report shows of what models saw."""
        return self.gallery or GalleryConfig(width=None)

    @property
    def source(self) -> YamlFile:
        return self._read.source

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong in the document itself; that is left out here."""
        return self._read.problems

    def is_whole(self, *loc: str | int) -> bool:
        """Whether nothing was left out at or within a place: what lacks something is not judged further."""
        return not self._read.is_touched(*loc)

    def path(self, text: str) -> Path:
        """Resolve a path of the document: relative to its file."""
        return (self.source.path.parent / text).absolute()

    def named_datasets(self) -> dict[str, DatasetConfig]:
        return self.datasets or ({"default": self.dataset} if self.dataset else {})

    def dataset_of(self, model: ModelConfig) -> str:
        """Name the data set that judges `model`; a variant takes its family's."""
        family = {entry.name: entry for entry in self.models}
        leader = family.get(model.variant_of or "")
        name = model.dataset or (leader.dataset if leader is not None else None)
        return name or next(iter(self.named_datasets()), "default")


def load_audit(path: Path, *, given: Sequence[str] = ()) -> AuditConfig:
    """Read and validate an `audit.yaml`; `given` are values of keys that stand in place of the document's
    (`KEY=VALUE`).

    Raises:
        InputError: with every problem that the document itself shows.
    """
    config = read_audit(path, given=given)
    if config.problems:
        raise InputError(config.problems)
    return config


def read_audit(path: Path, *, given: Sequence[str] = ()) -> AuditConfig:
    """Read an `audit.yaml` as far as it is right; its `problems` are what was left out, and what contradicts itself.

    Raises:
        InputError: with every problem, where too little is left to look at the rest.
    """
    data, source, problems = read_yaml(path)
    data, source = put(data, source, given)
    found = validate_partly(AuditConfig, data, source, instead={"name": path.stem})
    config = found.document
    if config is None:
        raise InputError([*problems, *found.problems])
    config._read = found
    told = (*problems, *found.problems, *_cross_check(config))
    config._read = dataclasses.replace(found, problems=tuple(dict.fromkeys(told)))
    return config


class Judged(NamedTuple):
    """What a gates file says: its rules (None: it names none), from which level on findings count, and what is wrong in
    it, which is left out."""

    rules: tuple[Rule, ...] | None
    fail_on: FailOn | None
    problems: tuple[str, ...] = ()
    undecided: Literal["pass"] | None = None


def load_gates(path: Path) -> tuple[Rule, ...]:
    """Read the rules of a gates file (`gates:` and a list; an `audit.yaml` serves as well).

    Raises:
        InputError: with every problem.
    """
    found = read_judging(path)
    if found.problems:
        raise InputError(found.problems)
    return found.rules or ()


def read_judging(path: Path) -> Judged:
    """Read a gates file as far as it is right.

    Raises:
        InputError: with every problem, where too little is left to look at the rest.
    """
    data, source, problems = read_yaml(path)
    if isinstance(data, list):
        data = {"gates": data}
        source = YamlFile(source.path, {("gates", *loc): line for loc, line in source.lines.items()})
    if isinstance(data, dict) and "models" in data:
        config = read_audit(path)
        own = _rules(config.gates, config.source)
        return Judged(own, config.fail_on, config.problems, config.undecided)
    found = validate_partly(GatesConfig, data, source)
    if found.document is None:
        raise InputError([*problems, *found.problems])
    gates = found.document.gates
    rules = None if gates is None else _rules(gates, found.source)
    undecided = found.document.undecided
    return Judged(rules, found.document.fail_on, (*problems, *found.problems), undecided)


def _rules(gates: Sequence[Gate], source: YamlFile) -> tuple[Rule, ...]:
    return tuple(rule_of(gate, line=source.line("gates", index)) for index, gate in enumerate(gates))


def _cross_check(config: AuditConfig) -> list[str]:
    """What contradicts itself within a document."""
    where = config.source.where
    problems = []
    if config.dataset and config.datasets:
        problems.append(f"{where('datasets')}: give `dataset` or `datasets`, not both")
    if not config.dataset and not config.datasets and config.is_whole("dataset") and config.is_whole("datasets"):
        problems.append(f"{where()}: a `dataset` is required: format, images and annotations")
    seen: set[str] = set()
    for index, model in enumerate(config.models):
        if model.name in seen:
            problems.append(
                f"{where('models', index, 'name')}: two models are named {model.name!r}; give each its own name"
            )
        seen.add(model.name)
        problems += _model_problems(config, index, model)
    for key in ("scenarios", "severities", "delegates"):
        given = [delegate.name for delegate in config.runs_on] if key == "delegates" else getattr(config, key)
        for value, count in Counter(given).items():
            if count > 1:
                hint = "; give each a `name:`" if key == "delegates" else ""
                problems.append(f"{where(key)}: {value} is given {count} times{hint}")
    limit = max(model.postprocess.max_detections or max(COCO_LIMITS) for model in config.models)
    problems += [
        f"{where('evaluation', 'max_detections')}: no model gives more than {limit} detections of an image, so {most} "
        f"would change nothing; write `postprocess: {{max_detections: {most}}}` in a model's entry"
        for most in config.evaluation.max_detections
        if most > limit
    ]
    known = {model.name for model in config.models}
    for index, gate in enumerate(config.gates):
        if gate.model is not None and gate.model not in known and config.is_whole("models"):
            problems.append(f"{where('gates', index, 'model')}: no model {gate.model!r}; {nearest(gate.model, known)}")
    return problems


def _model_problems(config: AuditConfig, index: int, model: ModelConfig) -> list[str]:
    """What of one model contradicts the others, or the data sets."""
    where, datasets = config.source.where, config.named_datasets()
    families = {other.name for other in config.models if other.variant_of is None}
    names = {other.name for other in config.models}
    problems = [
        f"{where('models', index)}: the level that is made of it is named {name!r}, as another model is; rename one of "
        "them"
        for name in (f"{model.name}_{level}" for level in model.made_levels)
        if name in names
    ][:1]
    most, given = max(COCO_LIMITS + config.evaluation.max_detections), model.postprocess.max_detections
    if given is not None and given > most:
        over = "over which COCO's AP is" if most == max(COCO_LIMITS) else "over which is evaluated"
        problems.append(
            f"{where('models', index, 'postprocess', 'max_detections')}: expected at most {most}, {over}, but got "
            f"{given}; `evaluation: {{max_detections: [{given}]}}` adds metrics over more"
        )
    if model.variant_of is not None and model.variant_of not in families and config.is_whole("models"):
        alone = "a family's leader is a model without `variant_of`"
        hint = nearest(model.variant_of, families) if families else alone
        problems.append(f"{where('models', index, 'variant_of')}: no model {model.variant_of!r} leads a family; {hint}")
    if model.dataset is not None and model.dataset not in datasets and config.is_whole("datasets"):
        hint = nearest(model.dataset, datasets)
        problems.append(f"{where('models', index, 'dataset')}: no data set {model.dataset!r}; {hint}")
    elif model.dataset is None and model.variant_of is None and len(datasets) > 1:
        problems.append(
            f"{where('models', index)}: several data sets are given; say `dataset:` and one of {', '.join(datasets)}"
        )
    return problems
