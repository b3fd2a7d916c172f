"""What a graph asks of its target: custom ops, the runtime version, and ops that named targets cannot take."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections import Counter
from typing import Any

from auditor.runtimes.litert.graph import Graph
from auditor.values import Compatibility, Refusal, RuntimeNeed

__all__ = ["FLEX", "compatibility"]

FLEX = "Flex"
"""How the names of TensorFlow's own ops begin, which the plain runtime lacks."""


def compatibility(graph: Graph) -> Compatibility:
    """Tell custom and Flex ops, whether an input is of open size, the oldest runtime that has its op versions (with the
    op that needs it), and by target the ops, and types, that it cannot take, with counts.

    Source: the table `targets.json` beside this module, which names its own.
    """
    table = _table()
    custom = sorted({op.name for op in graph.ops if op.custom})
    needs = [
        (table["runtime"].get(op.name, {}).get(str(op.version), "1.5.0"), op.name, op.version)
        for op in graph.ops
        if not op.custom
    ]
    version, name, number = max(
        needs, key=lambda need: tuple(int(part) for part in need[0].split(".")), default=("1.5.0", None, None)
    )
    targets = {}
    for target, known in table["targets"].items():
        ops = Counter(op.name for op in graph.ops if op.name not in known["ops"])
        types = Counter(
            graph.tensors[index].dtype
            for op in graph.ops
            for index in op.outputs
            if "types" in known and graph.tensors[index].dtype not in known["types"]
        )
        targets[target] = Refusal(dict(ops.most_common()), dict(types), known["source"], known["remedy"])
    return Compatibility(
        custom=tuple(name for name in custom if not name.startswith(FLEX)),
        flex=tuple(name for name in custom if name.startswith(FLEX)),
        dynamic=any(side < 0 for index in graph.inputs for side in graph.tensors[index].shape[1:]),
        runtime=RuntimeNeed(version, name, number),
        ops=len(graph.ops),
        targets=targets,
    )


@functools.cache
def _table() -> dict[str, Any]:
    text = importlib.resources.files("auditor.runtimes.litert").joinpath("targets.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
