"""A value that many items hold, shipped to each process once in a while rather than with every item."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from typing import Any, Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")
_KEPT = 8
"""Values that a process keeps: those of the items that it ran last."""

_here: OrderedDict[str, Any] = OrderedDict()


class Shared(Generic[T]):
    """A value that is pickled once, and unpickled once by each process while it is in use; it equals others of the same
    content."""

    def __init__(self, value: T) -> None:
        self._pickled = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        self.key = hashlib.sha256(self._pickled).hexdigest()

    def get(self) -> T:
        """The value; not to be changed."""
        if self.key not in _here:
            _keep(self.key, pickle.loads(self._pickled))
        _here.move_to_end(self.key)
        found: T = _here[self.key]
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def _keep(key: str, value: Any) -> None:
    _here[key] = value
    while len(_here) > _KEPT:
        _here.popitem(last=False)
