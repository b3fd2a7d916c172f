"""Label lists: the forms that files of them have, and the built-in ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from auditor.files import parsed_json

__all__ = ["BUILT_IN_LABELS", "decoded_text", "named_label", "parse_labels"]

_COCO80 = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,
frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,
wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,
couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"""

# COCO numbers its 80 classes with ids from 1 to 90; these ten ids were never used in the released annotations.
# Source: https://cocodataset.org (the `categories` of instances_val2017.json).
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def _coco90() -> tuple[str | None, ...]:
    names = iter(_coco80())
    return tuple(None if number in _UNUSED_IDS else next(names) for number in range(1, 91))


def _coco80() -> tuple[str, ...]:
    return tuple(name.strip() for name in _COCO80.replace("\n", "").split(","))


BUILT_IN_LABELS: dict[str, tuple[str | None, ...]] = {
    "coco80": _coco80(),  # index 0 is person; 80 contiguous classes
    "coco90": _coco90(),  # index 0 is person; COCO's sparse ids less 1
    "coco91": (None, *_coco90()),  # index 0 is background; COCO's sparse ids
}


def named_label(line: str) -> str | None:
    """Read one line of a label file; `???` (TensorFlow's mark for an id without a class) is None.

    >>> named_label(" traffic light "), named_label("???")
    ('traffic light', None)
    """
    name = line.strip()
    return None if name in ("???", "") else name


_ITEM = re.compile(r"item\s*\{([^{}]*)\}")
_FIELD = re.compile(r"""(\w+)\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(-?\d+))""")
_NUMBERED = re.compile(r"\s*(\d+)(?:\s*[:,;=.]\s*|\s+)(\S.*)")
_NUMBERED_LAST = re.compile(r"\s*(\S.*)[\t,;]\s*(\d+)\s*")
_BEFORE_ITEMS = re.compile(r"(\s*#[^\n]*\n)*\s*item\b")
_QUOTED = re.compile(r"""(["']).*\1""")
_MOST = 100_000
_KEYS = ("names", "labels", "classes", "id2label", "class_names", "categories", "label2id")


def parse_labels(text: str) -> tuple[str | None, ...]:
    """Read a label file: one label a line; numbered lines (`0  person`, with gaps); TensorFlow's `item { id name }`; or
    JSON, a list, a mapping from numbers or to numbers, or one of these under a usual key. A number that none has is
    None.

    Raises:
        ValueError: it is none of these.

    >>> parse_labels("0  person\\n2  car\\n")
    ('person', None, 'car')
    >>> parse_labels('item { id: 1 name: "/m/01" display_name: "cat" }')
    (None, 'cat')
    """
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            document = parsed_json(stripped)
        except json.JSONDecodeError as error:
            raise ValueError(f"it begins as JSON, but is none: line {error.lineno}: {error.msg}") from error
        return _of_json(document)
    items = _ITEM.findall(text)
    if items and _BEFORE_ITEMS.match(text):
        return _of_items(items)
    lines = [line for line in text.splitlines() if line.strip()]
    for form, number, name in ((_NUMBERED, 1, 2), (_NUMBERED_LAST, 2, 1)):
        matched = [form.fullmatch(line) for line in lines]
        found = {int(match[number]): match[name].strip() for match in matched if match}
        distinct = len(found) == len(set(found.values())) == len(lines)
        if distinct and next(iter(found)) in (0, 1) and list(found) == sorted(found) and max(found) < _MOST:
            return _by_number(found)
    if lines and all(_QUOTED.fullmatch(line.strip()) for line in lines):
        lines = [line.strip()[1:-1] for line in lines]
    return tuple(named_label(line) for line in lines)


def decoded_text(content: bytes) -> str:
    """The text of a file: UTF-16 where it begins with its mark, else UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _of_items(items: list[str]) -> tuple[str | None, ...]:
    found = {}
    for item in items:
        fields = {key: double or single or number for key, double, single, number in _FIELD.findall(item)}
        if not fields.get("id", "").isdigit() or not (fields.get("display_name") or fields.get("name")):
            raise ValueError(f"an item has no id, or no name: {' '.join(item.split())[:60]}")
        found[int(fields["id"])] = fields.get("display_name") or fields["name"]
    return _by_number(found)


def _of_json(document: Any) -> tuple[str | None, ...]:
    if isinstance(document, list):
        if all(isinstance(item, Mapping) and {"id", "name"} <= item.keys() for item in document) and document:
            return _of_json({str(item["id"]): item["name"] for item in document})
        if all(isinstance(item, str | None) for item in document):
            return tuple(named_label(item or "") for item in document)
    if isinstance(document, Mapping):
        under = next((document[key] for key in _KEYS if isinstance(document.get(key), list | Mapping)), None)
        if under is not None:
            return _of_json(under)
        if document and all(str(key).isdigit() for key in document):
            return _by_number({int(key): _name_of(item) for key, item in document.items()})
        if document and all(isinstance(value, int) and value >= 0 for value in document.values()):
            return _by_number({value: str(key) for key, value in document.items()})
    raise ValueError("expected a list of names, or a mapping between numbers and names")


def _name_of(item: Any) -> str:
    if isinstance(item, list) and item:
        item = item[-1]
    if isinstance(item, Mapping):
        item = next((item[key] for key in ("display_name", "name", "label") if isinstance(item.get(key), str)), None)
    if not isinstance(item, str):
        raise ValueError(f"expected the name of a class but got {item!r}")
    return item


def _by_number(found: Mapping[int, str]) -> tuple[str | None, ...]:
    most = max(found)
    if most >= _MOST:
        raise ValueError(f"a class is numbered {most}")
    return tuple(named_label(found.get(number, "")) for number in range(most + 1))
