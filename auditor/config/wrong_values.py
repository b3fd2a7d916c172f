"""What is wrong with the values of a document, one sentence each, in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from auditor.config.yaml_file import Loc, YamlFile, nearest

__all__ = ["expected_of", "problem_at", "wrong_places"]

_KINDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "finite": "a finite number",
}
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "a name of letters, digits, `.`, `_` and `-`, beginning with a letter or digit,",
    r"^[a-z][a-z0-9_]*$": "a name of small letters, digits and `_`, beginning with a letter,",
    r"^[a-z][a-z0-9]*$": "a name of small letters and digits, beginning with a letter,",
    r"^[^\x00]+$": "a path",
}
_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda given: f"more than {given['gt']:g}",
    "greater_than_equal": lambda given: f"at least {given['ge']:g}",
    "less_than": lambda given: f"less than {given['lt']:g}",
    "less_than_equal": lambda given: f"at most {given['le']:g}",
    "literal_error": lambda given: given["expected"].replace("'", ""),
    "too_short": lambda given: _items("at least", given["min_length"]),
    "too_long": lambda given: _items("at most", given["max_length"]),
    "string_too_short": lambda given: f"a text of at least {given['min_length']} characters",
    "string_too_long": lambda given: f"a text of at most {given['max_length']} characters",
    "string_pattern_mismatch": lambda given: _PATTERNS.get(given["pattern"], f"a text like {given['pattern']}"),
}


def _items(how: str, count: int) -> str:
    return f"{how} {count} item{'s' if count != 1 else ''}"


def wrong_places(details: Sequence[ErrorDetails], data: Any) -> dict[Loc, ErrorDetails]:
    """What is wrong by its place in the data: of a place where the validator reports each alternative of a union the
    one of the right type that says what is wrong, and not a list again whose item is wrong."""
    places: dict[Loc, ErrorDetails] = {}
    for detail in sorted(details, key=lambda detail: not detail["type"].startswith("value_error")):
        keep_last = detail["type"] in ("extra_forbidden", "missing")
        places.setdefault(_real_loc(detail["loc"], data, keep_last=keep_last), detail)
    inner = {loc[:end] for loc in places for end in range(len(loc))}
    return {loc: detail for loc, detail in places.items() if loc not in inner}


def problem_at(loc: Loc, detail: ErrorDetails, model: type[BaseModel], source: YamlFile) -> str:
    """One sentence: file, line, field, what was expected and what was given."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        name = str(loc[-1])
        return f"{source.where(*loc)}: unknown key; {nearest(name, _fields(model, detail['loc'][:-1]))}"
    if kind == "missing":
        return f"{source.where(*loc)}: this key is required and missing"
    return f"{source.where(*loc)}: {expected_of(detail)}"


def expected_of(detail: ErrorDetails) -> str:
    """What was expected of a value, and what was given."""
    kind = detail["type"]
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind.startswith("value_error"):
        return message
    context = detail.get("ctx", {})
    expected = _WORDS[kind](context) if kind in _WORDS else _KINDS.get(kind.partition("_")[0], "another value")
    got = f"{context['actual_length']}" if kind in ("too_short", "too_long") else _kind(detail["input"])
    return f"expected {expected} but got {got}"


def _real_loc(loc: Sequence[str | int], data: Any, *, keep_last: bool) -> Loc:
    """Drop what the validator adds to a location for unions: parts that the data does not have."""
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
    alternatives: list[type[BaseModel]] = []
    for part in loc:
        names = {candidate.__name__: candidate for candidate in (*_models_in(model), *alternatives)}
        if isinstance(part, str) and part in names:
            model = names[part]
        elif isinstance(part, str) and part in model.model_fields:
            inner = _documents(model.model_fields[part].annotation)
            if inner:
                model, alternatives = inner[0], inner
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
