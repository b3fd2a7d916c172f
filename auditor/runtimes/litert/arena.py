"""How much memory the runtime needs for activations: an estimate from the lives of tensors."""

from __future__ import annotations

import numpy as np

from auditor.runtimes.litert.graph import Graph, Tensor

__all__ = ["arena_bytes"]

_ALIGNMENT = 64


def arena_bytes(graph: Graph) -> int:
    """Estimate the memory that the runtime needs for activations: tensors placed largest first, each at the lowest
    offset that is free over its life.

    An estimate: scratch memory of ops and what a delegate packs are not in it; open dimensions count as 1.
    Source: Pisarchyk and Lee 2020, arXiv:2001.03288, greedy by size, as the runtime's arena planner places.
    """
    first: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for step, op in enumerate(graph.ops):
        for index in op.outputs:
            first.setdefault(index, step)
            last[index] = step
        for index in op.inputs:
            if index in first:
                last[index] = step
    last |= dict.fromkeys((index for index in graph.outputs if index in first), len(graph.ops))
    sizes = {index: _bytes_of(graph.tensors[index]) for index in first}
    placed: list[tuple[int, int, int, int]] = []
    for index in sorted(first, key=lambda index: (-sizes[index], first[index])):
        offset = 0
        for start, end, begin, finish in sorted(placed):
            if finish < first[index] or begin > last[index]:
                continue
            if start - offset >= sizes[index]:
                break
            offset = max(offset, end)
        placed.append((offset, offset + sizes[index], first[index], last[index]))
    return max((end for _, end, _, _ in placed), default=0)


def _bytes_of(tensor: Tensor) -> int:
    width = np.dtype(tensor.dtype).itemsize if tensor.dtype in np.sctypeDict else 1
    size = int(np.prod([max(1, side) for side in tensor.shape])) * width if tensor.shape else width
    return -(-size // _ALIGNMENT) * _ALIGNMENT
