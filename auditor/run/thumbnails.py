"""The pictures of a gallery: an image as the data set has it or as a scenario leaves it, small, as WebP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.corruptions.corrupt import corrupt, draw_of
from auditor.datasets.image_files import read_record
from auditor.values import ImageRecord, ScenarioSpec

__all__ = ["Thumbnail", "seen_pixels", "thumbnail"]

_QUALITY = 68
"""Of WebP: artefacts of noise and JPEG stay to be seen, at about 30 KB for 640 × 480 pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """Which picture: of which image, in which scenario (None: clean) at which severity, at most how wide in pixels."""

    record: ImageRecord
    scenario: ScenarioSpec | None
    severity: float
    seed: int
    width: int

    @property
    def scenario_key(self) -> str:
        """What its scenario is called."""
        return "clean" if self.scenario is None else self.scenario.key


def thumbnail(wanted: Thumbnail) -> bytes:
    """Draw it, as a WebP file.

    Raises:
        DataError: the image cannot be read.
        ScenarioError: the scenario fails on it.
    """
    image: Any = seen_pixels(wanted)
    height, width = image.shape[:2]
    if width > wanted.width:
        size = (wanted.width, max(1, round(height * wanted.width / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return content.tobytes()


def seen_pixels(wanted: Thumbnail) -> NDArray[np.uint8]:
    """The image in full, as models saw it before it was encoded for them."""
    image = read_record(wanted.record)
    if wanted.scenario is None:
        return image
    draw = draw_of(wanted.record, wanted.scenario.key, seed=wanted.seed)
    return corrupt(image, wanted.scenario, severity=wanted.severity, seed=draw)
