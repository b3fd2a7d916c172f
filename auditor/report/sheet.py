"""The contact sheet of `auditor scenarios preview`: one image at every severity of every scenario of a pack."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.corruptions.likeness import psnr, ssim
from auditor.report.frame import render_page
from auditor.values import Mark, ScenarioSpec

__all__ = ["Shown", "render_sheet"]

Image = NDArray[np.uint8]
_WIDTH = 320
"""Images are shown at most so wide."""


@dataclass(frozen=True, eq=False)
class Shown:
    """An image under a caption, and what a model finds on it; None: no model was asked."""

    caption: str
    image: Image
    marks: tuple[Mark, ...] | None = None

    @property
    def source(self) -> str:
        """The image as a data URI."""
        width = min(_WIDTH, self.image.shape[1])
        height = max(1, round(self.image.shape[0] * width / self.image.shape[1]))
        fits = width == self.image.shape[1]
        small = self.image if fits else cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()

    @property
    def found(self) -> str:
        """What a model finds, in words; empty where none was asked."""
        if self.marks is None:
            return ""
        if any(mark.box is None for mark in self.marks):
            return "says " + ", ".join(f"{mark.label} {mark.score:.2f}" for mark in self.marks)
        counts = Counter(mark.label for mark in self.marks)
        return "finds " + (", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing")


def render_sheet(
    title: str, original: Shown, rows: Sequence[tuple[ScenarioSpec, Sequence[Shown]]], *, asked: str = ""
) -> str:
    """Render the sheet: `rows` holds scenarios, each with its images by severity; `asked` says which model was, and
    from which score on it is shown.

    PSNR and SSIM are of the full images against the original.
    """
    shown = [
        (
            scenario,
            [(item, psnr(original.image, item.image), ssim(original.image, item.image)) for item in items],
        )
        for scenario, items in rows
    ]
    height, width = original.image.shape[:2]
    return render_page(
        "sheet.html.j2",
        title=title,
        chip="contact sheet",
        kind="not-judged",
        nav=[(scenario.key.replace("/", "-"), scenario.key) for scenario, _ in shown],
        original=original,
        width=width,
        height=height,
        rows=shown,
        asked=asked,
    )
