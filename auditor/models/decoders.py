"""Detection heads: a model's raw outputs become candidates (or, with NMS inside, detections) in input pixels.

A decoder is `decode(outputs, spec)`: `outputs` maps an output's name to its array with the batch dimension, in real
values; `spec.decoder_options` holds what is open in the head, resolved once per model. The caller post-processes the
candidates and maps them to the original image, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import to_xyxy
from auditor.values import Candidates, ClassScores, Detections, InputContract, ModelSpec

__all__ = [
    "Decoder",
    "activated",
    "classifier",
    "end2end",
    "grid",
    "in_pixels",
    "nanodet",
    "tflite_postprocess",
    "yolov5",
    "yolov8",
    "yolox",
]

Outputs = Mapping[str, NDArray[Any]]


class Decoder(Protocol):
    """The extension point `auditor.decoders`."""

    def __call__(self, outputs: Outputs, spec: ModelSpec) -> Candidates | Detections | ClassScores:
        """Return candidates, or detections where NMS is inside, boxes being xyxy in pixels of the model's input; of a
        classifier, its scores."""


def classifier(outputs: Outputs, spec: ModelSpec) -> ClassScores:
    """Decode (1, C) or (1, 1, 1, C) scores of C classes; with the option `activation`, logits."""
    name = next(iter(spec.decoder_options.get("outputs", outputs)))
    scores = outputs[name].reshape(-1).astype(np.float64)
    return ClassScores(activated(scores[np.newaxis], spec.decoder_options.get("activation", "none"))[0])


def tflite_postprocess(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode TFLite_Detection_PostProcess: boxes (1, N, 4) yxyx in [0, 1], classes (1, N), scores (1, N), count (1,).

    Which output is which stands in the option `slots`, resolved once from the op itself.
    Source: tflite/kernels/detection_postprocess.cc in https://github.com/google-ai-edge/LiteRT (outputs 0 to 3).
    """
    slots = spec.decoder_options["slots"]
    count = int(outputs[slots["count"]].ravel()[0])
    classes = outputs[slots["classes"]].ravel()[:count]
    if np.abs(classes - np.rint(classes)).max(initial=0.0) > 0.01:
        raise ValueError(
            f"expected whole numbers as classes but got {classes[:3].tolist()}: the outputs are in another order; "
            "write `slots:`"
        )
    boxes = outputs[slots["boxes"]].reshape(-1, 4)[:count]
    return _sorted(
        in_pixels(boxes, spec, default_format="yxyx"),
        outputs[slots["scores"]].ravel()[:count],
        classes,
    )


def yolox(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 5 + C): cx, cy, w, h, objectness, class scores; the score is objectness × class.

    With the option `grid: raw` the boxes are offsets from their cell: centre = (offset + cell) × stride and
    size = exp(value) × stride. Source: Ge et al. 2021, arXiv:2107.08430, and the `decode_in_inference` switch of
    https://github.com/Megvii-BaseDetection/YOLOX.
    """
    rows = _rows(outputs, spec)
    boxes = rows[:, :4]
    if spec.decoder_options.get("grid") == "raw":
        cells, strides = _cells(rows, spec)
        boxes = np.concatenate(
            [(boxes[:, :2] + cells) * strides, np.exp(np.minimum(boxes[:, 2:4], 20.0)) * strides], axis=1
        )
    return _with_objectness(boxes, rows, spec)


def yolov5(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 5 + C): cx, cy, w, h, objectness, class scores; YOLOv5 and v7.

    Source: https://github.com/ultralytics/yolov5, export.py (TFLite boxes are divided by the input size).
    """
    rows = _rows(outputs, spec)
    return _with_objectness(rows[:, :4], rows, spec)


