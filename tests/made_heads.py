"""Heads shown arrays: what they see of a file, a spec, and what they settle, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auditor import extensions
from auditor.heads.anatomy.head import Seen, Settling
from auditor.values import InputContract, ModelSpec, Postprocess

HEADS = {name: extensions.resolve("heads", name) for name in extensions.built_in("heads")}
WIDE = InputContract(height=32, width=64)
CELLS = 32 + 8 + 2  # of strides 8, 16 and 32
ANY = Path()


def seen(*shapes, names=None, contract=WIDE, **facts):
    """What a head is shown of outputs of these shapes: zeros, called o0, o1, … where no names are given."""
    names = names or [f"o{index}" for index in range(len(shapes))]
    return Seen(
        {name: np.zeros(shape, np.float32) for name, shape in zip(names, shapes, strict=True)}, contract, **facts
    )


def spec_of(decoder, labels="ab", score_floor=0.001, **options):
    """A spec of this head, with these decoder options."""
    return ModelSpec(
        name="m",
        model="m",
        path="m.tflite",
        sha256="0",
        task=HEADS[decoder].task,
        quantization="float32",
        input=WIDE,
        decoder=decoder,
        decoder_options=options,
        labels=tuple(labels),
        postprocess=Postprocess(score_floor=score_floor),
        size_bytes=1,
    )


def settled(decoder, samples, *, labels="ab", more=(), given=None, **options):
    """What a head settles from outputs on a few images, and on more of them."""
    head = HEADS[decoder]
    return head.settle(Settling(head, spec_of(decoder, labels, **options), samples, given or {}, lambda: more))


BOX = [12.0, 8.0, 20.0, 24.0]  # xyxy in the pixels of 64 × 32


def rows(channels, count=CELLS, **at):
    """One output (1, count, channels) of zeros but for the rows given: `r3` is row 3."""
    array = np.zeros((1, count, channels), np.float32)
    for index, row in at.items():
        array[0, int(index[1:])] = row
    return array


SLOTS = ("boxes", "classes", "scores", "count")
