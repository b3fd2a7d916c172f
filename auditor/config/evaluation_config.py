"""What documents say of how detections are evaluated beside COCO's own metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from auditor.config.yaml_file import Document
from auditor.values import Evaluation

__all__ = ["EvaluationConfig"]

_COCO_AREAS = ("all", "small", "medium", "large")
Threshold = Annotated[float, Field(strict=True, gt=0, le=1)]
AreaName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$", max_length=20)]
Area = tuple[Annotated[float, Field(strict=True, ge=0)], Annotated[float, Field(strict=True, gt=0)]]


class EvaluationConfig(Document):
    """Metrics beside COCO's, each of a name that is none of COCO's: AP is never changed."""

    max_detections: tuple[Annotated[int, Field(strict=True, ge=1, le=10_000)], ...] = ()
    """300 adds AP@max300 and AR300, over as many detections an image."""
    iou: tuple[Threshold, ...] = ()
    """0.4 adds AP@0.40, at that IoU alone."""
    areas: dict[AreaName, Area] = Field(default={})
    """`tiny: [0, 256]` adds AP_tiny and AR_tiny, of true objects of an area within, in square pixels."""

    @field_validator("areas")
    @classmethod
    def _own_names(cls, areas: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in areas.items():
            if name in _COCO_AREAS:
                raise ValueError(f"{name!r} is COCO's own ({', '.join(_COCO_AREAS)}); give other limits another name")
            if low >= high:
                raise ValueError(f"{name} is from {low:g} to {high:g}; expected a lower limit and a higher one")
        return areas

    @property
    def value(self) -> Evaluation:
        """What is evaluated beside COCO's metrics, each once and in order."""
        return Evaluation(tuple(sorted(set(self.max_detections))), tuple(sorted(set(self.iou))), dict(self.areas))
