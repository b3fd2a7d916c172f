"""What a model finds on single images, whatever is true of them: for the contact sheet of scenarios."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.delegate import XNNPACK
from auditor.encoding import encode_parts
from auditor.errors import InputError
from auditor.measure.predict import as_one, decoded
from auditor.resolve.entries import resolve_shown
from auditor.runtimes.anatomy.runtime import open_spec
from auditor.tasks.anatomy.cells import task_of
from auditor.values import Mark

__all__ = ["Finder"]


class Finder:
    """A model that is opened once, and asked of one image after the other."""

    def __init__(self, model: str, image: NDArray[np.uint8]) -> None:
        """`model` is a file, or an entry of a document as `audit.yaml#name`; `image` (H, W, 3) uint8 RGB settles what
        its head leaves open.

        Raises:
            InputError: it cannot be opened or understood, or says nothing that can be shown.
        """
        self.spec = resolve_shown(model, (image,))
        if task_of(self.spec.task).said is None:
            raise InputError(f"--model {model}: what a model for {self.spec.task} says cannot be shown")
        self._opened = open_spec(self.spec, delegate=XNNPACK, threads=1)

    def __call__(self, image: NDArray[np.uint8], *, least: float) -> tuple[Mark, ...]:
        """What it says of an image with a score of at least `least`, the most confident first."""
        self._opened.reset()
        size = (image.shape[0], image.shape[1])
        parts = encode_parts(image, self.spec.input)
        told = [decoded(self.spec, self._opened.invoke(tensor), geometry, size) for tensor, geometry in parts]
        values = as_one(self.spec, told)
        said = task_of(self.spec.task).said
        assert said is not None
        offset = int(str(self.spec.decoder_options.get("label_offset", 0)))
        marks = said(values, self.spec.labels, offset)
        return tuple(mark for mark in marks if mark.score is None or mark.score >= least)
