"""What is measured: a model with every setting and its origin, a scenario, and the unit of work that joins them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Union

from typing_extensions import TypeAliasType

from auditor.delegate import Delegate
from auditor.values.arrays import ImageRecord

__all__ = [
    "CLEAN",
    "COCO_LIMITS",
    "DECLARED",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Diagnosis",
    "Evaluation",
    "InputCodes",
    "InputContract",
    "Json",
    "LayerError",
    "Made",
    "ModelSpec",
    "OutputCodes",
    "Patch",
    "Postprocess",
    "Replaced",
    "ScenarioSpec",
    "Source",
    "Transform",
    "Unit",
    "Verified",
    "iou_metric",
    "some",
    "yaml_flow",
]

CLEAN = "clean"
"""The scenario of uncorrupted images; its only severity is 0."""

DECLARED = "declared"
"""The input contract that the audit declares, where others are compared with it."""

if TYPE_CHECKING:
    Json = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
else:
    Json = TypeAliasType("Json", Union[bool, int, float, str, list["Json"], dict[str, "Json"], None])  # noqa: UP007
"""What a JSON document can hold."""

_STRICT = {"extra": "forbid"}
"""For what is read back from result.json: an unknown key is an error."""


# ------------------------------------------------------------------------------------------------------------- origins


@dataclass(frozen=True)
class Replaced:
    """What a setting would have been, by which convention, had the document not said otherwise."""

    __pydantic_config__ = _STRICT
    value: Json
    origin: str


@dataclass(frozen=True)
class Source:
    """Where a setting came from. `origin` is `audit.yaml`, `metadata` (the file's own words), `graph`, `images`
    (measured on the first images), `dataset`, `made` (by this project), `family` (the model that it is a variant of) or
    `default`; `note` says more, for people."""

    __pydantic_config__ = _STRICT
    origin: Literal["audit.yaml", "metadata", "graph", "images", "dataset", "made", "parent", "family", "default"]
    note: str = ""
    instead_of: Replaced | None = None

    def __str__(self) -> str:
        """The sentence of it.

        >>> str(Source("audit.yaml", instead_of=Replaced("letterbox", "default")))
        'audit.yaml (instead of letterbox, default)'
        """
        if self.instead_of is not None:
            return f"{self.origin} (instead of {_short(self.instead_of.value)}, {self.instead_of.origin})"
        return f"{self.origin}: {self.note}" if self.note else self.origin


@dataclass(frozen=True)
class Made:
    """By what a file was made here: the program and its version, of which entry of the audit (`parent`), calibrated on
    how many images (None where it needs none)."""

    __pydantic_config__ = _STRICT
    tool: str
    version: str
    parent: str
    images: int | None = None

    def __str__(self) -> str:
        calibrated = "" if self.images is None else f", calibrated on {self.images} images"
        return f"made by the auditor with {self.tool} {self.version}{calibrated}"


@dataclass(frozen=True)
class Patch:
    """What to write in a document: `keys` in the entry of the model `model`, or at the top where it is None;
    parts named by `keep` stay in them as they are."""

    __pydantic_config__ = _STRICT
    keys: Mapping[str, Json]
    model: str | None = None
    keep: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The lines of YAML.

        >>> str(Patch({"input": {"color": "bgr", "mean": [0.0]}}))
        'input: {color: bgr, mean: 0}'
        """
        kept = f"   # and its {', '.join(self.keep)}, as they are" if self.keep else ""
        return "\n".join(f"{key}: {yaml_flow(value)}{kept}" for key, value in self.keys.items())

    @property
    def lines(self) -> list[str]:
        """The lines of YAML, below the entry that they belong into.

        >>> Patch({"input": {"color": "bgr"}}, model="yolox").lines
        ['# in `models:`, the entry named yolox', 'input: {color: bgr}']
        """
        place = f"# in `models:`, the entry named {self.model}" if self.model else "# at the top level of audit.yaml"
        return [place, *str(self).split("\n")]


def yaml_flow(value: object) -> str:
    """Write a setting as YAML does on one line; a list of one number is that number.

    >>> yaml_flow({"mean": (0.5, 1.0, 2.0), "outputs": ["a"], "clip": False})
    '{mean: [0.5, 1, 2], outputs: [a], clip: false}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml_key(str(key))}: {yaml_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        if len(value) == 1 and isinstance(value[0], float):
            return yaml_flow(value[0])
        return "[" + ", ".join(map(yaml_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _yaml_key(key: str) -> str:
    """A key as YAML reads it back: quoted where it would be read as something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w .-]*", key) and key.lower() not in _YAML_WORDS and key == key.strip()
    return key if plain else json.dumps(key, ensure_ascii=False)


_YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of several names, and how many more there are.

    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _short(value: Json) -> str:
    return "/".join(f"{item:g}" for item in value) if isinstance(value, list | tuple) else str(value)


