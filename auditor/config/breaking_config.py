"""What documents say of breaking points: of which metric, and how large a drop breaks a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from auditor.config.data_config import PathText
from auditor.config.yaml_file import Document

__all__ = ["BreakingConfig"]


class BreakingConfig(Document):
    """For each model, level and scenario the knob's value is searched at which a metric is worse than on clean images
    by so much."""

    metric: str
    """Any metric of cells, such as recall, AP or top1."""
    max_drop: Annotated[float, Field(strict=True, gt=0)]
    """By how much it may get worse: fall, or, where less is better, rise."""
    scenarios: Annotated[tuple[PathText, ...], Field(min_length=1)] | None = None
    """Packs, or scenarios as pack/scenario, of the audit; left out: all of them."""
