"""Which detection head a model has, told from its op, its signature names and the shapes of its outputs.

Values are never used to choose a decoder; `open_options` settles from them only what a head leaves open.
"""

from __future__ import annotations

import re
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
    if not arrays:
        raise ModelError("it has no outputs, so nothing to judge")
    if len(arrays) == 1 and next(iter(arrays.values())).size == 1:
        raise ModelError(
            f"its one output {_listed(arrays)} is a single value: a binary classifier's sigmoid, or no classifier; "
            "export it with one score for each class"
        )
    if len(arrays) == 1 and _is_classifier(next(iter(arrays.values())).shape):
        (shape,) = (array.shape for array in arrays.values())
        return Head("classifier", {}, f"one output {tuple(shape)}: the scores of {shape[-1]} classes")
    _refuse_other_tasks(notes, arrays, [name for outputs in graph.signatures.values() for name in outputs.values()])
    if any(op.name == _POSTPROCESS for op in graph.ops):
        return Head(
            "tflite_postprocess",
            structure("tflite_postprocess", graph, arrays, contract, classes),
            f"its op {_POSTPROCESS}",
        )
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
            f"its outputs {_listed(arrays)} fit no decoder; write `decoder:` with the head's name, or register one of "
            "your own"
        )
    return Head(name, structure(name, graph, arrays, contract, classes), reason)


def _is_classifier(shape: tuple[int, ...]) -> bool:
    """Whether an output has one value for each class and nothing else: (1, C) or (1, 1, 1, C)."""
    return len(shape) in (2, 4) and all(size == 1 for size in shape[:-1]) and shape[-1] > 1


def structure(
    decoder: str, graph: Graph, arrays: Arrays, contract: InputContract, classes: int | None, *, ordered: bool = False
) -> dict[str, Any]:
    """Settle the options of a built-in decoder that the shapes fix: which output is what, which axis holds candidates.

    Raises:
        ModelError: the outputs do not have the head's shapes.
    """
    if decoder == "tflite_postprocess":
        return {"slots": _slots(graph, arrays), "box_unit": "normalized"}
    if decoder == "ssd_anchors":
        return _ssd_outputs(graph, arrays)
    if decoder == "classifier" and (len(arrays) != 1 or not _is_classifier(next(iter(arrays.values())).shape)):
        raise ModelError(
            f"decoder classifier expects one output (1, C) but the model has {_listed(arrays)}; name it with "
            "`outputs: [NAME]`",
            field="decoder",
        )
    if decoder not in ("yolox", "yolov5", "yolov8", "end2end", "nanodet"):
        return {}
    pairs = {name: pair for name, array in arrays.items() if (pair := _pair(array.shape)) is not None}
    if len(pairs) != len(arrays):
        raise ModelError(f"decoder {decoder} expects outputs (1, N, channels) but the model has {_listed(arrays)}")
    first = _channels_first(next(iter(pairs.values())), contract)
    channels = sum(pair[0] if first else pair[1] for pair in pairs.values())
    candidates = {pair[1] if first else pair[0] for pair in pairs.values()}
    if len(candidates) != 1:
        raise ModelError(
            f"decoder {decoder} expects outputs over the same candidates but the model has {_listed(arrays)}"
        )
    options: dict[str, Any] = {"channels_first": first}
    if ordered:
        options["outputs"] = list(pairs)
    elif len(pairs) > 1:  # boxes first, then what is scored
        options["outputs"] = _boxes_first(
            graph, arrays, [name for name, pair in pairs.items() if (pair[0] if first else pair[1]) == 4]
        )
    least = {"yolox": 6, "yolov5": 6, "yolov8": 5, "end2end": 6, "nanodet": 5}[decoder]
    if channels < least or (decoder == "end2end" and channels != 6):
        raise ModelError(
            f"decoder {decoder} expects {'exactly' if decoder == 'end2end' else 'at least'} {least} channels but the "
            f"model has {_listed(arrays)}"
        )
    count = candidates.pop()
    if decoder in ("yolox", "nanodet"):
        strides = _strides_of(count, contract, anchors=1)
        if strides is not None:
            options["strides"] = list(strides)
        elif decoder == "nanodet":
            raise ModelError(
                f"decoder nanodet: {count} candidates are not the cells of strides 8, 16, 32 (and 64) of a "
                f"{contract.height} × {contract.width} input; give `strides:`"
            )
    if decoder == "nanodet":
        options["bins"] = _bins(channels, classes)
    return options


