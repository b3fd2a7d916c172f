"""Find the file that annotations name, in the ways that exporters write one name."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["endings", "find_named", "no_folder", "spellings"]

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""What Label Studio puts before the name of an uploaded file."""


def find_named(folder: Path, name: str) -> Path | None:
    """Return the file that `name` is in `folder`: below it as it is written, in another spelling, or by the end of
    either."""
    for spelling in spellings(name):
        for tried in endings(spelling):
            found = _in_folder(folder, tried)
            if found is not None:
                return found
    return None


def endings(name: str) -> Iterator[str]:
    """A path, and what is left of it without its first folders, down to its base name.

    >>> list(endings("/data/set/a.jpg"))
    ['/data/set/a.jpg', 'data/set/a.jpg', 'set/a.jpg', 'a.jpg']
    """
    while name:
        yield name
        name = name.partition("/")[2]


def spellings(name: str) -> Iterator[str]:
    """The ways to read one name of a file: as it stands, with Windows' separators, percent-encoded, as an address or
    one of Label Studio's (`/data/local-files/?d=a/b.jpg`); as a path relative to a folder.

    >>> list(spellings("a%20b\\\\c.jpg"))
    ['a%20b\\\\c.jpg', 'a%20b/c.jpg', 'a b/c.jpg']
    """
    seen = []
    plain = name.replace("\\", "/")
    try:
        address = urlsplit(plain)
    except ValueError:  # no address at all, such as //[a]/b.png
        address = urlsplit("")
    asked = [part.replace("\\", "/") for part in parse_qs(address.query).get("d", [])]
    forms = [name, plain, unquote(plain), *asked, *(unquote(part) for part in asked)]
    if address.scheme and (address.netloc or address.scheme == "file"):
        forms.append(unquote(address.path))
    windows = PureWindowsPath(name)
    if windows.drive:
        forms.append(windows.relative_to(windows.anchor).as_posix())
    if address.query and address.path:
        forms.append(unquote(address.path))
    uploaded = _UPLOADED.fullmatch(plain.rsplit("/", 1)[-1])
    if uploaded:
        forms.append(uploaded[1])
    for form in forms:
        relative = form.lstrip("/") if form else form
        for spelling in (form, relative):
            if spelling and spelling not in seen:
                seen.append(spelling)
                yield spelling


def _in_folder(folder: Path, name: str) -> Path | None:
    try:
        path = folder / name
        if path.is_file():
            return path
    except (OSError, ValueError):
        return None  # no name of a file at all
    if not path.parent.is_dir():
        return None
    alike = _by_form(path.parent, path.parent.stat().st_mtime_ns).get(_form(path.name), ())
    return alike[0] if len(alike) == 1 else None


@functools.lru_cache(maxsize=64)
def _by_form(folder: Path, changed_ns: int) -> dict[str, list[Path]]:  # noqa: ARG001 (a changed folder is read anew)
    """The files of a folder by name in Unicode's composed form, in which `é` is one character, and in one case."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        found.setdefault(_form(path.name), []).append(path)
    return found


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def no_folder(path: Path | None) -> str:
    """What is said of a path that should be a folder and is none."""
    return "this is a file" if path is not None and path.exists() else "no such folder"
