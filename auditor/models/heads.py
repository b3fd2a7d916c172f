"""Which detection head a model has, told from its op, its signature names and the shapes of its outputs.

Values are never used to choose a decoder; `open_options` settles from them only what a head leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.models.decoders import grid
from auditor.models.graph import Graph
from auditor.models.metadata import FileNotes
from auditor.values import InputContract

__all__ = ["Head", "recognise", "structure"]

_STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16))
_POSTPROCESS = "TFLite_Detection_PostProcess"
_NANODET_BINS = (8, 16, 11)


@dataclass(frozen=True)
class Head:
    """A decoder's name, the options that the file settles, and why."""

    decoder: str
    options: Mapping[str, Any]
    reason: str


Arrays = Mapping[str, NDArray[Any]]


def recognise(graph: Graph, notes: FileNotes, arrays: Arrays, *, contract: InputContract, classes: int | None) -> Head:
    """Tell the head from the file and one invocation's outputs; `classes` is the number of labels where it is known.

    Raises:
        ModelError: no decoder fits; says what the model looks like, or which line of YAML settles it.
    """
    _refuse_other_tasks(notes, arrays)
    if any(op.name == _POSTPROCESS for op in graph.ops):
        return Head("tflite_postprocess", structure("tflite_postprocess", graph, arrays, contract, classes), f"its op {_POSTPROCESS}")
    shapes = [array.shape for array in arrays.values()]
    if len(shapes) == 4 and all(array.ndim <= 3 for array in arrays.values()):
        return Head(
            "tflite_postprocess",
            structure("tflite_postprocess", graph, arrays, contract, classes),
            "four outputs: boxes, classes, scores, count",
        )
    if len(shapes) == 1 and (pair := _pair(shapes[0])) is not None:
        name, reason = _single(pair, notes, contract, classes)
    elif len(shapes) in (2, 3):
        name, reason = _split(shapes, contract)
    else:
        raise ModelError(
            f"its outputs {_listed(arrays)} fit no decoder; write `decoder:` with the head's name, or register one of your own"
        )
    return Head(name, structure(name, graph, arrays, contract, classes), reason)


def structure(decoder: str, graph: Graph, arrays: Arrays, contract: InputContract, classes: int | None) -> dict[str, Any]:
    """Settle the options of a built-in decoder that the shapes fix: which output is what, which axis holds candidates.

    Raises:
        ModelError: the outputs do not have the head's shapes.
    """
    if decoder == "tflite_postprocess":
        return {"slots": _slots(graph, arrays), "box_unit": "normalized"}
    if decoder == "ssd_anchors":
        return _ssd_outputs(graph, arrays)
    if decoder not in ("yolox", "yolov5", "yolov8", "end2end", "nanodet"):
        return {}
    pairs = {name: pair for name, array in arrays.items() if (pair := _pair(array.shape)) is not None}
    if len(pairs) != len(arrays):
        raise ModelError(f"decoder {decoder} expects outputs (1, N, channels) but the model has {_listed(arrays)}")
    first = _channels_first(next(iter(pairs.values())), contract)
    channels = sum(pair[0] if first else pair[1] for pair in pairs.values())
    candidates = {pair[1] if first else pair[0] for pair in pairs.values()}
    if len(candidates) != 1:
        raise ModelError(f"decoder {decoder} expects outputs over the same candidates but the model has {_listed(arrays)}")
    options: dict[str, Any] = {"channels_first": first}
    if len(pairs) > 1:  # boxes first, then what is scored
        options["outputs"] = sorted(pairs, key=lambda name: (pairs[name][0] if first else pairs[name][1]) != 4)
    least = {"yolox": 6, "yolov5": 6, "yolov8": 5, "end2end": 6, "nanodet": 5}[decoder]
    if channels < least or (decoder == "end2end" and channels != 6):
        raise ModelError(
            f"decoder {decoder} expects {'exactly' if decoder == 'end2end' else 'at least'} {least} channels but the model has {_listed(arrays)}"
        )
    count = candidates.pop()
    if decoder in ("yolox", "nanodet"):
        strides = _strides_of(count, contract, anchors=1)
        if strides is not None:
            options["strides"] = list(strides)
        elif decoder == "nanodet":
            raise ModelError(
                f"decoder nanodet: {count} candidates are not the cells of strides 8, 16, 32 (and 64) of a {contract.height} × {contract.width} input; give `strides:`"
            )
    if decoder == "nanodet":
        options["bins"] = _bins(channels, classes)
    return options


