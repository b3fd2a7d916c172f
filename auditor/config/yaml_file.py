"""YAML with line numbers: a document, where each of its keys stands, and what is wrong with it in one sentence each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from auditor.errors import InputError
from auditor.files import DOCUMENT_BYTES, whole_text

__all__ = ["Document", "Loc", "YamlFile", "load_yaml", "nearest", "read_yaml", "without_repeats"]

Loc = tuple[str | int, ...]


class Document(BaseModel):
    """A part of a document: unknown keys are errors, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


_NODES = 1_000_000
"""So many values a document may have, aliases written out."""


@dataclass(frozen=True)
class YamlFile:
    """A YAML file and the line (from 1) of each of its keys and items; `given` are the places whose values the command
    line gave instead, each with what was written there."""

    path: Path
    lines: Mapping[Loc, int]
    given: Mapping[Loc, str] = field(default_factory=dict)

    kept: Mapping[Loc, tuple[int, ...]] = field(default_factory=dict)
    """Of lists that items were left out of, the numbers in the file of those that are left."""

    def original(self, *loc: str | int) -> Loc:
        """Where a place of what is left stands in the file."""
        found: Loc = ()
        for part in loc:
            kept = self.kept.get(found)
            found = (*found, kept[part] if kept is not None and isinstance(part, int) and part < len(kept) else part)
        return found

    def line(self, *loc: str | int) -> int:
        """Return the line of the innermost part of `loc` that the file has."""
        place = self.original(*loc)
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return self.lines[place[:end]]
        return 1

    def where(self, *loc: str | int) -> str:
        """Return `file:line: field`, to begin a problem with.

        >>> YamlFile(Path("audit.yaml"), {(): 1, ("models",): 4, ("models", 0, "path"): 6}).where("models", 0, "path")
        'audit.yaml:6: models[0].path'
        """
        place, named = self.original(*loc), ""
        for part in place:
            named += f"[{part}]" if isinstance(part, int) else f".{part}" if named else part
        given = next((self.given[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self.given), None)
        if given is not None:
            return f"--set {given}: {named}"
        return f"{self.path}:{self.line(*loc)}: {named or 'the document'}"

    def without_item(self, above: Loc, index: int, count: int) -> YamlFile:
        """Where everything stands when an item of the list of `count` items at `above` is left out."""
        place = self.original(*above)
        before = self.kept.get(place, tuple(range(count)))
        return replace(self, kept={**self.kept, place: before[:index] + before[index + 1 :]})


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint naming the known name nearest to `name`, else all of them.

    >>> nearest("low_lihgt", ["low_light", "jpeg"])
    "did you mean 'low_light'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"


def without_repeats(problems: Iterable[str]) -> list[str]:
    """Problems of which none lists again what an earlier one listed.

    >>> without_repeats(["a: known are: x, y", "b: known are: x, y (or z)"])
    ['a: known are: x, y', 'b: known are those named above (or z)']
    """
    listed: set[str] = set()
    told = []
    for problem in problems:
        before, mark, names = problem.partition("known are: ")
        names, bracket, rest = names.partition(" (")
        if mark and names in listed:
            problem = f"{before}known are those named above{bracket}{rest}"
        listed.add(names)
        told.append(problem)
    return told


def load_yaml(path: Path) -> tuple[Any, YamlFile]:
    """Read a YAML file and the line of each key.

    Raises:
        InputError: the file is missing, is not UTF-8, is not YAML, or gives a key twice.
    """
    data, source, problems = read_yaml(path)
    if problems:
        raise InputError(problems)
    return data, source


def read_yaml(path: Path) -> tuple[Any, YamlFile, list[str]]:
    """Read a YAML file, the line of each key, and what is wrong with its keys; of a key that is given twice the last
    counts.

    Raises:
        InputError: the file is missing, is not UTF-8 or is not YAML.
    """
    try:
        text = whole_text(path, most=DOCUMENT_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a YAML document") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; expected a YAML document") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: this is no text; expected a YAML document (of a model, `auditor init MODEL --dataset FOLDER` "
            "writes a first one)"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    lines: dict[Loc, int] = {}
    problems: list[str] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise InputError(f"{path}: the file is empty; expected a YAML document")
        _check_size(node, path)
        _walk(node, (), lines, YamlFile(path, lines), problems)
        data = loaded_yaml(text)
    except yaml.constructor.ConstructorError as error:
        if problems:
            raise InputError(problems) from error
        raise InputError(f"{path}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{path}:{line}: not valid YAML: {what}") from error
    except RecursionError:
        raise InputError(f"{path}: an alias in this document contains itself, or it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    return data, YamlFile(path, lines), problems


def loaded_yaml(text: str) -> Any:
    """The data of a YAML document.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: a value is none of its type (a date with a 13th month, a number without digits), or half a surrogate
            pair.
        RecursionError: it is nested too deeply.
    """
    try:
        data = yaml.safe_load(text)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f"a value is none of its type ({type(error).__name__}: {str(error)[:100]})") from error
    if "\\u" in text:
        _check_text(data, set())
    return data


def _check_text(data: Any, seen: set[int]) -> None:
    if isinstance(data, str):
        data.encode()
    elif isinstance(data, list | dict) and id(data) not in seen:
        seen.add(id(data))
        for item in (*data, *data.values()) if isinstance(data, dict) else data:
            _check_text(item, seen)


def _check_size(node: yaml.Node, path: Path) -> None:
    """Refuse aliases that stand for more than a document can hold; aliases of aliases grow without end."""
    sizes: dict[int, int] = {}

    def size(part: yaml.Node) -> int:
        if id(part) not in sizes:
            sizes[id(part)] = _NODES  # until it is known, of what contains itself
            children: list[yaml.Node] = []
            if isinstance(part, yaml.SequenceNode):
                children = part.value
            elif isinstance(part, yaml.MappingNode):
                children = [item for pair in part.value for item in pair]
            sizes[id(part)] = 1 + sum(map(size, children))
        return sizes[id(part)]

    if size(node) > _NODES:
        raise InputError(
            f"{path}: with its aliases it stands for more than {_NODES:,} values, or an alias contains itself; write "
            "them out"
        )


def _walk(node: yaml.Node, loc: Loc, lines: dict[Loc, int], source: YamlFile, problems: list[str]) -> None:
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*loc, index), lines, source, problems)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(f"{source.path}:{line}: expected a plain word as a key but got a list or a mapping")
                continue
            place = (*loc, key.value)
            if place in lines:
                problems.append(
                    f"{source.path}:{line}: the key {key.value!r} is given twice (first in line {lines[place]})"
                )
                for inner in [known for known in lines if known[: len(place)] == place]:
                    del lines[inner]
            lines[place] = line
            _walk(value, place, lines, source, problems)
