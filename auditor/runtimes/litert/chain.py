"""The chain of ops from a graph's outputs back to its weighted ops: the decoding of boxes and scores."""

from __future__ import annotations

from auditor.runtimes.litert.graph import WEIGHTED_OPS, Graph

__all__ = ["head_tensors", "leaves_weights", "made_by"]

_SHOWN = 12


def made_by(graph: Graph, index: int) -> tuple[str, ...]:
    """Name the ops behind a tensor, the last first, as far back as each has one input that is no constant."""
    producers = {output: op for op in graph.ops for output in op.outputs}
    names: list[str] = []
    while (op := producers.get(index)) is not None and len(names) < _SHOWN:
        names.append(op.name)
        inputs = [source for source in op.inputs if source >= 0 and not graph.tensors[source].constant]
        if len(inputs) != 1:
            break
        index = inputs[0]
    return tuple(names)


def leaves_weights(graph: Graph, *, weighted: int) -> bool:
    """Whether any weighted op lies behind the chain that `head_tensors` names."""
    kept = set(head_tensors(graph, weighted=weighted))
    return any(
        op.name in WEIGHTED_OPS and not kept & {graph.tensors[index].name for index in op.outputs} for op in graph.ops
    )


def head_tensors(graph: Graph, *, weighted: int = 0) -> list[str]:
    """Name the outputs of every op between the model's outputs and the first weighted ops behind them, these left out:
    the decoding of boxes and scores. With `weighted`, so many weighted ops of each path are passed."""
    producers = {index: op for op in graph.ops for index in op.outputs}
    names: dict[str, None] = {}
    passed: dict[int, int] = {}
    pending = [(index, 0) for index in graph.outputs]
    while pending:
        index, count = pending.pop()
        op = producers.get(index)
        count += op is not None and op.name in WEIGHTED_OPS
        if op is None or count > weighted or passed.get(index, weighted + 1) <= count:
            continue
        passed[index] = count
        names.update(dict.fromkeys(graph.tensors[output].name for output in op.outputs))
        pending += [(source, count) for source in op.inputs if source >= 0]
    return list(names)
