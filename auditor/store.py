"""Durable artefacts: JSON documents, text files and Parquet measurements, every write atomic."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from auditor.errors import StoreError
from auditor.files import parsed_json, whole_bytes

__all__ = [
    "MEASUREMENT_FORMAT",
    "ImagePrediction",
    "Stored",
    "cache_folder",
    "check_writable",
    "has_unit",
    "load_cached",
    "load_json",
    "load_predictions",
    "load_samples",
    "load_unit_times",
    "locked",
    "save_bytes",
    "save_cached",
    "save_json",
    "save_samples",
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


MEASUREMENT_FORMAT = 5
"""Raised with every change of the measurements' columns: it is part of every resume key."""

_CACHED = 300
"""Documents that the cache keeps."""

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
_UNIT = b"unit"
"""In a file's metadata: the resume key of the unit that it holds."""
_GROUPS = b"groups"
"""In a file's metadata: the file, delegate and severity that each row group is of."""


def save_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    _write(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "replace")))


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
        return parsed_json(whole_bytes(path), finite=True)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as JSON ({error})") from error


def cache_folder() -> Path:
    """Where results are kept by their content for other runs: `AUDITOR_CACHE`, else the user's folder of caches."""
    return Path(os.environ.get("AUDITOR_CACHE") or platformdirs.user_cache_path("tflite-auditor"))


def load_cached(key: str) -> Any:
    """The document that was kept under a key; None where there is none, or none that can be read."""
    path = cache_folder() / f"{key}.json"
    try:
        found = load_json(path)
        path.touch()  # what is used is kept longest
        return found
    except (StoreError, OSError):
        return None