def yolov8(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode the anchor-free head (1, 4 + C, N) or (1, N, 4 + C): cx, cy, w, h, class scores; YOLOv8, v9, 11 and 12.

    Source: https://docs.ultralytics.com/modes/export (no objectness; scores are sigmoid outputs).
    """
    rows = _rows(outputs, spec)
    return Candidates(in_pixels(rows[:, :4], spec, default_format="cxcywh"), rows[:, 4:])


def end2end(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode (1, N, 6): box, score, class, with NMS (or none needed) inside: YOLOv10, YOLO26, exports with NMS.

    Rows with a score of 0 are padding. Source: https://docs.ultralytics.com/modes/export (`nms=True`, `end2end`).
    """
    rows = _rows(outputs, spec)
    rows = rows[rows[:, 4] > 0]
    return _sorted(in_pixels(rows[:, :4], spec, default_format="xyxy"), rows[:, 4], rows[:, 5])


def nanodet(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, C + 4 × bins): class scores, then for each side a distribution over distances of 0, 1, … strides.

    A side lies at softmax(bins) · (0, 1, …) × stride from the cell's centre, (x + 0.5) × stride; the option
    `cell_offset` moves that centre. Source: Li et al. 2020, arXiv:2006.04388 (the integral of a general distribution).
    """
    rows = _rows(outputs, spec)
    classes = rows.shape[1] - 4 * int(spec.decoder_options["bins"])
    cells, strides = _cells(rows, spec)
    centres = (cells + float(spec.decoder_options.get("cell_offset", 0.5))) * strides
    bins = activated(rows[:, classes:].reshape(len(rows), 4, -1), "softmax")
    distances = (bins @ np.arange(bins.shape[2])) * strides
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return Candidates(boxes, activated(rows[:, :classes], spec.decoder_options.get("activation", "none")))


# --------------------------------------------------------------------------------------------- shared by several heads


def in_pixels(boxes: NDArray[Any], spec: ModelSpec, *, default_format: str) -> NDArray[np.float64]:
    """Turn a head's (N, 4) boxes into xyxy input pixels, by the options `box_format` and `box_unit`."""
    xyxy = to_xyxy(boxes, spec.decoder_options.get("box_format", default_format))
    if spec.decoder_options.get("box_unit") == "pixels":
        return xyxy
    return xyxy * np.array([spec.input.width, spec.input.height] * 2, dtype=np.float64)


def grid(contract: InputContract, strides: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """List the cells of all strides, row by row: (N, 2) cell x, y and (N, 1) strides. A partial cell counts.

    >>> cells, strides = grid(InputContract(height=16, width=32), (8, 16))
    >>> len(cells), cells[1].tolist(), strides[-1].tolist()
    (10, [1.0, 0.0], [16.0])
    """
    cells, sizes = [], []
    for stride in strides:
        rows, columns = -(-contract.height // stride), -(-contract.width // stride)
        ys, xs = np.mgrid[:rows, :columns]
        cells.append(np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64))
        sizes.append(np.full((rows * columns, 1), float(stride)))
    return np.concatenate(cells), np.concatenate(sizes)


def activated(values: NDArray[Any], activation: str) -> NDArray[Any]:
    """Apply `none`, `sigmoid` or `softmax` (over the last axis).

    >>> activated(np.array([[0.0, 0.0]]), "softmax").tolist()
    [[0.5, 0.5]]
    """
    if activation == "none":
        return values
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(values.astype(np.float64), -700, 700))))
    if activation == "softmax":
        powers = np.exp(values.astype(np.float64) - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    raise ValueError(f"expected an activation of none, sigmoid or softmax but got {activation!r}")


def _with_objectness(boxes: NDArray[Any], rows: NDArray[Any], spec: ModelSpec) -> Candidates:
    """Score each class by objectness × class. A candidate whose objectness is below the score floor cannot reach it
    with any class and is left out, which spares most of the work."""
    kept = np.nonzero(rows[:, 4] > spec.postprocess.score_floor)[0]
    return Candidates(in_pixels(boxes[kept], spec, default_format="cxcywh"), rows[kept, 4:5] * rows[kept, 5:])


def _rows(outputs: Outputs, spec: ModelSpec) -> NDArray[Any]:
    """One row per candidate; a head split over several outputs is joined along its channels."""
    arrays = [outputs[name] for name in spec.decoder_options.get("outputs", list(outputs))]
    first = spec.decoder_options.get("channels_first", False)
    flat = [array.reshape(array.shape[-2:]) for array in arrays]
    rows = [array.T if first else array for array in flat]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def _cells(rows: NDArray[Any], spec: ModelSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cell and stride of each candidate."""
    sizes = tuple(spec.decoder_options.get("strides", (8, 16, 32)))
    cells, strides = grid(spec.input, sizes)
    if len(cells) != len(rows):
        raise ValueError(
            f"expected {len(rows)} candidates to be the cells of the strides {sizes}, but those are {len(cells)}"
        )
    return cells, strides


def _sorted(boxes: NDArray[np.float64], scores: NDArray[Any], labels: NDArray[Any]) -> Detections:
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order].astype(np.float64), np.rint(labels[order]).astype(np.int64))
