"""A CSV table with a row for each image: what is known of images beside their pixels, such as place or hour."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from auditor.errors import InputError
from auditor.files import whole_bytes, whole_text
from auditor.values import ImageRecord

__all__ = ["load_table"]

_NAMES = ("image", "file_name", "file", "filename", "path", "name")
_MOST_COLUMNS = 40
_SHOWN = 10


def load_table(path: Path, images: Sequence[ImageRecord]) -> Mapping[str, tuple[str, ...]]:
    """Read a table: by column the value of each image, in their order, empty where it has no row. The column `image`
    (or `file_name`, `file`, `path`, `name`; else the first) names it: its name, its stem, or the end of its path; of a
    clip's frame its number, from 1 on.

    Raises:
        InputError: the file cannot be read, has no other column, names none of the images, or one
            of them twice with other values.
    """
    rows = _rows(path)
    head = [name.strip() for name in rows[0][1]] if rows else []
    if len(head) < 2:
        raise InputError(f"{path}: expected a CSV table with a line of names, one column of images and others")
    problems = [f"the column {name!r} stands {count} times" for name, count in Counter(head).items() if count > 1]
    uneven = [line for line, row in rows[1:] if len(row) != len(head)]
    if uneven:
        more = f"; so in {len(uneven)} lines" if len(uneven) > 1 else ""
        problems.append(f"line {uneven[0]}: expected {len(head)} values, as its first line has{more}")
    place = next((head.index(name) for name in _NAMES if name in head), 0)
    by_name: dict[str, list[str]] = {}
    for line, row in rows[1:]:
        name = row[place].strip().replace("\\", "/") if len(row) == len(head) else ""
        if name and by_name.setdefault(name, row) != row:
            problems.append(f"line {line}: {name!r} stands before with other values; give each image one line")
    found = [_row_of(image, by_name) for image in images]
    if not problems and not any(found):
        first, named = rows[1][1][place] if len(rows) > 1 else "", _names_of(images[0])[-1]
        problems.append(
            f"none of its {len(rows) - 1} lines names one of the {len(images)} images; its column {head[place]} "
            f"begins with {first!r}, the images with {named!r}"
        )
    if problems:
        raise InputError([f"{path}: {problem}" for problem in problems[:_SHOWN]])
    columns = [index for index in range(len(head)) if index != place][:_MOST_COLUMNS]
    return {head[index]: tuple(row[index].strip() if row else "" for row in found) for index in columns}


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a table that are not empty, each with its number.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    try:
        text = whole_text(path, encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a CSV table of the images") from error
    except UnicodeDecodeError as error:
        line = whole_bytes(path)[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: it is no UTF-8 text; save it as CSV in UTF-8") from error
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    reader = csv.reader(io.StringIO(text), dialect)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: it is no CSV table ({error}); look for a quote too many"
        ) from error


def _row_of(image: ImageRecord, by_name: Mapping[str, list[str]]) -> list[str]:
    return next((by_name[name] for name in _names_of(image) if name in by_name), [])


def _names_of(image: ImageRecord) -> list[str]:
    """What an image may be called, its file's name last but for the stem."""
    if image.moment is not None:
        return [str(image.id)]
    parts = image.path.parts
    names = ["/".join(parts[start:]) for start in range(max(0, len(parts) - 4), len(parts))]
    return [image.path.stem, *names]
