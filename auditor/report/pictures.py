"""The pictures of a run: where each lies in its folder, and each as the report embeds it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from auditor.provenance import digest
from auditor.values import AuditResult, CellResult

__all__ = ["load_pictures", "picture_path", "suspect_path"]


def picture_path(folder: Path, cell: CellResult) -> Path:
    """Return where the picture is, or will be, of the image on which a cell differs most from the first delegate's."""
    return folder / "pictures" / f"{digest(str(cell.key))[:16]}.jpg"


def suspect_path(folder: Path, number: int) -> Path:
    """Return where the picture of a place is at which the truth may lack something."""
    return folder / "pictures" / f"suspect-{number}.jpg"


def load_pictures(folder: Path, result: AuditResult) -> Mapping[str, str]:
    """Read the pictures of a run's cells, as data URIs by the cell's name, and those of suspects in the truth; any may
    be missing."""
    found = {}
    for cell in result.cells:
        path = picture_path(folder, cell)
        if cell.parity is not None and path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            found[str(cell.key)] = f"data:image/jpeg;base64,{content}"
    for number in range(len(result.suspects)):
        path = suspect_path(folder, number)
        if path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            found[f"suspect {number}"] = f"data:image/jpeg;base64,{content}"
    return found
