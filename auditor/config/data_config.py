"""What documents say of images and truth: data sets, calibration images, how images are meant."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from auditor.config.yaml_file import Document

__all__ = ["Bits", "CalibrationConfig", "DatasetConfig", "ImagesConfig", "PathText"]

PathText = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Bits = Annotated[int, Field(strict=True, ge=8, le=16)]


class ImagesConfig(Document):
    """How the images of every data set are meant, where their files leave it open."""

    bits: Bits | None = None
    """The bits that white has in images of more than 8: 12 for a camera whose 16-bit files use the lower 12."""
    exif: Literal["apply", "ignore"] | None = None
    """Whether an EXIF orientation is applied: left out, annotated sizes decide, and where they cannot it is."""


class DatasetConfig(Document):
    """Where images and truth are; which of the keys a format takes and needs, the format says."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: str = "coco"
    images: PathText | None = None
    annotations: PathText | None = None
    labels: PathText | None = None
    """The label file of idx; the class names of a bare folder of yolo labels."""
    split: Literal["train", "val", "test"] = "val"
    """Which images of a data.yaml or obj.data."""
    limit: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Take the first N images by id."""
    image_table: PathText | None = None
    """A CSV table with a row for each image: its columns are slices that the report looks at."""
    bits: Bits | None = None
    """As `images: bits`, for this data set."""
    exif: Literal["apply", "ignore"] | None = None
    """As `images: exif`, for this data set."""

    @property
    def options(self) -> dict[str, Any]:
        """Keys of the format's own."""
        return dict(self.model_extra or {})


class CalibrationConfig(Document):
    """The images that integer levels are calibrated on: a folder's, or with `annotations` a data set's."""

    format: str = "coco"
    images: PathText
    annotations: PathText | None = None
    labels: PathText | None = None
    limit: Annotated[int, Field(strict=True, ge=1)] | None = None
    bits: Bits | None = None
    exif: Literal["apply", "ignore"] | None = None
