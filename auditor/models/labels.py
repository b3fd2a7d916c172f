"""Label maps: class names by index, built in or from a file with one label a line."""

from __future__ import annotations

from pathlib import Path

from auditor.errors import ModelError
from auditor.models.metadata import named_label

__all__ = ["BUILT_IN", "load_labels"]

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


BUILT_IN: dict[str, tuple[str | None, ...]] = {
    "coco80": _coco80(),  # index 0 is person; 80 contiguous classes
    "coco90": _coco90(),  # index 0 is person; COCO's sparse ids less 1
    "coco91": (None, *_coco90()),  # index 0 is background; COCO's sparse ids
}


def load_labels(name: str, path: Path) -> tuple[str | None, ...]:
    """Return a built-in list by `name`, else the lines of the file at `path`.

    Raises:
        ModelError: neither exists, or the file has no line.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(BUILT_IN)
        raise ModelError(
            f"labels {name!r}: not a built-in list ({known}), and the file {path} cannot be read ({error})"
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ModelError(f"labels {path}: the file has no label; expected one a line")
    return tuple(named_label(line) for line in lines)
