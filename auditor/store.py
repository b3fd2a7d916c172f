"""Durable artefacts: JSON documents, text files and Parquet measurements, every write atomic."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from auditor.errors import StoreError

__all__ = [
    "MEASUREMENT_FORMAT",
    "ImagePrediction",
    "check_writable",
    "has_unit",
    "load_json",
    "load_predictions",
    "load_unit_times",
    "save_bytes",
    "save_json",
    "save_text",
    "save_unit",
]


@dataclass(frozen=True, eq=False)
class ImagePrediction:
    """What one model file said of one image: `values` are the columns of its task, arrays (N,) or (N, width); or an
    error, and then no values. `scope` says whose error: `image` (nobody could use the image), `scenario` or `model`;
    `size` marks an image of another size than annotated, which is no error."""

    file: str
    delegate: str
    severity: float
    image_id: int
    values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    error: str | None = None
    scope: str | None = None
    invoke_ms: float | None = None


MEASUREMENT_FORMAT = 4
"""Raised with every change of the measurements' columns: it is part of every resume key."""

_KEY = [
    ("file", pa.dictionary(pa.int16(), pa.string())),
    ("delegate", pa.dictionary(pa.int16(), pa.string())),
    ("severity", pa.float64()),
    ("image_id", pa.int64()),
    ("error", pa.string()),
    ("scope", pa.string()),
    ("invoke_ms", pa.float64()),
]
_WIDTH = b"width"
"""In a column's metadata: how many numbers a row of its array has, 0 where it has one dimension."""


def save_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    _write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    _write(path, lambda temporary: temporary.write_bytes(content))


def save_json(path: Path, document: Any) -> None:
    """Write a JSON document, whole or not at all; NaN and infinities are refused."""
    save_text(path, json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def load_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        StoreError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as JSON ({error})") from error


def check_writable(folder: Path) -> None:
    """Raise StoreError unless files can be written in `folder`, or it can be made; leaves nothing behind."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise StoreError(f"{folder}: cannot be made, {existing} is a file; name another folder with --output")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}); name another folder with --output"
        ) from error


def unit_path(folder: Path, resume_key: str) -> Path:
    """Return where the measurements of a unit are, or will be."""
    return folder / "measurements" / f"{resume_key}.parquet"


def has_unit(folder: Path, resume_key: str) -> bool:
    """Say whether the unit of `resume_key` is complete: its file is whole and readable, and no worker was lost on
    it."""
    path = unit_path(folder, resume_key)
    if not path.is_file():
        return False
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError):
        return False
    return bool(metadata.get(b"complete") == b"true")


def save_unit(
    folder: Path,
    resume_key: str,
    predictions: Iterable[ImagePrediction],
    times_s: Mapping[str, float],
    *,
    complete: bool,
) -> None:
    """Write the measurements of one unit, whole or not at all; `times_s` (seconds by stage) ride along as metadata.

    A unit that is not `complete` is evaluated, and measured again by the next run.
    """
    items = list(predictions)
    columns = {name: array for item in items for name, array in item.values.items()}
    fields = [pa.field(name, kind) for name, kind in _KEY]
    for name, array in columns.items():
        width = str(array.shape[1] if array.ndim == 2 else 0)
        fields.append(pa.field(name, pa.list_(pa.from_numpy_dtype(array.dtype)), metadata={_WIDTH: width}))
    rows = [
        {name: getattr(item, name) for name, _ in _KEY}
        | {name: item.values[name].ravel() if name in item.values else None for name in columns}
        for item in items
    ]
    notes = {"times_s": json.dumps(dict(times_s)), "complete": str(complete).lower()}
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=notes))
    _write(unit_path(folder, resume_key), lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def load_predictions(
    folder: Path, resume_keys: Sequence[str], *, file: str, delegate: str, severity: float
) -> Iterator[ImagePrediction]:
    """Read what one model file on one delegate said at one severity, over the units of one scenario.

    Raises:
        StoreError: a unit is missing or damaged.
    """
    for key in resume_keys:
        path = unit_path(folder, key)
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); run the audit again with --fresh") from error
        wanted = pc.and_(
            pc.and_(
                pc.equal(table["file"].cast(pa.string()), file), pc.equal(table["delegate"].cast(pa.string()), delegate)
            ),
            pc.equal(table["severity"], float(severity)),
        )
        chosen = table.filter(wanted)
        columns = [part for part in chosen.schema if part.name not in dict(_KEY)]
        for row in chosen.to_pylist():
            yield ImagePrediction(
                file=file,
                delegate=delegate,
                severity=severity,
                image_id=row["image_id"],
                values={part.name: _array(row[part.name], part) for part in columns if row[part.name] is not None},
                error=row["error"],
                scope=row["scope"],
                invoke_ms=row["invoke_ms"],
            )


def _array(values: list[Any], part: Any) -> NDArray[Any]:
    array = np.array(values, dtype=part.type.value_type.to_pandas_dtype())
    width = int((part.metadata or {}).get(_WIDTH, b"0"))
    return array.reshape(-1, width) if width else array


def load_unit_times(folder: Path, resume_keys: Iterable[str]) -> dict[str, float]:
    """Sum the seconds by stage over units."""
    total: dict[str, float] = {}
    for key in resume_keys:
        metadata = pq.read_schema(unit_path(folder, key)).metadata or {}
        for stage, seconds in json.loads(metadata.get(b"times_s", b"{}")).items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total


def _write(path: Path, write: Any) -> None:
    """Write through a temporary file in the same folder and a rename, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