def _refuse_other_tasks(notes: FileNotes, arrays: Arrays, called: Sequence[str]) -> None:
    task = notes.ultralytics.get("task")
    if task not in (None, "detect", "classify"):
        raise ModelError(f"its metadata says that its task is {task!r}; only detection and classification are judged")
    shapes = [array.shape for array in arrays.values()]
    ranks = sorted(len(shape) for shape in shapes)
    if ranks and all(rank == 2 for rank in ranks) and len(shapes) == 2 and all(shape[0] == 1 for shape in shapes):
        raise ModelError(
            f"it looks like a classifier with two outputs {_listed(arrays)}; write which holds the scores: `decoder: "
            f"{{name: classifier, outputs: [NAME]}}`",
            field="decoder",
        )
    if len(shapes) == 8 and any("raw_detection" in f"{name} {signature}" for name in arrays for signature in called):
        raise ModelError(
            f"it has the eight outputs of a TensorFlow detection SavedModel {_listed(arrays)}; export it with "
            "export_tflite_graph_tf2.py, which ends in TFLite_Detection_PostProcess"
        )
    if ranks == [4]:
        raise ModelError(
            f"it looks like a segmentation model (one output {_listed(arrays)}, a value per pixel); only detection is "
            "judged"
        )
    if len(shapes) == 2 and ranks == [3, 4]:
        raise ModelError(
            f"it looks like an instance segmentation model (outputs {_listed(arrays)}: boxes with mask coefficients, "
            "and mask prototypes); only detection is judged"
        )
    if ranks and min(ranks) >= 4:
        raise ModelError(
            f"its outputs {_listed(arrays)} look like raw feature maps of a YOLO head; export the model with its "
            "boxes decoded"
        )


def _single(pair: tuple[int, int], notes: FileNotes, contract: InputContract, classes: int | None) -> tuple[str, str]:
    first = _channels_first(pair, contract)
    channels, count = pair if first else (pair[1], pair[0])
    shown = f"one output (1, {pair[0]}, {pair[1]})"
    if not first and channels == 6 and _is_end2end(count, notes, contract, classes, shown):
        return "end2end", f"{shown}: box, score, class of at most {count} objects"
    if _strides_of(count, contract, anchors=3) is not None and not first:
        return (
            "yolov5",
            f"{shown}: {count} is three anchors a cell, {channels} is box, objectness and {channels - 5} classes",
        )
    if channels == 56 and classes != 52:
        raise ModelError(
            f"it looks like a pose model ({shown}: box, score and 17 keypoints of three); only detection is judged"
        )
    if channels < 5:
        raise ModelError(f"{shown} has too few channels for a box and a score")
    known = {"yolov8": channels - 4, "yolox": channels - 5}
    if first and classes in (None, channels - 4):
        return "yolov8", f"{shown}: box and {channels - 4} class scores of {count} candidates, without objectness"
    if first:
        raise ModelError(
            f"{shown} is a yolov8 head of {channels - 4} classes (or a head with more than boxes and scores: pose, "
            "segmentation, rotated boxes), "
            f"but the model has {classes} labels: check `labels:`",
            field="labels",
        )
    if classes is not None:
        fits = [name for name, number in known.items() if number == classes]
        fits += ["nanodet"] if (channels - classes) % 4 == 0 and (channels - classes) // 4 in _NANODET_BINS else []
        if len(fits) == 1:
            return fits[0], f"{shown}: {channels} channels are those of {fits[0]} with {classes} classes"
        raise ModelError(
            f"{shown} has {channels} channels, which is neither 4 + {classes} (yolov8), 5 + {classes} (yolox) nor "
            f"{classes} + 4 × bins (nanodet); "
            f"the model has {classes} labels: check `labels:`, or write `decoder:`"
        )
    if channels in (85, 84, 112):
        name = {85: "yolox", 84: "yolov8", 112: "nanodet"}[channels]
        return name, f"{shown}: {channels} channels are those of {name} with COCO's 80 classes"
    raise ModelError(
        f"{shown} may be yolov8 with {channels - 4} classes or yolox with {channels - 5}; give `labels:`, or write "
        "`decoder:`"
    )


