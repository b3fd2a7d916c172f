"""How a model is fed: what its file fixes, what the document says, what models with its head are trained with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import CENTRED_LETTERBOX, Head
from auditor.runtimes.anatomy.runtime import FileFacts, FileNotes
from auditor.values import IMAGENET_MEAN, IMAGENET_STD, InputContract, Replaced, Source, Tiles

__all__ = ["contract_of", "fixed_input"]

_INTEGERS = ("uint8", "int8")
_GRAPH = Source("graph")
_METADATA = Source("metadata")
_DOCUMENT = Source("audit.yaml")
_NEAR = 0.1
"""How far the ends of an input's real values may be from those of a usual form, in parts of it: a calibration sees
less than the whole range."""
_FORMS = (
    ("0 to 255", 0.0, 255.0, "{mean: 0, std: 1}"),
    ("-128 to 127", -128.0, 127.0, "{mean: 128, std: 1}"),
    ("0 to 1", 0.0, 1.0, "{mean: 0, std: 255}"),
    ("-1 to 1", -1.0, 1.0, "{mean: 127.5, std: 127.5}"),
    (
        "ImageNet's -2.1 to 2.6",
        -2.118,
        2.64,
        f"{{mean: {list(IMAGENET_MEAN)}, std: {list(IMAGENET_STD)}}}",
    ),
)
"""The real values that models are usually trained on."""
_MOST_CHANNELS = 16
"""No camera gives more; what has more channels is a table of features."""
_NEEDED = ("color", "mean", "std", "resize")


def fixed_input(facts: FileFacts, given: Mapping[str, Any]) -> tuple[InputContract, dict[str, Source]]:
    """What a file fixes of the input contract: size, layout, type and quantization; `given` is the document's `input`.

    Raises:
        ModelError: its input is no image, or the document contradicts it.
    """
    tensor = facts.inputs[0]
    shape = tensor.shape
    if len(shape) not in (3, 4):
        raise ModelError(
            f"its input {tensor.name} has the shape {shape}; expected an image (1, height, width, channels) or (1, "
            "height, width)"
        )
    flat = len(shape) == 3
    nchw = not flat and shape[1] in (1, 3) and shape[3] not in (1, 3)
    channels = 1 if flat else shape[1] if nchw else shape[3]
    height, width = (shape[2], shape[3]) if nchw else (shape[1], shape[2])
    if min(height, width) == 1 or channels > _MOST_CHANNELS:
        raise ModelError(
            f"its input {tensor.name} {shape} is no image: {max(height, width) * channels} features, a sequence or a "
            "spectrum; expected (1, height, width, channels)"
        )
    if channels not in (1, 3):
        raise ModelError(f"its input {tensor.name} has {channels} channels {shape}; expected 1 (grey) or 3 (colour)")
    names = ("height", "width", "layout", "dtype", "scale", "zero_point")
    sources = {f"input.{name}": _GRAPH for name in names}
    if height <= 0 or width <= 0:
        size = given.get("size") or _ultralytics_size(facts.notes)
        if size is None:
            raise ModelError(
                f"its input leaves height or width open {shape}; write `input: {{size: [height, width]}}`",
                field="input",
            )
        height, width = int(size[0]), int(size[1])
        sources["input.height"] = sources["input.width"] = _DOCUMENT if given.get("size") else _METADATA
    elif given.get("size") not in (None, (height, width)):
        raise ModelError(
            f"`input.size` says {tuple(given['size'])} but the file fixes its input at ({height}, {width}); leave "
            "`size` out"
        )
    if tensor.dtype not in ("float32", *_INTEGERS, "int16"):
        raise ModelError(f"its input {tensor.name} is {tensor.dtype}; expected float32, uint8, int8 or int16")
    contract = InputContract(
        height=height,
        width=width,
        layout="nhw" if flat else "nchw" if nchw else "nhwc",
        color="gray" if channels == 1 else "rgb",
        dtype=tensor.dtype,
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )
    return contract, sources


def _ultralytics_size(notes: FileNotes) -> Sequence[int] | None:
    size = notes.ultralytics.get("imgsz")
    if isinstance(size, int):
        return (size, size)
    return size if isinstance(size, list | tuple) and len(size) == 2 else None


def contract_of(
    fixed: InputContract, notes: FileNotes, head: Head, given: Mapping[str, Any], family: InputContract | None = None
) -> tuple[InputContract, dict[str, Source]]:
    """Fill the input contract: the document (`given`), then in real values that of the `family` that it is a variant
    of, then the file's own words, then what models with this head are trained with.

    Raises:
        ModelError: the document contradicts the file, or leaves out what nothing else tells.
    """
    values, origin = _conventions(fixed, notes, head) if family is None else _inherited(family)
    conventional = dict(values), dict(origin)
    for key, value in given.items():
        if key != "size" and value is not None:
            values[key] = _value_of(key, value)
            origin[key] = _DOCUMENT
    _check(fixed, values, origin, head)
    if fixed.dtype in _INTEGERS and origin["mean"] is _GRAPH:
        _check_pixels(fixed)
    sources = {"input.tiles": Source("default")}
    for key, where in origin.items():
        if where is _DOCUMENT and key in conventional[0] and conventional[0][key] != values[key]:
            before: Any = conventional[0][key]
            shown = list(before) if isinstance(before, tuple) else before
            where = Source("audit.yaml", instead_of=Replaced(shown, conventional[1][key].origin))
        sources[f"input.{key}"] = where
    return dataclasses.replace(fixed, **values), sources


def _value_of(key: str, given: Any) -> Any:
    """A key of `input:` as the contract holds it."""
    if key == "tiles":
        return Tiles(**{**given, "size": tuple(given["size"])})
    return tuple(float(item) for item in np.atleast_1d(given)) if key in ("mean", "std") else given


def _inherited(family: InputContract) -> tuple[dict[str, Any], dict[str, Source]]:
    """What a variant is fed: the real values that its family is."""
    keys = ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation", "tiles")
    return {key: getattr(family, key) for key in keys}, dict.fromkeys(keys, Source("family"))


def _check_pixels(fixed: InputContract) -> None:
    """Raise where the pixels as they are would feed real values that no model is trained on: the real values of an
    integer input are then to be asked for.

    Raises:
        ModelError: with what the input's scale suggests.
    """
    if not fixed.scale:
        return
    shift = 0 if fixed.dtype == "uint8" else 128
    low, high = (fixed.scale * (code - shift - fixed.zero_point) for code in (0, 255))

    def apart(form: tuple[str, float, float, str]) -> float:
        _, first, last, _ = form
        return max(abs(low - first), abs(high - last))

    called, first, last, line = nearest = min(_FORMS, key=apart)
    if apart(nearest) > _NEAR * (last - first):
        raise ModelError(
            f"its {fixed.dtype} input holds {low:.3g} to {high:.3g}, so the pixels as they are would feed it what no "
            "usual training does: write in its entry the real values that it was trained on; "
            f"{called} is the nearest: `input: {line}`",
            field="input",
        )


def _conventions(fixed: InputContract, notes: FileNotes, head: Head) -> tuple[dict[str, Any], dict[str, Source]]:
    """What is known before the document is asked, with its origins."""
    values: dict[str, Any] = {**(head.input or {}), "interpolation": "linear"}
    origin = dict.fromkeys(values, Source("default"))
    if notes.ultralytics:
        values |= CENTRED_LETTERBOX
        origin |= dict.fromkeys(CENTRED_LETTERBOX, _METADATA)
    said: dict[str, Any] = {"color": notes.color, "mean": notes.mean, "std": notes.std}
    by = _METADATA
    if fixed.dtype in _INTEGERS:
        # The pixels as they are: code = pixel (uint8) or pixel - 128 (int8), whatever the metadata says.
        shift = 0 if fixed.dtype == "uint8" else 128
        said["mean"], said["std"] = (float(fixed.zero_point + shift),), (1.0 / fixed.scale if fixed.scale else 1.0,)
    for key, value in said.items():
        if value is not None:
            values[key] = value
            origin[key] = _GRAPH if key != "color" and fixed.dtype in _INTEGERS else by
    return values, origin


def _check(fixed: InputContract, values: dict[str, Any], origin: dict[str, Source], head: Head) -> None:
    """Raise where the values do not make a contract; make those of grey fit."""
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        raise ModelError(
            f"how models with a {head.name} head are trained to be fed is not known: write `input:` with "
            f"{', '.join(missing)}",
            field="input",
        )
    given = {key for key, where in origin.items() if where is _DOCUMENT}
    if fixed.dtype in _INTEGERS and ("mean" in given) != ("std" in given):
        raise ModelError(
            "its input is an integer type: give `input.mean` and `input.std` together, or neither (the pixels as they "
            "are)",
            field="input",
        )
    if (values["color"] == "gray") != (fixed.color == "gray"):
        if "color" in given:
            raise ModelError(
                f"`input.color` is {values['color']} but the model's input has {fixed.channels} channel(s)",
                field="input",
            )
        values["color"], origin["color"] = fixed.color, _GRAPH
    for key in ("mean", "std"):
        if values["color"] == "gray" and len(values[key]) == 3:
            if key in given:
                raise ModelError(
                    f"`input.{key}` has three values but the model's input is grey; give one", field="input"
                )
            values[key] = values[key][:1]
