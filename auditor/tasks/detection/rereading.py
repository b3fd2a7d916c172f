"""Read stored boxes in another order or unit, as if their decoder had said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.boxes import from_xyxy, to_xyxy
from auditor.tasks.anatomy.task import Framed, Reading
from auditor.tasks.detection.postprocess import suppress

__all__ = ["reread"]


def reread(values: Mapping[str, NDArray[Any]], reading: Reading, framed: Framed) -> dict[str, NDArray[Any]]:
    """Read the boxes of one image, in its own pixels, in another order or unit; suppressed anew unless the head does so
    itself."""
    spec, geometry = framed.spec, framed.geometry
    boxes = values["boxes"] * np.array(geometry.scale * 2) + np.array(geometry.offset * 2)
    if "box_format" in reading.options:
        declared, other = reading.options["box_format"]
        boxes = to_xyxy(from_xyxy(boxes, declared), other)
    else:
        sides = np.array([spec.input.width, spec.input.height] * 2, dtype=np.float64)
        boxes = boxes / sides if reading.options["box_unit"][1] == "pixels" else boxes * sides
    kept = np.nonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))[0]
    scores, labels = values["scores"], values["labels"]
    if not reading.nms_inside:
        settings = spec.postprocess
        inner = suppress(boxes[kept], scores[kept], labels[kept], iou=settings.nms_iou, most=settings.max_detections)
        kept = kept[inner]
    return {"boxes": geometry.to_original(boxes[kept]), "scores": scores[kept], "labels": labels[kept]}
