"""Every error that the auditor raises on purpose, on one screen.

```
AuditorError
├── InputError            the user's input is wrong (exit code 2); holds every problem found, not just the first
├── ModelError            a model file cannot be opened, understood or invoked
│   └── DelegateError     a delegate cannot be had on this machine (its cells are skipped)
├── DataError             a data set or an image cannot be read
├── ScenarioError         a scenario pack is wrong, or a corruption failed
└── StoreError            a run folder or a stored document cannot be read or written
```

A `ValueError` raised inside the package marks a broken precondition of a pure function: *expected … but got …*.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AuditorError",
    "DataError",
    "DelegateError",
    "InputError",
    "ModelError",
    "ScenarioError",
    "StoreError",
]


class AuditorError(Exception):
    """Base of every error that a user of the auditor may want to catch."""


class InputError(AuditorError):
    """Say everything that is wrong with the user's input at once.

    `problems` holds one sentence per problem; each names the file, the line or the field, what was expected and
    what to do.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        if not self.problems:
            raise ValueError("expected at least one problem but got none")
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class ModelError(AuditorError):
    """A model file cannot be opened, understood or invoked; `field` is the key of its entry in `audit.yaml` to look
    at."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class DelegateError(ModelError):
    """A delegate cannot be had on this machine."""


class DataError(AuditorError):
    """A data set or an image cannot be read."""


class ScenarioError(AuditorError):
    """A scenario pack is wrong, or a corruption failed."""


class StoreError(AuditorError):
    """A run folder or a stored document cannot be read or written."""
