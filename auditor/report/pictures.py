"""The pictures of a run: where each lies in its folder, and each as the report embeds it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from auditor.provenance import digest
from auditor.values import AuditResult, CellResult

__all__ = ["load_pictures", "picture_path"]


def picture_path(folder: Path, cell: CellResult) -> Path:
    """Return where the picture is, or will be, of the image on which a cell differs most from the first delegate's."""
    return folder / "pictures" / f"{digest(str(cell.key))[:16]}.jpg"


def load_pictures(folder: Path, result: AuditResult) -> Mapping[str, str]:
    """Read the pictures of a run's cells, as data URIs by the cell's name; a cell may have none."""
    found = {}
    for cell in result.cells:
        path = picture_path(folder, cell)
        if cell.parity is not None and path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            found[str(cell.key)] = f"data:image/jpeg;base64,{content}"
    return found
