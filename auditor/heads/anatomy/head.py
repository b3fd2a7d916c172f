"""The head of a model as one value, and what it is shown of a file to be told by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import BOX_FORMATS
from auditor.errors import ModelError
from auditor.values import IMAGENET_MEAN, IMAGENET_STD, InputContract, Json, ModelSpec, Source

__all__ = [
    "BOX_OPTIONS",
    "CENTRED_LETTERBOX",
    "IMAGENET_BGR",
    "IMAGENET_RGB",
    "JOINED",
    "NUMBER",
    "SSD_INPUT",
    "STRIDES",
    "TEXT",
    "WHOLE",
    "Decoder",
    "Head",
    "Match",
    "Near",
    "Option",
    "Outputs",
    "Seen",
    "Settled",
    "Settling",
    "listed",
    "one_of",
]

Outputs = Mapping[str, NDArray[Any]]
"""What one invocation gave: every output by name, integers dequantized."""


class Decoder(Protocol):
    """What turns the outputs of one image into the predictions of the head's task."""

    def __call__(self, outputs: Outputs, spec: ModelSpec) -> Any:
        """Of detection return `Candidates`, or `Detections` where NMS is inside, boxes being xyxy in pixels of the
        model's input; of classification `ClassScores`; of another task what that task takes. The caller applies
        `postprocess` and `Geometry`, once."""


@dataclass(frozen=True)
class Option:
    """An option of a decoder: in words what is expected, and whether a value is that."""

    expected: str
    right: Callable[[Any], bool]


def one_of(*choices: str) -> Option:
    """An option that takes one of a few words."""
    return Option(f"one of {', '.join(choices)}", lambda value: value in choices)


@dataclass(frozen=True)
class Seen:
    """What a head is told by: the outputs of one invocation on grey (`arrays`), what signatures call them (`called`, by
    the file's own name), the outputs of each custom op in its own order (`op_outputs`), the input, the number of labels
    where it is known, the notes of an Ultralytics export, and the decoder options that `audit.yaml` gives."""

    arrays: Outputs
    contract: InputContract
    classes: int | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    op_outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Json] = field(default_factory=dict)
    made_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By output the ops behind it, the last first."""
    ordered: bool = False
    """Whether `audit.yaml` named the outputs, boxes first: then they need not be told apart."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(array.shape) for array in self.arrays.values()]


@dataclass(frozen=True)
class Match:
    """The outputs are a head's, for this `reason`; `sure` where an op, a name or the grid says so, not the shape
    alone."""

    reason: str
    sure: bool = False


@dataclass(frozen=True)
class Near:
    """The outputs would be a head's, were the labels of another number: `what` it then is."""

    what: str


@dataclass(frozen=True)
class Settled:
    """Options that were settled from values, each with its origin."""

    options: Mapping[str, Json]
    sources: Mapping[str, Source]


@dataclass(frozen=True)
class Settling:
    """What a head settles its open options by: a spec with what shapes and `audit.yaml` fix (`given`), outputs on a few
    images, and outputs on more of them for where the first show nothing."""

    head: Head
    spec: ModelSpec
    samples: Sequence[Outputs]
    given: Mapping[str, Json]
    more: Callable[[], Sequence[Outputs]]
    named: bool = False
    """Whether `audit.yaml` names the head."""


@dataclass(frozen=True)
class Head:
    """How a kind of models ends, and how they are trained to be fed.

    `input` are the defaults of the input contract that models with this head are trained with; None demands them of
    `audit.yaml`. `options` are checked; `prepare` completes those that are given (and loads what they name).
    `structure` gives the options that the outputs' shapes fix, `settle` those that values settle; where the shapes are
    those of several heads, `plausible` says whether the values on a few images can be this one's. `box_format` is
    the order of a box where nothing else is said, None where a head has no such boxes. `parts` tells boxes (N, 4)
    and scores (N, C) of one output that holds both, as they stand there. `ids_without_background` says that class
    ids leave out the label list's background.
    """

    name: str
    task: str
    about: str
    decode: Decoder
    recognise: Callable[[Seen], Match | Near | None]
    settle: Callable[[Settling], Settled]
    structure: Callable[[Seen], dict[str, Json]] = lambda seen: {}  # noqa: ARG005
    plausible: Callable[[Seen, Sequence[Outputs]], bool] = lambda seen, samples: True  # noqa: ARG005
    input: Mapping[str, Any] | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    prepare: Callable[[dict[str, Any], Path], dict[str, Any]] = lambda options, folder: options  # noqa: ARG005
    box_format: str | None = None
    nms_inside: bool = False
    parts: Callable[[NDArray[Any], ModelSpec], tuple[NDArray[Any], NDArray[Any]]] | None = None
    ids_without_background: bool = False
    letterboxed: bool = False
    """Whether models with this head are trained on letterboxed images."""

    def checked_options(self, given: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
        """Check the options that `audit.yaml` gives, and complete them; `folder` is that of the document.

        Raises:
            ModelError: with all that is wrong.
        """
        problems = []
        for name, value in given.items():
            if name not in self.options:
                problems.append(
                    f"decoder {self.name} has no option {name!r}; it has {', '.join(sorted(self.options)) or 'none'}"
                )
            elif not self.options[name].right(value):
                problems.append(f"decoder {self.name}: {name} is {value!r}; expected {self.options[name].expected}")
        if problems:
            raise ModelError("; ".join(problems), field="decoder")
        return self.prepare(dict(given), folder)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


WHOLE = Option("a whole number", _whole)
NUMBER = Option("a number", _number)
TEXT = Option("an output's name", lambda value: isinstance(value, str))
STRIDES = Option(
    "a list of whole numbers above 0",
    lambda value: isinstance(value, list) and bool(value) and all(_whole(item) and item > 0 for item in value),
)
BOX_OPTIONS = {
    "box_format": one_of(*BOX_FORMATS),
    "box_unit": one_of("pixels", "normalized"),
    "label_offset": WHOLE,
    "score_scale": Option("a number above 0", lambda value: _number(value) and value > 0),
}
"""The options of every head that finds boxes; scores (and objectness) are what the model gives times `score_scale`."""
JOINED = {"outputs": Option("a list of output names, boxes first", _names)}
"""The option of heads that may be split over several outputs."""

CENTRED_LETTERBOX = {
    "color": "rgb",
    "mean": (0.0,),
    "std": (255.0,),
    "resize": "letterbox",
    "anchor": "center",
    "rounding": "round",
    "pad": 114.0,
}
"""Ultralytics' LetterBox: RGB in 0..1, centred on a canvas of 114."""


SSD_INPUT = {
    "color": "rgb",
    "mean": (127.5,),
    "std": (127.5,),
    "resize": "stretch",
    "anchor": "center",
    "rounding": "round",
    "pad": 0.0,
}
"""TensorFlow's SSDs: RGB in -1..1, aspect ratio not kept."""
IMAGENET_RGB = {"color": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
IMAGENET_BGR = {"color": "bgr", "mean": IMAGENET_MEAN[::-1], "std": IMAGENET_STD[::-1]}
"""ImageNet's statistics; the latter is OpenCV's order of channels, in which MMDetection trains."""


def listed(arrays: Outputs) -> str:
    """The outputs with their shapes, in words."""
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