def _is_end2end(count: int, notes: FileNotes, contract: InputContract, classes: int | None, shown: str) -> bool:
    """Whether rows of six are box, score and class: what a head of one class (yolox) or two (yolov8) also has."""
    arguments = notes.ultralytics.get("args")
    if notes.ultralytics.get("end2end") or (isinstance(arguments, dict) and arguments.get("nms")):
        return True
    on_grid = any(_strides_of(count, contract, anchors=anchors) is not None for anchors in (1, 3))
    if not on_grid or classes not in (None, 1, 2):
        return True
    if count % 100 == 0:
        raise ModelError(
            f"{shown} may be detections after NMS (`decoder: end2end`) or a raw head (`decoder: yolov8` or `yolox`); "
            "write which",
            field="decoder",
        )
    return False


def _split(shapes: Sequence[tuple[int, ...]], contract: InputContract) -> tuple[str, str]:
    pairs = [pair for shape in shapes if (pair := _pair(shape)) is not None]
    shown = ", ".join(str(tuple(shape)) for shape in shapes)
    if len(pairs) == len(shapes):
        if sum(pair[1] == 4 for pair in pairs) >= 1 and len({pair[0] for pair in pairs}) == 1:
            if _strides_of(pairs[0][0], contract, anchors=1) is not None and len(pairs) == 2:
                raise ModelError(
                    f"outputs {shown} may be a decoded head (`decoder: yolov8`) or a raw SSD head (`decoder: "
                    "ssd_anchors`); write which"
                )
            return "ssd_anchors", f"outputs {shown}: box encodings and class scores of the same anchors"
        if len(pairs) == 2 and pairs[0][1] == pairs[1][1] and 4 in (pairs[0][0], pairs[1][0]):
            return "yolov8", f"outputs {shown}: boxes and class scores, channels first"
    raise ModelError(
        f"its outputs {shown} fit no decoder; write `decoder:` with the head's name, or register one of your own"
    )


def _slots(graph: Graph, arrays: Arrays) -> dict[str, str]:
    """Which output holds boxes, classes, scores and the count: by the op's own slots, else signature names, else
    shapes."""
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
    return found or _slots_by_shape(graph, arrays)


def _slots_by_signature(graph: Graph, names: Sequence[str]) -> dict[str, str] | None:
    """By what a signature calls its outputs, for example detection_boxes, detection_classes, detection_scores,
    num_detections."""
    marks = {"boxes": ("box",), "classes": ("class", "categor"), "scores": ("score",), "count": ("num", "count")}
    by_index = dict(zip(graph.outputs, names, strict=True))
    for outputs in graph.signatures.values():
        found = {
            role: [
                by_index[index]
                for index, name in outputs.items()
                if index in by_index and any(mark in name.lower() for mark in words)
            ]
            for role, words in marks.items()
        }
        if all(len(candidates) == 1 for candidates in found.values()):
            return {role: candidates[0] for role, candidates in found.items()}
    return None


def _slots_by_shape(graph: Graph, arrays: Arrays) -> dict[str, str]:
    """By shape: boxes (1, N, 4), the count of one value; of the two (1, N) the order tells: TF1 has boxes, classes,
    scores, count, TF2 has scores before classes, whether by the numbers of its names (count first) or in the file
    (boxes second)."""
    names = _numbered_order(graph, list(arrays))
    boxes = [name for name in names if arrays[name].ndim == 3 and arrays[name].shape[-1] == 4]
    flat = [name for name in names if arrays[name].ndim == 2 and arrays[name].size != 1]
    single = [name for name in names if arrays[name].size == 1]
    if len(boxes) != 1 or len(flat) != 2 or len(single) != 1:
        raise ModelError(
            f"decoder tflite_postprocess expects (1, N, 4), (1, N), (1, N) and (1,) but the model has {_listed(arrays)}"
        )
    classes, scores = flat if names.index(boxes[0]) == 0 else (flat[1], flat[0])
    return {"boxes": boxes[0], "classes": classes, "scores": scores, "count": single[0]}


