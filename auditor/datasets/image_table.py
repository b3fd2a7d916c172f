"""A CSV table with a row for each image: what is known of images beside their pixels, such as place or hour."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from auditor.errors import InputError
from auditor.files import whole_text
from auditor.values import ImageRecord

__all__ = ["load_table"]

_NAMES = ("image", "file_name", "file", "filename", "path", "name")
_MOST_COLUMNS = 40


def load_table(path: Path, images: Sequence[ImageRecord]) -> Mapping[str, tuple[str, ...]]:
    """Read a table: by column the value of each image, in their order, empty where it has no row. The column `image`
    (or `file_name`, `file`, `path`, `name`; else the first) names it: its name, its stem, or the end of its path.

    Raises:
        InputError: the file cannot be read, has no other column, or names none of the images.
    """
    try:
        text = whole_text(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a CSV table of the images") from error
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    rows = [row for row in csv.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{path}: expected a CSV table with a line of names, one column of images and others")
    head = [name.strip() for name in rows[0]]
    place = next((head.index(name) for name in _NAMES if name in head), 0)
    uneven = [number for number, row in enumerate(rows[1:], start=2) if len(row) != len(head)]
    if uneven:
        raise InputError(
            f"{path}:{uneven[0]}: expected {len(head)} values, as in its first line; so in {len(uneven)} lines"
        )
    by_name: dict[str, list[str]] = {}
    for row in rows[1:]:
        by_name.setdefault(row[place].strip().replace("\\", "/"), row)
    found = [_row_of(image, by_name) for image in images]
    if not any(found):
        first, named = rows[1][place] if len(rows) > 1 else "", images[0].path.name
        raise InputError(
            f"{path}: none of its {len(rows) - 1} lines names one of the {len(images)} images; its column "
            f"{head[place]} begins with {first!r}, the images with {named!r}"
        )
    columns = [index for index in range(len(head)) if index != place][:_MOST_COLUMNS]
    return {head[index]: tuple(row[index].strip() if row else "" for row in found) for index in columns}


def _row_of(image: ImageRecord, by_name: Mapping[str, list[str]]) -> list[str]:
    parts = image.path.parts
    names = ["/".join(parts[start:]) for start in range(max(0, len(parts) - 4), len(parts))]
    return next((by_name[name] for name in (*names, image.path.stem) if name in by_name), [])
