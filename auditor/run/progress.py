"""How a run tells how far it is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Told how far a run is; `SilentProgress` and the command line's bar are two."""

    def stage(self, name: str, *, of: int = 0, what: str = "", seconds: float = 0.0, later: float = 0.0) -> None:
        """A stage begins: in words, of so many pieces of what (0: they cannot be counted). It is expected to take
        `seconds`, and all stages after it `later` seconds, as far as that is known."""

    def done(self, pieces: int = 1) -> None:
        """So many more pieces of the stage are done."""

    def say(self, text: str) -> None:
        """Tell the user something."""


class SilentProgress:
    """Says nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *error: object) -> None: ...

    def stage(self, name: str, *, of: int = 0, what: str = "", seconds: float = 0.0, later: float = 0.0) -> None: ...

    def done(self, pieces: int = 1) -> None: ...

    def say(self, text: str) -> None: ...
