"""Where what a document names lies: a path of this machine, or a copy of what an address leads to."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from auditor.config import AuditConfig
from auditor.errors import InputError
from auditor.provenance import digest
from auditor.store import cache_folder

__all__ = ["place"]


def place(config: AuditConfig, text: str) -> Path:
    """The path of a file or folder that a document names, relative to the document; what an address of fsspec leads to
    (`s3://bucket/images`, `gs://…`, `https://…`) is copied into the cache, unless the same is there already.

    Raises:
        InputError: an address leads nowhere, or fsspec is not installed.
    """
    return _copied(text) if "://" in text else config.path(text)


@functools.lru_cache(maxsize=64)
def _copied(address: str) -> Path:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(f'{address}: an address needs the extra: pip install "tflite-auditor[remote]"') from error
    try:
        system, inner = url_to_fs(address)
        found = system.find(inner, detail=True)
        if not found:
            raise FileNotFoundError("there is nothing")
        target = cache_folder() / "addresses" / digest(address, _facts(found))[:32] / (Path(inner).name or "data")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as part:
                got = Path(part) / target.name
                if system.isdir(inner):
                    system.get(inner.rstrip("/") + "/", str(got), recursive=True)
                else:
                    system.get_file(inner, str(got))
                shutil.move(got, target)
    except Exception as error:  # whatever the system of an address raises
        raise InputError(f"{address}: cannot be fetched ({type(error).__name__}: {error})") from error
    return target


def _facts(found: dict[str, dict[str, Any]]) -> list[Any]:
    """What tells whether files are still the same: their names, sizes, and what their system says of when or which."""
    told = ("size", "mtime", "created", "ETag", "etag", "md5Hash", "LastModified", "last_modified")
    return [[name, *(str(about[key]) for key in told if key in about)] for name, about in sorted(found.items())]
