"""Seeded damage: of bytes, of the tables of a flatbuffer, of the structure of a document."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    "",
    -1,
    0,
    3,
    2**70,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [3],
    {"a": 1},
    "x" * 300,
    "../../etc/passwd",
    "a\0b",
    "\ud800",
    "\x1b[2J\u202e",
    "<script>alert(1)</script>",
    "0.5",
    "2001-99-99",
    "null",
)
"""What may stand where something else is expected."""


CONFUSING = (
    *("", "\0", "{", "[" * 5000, "&a *a", "!!python/object:os.system", "- - -", "\ud7ff", "9" * 5000, "]]>", "<a>"),
    *("&x;", "\t", ": ", "\x1b[2J", "!!int x", "0b_", "~", "\ufeff", "-1", "1e999"),
)
"""What confuses the readers of texts."""


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip bits, overwrite words, cut, repeat or exchange pieces; of a flatbuffer most often its tables."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        at = rng.randrange(len(found)) if rng.random() < 0.5 else rng.randrange(min(len(found), 4096))
        kind = rng.choice(["bit", "word", "offset", "swap", "cut", "zero", "repeat"])
        if kind == "bit":
            found[at] ^= 1 << rng.randrange(8)
        elif kind == "word":
            found[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x01\0\0\x80"])
        elif kind == "offset":
            word = int.from_bytes(found[at : at + 4], "little") + rng.choice([-8, -4, 4, 8, 64, 4096])
            found[at : at + 4] = (word & 0xFFFFFFFF).to_bytes(4, "little")
        elif kind == "swap":
            size, other = rng.choice([4, 16, 64]), rng.randrange(len(found))
            found[at : at + size], found[other : other + size] = found[other : other + size], found[at : at + size]
        elif kind == "cut":
            del found[max(16, at) :]
        elif kind == "zero":
            found[at : at + 64] = bytes(len(found[at : at + 64]))
        else:
            found[at:at] = found[at : at + 32]
        if not found:
            return bytes(found)
    return bytes(found)


def damaged_text(text: str, rng: random.Random) -> str:
    """A document with pieces cut out, doubled, exchanged or replaced by what confuses readers."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, size = rng.randrange(len(text) + 1), rng.choice([1, 3, 20])
        odd = rng.choice(CONFUSING)
        text = text[:at] + odd + text[at + rng.choice([0, size]) :]
    return text


def places(document: Any) -> list[list[Any]]:
    """Every path into a document of lists and mappings."""
    found: list[list[Any]] = []

    def walk(value: Any, path: list[Any]) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            found.append([*path, key])
            walk(inner, [*path, key])

    walk(document, [])
    return found


def damaged_document(document: Any, rng: random.Random) -> Any:
    """A document with values replaced, keys dropped, added or renamed, lists emptied or doubled."""
    whole = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        every = places(whole)
        if not every:
            return rng.choice(ODD)
        *path, key = rng.choice(every)
        parent = whole
        for part in path:
            parent = parent[part]
        kind = rng.choice(["odd", "odd", "odd", "drop", "rename", "double", "nest"])
        if kind == "odd":
            parent[key] = copy.deepcopy(rng.choice(ODD))
        elif kind == "drop":
            del parent[key]
        elif kind == "nest":
            parent[key] = [parent[key]]
        elif isinstance(parent, dict):
            parent[str(rng.choice(["extra", 7, key]))] = parent[key] if kind == "double" else parent.pop(key)
        else:
            parent.append(parent[key])
    return whole
