"""YAML with line numbers: a document, where each of its keys stands, and what is wrong with it in one sentence each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from auditor.errors import InputError

__all__ = ["Document", "YamlFile", "load_yaml", "nearest", "validate"]

Loc = tuple[str | int, ...]


class Document(BaseModel):
    """A part of a document: unknown keys are errors, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


@dataclass(frozen=True)
class YamlFile:
    """A YAML file and the line (from 1) of each of its keys and items."""

    path: Path
    lines: dict[Loc, int]

    def line(self, *loc: str | int) -> int:
        """Return the line of the innermost part of `loc` that the file has."""
        for end in range(len(loc), -1, -1):
            if loc[:end] in self.lines:
                return self.lines[loc[:end]]
        return 1

    def where(self, *loc: str | int) -> str:
        """Return `file:line: field`, to begin a problem with.

        >>> YamlFile(Path("audit.yaml"), {(): 1, ("models",): 4, ("models", 0, "path"): 6}).where("models", 0, "path")
        'audit.yaml:6: models[0].path'
        """
        field = ""
        for part in loc:
            field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else part
        return f"{self.path}:{self.line(*loc)}: {field or 'the document'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint naming the known name nearest to `name`, else all of them.

    >>> nearest("low_lihgt", ["low_light", "jpeg"])
    "did you mean 'low_light'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"


def load_yaml(path: Path) -> tuple[Any, YamlFile]:
    """Read a YAML file and the line of each key.

    Raises:
        InputError: the file is missing, is not UTF-8, is not YAML, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a YAML document") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    lines: dict[Loc, int] = {}
    problems: list[str] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise InputError(f"{path}: the file is empty; expected a YAML document")
        _walk(node, (), lines, YamlFile(path, lines), problems)
        if problems:
            raise InputError(problems)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{path}:{line}: not valid YAML: {what}") from error
    except RecursionError:
        raise InputError(f"{path}: an alias in this document contains itself, or it is nested too deeply") from None
    return data, YamlFile(path, lines)


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
            lines[place] = line
            _walk(value, place, lines, source, problems)


Model = TypeVar("Model", bound=Document)


def validate(model: type[Model], data: Any, source: YamlFile) -> Model:
    """Validate `data` as `model`.

    Raises:
        InputError: with every problem, each naming file, line and field.
    """
    if not isinstance(data, dict):
        raise InputError(f"{source.where()}: expected a mapping of keys to values but got {_kind(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_problems(error.errors(), data, model, source)) from error


def _problems(details: Sequence[ErrorDetails], data: Any, model: type[BaseModel], source: YamlFile) -> list[str]:
    """One sentence per place: pydantic reports each alternative of a union, of which one of the right type that says
    what is wrong goes first, and a list with a wrong item as too short."""
    places: dict[Loc, ErrorDetails] = {}
    for detail in sorted(details, key=lambda detail: not detail["type"].startswith("value_error")):
        places.setdefault(
            _real_loc(detail["loc"], data, keep_last=detail["type"] in ("extra_forbidden", "missing")), detail
        )
    inner = {loc[:end] for loc in places for end in range(len(loc))}
    told = sorted(places.items(), key=lambda place: source.line(*place[0]))
    return [_problem(loc, detail, model, source) for loc, detail in told if loc not in inner]


def _problem(loc: Loc, detail: ErrorDetails, model: type[BaseModel], source: YamlFile) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        name = str(loc[-1])
        return f"{source.where(*loc)}: unknown key; {nearest(name, _fields(model, detail['loc'][:-1]))}"
    if kind == "missing":
        return f"{source.where(*loc)}: this key is required and missing"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind.startswith("value_error"):
        return f"{source.where(*loc)}: {message}"
    message = message[0].lower() + message[1:]
    for ours, theirs in (("expected", "input should be"), ("list", "tuple")):
        message = message.replace(theirs, ours)
    return f"{source.where(*loc)}: {message} but got {_kind(given)}"


def _real_loc(loc: Sequence[str | int], data: Any, *, keep_last: bool) -> Loc:
    """Drop what pydantic adds to a location for unions: parts that the data does not have."""
    real: list[str | int] = []
    for index, part in enumerate(loc):
        known = dict(enumerate(data)) if isinstance(data, list) else data if isinstance(data, dict) else {}
        if part in known:
            data = known[part]
        elif not (keep_last and index == len(loc) - 1):
            continue
        real.append(part)
    return tuple(real)


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Name the keys allowed at `loc`, following the models that annotations name."""
    for part in loc:
        names = {candidate.__name__: candidate for candidate in _models_in(model)}
        if isinstance(part, str) and part in names:
            model = names[part]
        elif isinstance(part, str) and part in model.model_fields:
            inner = _documents(model.model_fields[part].annotation)
            if inner:
                model = inner[0]
    return list(model.model_fields)


def _models_in(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [inner for field in model.model_fields.values() for inner in _documents(field.annotation)]


def _documents(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in getattr(annotation, "__args__", ()) for inner in _documents(part)]


def _kind(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
