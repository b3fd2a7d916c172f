"""Values that the command line gives in place of a document's: `--set KEY=VALUE`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from auditor.config.yaml_file import Loc, YamlFile, loaded_yaml, nearest
from auditor.errors import InputError
from auditor.files import whole_text

__all__ = ["put", "text_of"]


def put(data: Any, source: YamlFile, given: Sequence[str]) -> tuple[Any, YamlFile]:
    """Put values into a document: each `KEY=VALUE` with a key such as `dataset.limit` or `models.yolox.input.color` (an
    entry of a list by its number, from 0, or its name) and a value as YAML has it.

    Raises:
        InputError: with each that is not such a text, or whose key leads nowhere.
    """
    if not given:
        return data, source
    whole, places, problems = copy.deepcopy(data), dict(source.given), []
    for text in given:
        key, equals, value = text.partition("=")
        try:
            if not equals or not key.strip():
                raise ValueError("expected KEY=VALUE, such as dataset.limit=20")
            loc = _place(whole, key.strip().split("."))
            parent: Any = whole
            for part in loc[:-1]:
                parent = parent[part]
            parent[loc[-1]] = loaded_yaml(value)
            places[loc] = text
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            problems.append(f"--set {text}: {' '.join(str(error).split())}")
    if problems:
        raise InputError(problems)
    return whole, dataclasses.replace(source, given=places)


def text_of(path: Path, given: Sequence[str]) -> str:
    """The text of a document as it was read: its own, or with the values that the command line gave."""
    text = whole_text(path)
    if not given:
        return text
    data, _ = put(loaded_yaml(text), YamlFile(path, {}), given)
    told = "".join(f"#   --set {value}\n" for value in given)
    return f"# {path.name}, with\n{told}{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}"


def _place(data: Any, parts: Sequence[str]) -> Loc:
    """Where a key of dots leads; mappings that are missing on the way are made."""
    loc: list[str | int] = []
    for number, part in enumerate(parts):
        so_far = ".".join(parts[:number]) or "the document"
        if isinstance(data, list):
            index = _index(data, part, so_far)
            loc.append(index)
            data = data[index]
            continue
        if not isinstance(data, dict):
            raise ValueError(f"{so_far} is {data!r}, which has no keys")
        loc.append(part)
        if number + 1 < len(parts) and data.get(part) is None:
            data[part] = {}
        data = data.get(part)
    return tuple(loc)


def _index(items: Sequence[Any], part: str, so_far: str) -> int:
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    known = [str(name) for name in names if name is not None]
    hint = nearest(part, known) if known else f"it has {len(items)} items, from 0"
    raise ValueError(f"{so_far} has no item {part!r}; {hint}")
