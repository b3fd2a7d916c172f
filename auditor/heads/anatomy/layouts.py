"""Heads whose outputs may have their channels first, as exports of PyTorch keep them, or last."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import Head, Match, Near, Option, Outputs, Seen, Settled, Settling
from auditor.values import Json, ModelSpec

__all__ = ["in_either_layout"]

_FIRST = "channels_first"


def in_either_layout(head: Head) -> Head:
    """The head, whose outputs it takes with channels last, for outputs with channels first too: these are moved before
    anything looks at them, by the option `channels_first`."""
    parts: dict[str, Any] = {
        "decode": functools.partial(_decode, head),
        "recognise": functools.partial(_recognise, head),
        "structure": functools.partial(_structure, head),
        "settle": functools.partial(_settle, head),
        "plausible": functools.partial(_plausible, head),
    }
    either = Option("true or false", lambda value: isinstance(value, bool))
    return dataclasses.replace(head, **parts, options={**head.options, _FIRST: either})


def _decode(head: Head, outputs: Outputs, spec: ModelSpec) -> Any:
    return head.decode(_moved(outputs) if spec.decoder_options.get(_FIRST) else outputs, spec)


def _recognise(head: Head, seen: Seen) -> Match | Near | None:
    answer = head.recognise(seen)
    if isinstance(answer, Match):
        return answer
    other = head.recognise(_moved_seen(seen)) if _can_move(seen) else None
    return other if isinstance(other, Match) else answer or other


def _structure(head: Head, seen: Seen) -> dict[str, Json]:
    if seen.given.get(_FIRST):
        return head.structure(_moved_seen(seen))
    try:
        return head.structure(seen)
    except ModelError as error:
        if _FIRST in seen.given or not _can_move(seen):
            raise
        try:
            return {**head.structure(_moved_seen(seen)), _FIRST: True}
        except ModelError:
            raise error from None  # in the words of the usual layout


def _settle(head: Head, settling: Settling) -> Settled:
    if not settling.spec.decoder_options.get(_FIRST):
        return head.settle(settling)
    more: Callable[[], Sequence[Outputs]] = lambda: [_moved(sample) for sample in settling.more()]  # noqa: E731
    samples = [_moved(sample) for sample in settling.samples]
    return head.settle(dataclasses.replace(settling, head=head, samples=samples, more=more))


def _plausible(head: Head, seen: Seen, samples: Sequence[Outputs]) -> bool:
    if isinstance(head.recognise(seen), Match):
        return head.plausible(seen, samples)
    return head.plausible(_moved_seen(seen), [_moved(sample) for sample in samples])


def _can_move(seen: Seen) -> bool:
    return bool(seen.arrays) and all(array.ndim in (3, 4, 5) for array in seen.arrays.values())


def _moved(outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Outputs with their channels last: (1, C, N), (1, C, h, w); of anchors (1, A, h, w, C) as (1, h, w, A, C)."""
    return {
        name: np.moveaxis(array, 1, 3 if array.ndim == 5 else -1) if array.ndim in (3, 4, 5) else array
        for name, array in outputs.items()
    }


def _moved_seen(seen: Seen) -> Seen:
    return dataclasses.replace(seen, arrays=_moved(seen.arrays))
