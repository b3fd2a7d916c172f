"""What a graph asks of its target: custom ops, the runtime version, and ops that named targets cannot take."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections import Counter
from typing import Any

from auditor.models.graph import Graph

__all__ = ["compatibility"]


def compatibility(graph: Graph) -> dict[str, Any]:
    """Return `custom` and `flex` ops, whether an input is of open size (`dynamic`), the `runtime` version that its op
    versions need (with the op that needs it), and by target the ops, and types, that it cannot take, with counts.

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
        targets[target] = {
            "ops": dict(ops.most_common()),
            "types": dict(types),
            "source": known["source"],
            "remedy": known["remedy"],
        }
    return {
        "custom": [name for name in custom if not name.startswith("Flex")],
        "flex": [name for name in custom if name.startswith("Flex")],
        "dynamic": any(side < 0 for index in graph.inputs for side in graph.tensors[index].shape[1:]),
        "runtime": {"version": version, "op": name, "op_version": number},
        "ops": len(graph.ops),
        "targets": targets,
    }


@functools.cache
def _table() -> dict[str, Any]:
    text = importlib.resources.files("auditor.models").joinpath("targets.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