# ------------------------------------------------------------------------------------------------------------- models

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""ImageNet's statistics of red, green and blue in 0..255: 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 of
https://pytorch.org/vision/stable/models.html times 255."""


@dataclass(frozen=True)
class Tiles:
    """A picture is fed in tiles of `size` (height, width) pixels of its own, each of which overlaps the next by at
    least a share `overlap` of it; `whole` pictures are fed beside them. What is found in several becomes one by `merge`
    where boxes overlap by `match` or more, by their intersection over the union or the smaller one (`metric`)."""

    __pydantic_config__ = _STRICT
    size: tuple[int, int]
    overlap: float = 0.2
    merge: Literal["nms", "nmm"] = "nms"
    metric: Literal["iou", "ios"] = "ios"
    match: float = 0.5
    whole: bool = False


@dataclass(frozen=True)
class InputContract:
    """How an image becomes the model's input tensor.

    `mean` and `std` are in 8-bit pixel units, one number per channel in the order of `color`: the model gets the real
    value `(pixel - mean) / std`, quantized with `scale` and `zero_point` where `dtype` is an integer type (scale 0
    means that the tensor is not quantized: the real value is rounded and cast).
    """

    __pydantic_config__ = _STRICT
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
    tiles: Tiles | None = None

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    @property
    def settings(self) -> dict[str, Json]:
        """The keys of `input:` in `audit.yaml`, with these values; what a stretched image does not use is left out."""
        keys = ["color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation"]
        if self.resize == "stretch":
            keys = [key for key in keys if key not in ("anchor", "rounding", "pad")]
        values = {key: getattr(self, key) for key in keys}
        told: dict[str, Json] = {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }
        if self.tiles is not None:
            told["tiles"] = {**asdict(self.tiles), "size": list(self.tiles.size)}
        return told


@dataclass(frozen=True)
class Postprocess:
    """What happens between a head's candidates and the detections that are judged; every field moves AP.

    Where the head has NMS inside, only `score_floor`, `max_detections` and `clip` apply.
    """

    __pydantic_config__ = _STRICT
    score_floor: float = 0.001
    nms_iou: float = 0.65
    class_wise: bool = True
    multi_label: bool = True
    max_detections: int = 100
    clip: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What detections are evaluated by beside COCO's metrics: at most so many of an image, at one IoU, over true
    objects of an area within two limits in square pixels, by name."""

    __pydantic_config__ = _STRICT
    max_detections: tuple[int, ...] = ()
    iou: tuple[float, ...] = ()
    areas: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    point_iou: float = 0.5
    """From which overlap on a detection is right at the operating point."""

    def at_point(self, iou: float) -> Evaluation:
        """This one, with the overlap of an operating point."""
        return replace(self, point_iou=iou)

    @property
    def metrics(self) -> dict[str, str]:
        """The metrics that it adds, each with what it is.

        >>> list(Evaluation((300,), (0.4,), {"tiny": (0, 256)}).metrics)
        ['AP@0.40', 'AP@max300', 'AR300', 'AP_tiny', 'AR_tiny']
        """
        found = {iou_metric(iou): f"AP at IoU {iou:.2f} alone; not COCO's" for iou in self.iou}
        for most in self.max_detections:
            if most not in COCO_LIMITS:
                found[f"AP@max{most}"] = f"AP over at most {most} detections an image; not COCO's"
                found[f"AR{most}"] = f"average recall with {most} detections an image"
        for name, (low, high) in self.areas.items():
            within = f"of objects from {low:g} to {high:g} square pixels; not COCO's"
            found |= {f"AP_{name}": f"AP {within}", f"AR_{name}": f"AR100 {within}"}
        return found


def iou_metric(iou: float) -> str:
    """What AP at one IoU is called."""
    return f"AP@{iou:.2f}"


COCO_LIMITS = (1, 10, 100)
"""How many detections of an image COCO's metrics are over. Source: https://cocodataset.org/#detection-eval."""


@dataclass(frozen=True)
class OutputCodes:
    """An 8-bit output: the real values `low` to `high` that its codes hold, and what the first images gave.
    `zero_scores` is the share of scores that round to 0; None where the output does not hold boxes and scores
    together. `constant_classes` are score columns that have one value above 0 on every candidate of every image,
    `silent_classes` those that never leave 0 where others do."""

    __pydantic_config__ = _STRICT
    name: str
    dtype: str
    scale: float
    zero_point: int
    low: float
    high: float
    box_values: tuple[float, float] | None = None
    score_values: tuple[float, float] | None = None
    zero_scores: float | None = None
    distinct_scores: int | None = None
    constant_classes: tuple[int, ...] = ()
    silent_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class InputCodes:
    """An 8-bit input: the real values that its codes hold, those it is fed, how many of its 256 codes these use, and
    the share of values that are clipped."""

    __pydantic_config__ = _STRICT
    dtype: str
    scale: float
    zero_point: int
    low: float
    high: float
    fed_low: float
    fed_high: float
    codes_used: int
    clipped: float


