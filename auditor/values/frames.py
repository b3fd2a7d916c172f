"""Rows as a table of whichever library is there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["as_frame"]


def as_frame(rows: Iterable[Mapping[str, object]]) -> Any:
    """A pandas DataFrame, or a pyarrow Table where pandas is not installed."""
    listed = [dict(row) for row in rows]
    try:
        return importlib.import_module("pandas").DataFrame.from_records(listed)
    except ImportError:
        return importlib.import_module("pyarrow").Table.from_pylist(listed)
