"""Label lists: how a line of one is read, and the built-in ones."""

from __future__ import annotations

__all__ = ["BUILT_IN_LABELS", "named_label"]

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
