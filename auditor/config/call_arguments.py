"""Arguments that a document gives a function, beside what the function's annotations say of them."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.config.wrong_values import expected_of

__all__ = ["Parameters", "parameters_of"]


@dataclass(frozen=True)
class Parameters:
    """What a function takes by keyword: `types` by name, and those of them that it does not need."""

    types: Mapping[str, TypeAdapter[Any]]
    optional: frozenset[str]

    def problems(self, given: Mapping[str, Any]) -> list[str]:
        """What is wrong with these arguments, a sentence each: unknown and missing names first, else values."""
        names = set(self.types)
        missing, unknown = names - self.optional - set(given), set(given) - names
        if missing or unknown:
            takes = ", ".join(f"{name} (optional)" if name in self.optional else name for name in sorted(names))
            return [f"takes {takes or 'nothing'} but got {', '.join(sorted(given)) or 'nothing'}"]
        found = []
        for name, value in given.items():
            try:
                self.types[name].validate_python(value, strict=True)
            except ValidationError as error:
                found.append(f"{name}: {expected_of(error.errors()[0])}")
        return found

    def expected(self, name: str) -> str:
        """What a parameter takes, in words: its limits, or its choices; empty where that is not said."""
        found = self.types[name].json_schema()
        words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        limits = [f"{sign} {found[key]:g}" for key, sign in words.items() if key in found]
        return ", ".join(limits or map(str, found.get("enum", ())))


@functools.cache
def parameters_of(function: Callable[..., Any], left_out: frozenset[str]) -> Parameters:
    """The keyword parameters of a function, but for those that the caller fills itself; one without an annotation takes
    anything. Limits are written as `Annotated[float, Gt(0)]`, by the package annotated_types."""
    hints = typing.get_type_hints(function, include_extras=True)
    found = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in left_out and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    optional = frozenset(name for name, parameter in found.items() if parameter.default is not inspect.Parameter.empty)
    return Parameters({name: TypeAdapter(hints.get(name, Any)) for name in found}, optional)
