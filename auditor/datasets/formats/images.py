"""A folder of images without truth: of them stability can be told, not accuracy."""

from __future__ import annotations

from auditor.datasets.dataset import Dataset, DatasetRequest, Format
from auditor.datasets.image_files import folder_images
from auditor.errors import InputError
from auditor.values import GroundTruth

__all__ = ["FORMAT"]


def load(request: DatasetRequest) -> Dataset:
    """Load the images of a folder and all below it, at most the first `limit` by path.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if request.images is None:
        raise InputError("`images` is missing; expected a folder of images")
    images = folder_images(request.images, limit=request.limit, meant=request.meant)
    return Dataset(
        name=request.name,
        format="images",
        images=images,
        truth={image.id: GroundTruth.nothing() for image in images},
        categories=(),
        counts={},
        about={"images": str(request.images)},
        is_labelled=False,
    )


FORMAT = Format(
    name="images",
    task="",
    about="images without truth, of which stability is told",
    keys={"images": "a folder of images, with folders in it or not"},
    load=load,
    detect=lambda folder: None,  # noqa: ARG005 (what has no truth is never guessed)
    rank=1000,
    truth_beside=False,
)
