"""A model's labels: a built-in list by name, or a file with one label a line."""

from __future__ import annotations

from pathlib import Path

from auditor.errors import ModelError
from auditor.values.label_lists import BUILT_IN_LABELS, named_label

__all__ = ["load_labels"]


def load_labels(name: str, path: Path) -> tuple[str | None, ...]:
    """Return a built-in list by `name`, else the lines of the file at `path`.

    Raises:
        ModelError: neither exists, or the file has no line.
    """
    if name in BUILT_IN_LABELS:
        return BUILT_IN_LABELS[name]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(BUILT_IN_LABELS)
        raise ModelError(
            f"labels {name!r}: not a built-in list ({known}), and the file {path} cannot be read ({error})"
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ModelError(f"labels {path}: the file has no label; expected one a line")
    return tuple(named_label(line) for line in lines)