def _refuse_other_tasks(notes: FileNotes, arrays: Arrays) -> None:
    task = notes.ultralytics.get("task")
    if task not in (None, "detect"):
        raise ModelError(f"its metadata says that its task is {task!r}; only detection is judged")
    shapes = [array.shape for array in arrays.values()]
    ranks = sorted(len(shape) for shape in shapes)
    if len(shapes) == 1 and (ranks == [2] or (ranks == [4] and shapes[0][1:3] == (1, 1))) and shapes[0][0] == 1:
        raise ModelError(f"it looks like a classifier (one output {_listed(arrays)}); only detection is judged")
    if ranks == [4]:
        raise ModelError(f"it looks like a segmentation model (one output {_listed(arrays)}, a value per pixel); only detection is judged")
    if len(shapes) == 2 and ranks == [3, 4]:
        raise ModelError(
            f"it looks like an instance segmentation model (outputs {_listed(arrays)}: boxes with mask coefficients, and mask prototypes); only detection is judged"
        )
    if ranks and min(ranks) >= 4:
        raise ModelError(
            f"its outputs {_listed(arrays)} look like raw feature maps of a YOLO head; export the model with its boxes decoded"
        )


def _single(pair: tuple[int, int], notes: FileNotes, contract: InputContract, classes: int | None) -> tuple[str, str]:
    first = _channels_first(pair, contract)
    channels, count = pair if first else (pair[1], pair[0])
    shown = f"one output (1, {pair[0]}, {pair[1]})"
    anchor_free = _strides_of(count, contract, anchors=1) is not None
    if not first and channels == 6 and (notes.ultralytics.get("end2end") or not (anchor_free or _strides_of(count, contract, anchors=3))):
        return "end2end", f"{shown}: box, score, class of at most {count} objects"
    if _strides_of(count, contract, anchors=3) is not None and not first:
        return "yolov5", f"{shown}: {count} is three anchors a cell, {channels} is box, objectness and {channels - 5} classes"
    if channels == 56 and classes != 52:
        raise ModelError(f"it looks like a pose model ({shown}: box, score and 17 keypoints of three); only detection is judged")
    if channels < 5:
        raise ModelError(f"{shown} has too few channels for a box and a score")
    known = {"yolov8": channels - 4, "yolox": channels - 5}
    if first and classes in (None, channels - 4):
        return "yolov8", f"{shown}: box and {channels - 4} class scores of {count} candidates, without objectness"
    if classes is not None:
        fits = [name for name, number in known.items() if number == classes]
        fits += ["nanodet"] if (channels - classes) % 4 == 0 and (channels - classes) // 4 in _NANODET_BINS else []
        if len(fits) == 1:
            return fits[0], f"{shown}: {channels} channels are those of {fits[0]} with {classes} classes"
        raise ModelError(
            f"{shown} has {channels} channels, which is neither 4 + {classes} (yolov8), 5 + {classes} (yolox) nor {classes} + 4 × bins (nanodet); "
            f"the model has {classes} labels: check `labels:`, or write `decoder:`"
        )
    if channels in (85, 84, 112):
        name = {85: "yolox", 84: "yolov8", 112: "nanodet"}[channels]
        return name, f"{shown}: {channels} channels are those of {name} with COCO's 80 classes"
    raise ModelError(f"{shown} may be yolov8 with {channels - 4} classes or yolox with {channels - 5}; give `labels:`, or write `decoder:`")


def _split(shapes: Sequence[tuple[int, ...]], contract: InputContract) -> tuple[str, str]:
    pairs = [pair for shape in shapes if (pair := _pair(shape)) is not None]
    shown = ", ".join(str(tuple(shape)) for shape in shapes)
    if len(pairs) == len(shapes):
        if sum(pair[1] == 4 for pair in pairs) >= 1 and len({pair[0] for pair in pairs}) == 1:
            if _strides_of(pairs[0][0], contract, anchors=1) is not None and len(pairs) == 2:
                raise ModelError(
                    f"outputs {shown} may be a decoded head (`decoder: yolov8`) or a raw SSD head (`decoder: ssd_anchors`); write which"
                )
            return "ssd_anchors", f"outputs {shown}: box encodings and class scores of the same anchors"
        if len(pairs) == 2 and pairs[0][1] == pairs[1][1] and 4 in (pairs[0][0], pairs[1][0]):
            return "yolov8", f"outputs {shown}: boxes and class scores, channels first"
    raise ModelError(f"its outputs {shown} fit no decoder; write `decoder:` with the head's name, or register one of your own")


def _slots(graph: Graph, arrays: Arrays) -> dict[str, str]:
    """Which output holds boxes, classes, scores and the count: by the op's own slots, else signature names, else shapes."""
    names = graph.output_names()
    roles = ("boxes", "classes", "scores", "count")
    for op in graph.ops:
        if op.name == _POSTPROCESS:
            by_index = dict(zip(graph.outputs, names, strict=True))
            if all(index in by_index for index in op.outputs[:4]):
                return dict(zip(roles, (by_index[index] for index in op.outputs[:4]), strict=True))
    if len(names) != 4:
        raise ModelError(f"decoder tflite_postprocess expects four outputs but the model has {_listed(arrays)}")
    found = _slots_by_signature(graph, names)
    return found or _slots_by_shape(arrays)


