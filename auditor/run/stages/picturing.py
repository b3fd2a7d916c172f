"""Draw the image on which two delegates differ most, with what each finds, after the result is saved: a picture that
cannot be drawn costs nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.datasets.image_files import read_record
from auditor.errors import DataError, StoreError
from auditor.report.pictures import picture_path, suspect_path
from auditor.run.session import Session, State
from auditor.store import load_predictions, save_bytes
from auditor.values import PARITY, AuditResult, CellResult

__all__ = ["draw_pictures", "drawn"]

_WIDTH = 420
_COLORS = ((36, 88, 166), (226, 110, 30))
"""Of the one compared with, and of the cell itself; RGB."""
_SCORE = 0.1
"""Detections below this are left out, as they are where delegates are compared."""


def draw_pictures(session: Session, state: State, result: AuditResult) -> None:
    """Save the picture of each clean cell whose detections are not those of the first delegate; say what could not be
    drawn. Where no pixel may leave the data set, none is drawn, and those of an earlier run are deleted."""
    if session.config.gallery is False:
        for path in (session.folder / "pictures").glob("*.jpg"):
            path.unlink()
        return
    _suspects(session, state, result)
    for cell in result.cells:
        agreement = cell.parity
        if not cell.is_clean or not cell.is_local or agreement is None or agreement.image is None:
            continue
        if agreement.matched is None or agreement.matched >= PARITY:
            continue
        try:
            content = _picture(session, state, cell, agreement.against, agreement.image)
            save_bytes(picture_path(session.folder, cell), content)
        except (DataError, StoreError, ValueError, KeyError, cv2.error) as error:
            reason = " ".join(str(error).split())[:200]
            session.progress.say(f"no picture of {cell.key}: {reason}")


def _suspects(session: Session, state: State, result: AuditResult) -> None:
    """Save a picture of each place where the truth may lack something."""
    for number, suspect in enumerate(result.suspects):
        images = state.plan.datasets[suspect.dataset].images
        try:
            image = read_record(next(record for record in images if record.id == suspect.image_id))
            left, top, right, bottom = suspect.box
            margin = max(right - left, bottom - top, 32.0)
            low = max(0, int(left - margin)), max(0, int(top - margin))
            part = image[low[1] : int(bottom + margin) + 1, low[0] : int(right + margin) + 1]
            box = np.array([[left - low[0], top - low[1], right - low[0], bottom - low[1]]])
            nothing = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0)}
            content = drawn(part, [nothing, {"boxes": box, "scores": np.ones(1)}])
            save_bytes(suspect_path(session.folder, number), content)
        except (DataError, StoreError, ValueError, cv2.error) as error:
            session.progress.say(
                f"no picture of {suspect.label} on {suspect.image}: {' '.join(str(error).split())[:200]}"
            )


def _picture(session: Session, state: State, cell: CellResult, against: str, image_id: int) -> bytes:
    plan = state.plan
    spec = plan.subjects.spec(cell.file)
    record = next(record for record in plan.datasets[spec.dataset].images if record.id == image_id)
    every = {**dict(plan.cells()), **state.units}
    sides = []
    for delegate in (against, cell.delegate):
        units = every[dataclasses.replace(cell.key, delegate=delegate)]
        keys = [unit.resume_key for unit in units if record in unit.images]
        found = load_predictions(session.folder, keys, file=spec.key, delegate=delegate, severity=0)
        sides.append(next(item.values for item in found if item.image_id == image_id))
    return drawn(read_record(record), sides)


def drawn(image: NDArray[np.uint8], sides: Sequence[Mapping[str, NDArray[Any]]]) -> bytes:
    """Draw the boxes of both sides, `boxes` (N, 4) and `scores` (N,), onto a small copy of an RGB image; return it as
    JPEG.

    Boxes may lie anywhere: what is not finite is left out, what reaches outside ends a pixel beyond the border.
    """
    ratio = min(1.0, _WIDTH / image.shape[1])
    size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    small: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for values, color in zip(sides, _COLORS, strict=True):
        boxes = values["boxes"][values["scores"] >= _SCORE]
        boxes = boxes[np.isfinite(boxes).all(axis=1)] * ratio
        corners = np.rint(np.clip(boxes, -1, [*size, *size])).astype(int)
        for left, top, right, bottom in corners.tolist():
            cv2.rectangle(small, (left, top), (right, bottom), color, 1)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return content.tobytes()
