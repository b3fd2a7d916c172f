"""Images to calibrate int8 on: a folder that was named, else some of the data set that are then not evaluated."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.starter.entry import relative
from auditor.starter.trial import load_whole
from auditor.values import yaml_flow

__all__ = ["LISTING", "HeldOut", "held_out"]

LISTING = "-calibration.json"
"""How the file that lists calibration images ends."""

_MOST = 80
_ENOUGH = 40
"""Of fewer images none is kept from evaluation."""
_SHARE = 4


@dataclass(frozen=True)
class HeldOut:
    """The calibration images by the keys of `calibration:`, paths absolute, how many others are `evaluated`, and the
    file that lists them, where one has to be written."""

    keys: Mapping[str, str]
    evaluated: int
    images: int
    listing: Path | None = None
    text: str = ""

    def line(self, output: Path) -> str:
        """The keys as they stand in the file `output`."""
        keys = {key: value if key == "format" else relative(Path(value), output) for key, value in self.keys.items()}
        told = f"   # the last {self.images} images by id, which are not evaluated" if self.listing else ""
        return f"calibration: {yaml_flow(keys)}{told}"


def held_out(dataset: Mapping[str, Any], output: Path, *, calibration: Path | None) -> HeldOut | None:
    """The images to calibrate on; None where the data set has too few, or they are no files of their own."""
    whole = load_whole(dataset)
    if whole is None:
        return None
    if calibration is not None:
        return HeldOut({"images": str(calibration.absolute())}, len(whole.images), 0)
    kept = min(_MOST, len(whole.images) // _SHARE)
    if len(whole.images) < _ENOUGH or any(image.index is not None for image in whole.images):
        return None
    first = load_whole(dataset, limit=len(whole.images) - kept)
    evaluated = {image.path for image in first.images} if first is not None else set()
    content = {image.sha256 for image in first.images} if first is not None else set()
    rest = [image for image in whole.images if image.path not in evaluated and image.sha256 not in content]
    if not rest:
        return None
    top = Path(os.path.commonpath([image.path.parent for image in whole.images]))
    listing = output.parent / f"{output.stem}{LISTING}"
    names = sorted(image.path.relative_to(top).as_posix() for image in rest)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, start=1)]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "any"}]}
    keys = {"format": "coco", "images": str(top), "annotations": str(listing.absolute())}
    return HeldOut(keys, len(evaluated), len(rest), listing, json.dumps(document, indent=1) + "\n")