def _numbered_order(graph: Graph, names: list[str]) -> list[str]:
    """The outputs in the order of the numbers that end what a signature calls them (`output_0`, …), else their own
    names (`StatefulPartitionedCall:0`, …), else as they stand: converters store them in another order."""
    for called in (lambda name: _signature_name(graph, name), lambda name: name):
        found = [re.fullmatch(r"(.*?)[_:](\d+)", called(name)) for name in names]
        if all(found) and len({match[1] for match in found if match}) == 1:
            numbers = {name: int(match[2]) for name, match in zip(names, found, strict=True) if match}
            return sorted(names, key=numbers.__getitem__)
    return names


def _boxes_first(graph: Graph, arrays: Arrays, fours: Sequence[str]) -> list[str]:
    """The outputs of a split head, boxes first: the one of four channels, of several the one that is called so."""
    boxes = fours[0] if len(fours) == 1 else _called(graph, arrays).get("boxes")
    if boxes is None:
        raise ModelError(
            f"which of the outputs {_listed(arrays)} holds the boxes cannot be told; write `decoder: {{name: …, "
            "outputs: [boxes, scores]}}` with their names",
            field="decoder",
        )
    return [boxes, *(name for name in arrays if name != boxes)]


def _ssd_outputs(graph: Graph, arrays: Arrays) -> dict[str, Any]:
    """Which output holds box encodings, class scores and anchors: by what they are called, then by shape."""
    roles = _called(graph, arrays)
    fours = [name for name, array in arrays.items() if array.shape[-1] == 4 and name not in roles.values()]
    others = [name for name, array in arrays.items() if array.shape[-1] != 4 and name not in roles.values()]
    if "scores" not in roles and len(others) == 1:
        roles["scores"] = others.pop()
    if "anchors" in roles and "boxes" not in roles and len(fours) == 1:
        roles["boxes"] = fours.pop()
    elif "boxes" in roles and "anchors" not in roles and len(fours) == 1 and "scores" in roles:
        roles["anchors"] = fours.pop()
    elif "boxes" not in roles and len(fours) == 1:
        roles["boxes"] = fours.pop()
    if "scores" not in roles or others or ("boxes" not in roles and len(fours) != 2) or len(fours) > 2:
        raise ModelError(
            "decoder ssd_anchors expects (1, N, 4) boxes, (1, N, C) scores and perhaps (N, 4) anchors but cannot "
            f"tell which is which of {_listed(arrays)}; "
            "write the names: `decoder: {name: ssd_anchors, boxes: …, scores: …}`",
            field="decoder",
        )
    return dict(roles) if "boxes" in roles else {**roles, "open_boxes": fours}


def _called(graph: Graph, arrays: Arrays) -> dict[str, str]:
    """The roles that outputs' names, or what a signature calls them, give away; none that two outputs claim."""
    marks = {
        "anchors": ("anchor", "prior"),
        "boxes": ("box", "loc", "regress"),
        "scores": ("score", "class", "conf", "prob"),
    }
    found: dict[str, list[str]] = {role: [] for role in marks}
    for name in arrays:
        called = f"{_signature_name(graph, name)} {name}".lower()
        role = next((role for role, words in marks.items() if any(word in called for word in words)), None)
        if role is not None:
            found[role].append(name)
    return {role: names[0] for role, names in found.items() if len(names) == 1}


def _signature_name(graph: Graph, name: str) -> str:
    index = dict(zip(graph.output_names(), graph.outputs, strict=True))[name]
    return " ".join(outputs[index] for outputs in graph.signatures.values() if index in outputs)


def _channels_first(pair: tuple[int, int], contract: InputContract) -> bool:
    """Whether (a, b) is channels × candidates: by which of the two counts the cells of a grid, else the shorter is
    channels."""
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
        raise ModelError(
            f"decoder nanodet: {channels} channels are not {classes} classes + 4 × bins; give `bins:` (reg_max + 1)"
        )
    return fits[0]


def _pair(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The two last dimensions where all before them are 1, else None."""
    return (shape[-2], shape[-1]) if len(shape) >= 2 and all(size == 1 for size in shape[:-2]) else None


def _listed(arrays: Arrays) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
