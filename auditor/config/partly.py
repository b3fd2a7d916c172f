"""A document as far as it is right: what is wrong is told and left out, so that all the rest can be looked at too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from auditor.config.wrong_values import problem_at, wrong_places
from auditor.config.yaml_file import Document, Loc, YamlFile

__all__ = ["Partly", "validate_partly"]

Model = TypeVar("Model", bound=Document)


@dataclasses.dataclass(frozen=True)
class Partly(Generic[Model]):
    """A document without what is wrong in it (None where too little is left), where its parts stand, the problems, and
    the places from which something was left out."""

    document: Model | None
    source: YamlFile
    problems: tuple[str, ...] = ()
    touched: frozenset[Loc] = frozenset()

    def is_touched(self, *loc: str | int) -> bool:
        """Whether something at or within a place was left out."""
        place = self.source.original(*loc)
        return any(touched[: len(place)] == place for touched in self.touched)


def validate_partly(
    model: type[Model], data: Any, source: YamlFile, *, instead: Mapping[str, Any] | None = None
) -> Partly[Model]:
    """Validate `data` as `model`, leaving out what is wrong, item by item; `instead` are values for keys that are
    required at the top and missing."""
    if not isinstance(data, dict):
        what = repr(data) if len(repr(data)) <= 60 else f"{repr(data)[:57]}…"
        return Partly(None, source, (f"{source.where()}: expected a mapping of keys to values but got {what}",))
    told: dict[Loc, str] = {}
    left = _Left(_written_out(data), source)
    while True:
        try:
            document = model.model_validate(left.data)
        except ValidationError as error:
            wrong = wrong_places(error.errors(), left.data)
            for loc, detail in wrong.items():
                if not left.is_touched(loc):  # else it lacks what was left out
                    told[left.source.original(*loc)] = problem_at(loc, detail, model, left.source)
            if not _drop(left, wrong, instead or {}):
                return Partly(None, left.source, _sorted(told, source), frozenset(left.touched))
        else:
            return Partly(document, left.source, _sorted(told, source), frozenset(left.touched))


def _written_out(data: Any) -> Any:
    """A copy in which what an alias repeats stands for itself wherever it is, so that each can be left out alone."""
    if isinstance(data, dict):
        return {key: _written_out(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_written_out(value) for value in data]
    return data


def _drop(left: _Left, wrong: Mapping[Loc, ErrorDetails], instead: Mapping[str, Any]) -> bool:
    """Leave out what is wrong, of a list the last items first, so that none moves that is still to come; whether
    anything is left."""
    dropped: list[Loc] = []
    for loc in sorted(wrong, key=_backwards):
        missing = wrong[loc]["type"] == "missing"
        if missing and len(loc) == 1 and loc[0] in instead:
            left.data[loc[0]] = instead[str(loc[0])]
            continue
        place = loc[:-1] if missing else loc
        if any(place[: len(above)] == above for above in dropped):
            continue
        if not left.drop(place):
            return False
        dropped.append(place)
    return True


def _backwards(loc: Loc) -> tuple[tuple[int, int, str], ...]:
    """Later items of a list first, so that leaving one out does not move those that are still to come."""
    return tuple((0, -part, "") if isinstance(part, int) else (1, 0, part) for part in loc)


def _sorted(told: Mapping[Loc, str], source: YamlFile) -> tuple[str, ...]:
    """The problems in the order of the file's lines; their places are those of the file."""
    return tuple(told[loc] for loc in sorted(told, key=lambda loc: source.line(*loc)))


class _Left:
    """What is left of a document as parts of it are dropped, and the places in the file that they were dropped from."""

    def __init__(self, data: dict[Any, Any], source: YamlFile) -> None:
        self.data, self.source = data, source
        self.touched: set[Loc] = set()

    def is_touched(self, loc: Loc) -> bool:
        """Whether something at or within a place was dropped."""
        place = self.source.original(*loc)
        return any(touched[: len(place)] == place for touched in self.touched)

    def drop(self, loc: Loc) -> bool:
        """Leave a part out; whether that could be done."""
        if not loc:
            return False
        *above, last = loc
        parent: Any = self.data
        for part in above:
            parent = parent[part]
        self.touched.add(self.source.original(*loc))
        if isinstance(parent, list) and isinstance(last, int):
            self.source = self.source.without_item(tuple(above), last, len(parent))
            del parent[last]
        elif isinstance(parent, dict) and last in parent:
            del parent[last]
        else:
            return self.drop(tuple(above))
        return True
