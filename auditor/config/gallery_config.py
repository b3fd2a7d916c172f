"""`gallery:` of `audit.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from auditor.config.yaml_file import Document

__all__ = ["GalleryConfig"]


class GalleryConfig(Document):
    """What the report shows of what models saw: of each cell at a middle severity so many images; their pictures so
    wide in pixels (None: no pictures, boxes on grey), all in so many megabytes (10^6 bytes)."""

    images: Annotated[int, Field(strict=True, ge=0, le=200)] = 12
    width: Annotated[int, Field(strict=True, ge=64, le=4096)] | None = 640
    megabytes: Annotated[float, Field(strict=True, gt=0, le=200)] = 6.0