def save_cached(key: str, document: Any) -> None:
    """Keep a document under a key, and forget those that were used least recently.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = cache_folder()
    save_json(folder / f"{key}.json", document)
    kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-_CACHED]:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while this one writes into it; the lock ends with the process, however it ends.

    Raises:
        StoreError: another run has it.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreError(
            f"{folder}: another run writes into it now; wait until it has ended, or name another folder with --output"
        ) from error
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        if made and [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()  # nothing was written: nothing stays
            with contextlib.suppress(OSError):
                for place in made:
                    place.rmdir()
        lock.release()


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


def has_unit(folder: Path, resume_key: str, *, whole: bool = False) -> bool:
    """Say whether the unit of `resume_key` is complete: its file is there and readable, and no worker was lost on it;
    `whole` reads every byte of it."""
    path = unit_path(folder, resume_key)
    if not path.is_file():
        return False
    try:
        with _opened(path) as file:
            metadata = file.schema_arrow.metadata or {}
            if whole:
                file.read()
    except (pa.ArrowException, OSError):
        return False
    return bool(metadata.get(b"complete") == b"true" and metadata.get(_UNIT) == resume_key.encode())


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
    groups: dict[tuple[str, str, float], list[ImagePrediction]] = {}
    for item in predictions:
        groups.setdefault((item.file, item.delegate, float(item.severity)), []).append(item)
    arrays = {name: array for items in groups.values() for item in items for name, array in item.values.items()}
    fields = [pa.field(name, kind) for name, kind in _KEY]
    for name, array in arrays.items():
        width = str(array.shape[1] if array.ndim == 2 else 0)
        fields.append(pa.field(name, pa.list_(pa.from_numpy_dtype(array.dtype)), metadata={_WIDTH: width}))
    notes = {
        "times_s": json.dumps(dict(times_s)),
        "complete": str(complete).lower(),
        _UNIT: resume_key,
        _GROUPS: json.dumps([list(group) for group in groups]),
    }
    schema = pa.schema(fields, metadata=notes)

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            for items in groups.values():  # what is read together is one row group
                writer.write_table(_table(items, list(arrays), schema))

    _write(unit_path(folder, resume_key), write)


def _table(items: Sequence[ImagePrediction], arrays: Sequence[str], schema: Any) -> Any:
    rows = [
        {name: getattr(item, name) for name, _ in _KEY}
        | {name: item.values[name].ravel() if name in item.values else None for name in arrays}
        for item in items
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _opened(path: Path) -> Any:
    return pq.ParquetFile(path, page_checksum_verification=True)


def load_predictions(
    folder: Path, resume_keys: Sequence[str], *, file: str, delegate: str, severity: float
) -> Iterator[ImagePrediction]:
    """Read what one model file on one delegate said at one severity, over the units of one scenario.

    Raises:
        StoreError: a unit is missing or damaged.
    """
    wanted = [file, delegate, float(severity)]
    for key in resume_keys:
        path = unit_path(folder, key)
        try:
            with _opened(path) as opened:
                groups = json.loads((opened.schema_arrow.metadata or {})[_GROUPS])
                tables = [opened.read_row_group(index) for index, group in enumerate(groups) if group == wanted]
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); delete it, and the same command measures it again"
            ) from error
        for table in tables:
            columns = {
                part.name: _split(table[part.name], part) for part in table.schema if part.name not in dict(_KEY)
            }
            for index, row in enumerate(table.select(["image_id", "error", "scope", "invoke_ms"]).to_pylist()):
                values = {name: found[index] for name, found in columns.items()}
                yield ImagePrediction(
                    file=file,
                    delegate=delegate,
                    severity=severity,
                    values={name: array for name, array in values.items() if array is not None},
                    **row,
                )


def _split(column: Any, part: Any) -> list[NDArray[Any] | None]:
    """The array of each row of a column of lists; None where it has none."""
    lists = column.combine_chunks()
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    width = int((part.metadata or {}).get(_WIDTH, b"0"))
    values = values.reshape(-1, width) if width else values
    step = width or 1
    there = lists.is_valid().to_pylist()
    return [
        values[begin // step : end // step].copy() if known else None
        for known, begin, end in zip(there, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Stored:
    """Predictions as they lie in a run folder: of one model file on one delegate at one severity, over units."""

    folder: Path
    keys: tuple[str, ...]
    file: str
    delegate: str
    severity: float

    def load(self) -> Iterator[ImagePrediction]:
        """Read them, one unit after the other.

        Raises:
            StoreError: a unit is missing or damaged.
        """
        return load_predictions(self.folder, self.keys, file=self.file, delegate=self.delegate, severity=self.severity)


def load_unit_times(folder: Path, resume_keys: Iterable[str]) -> dict[str, float]:
    """Sum the seconds by stage over units."""
    total: dict[str, float] = {}
    for key in resume_keys:
        metadata = pq.read_schema(unit_path(folder, key)).metadata or {}
        for stage, seconds in json.loads(metadata.get(b"times_s", b"{}")).items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total


_SAMPLES = "samples.parquet"
_SAMPLES_KEY = ("file", "delegate", "device", "scenario", "severity", "metric")


def save_samples(folder: Path, rows: Iterable[tuple[Sequence[str | float], NDArray[np.float32]]]) -> None:
    """Write what metrics are on every resample: a row for each cell and metric, named by file, delegate, device,
    scenario, severity and metric."""
    fields = [pa.field(name, pa.float64() if name == "severity" else pa.string()) for name in _SAMPLES_KEY]
    schema = pa.schema([*fields, pa.field("values", pa.list_(pa.float32()))])
    columns: list[list[Any]] = [[] for _ in schema]
    for key, values in rows:
        for column, part in zip(columns, (*key, values), strict=True):
            column.append(part)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)

    def write(temporary: Path) -> None:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    _write(folder / _SAMPLES, write)


def load_samples(folder: Path) -> dict[tuple[str | float, ...], NDArray[np.float64]]:
    """Read them again, by their names; none where the folder has no such file.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / _SAMPLES
    if not path.is_file():
        return {}
    try:
        rows = pq.read_table(path, page_checksum_verification=True).to_pydict()
        names = zip(*(rows[name] for name in _SAMPLES_KEY), strict=True)
        return {key: np.array(found, dtype=np.float64) for key, found in zip(names, rows["values"], strict=True)}
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: it cannot be read ({error}); run the audit again to write it anew") from error


def _write(path: Path, write: Any) -> None:
    """Write through a temporary file in the same folder and a rename, so that a reader never sees half a file; both are
    on the disk before anything that is written later, and may refer to them."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _to_disk(temporary)
        temporary.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):  # its name is too long, as the other's
            temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
