"""CenterNet: a heat map of centres for each class, with sizes and offsets. Source: Zhou et al. 2019,
arXiv:1904.07850."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from auditor.errors import ModelError
from auditor.heads.anatomy.head import BOX_OPTIONS, TEXT, Head, Match, Outputs, Seen, Settled, Settling, listed, one_of
from auditor.heads.anatomy.layouts import in_either_layout
from auditor.heads.anatomy.rows import activated, rescaled, sorted_detections
from auditor.heads.anatomy.settling import FROM_IMAGES, settle_boxes, settle_scores
from auditor.values import Detections, Json, ModelSpec, Source

__all__ = ["HEAD"]

_STRIDES = (4, 2, 8)
_TOP = 100
_NAMES = {"sizes": ("wh", "size", "scale", "dim"), "offsets": ("reg", "off")}


def decode(outputs: Outputs, spec: ModelSpec) -> Detections:
    """Decode a heat map (1, h, w, C), sizes and offsets (1, h, w, 2), all in cells.

    An object is a cell that is the highest of its 3 × 3 neighbours; its centre is the cell plus its offset, x and y,
    its width and height the size there; the hundred best count. There is no NMS. Source: arXiv:1904.07850, section 4.
    """
    options: Any = spec.decoder_options
    heat = outputs[options["scores"]][0]
    heat = activated(rescaled(heat.astype(np.float64), spec), options.get("activation", "none"))
    rows, columns, classes = heat.shape
    highest = cv2.dilate(heat, np.ones((3, 3), np.uint8)).reshape(heat.shape)
    peaks = np.where(heat == highest, heat, 0.0).ravel()
    best = np.argsort(-peaks, kind="stable")[:_TOP]
    best = best[peaks[best] > 0]
    cells, labels = np.divmod(best, classes)
    y, x = np.divmod(cells, columns)
    sizes = outputs[options["sizes"]].reshape(-1, 2)[cells].astype(np.float64)
    offsets = outputs[options["offsets"]].reshape(-1, 2)[cells].astype(np.float64)
    centres = np.stack([x, y], axis=1) + offsets
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    scale = np.array([spec.input.width / columns, spec.input.height / rows] * 2)
    return sorted_detections(boxes * scale, peaks[best], labels)


def _maps(seen: Seen) -> tuple[str, list[str]] | None:
    """The heat map, and the two maps of two channels."""
    arrays = seen.arrays
    if not _alike(seen):
        return None
    pairs = [name for name, array in arrays.items() if array.shape[3] == 2]
    if len(pairs) == 3:  # two classes: by their names
        named = [name for name in pairs if _role(seen, name) is not None]
        pairs = named if len(named) == 2 else pairs
    if len(pairs) != 2:
        return None
    return next(name for name in arrays if name not in pairs), pairs


def _alike(seen: Seen) -> bool:
    """Whether there are three maps of one size, two of them at least of two channels."""
    shapes = [array.shape for array in seen.arrays.values()]
    if len(shapes) != 3 or any(len(shape) != 4 for shape in shapes) or len({shape[1:3] for shape in shapes}) != 1:
        return False
    return [shape[3] for shape in shapes].count(2) >= 2 and seen.contract.height / shapes[0][1] in _STRIDES


def _role(seen: Seen, name: str) -> str | None:
    called = f"{seen.called.get(name, '')} {name}".lower()
    return next((role for role, marks in _NAMES.items() if any(mark in called for mark in marks)), None)


def _recognise(seen: Seen) -> Match | None:
    found = _maps(seen)
    if found is None:  # of two classes, without names: `_structure` asks for them
        return Match("three maps of two channels", sure=True) if _alike(seen) else None
    classes = seen.arrays[found[0]].shape[3]
    return Match(f"a heat map of {classes} classes with two maps of two channels", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    given = seen.given
    if {"scores", "sizes", "offsets"} <= given.keys():
        return {"box_unit": "pixels"}
    found = _maps(seen)
    if found is None:
        raise ModelError(
            "decoder centernet expects a heat map (1, h, w, C) and two maps (1, h, w, 2) but the model has "
            f"{listed(seen.arrays)}; write `scores:`, `sizes:` and `offsets:` with their names",
            field="decoder",
        )
    roles = {role: name for name in found[1] if (role := _role(seen, name)) is not None}
    rest = [name for name in found[1] if name not in roles.values()]
    for role in _NAMES:
        if role not in roles and len(roles) == 1 and len(rest) == 1:
            roles[role] = rest.pop()
    named: dict[str, Json] = {"scores": found[0], **roles, "box_unit": "pixels"}
    return named if len(roles) == 2 else {**named, "open_maps": list(found[1])}


def _settle(settling: Settling) -> Settled:
    """Which of two maps holds sizes: offsets within a cell are from 0 to 1 where there is an object."""
    options: dict[str, Any] = dict(settling.spec.decoder_options)
    sources: dict[str, Source] = {}
    heats = [sample[options["scores"]] for sample in settling.samples]
    scored = settle_scores(np.concatenate([heat.ravel() for heat in heats]), options, otherwise="sigmoid")
    options |= scored.options
    sources |= scored.sources
    pair = options.pop("open_maps", None)
    if pair is not None:
        at_peaks = {
            name: np.concatenate([_at_peaks(s, options["scores"], name) for s in settling.samples]) for name in pair
        }
        within = sorted(pair, key=lambda name: float(((at_peaks[name] >= -0.05) & (at_peaks[name] <= 1.05)).mean()))
        options["sizes"], options["offsets"] = within
        sources |= dict.fromkeys(("sizes", "offsets"), FROM_IMAGES)
    return settle_boxes(settling, options, sources)


def _at_peaks(sample: Outputs, scores: str, name: str) -> Any:
    best = np.argsort(-sample[scores][0].max(axis=2).ravel(), kind="stable")[:20]
    return sample[name].reshape(-1, 2)[best].ravel()


HEAD = in_either_layout(
    Head(
        name="centernet",
        task="detection",
        about="a heat map (1, h, w, C), sizes and offsets (1, h, w, 2)",
        decode=decode,
        recognise=_recognise,
        structure=_structure,
        settle=_settle,
        # xingyizhou/CenterNet: BGR, mean 0.408, 0.447, 0.470 and std 0.289, 0.274, 0.278 of 255, letterboxed on black.
        input={
            "color": "bgr",
            "mean": (104.04, 113.985, 119.85),
            "std": (73.695, 69.87, 70.89),
            "resize": "letterbox",
            "anchor": "center",
            "rounding": "round",
            "pad": 0.0,
        },
        options={
            **BOX_OPTIONS,
            "activation": one_of("none", "sigmoid"),
            "scores": TEXT,
            "sizes": TEXT,
            "offsets": TEXT,
        },
        nms_inside=True,
        letterboxed=True,
    )
)
