"""What a file says of itself beside its graph: TFLite metadata, label files in its zip, notes of Ultralytics exports.

Sources: https://github.com/tensorflow/tflite-support, metadata_schema.fbs (field numbers below);
https://docs.ultralytics.com (the exporter writes a dict as `temp_meta.txt`, later `metadata.json`, into the zip).
"""

from __future__ import annotations

import ast
import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from auditor.files import parsed_json
from auditor.runtimes.anatomy.runtime import FileNotes
from auditor.runtimes.litert.graph import Graph
from auditor.values.label_lists import named_label

__all__ = ["load_notes"]

_AXIS_LABELS, _VALUE_LABELS = 2, 3  # AssociatedFileType
_NORMALIZATION = 1  # ProcessUnitOptions
_IMAGE = 2  # ContentProperties
_GRAYSCALE = 2  # ColorSpaceType
_MEMBERS, _MEMBER_BYTES, _MEMBERS_BYTES = 200, 2**20, 16 * 2**20
"""Notes and label files are few and small."""


def load_notes(graph: Graph) -> FileNotes:
    """Read everything that the file of `graph` says of itself; notes that cannot be read are named, never fatal."""
    problems: list[str] = []
    files = _zipped(graph.path, problems)
    ultralytics = _ultralytics(files, problems)
    said: dict[str, Any] = {}
    if "TFLITE_METADATA" in graph.metadata:
        try:
            said = _tflite_metadata(graph.metadata["TFLITE_METADATA"])
        except (struct.error, IndexError, TypeError, ValueError, OverflowError) as error:
            problems.append(f"its TFLite metadata cannot be read ({type(error).__name__}: {error})")
    label_files = [name for name in said.pop("label_files", []) if name in files]
    label_files += [
        name for name in files if name.lower() in ("labelmap.txt", "labels.txt") and name not in label_files
    ]
    labels = None
    named = _numbered(ultralytics.get("names"), problems)
    if named:
        labels = named
    elif label_files:
        lines = files[label_files[0]].decode("utf-8", "replace").splitlines()
        labels = tuple(named_label(line) for line in lines if line.strip())
    return FileNotes(labels=labels, ultralytics=ultralytics, problems=tuple(problems), **said)


def _zipped(path: Path, problems: list[str]) -> dict[str, bytes]:
    """The small files of the zip archive that may be appended to a model."""
    try:
        if not zipfile.is_zipfile(path):
            return {}
        found: dict[str, bytes] = {}
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist()[:_MEMBERS]:
                if item.file_size < _MEMBER_BYTES and sum(map(len, found.values())) < _MEMBERS_BYTES:
                    found[item.filename] = archive.read(item)
        return found
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error, lzma.LZMAError) as error:
        problems.append(f"the files packed into it cannot be read ({error})")
        return {}


def _ultralytics(files: dict[str, bytes], problems: list[str]) -> dict[str, Any]:
    for name in ("metadata.json", "temp_meta.txt"):
        if name not in files:
            continue
        text = files[name].decode("utf-8", "replace")
        try:
            said = parsed_json(text)
        except ValueError:
            try:
                said = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
                problems.append(f"its {name} cannot be read ({type(error).__name__})")
                continue
        if isinstance(said, dict) and "names" in said:
            return said
    return {}


def _numbered(names: Any, problems: list[str]) -> tuple[str | None, ...]:
    """Turn {0: "person", 2: "car"}, or a plain list, into ("person", None, "car")."""
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    if not isinstance(names, dict):
        return ()
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except ValueError:
        problems.append("the names in its metadata are not numbered")
        return ()
    most = max(by_index, default=-1)
    return tuple(by_index.get(index) for index in range(most + 1)) if 0 <= most < 100_000 else ()


# -------------------------------------------------------------------------------------- TFLite metadata, by field


def _tflite_metadata(content: bytes) -> dict[str, Any]:
    root = Table(bytearray(content), encode.Get(packer.uoffset, content, 0))
    said: dict[str, Any] = {"label_files": [], "name": _string(root, 0)}
    for subgraph in _tables(root, 3)[:1]:
        for tensor in _tables(subgraph, 2)[:1]:
            said |= _input_notes(tensor)
        for tensor in _tables(subgraph, 3):
            for file in _tables(tensor, 6):
                if _number(file, 2, number_types.Int8Flags) in (_AXIS_LABELS, _VALUE_LABELS):
                    said["label_files"].append(_string(file, 0))
    return said


def _input_notes(tensor: Table) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    for content in _tables(tensor, 3, single=True):
        if _number(content, 0, number_types.Uint8Flags) == _IMAGE:
            for image in _tables(content, 1, single=True):
                space = _number(image, 0, number_types.Int8Flags)
                notes["color"] = {1: "rgb", _GRAYSCALE: "gray"}.get(space)
    for unit in _tables(tensor, 4):
        if _number(unit, 0, number_types.Uint8Flags) == _NORMALIZATION:
            for options in _tables(unit, 1, single=True):
                notes["mean"], notes["std"] = _floats(options, 0), _floats(options, 1)
    return notes


def _offset(table: Table, field_number: int) -> int:
    return int(table.Offset(4 + 2 * field_number))


def _tables(table: Table, field_number: int, *, single: bool = False) -> list[Table]:
    offset = _offset(table, field_number)
    if not offset:
        return []
    if single:
        return [Table(table.Bytes, table.Indirect(offset + table.Pos))]
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(offset))]


def _string(table: Table, field_number: int) -> str | None:
    offset = _offset(table, field_number)
    return table.String(offset + table.Pos).decode("utf-8", "replace") if offset else None


def _number(table: Table, field_number: int, flags: Any) -> int:
    offset = _offset(table, field_number)
    return int(table.Get(flags, offset + table.Pos)) if offset else 0


def _floats(table: Table, field_number: int) -> tuple[float, ...] | None:
    offset = _offset(table, field_number)
    if not offset:
        return None
    start = table.Vector(offset)
    values = tuple(
        float(table.Get(number_types.Float32Flags, start + 4 * index)) for index in range(table.VectorLen(offset))
    )
    return values or None
