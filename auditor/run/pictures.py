"""The image on which two delegates, or two levels, differ most, with what each finds: a small picture for the
report."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.datasets.images import read_record
from auditor.errors import DataError
from auditor.evaluate.cells import CellEvaluation
from auditor.evaluate.parity import SCORE
from auditor.plan import Plan
from auditor.values import PARITY, Cell, CellResult, Detections

__all__ = ["with_pictures"]

_WIDTH = 420
_COLORS = ((36, 88, 166), (226, 110, 30))
"""Of the one compared with, and of the cell itself; RGB."""


def with_pictures(
    plan: Plan, cells: Sequence[CellResult], evaluations: Mapping[Cell, CellEvaluation]
) -> list[CellResult]:
    """Add to each clean cell whose detections are not those of the first delegate the picture of the worst image."""
    return [_with_picture(plan, cell, evaluations) for cell in cells]


def _with_picture(plan: Plan, cell: CellResult, evaluations: Mapping[Cell, CellEvaluation]) -> CellResult:
    matched, parity = cell.metrics.get("parity_matched"), cell.details.get("parity")
    if matched is None or matched.value is None or matched.value >= PARITY or not parity or parity["image"] is None:
        return cell
    spec = next(spec for spec in plan.specs if spec.name == cell.cell.file)
    record = next(record for record in plan.datasets[spec.dataset].images if record.id == parity["image"])
    first = evaluations.get(dataclasses.replace(cell.cell, delegate=parity["against"]))
    mine = evaluations.get(cell.cell)
    if first is None or mine is None or first.detections is None or mine.detections is None:
        return cell
    try:
        image = read_record(record)
    except DataError:
        return cell
    picture = _drawn(image, [first.detections[record.id], mine.detections[record.id]])
    return dataclasses.replace(
        cell, details={**cell.details, "parity": {**parity, "picture": picture, "file": record.path.name}}
    )


def _drawn(image: NDArray[np.uint8], sides: Sequence[Detections]) -> str:
    """The image with the boxes of both sides, as a data URI."""
    ratio = min(1.0, _WIDTH / image.shape[1])
    size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    small: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for found, color in zip(sides, _COLORS, strict=True):
        for box in found.boxes[found.scores >= SCORE]:
            left, top, right, bottom = (round(float(side) * ratio) for side in box)
            cv2.rectangle(small, (left, top), (right, bottom), color, 1)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
