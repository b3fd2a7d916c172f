"""A model's labels: a built-in list by name, or a file of them."""

from __future__ import annotations

from pathlib import Path

from auditor.errors import ModelError
from auditor.files import DOCUMENT_BYTES, whole_bytes
from auditor.values.label_lists import BUILT_IN_LABELS, decoded_text, parse_labels

__all__ = ["load_labels"]


def load_labels(name: str, path: Path) -> tuple[str | None, ...]:
    """Return a built-in list by `name`, else the labels of the file at `path`, in any of the usual forms.

    Raises:
        ModelError: neither exists, or the file has no line.
    """
    if name in BUILT_IN_LABELS:
        return BUILT_IN_LABELS[name]
    try:
        labels = parse_labels(decoded_text(whole_bytes(path, most=DOCUMENT_BYTES)))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(BUILT_IN_LABELS)
        raise ModelError(
            f"labels {name!r}: not a built-in list ({known}), and the file {path} cannot be read ({error})"
        ) from error
    except ValueError as error:
        raise ModelError(f"labels {path}: {error}") from error
    if not labels:
        raise ModelError(f"labels {path}: the file has no label; expected one a line")
    return labels
