"""What documents say of pictures that are fed in tiles."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from auditor.config.yaml_file import Document

__all__ = ["TilesConfig"]

Side = Annotated[int, Field(strict=True, ge=16, le=16384)]


def _both_sides(given: Any) -> Any:
    """A number is the height and the width."""
    return given if isinstance(given, list | tuple) else (given, given)


class TilesConfig(Document):
    """The picture is cut into tiles, each is fed as a picture of its own, and what is found is merged."""

    size: Annotated[tuple[Side, Side], BeforeValidator(_both_sides, json_schema_input_type=int | tuple[int, int])]
    """Of a tile in pixels of the picture: a number, or [height, width]."""
    overlap: Annotated[float, Field(strict=True, ge=0, le=0.9)] = 0.2
    """By which share of a tile neighbours overlap, at least."""
    merge: Literal["nms", "nmm"] = "nms"
    """Of boxes of one class that match, keep the most confident (nms), or the box around both (nmm)."""
    metric: Literal["iou", "ios"] = "ios"
    """Boxes match by their intersection over the union, or over the smaller one."""
    match: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.5
    """From which value of that on."""
    whole: bool = False
    """Whether the whole picture is fed as well, for what is larger than a tile."""
