"""How a run tells how far it is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Told how far a run is; `SilentProgress` and the command line's bar are two."""

    def start(self, *, cells: int, images: int) -> None:
        """The audit has `cells` cells, and `images` inferences are left to do."""

    def measured(self, *, images: int) -> None:
        """So many more inferences are done."""

    def evaluated(self, *, cells: int) -> None:
        """So many more cells are evaluated."""

    def say(self, text: str) -> None:
        """Tell the user something."""


class SilentProgress:
    """Says nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *error: object) -> None: ...

    def start(self, *, cells: int, images: int) -> None: ...

    def measured(self, *, images: int) -> None: ...

    def evaluated(self, *, cells: int) -> None: ...

    def say(self, text: str) -> None: ...
