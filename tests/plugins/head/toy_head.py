"""A head of its own: one output (1, 4 + classes, N, 1), boxes cx cy w h stacked above class scores; fed stretched."""

from __future__ import annotations

import dataclasses

import numpy as np

from auditor.heads.anatomy.head import BOX_OPTIONS, NUMBER, Head, Match, Settled
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Candidates, Source


def decode(outputs, spec):
    """Decode (1, 4 + classes, N, 1); `gain` multiplies the scores."""
    (stacked,) = outputs.values()
    table = np.asarray(stacked, dtype=np.float64)[0, :, :, 0].T
    first, second = table[:, :2], table[:, 2:4]
    if spec.decoder_options.get("box_format", "cxcywh") == "cxcywh":
        first, second = first - second / 2, first + second / 2
    boxes = np.concatenate([first, second], axis=1)
    if spec.decoder_options.get("box_unit", "pixels") == "normalized":
        boxes = boxes * np.array([spec.input.width, spec.input.height] * 2)
    scores = np.clip(table[:, 4:] * float(spec.decoder_options.get("gain", 1.0)), 0, 1)
    return Candidates(boxes, scores)


def recognise(seen):
    """Tell it by its trailing side of 1, which no built-in head has."""
    shapes = seen.shapes
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] == shapes[0][3] == 1 and shapes[0][1] > 4:
        return Match(f"one output {shapes[0]}, boxes stacked above scores", sure=True)
    return None


def settle(settling):
    """Settle `gain`, then what every head with boxes leaves open."""
    gain = settling.given.get("gain", 1.0)
    spec = dataclasses.replace(settling.spec, decoder_options={**settling.spec.decoder_options, "gain": gain})
    origin = Source("audit.yaml" if "gain" in settling.given else "default")
    found = settle_boxes(dataclasses.replace(settling, spec=spec), {"gain": gain}, {"gain": origin})
    return Settled(found.options, found.sources)


HEAD = Head(
    name="stacked",
    task="detection",
    about="(1, 4 + classes, N, 1): boxes stacked above scores",
    decode=decode,
    recognise=recognise,
    settle=settle,
    input={"color": "rgb", "mean": (0.0,), "std": (255.0,), "resize": "stretch"},
    options={**BOX_OPTIONS, "gain": NUMBER},
    box_format="cxcywh",
    parts=lambda stacked, spec: (stacked[0, :4, :, 0].T, stacked[0, 4:, :, 0].T),
)