@dataclass(frozen=True)
class LayerError:
    """One tensor of a quantized level beside the float model's: the signal-to-quantization-noise ratio in dB, None
    where there is no noise, and the share of values outside of what its codes hold."""

    __pydantic_config__ = _STRICT
    tensor: str
    op: str
    sqnr_db: float | None
    saturated: float


@dataclass(frozen=True)
class Diagnosis:
    """What a quantized file's own numbers show. `layers` are the tensors with most noise, `saturating` those with most
    values outside of their codes (of `saturating_tensors` in all), on `layer_images` images; empty where that was not
    measured."""

    __pydantic_config__ = _STRICT
    outputs: tuple[OutputCodes, ...] = ()
    input: InputCodes | None = None
    layers: tuple[LayerError, ...] = ()
    saturating: tuple[LayerError, ...] = ()
    saturating_tensors: int = 0
    layer_images: int = 0


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run one model file on one delegate's choice of kernels; it holds no interpreter, so it
    pickles.

    `model` is the family's name, `name` the entry's own. `labels` are class names by index; None stands for an id that
    the model's label map leaves empty. `sources` says where each setting came from, `made` by what the file was made
    here.
    `variant` says which keys of the input contract are not the declared ones. `outputs`, of a Keras or SavedModel
    parent only, is the position of each output under the name that its float32 conversion gives it, in that file's
    order.
    `role` is `declared`, `level` (asked for, and made here), `remedy` or `evidence` (made to back a finding: measured
    on clean images alone, in no summary, and in no gate that does not name it). `state` is what the file keeps from one
    invocation to the next, in words; it is set back before each image, unless the model `keeps_state`.
    """

    name: str
    model: str
    path: str
    sha256: str
    task: str
    quantization: str
    input: InputContract
    decoder: str
    decoder_options: Mapping[str, Json]
    labels: tuple[str | None, ...]
    postprocess: Postprocess
    size_bytes: int
    output_dtypes: tuple[str, ...] = ()
    outputs: Mapping[str, int] = field(default_factory=dict)
    dataset: str = "default"
    sources: Mapping[str, Source] = field(default_factory=dict)
    made: Made | None = None
    role: Literal["declared", "level", "remedy", "evidence"] = "declared"
    diagnosis: Diagnosis = Diagnosis()
    variant: str = DECLARED
    state: tuple[str, ...] = ()
    keeps_state: bool = False

    @property
    def key(self) -> str:
        """What its predictions are stored under."""
        return self.name if self.variant == DECLARED else f"{self.name}[{self.variant}]"


# ------------------------------------------------------------------------------------------------------ scenarios, plan


@dataclass(frozen=True)
class Transform:
    """One step of a scenario: `kind` is `albumentations`, `builtin` or `function`; an argument `$knob` takes that
    knob's value."""

    __pydantic_config__ = _STRICT
    kind: Literal["albumentations", "builtin", "function"]
    target: str
    arguments: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class ScenarioSpec:
    """One scenario of a pack: `knobs` maps a knob's name to its values at severities 1..5; `remedy` says what to do
    about a model that breaks under it, `source` what its transforms and values are taken from. Not `monotone` is one
    whose effect does not grow with severity, as its pack says. `distribution` is the Python package it came with."""

    pack: str
    name: str
    version: int
    about: str
    unit: str
    knobs: Mapping[str, tuple[float, ...]]
    transforms: tuple[Transform, ...]
    remedy: str = ""
    source: str = ""
    monotone: bool = True
    folder: str | None = None
    distribution: str | None = None

    @property
    def key(self) -> str:
        return f"{self.pack}/{self.name}"


@dataclass(frozen=True)
class Unit:
    """A shard of images × a scenario: every severity and every model, each on its delegates, so that one read and one
    corruption feed all."""

    dataset: str
    images: tuple[ImageRecord, ...]
    scenario: ScenarioSpec | None
    severities: tuple[float, ...]
    models: tuple[tuple[ModelSpec, Delegate], ...]
    seed: int
    resume_key: str
    timeout_s: float | None = None
    """How long an invocation may take."""

    @property
    def scenario_key(self) -> str:
        return CLEAN if self.scenario is None else self.scenario.key


@dataclass(frozen=True)
class Verified:
    """What the first invocation of a model on a delegate showed: how many of the graph's ops the delegate took of how
    many (None where that cannot be told), and the seconds that opening and invoking took; or why it cannot be had
    (`skipped`) or fails (`failed`)."""

    delegated: int | None = None
    ops: int | None = None
    seconds: float = 0.0
    skipped: str | None = None
    failed: str | None = None

    @property
    def runs(self) -> bool:
        return self.skipped is None and self.failed is None