def _slots_by_signature(graph: Graph, names: Sequence[str]) -> dict[str, str] | None:
    """By what a signature calls its outputs, for example detection_boxes, detection_classes, detection_scores, num_detections."""
    marks = {"boxes": ("box",), "classes": ("class", "categor"), "scores": ("score",), "count": ("num", "count")}
    by_index = dict(zip(graph.outputs, names, strict=True))
    for outputs in graph.signatures.values():
        found = {
            role: [by_index[index] for index, name in outputs.items() if index in by_index and any(mark in name.lower() for mark in words)]
            for role, words in marks.items()
        }
        if all(len(candidates) == 1 for candidates in found.values()):
            return {role: candidates[0] for role, candidates in found.items()}
    return None


def _slots_by_shape(arrays: Arrays) -> dict[str, str]:
    """By shape: boxes (1, N, 4), the count of one value; of the two (1, N) the order of TF1 (boxes first) or TF2 tells."""
    names = list(arrays)
    boxes = [name for name in names if arrays[name].ndim == 3 and arrays[name].shape[-1] == 4]
    flat = [name for name in names if arrays[name].ndim == 2 and arrays[name].size != 1]
    single = [name for name in names if arrays[name].size == 1]
    if len(boxes) != 1 or len(flat) != 2 or len(single) != 1:
        raise ModelError(f"decoder tflite_postprocess expects (1, N, 4), (1, N), (1, N) and (1,) but the model has {_listed(arrays)}")
    classes, scores = flat if names.index(boxes[0]) == 0 else (flat[1], flat[0])
    return {"boxes": boxes[0], "classes": classes, "scores": scores, "count": single[0]}


def _ssd_outputs(graph: Graph, arrays: Arrays) -> dict[str, Any]:
    fours = [name for name, array in arrays.items() if array.shape[-1] == 4]
    others = [name for name, array in arrays.items() if array.shape[-1] != 4]
    if (len(fours) == 2 and not others) or len(fours) not in (1, 2) or len(others) > 1:
        raise ModelError(
            f"decoder ssd_anchors expects (1, N, 4) boxes, (1, N, C) scores and perhaps (N, 4) anchors but the model has {_listed(arrays)}"
        )
    if not others:
        raise ModelError(f"decoder ssd_anchors finds no output of class scores among {_listed(arrays)}")
    options: dict[str, Any] = {"scores": others[0]}
    if len(fours) == 1:
        options["boxes"] = fours[0]
        return options
    called = {name: f"{name} {_signature_name(graph, name)}".lower() for name in fours}
    anchors = [name for name in fours if "anchor" in called[name] or "prior" in called[name]]
    if len(anchors) == 1:
        options["anchors"] = anchors[0]
        options["boxes"] = next(name for name in fours if name != anchors[0])
    else:
        options["open_boxes"] = fours
    return options


def _signature_name(graph: Graph, name: str) -> str:
    index = dict(zip(graph.output_names(), graph.outputs, strict=True))[name]
    return " ".join(outputs[index] for outputs in graph.signatures.values() if index in outputs)


def _channels_first(pair: tuple[int, int], contract: InputContract) -> bool:
    """Whether (a, b) is channels × candidates: by which of the two counts the cells of a grid, else the shorter is channels."""
    known = [_strides_of(count, contract, anchors=1) or _strides_of(count, contract, anchors=3) for count in pair]
    if (known[0] is None) != (known[1] is None):
        return known[0] is None
    return pair[0] < pair[1]


def _strides_of(count: int, contract: InputContract, *, anchors: int) -> tuple[int, ...] | None:
    """The strides whose cells, times `anchors`, number `count`; None where no usual set does."""
    for strides in _STRIDE_SETS:
        if anchors * len(grid(contract, strides)[0]) == count:
            return strides
    return None


def _bins(channels: int, classes: int | None) -> int:
    fits = [bins for bins in _NANODET_BINS if classes is None or channels - 4 * bins == classes]
    if not fits or channels <= 4 * fits[0]:
        raise ModelError(f"decoder nanodet: {channels} channels are not {classes} classes + 4 × bins; give `bins:` (reg_max + 1)")
    return fits[0]


def _pair(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The two last dimensions where all before them are 1, else None."""
    return (shape[-2], shape[-1]) if len(shape) >= 2 and all(size == 1 for size in shape[:-2]) else None


def _listed(arrays: Arrays) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
