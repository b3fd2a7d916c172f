"""Tell a data set's format from what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from auditor import extensions
from auditor.datasets.dataset import Format
from auditor.datasets.named_files import no_folder
from auditor.errors import InputError

__all__ = ["detect_dataset"]


def detect_dataset(folder: Path) -> dict[str, Path | str]:
    """Return the keys of `dataset:` (format, images, annotations, labels) for the data in `folder`.

    Raises:
        InputError: nothing there is of a known format; says what was looked for.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: {no_folder(folder)}; expected a folder of images with their annotations, or of a video and its "
            "gt.txt"
        )
    formats: list[Format] = sorted(extensions.every("datasets").values(), key=lambda found: found.rank)
    for form in formats:
        found = form.detect(folder)
        if found is not None:
            return {"format": form.name, **found}
    looked = ", ".join(f"{form.name} ({form.about})" for form in formats)
    raise InputError(f"{folder}: no known data set there; looked for {looked}")
