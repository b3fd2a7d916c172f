"""A delegate: what runs a model's ops, and what must be known of it before it is loaded. Made once, from the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["BUILT_IN", "GPU", "NONE", "RESERVED", "TENSORFLOW", "XNNPACK", "Delegate", "Kind", "external"]

Kind = Literal["kernels", "xnnpack", "gpu", "library", "tensorflow"]


@dataclass(frozen=True)
class Delegate:
    """What a model runs on: `name` is what its cells are called; `library` and `options` are those of a shared library.

    Kinds: `kernels` (the runtime's built-in kernels alone), `xnnpack`, `gpu`, `library` (a shared library of one's own,
    beside which the built-in kernels run without XNNPACK), `tensorflow` (a model that is not TFLite yet).
    """

    name: str
    kind: Kind
    library: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_foreign(self) -> bool:
        """Whether it may hang, or end the process that loads it: it then has a process of its own and a time limit."""
        return self.kind in ("gpu", "library")

    @property
    def takes_ops(self) -> bool:
        """Whether it takes ops over from the built-in kernels, so that how many it took says something."""
        return self.kind in ("xnnpack", "gpu", "library")

    @property
    def is_deployable(self) -> bool:
        """Whether a device can run on it; TensorFlow stands for the source of a model alone."""
        return self.kind != "tensorflow"

    @property
    def travels(self) -> bool:
        """Whether the interpreter of any device has it, so that a bundle can run on it."""
        return self.kind in ("kernels", "xnnpack")


NONE = Delegate("none", "kernels")
XNNPACK = Delegate("xnnpack", "xnnpack")
GPU = Delegate("gpu", "gpu")
TENSORFLOW = Delegate("tensorflow", "tensorflow")

BUILT_IN = {delegate.name: delegate for delegate in (NONE, XNNPACK, GPU)}
"""The delegates that a document names by a word."""

RESERVED = (*BUILT_IN, TENSORFLOW.name)
"""Names that a library cannot take: its cells would pass for those of another delegate."""


def external(path: Path, *, name: str | None = None, options: tuple[tuple[str, str], ...] = ()) -> Delegate:
    """Return the delegate of a shared library, called by its file's name where it is given none.

    Raises:
        ValueError: the name is reserved.

    >>> external(Path("/opt/libnpu.so")).name
    'libnpu.so'
    """
    called = name or path.name
    if called in RESERVED:
        raise ValueError(f"expected a name of its own for a library but got {called!r}, which is a built-in delegate's")
    return Delegate(called, "library", str(path), options)
