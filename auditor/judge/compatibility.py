"""What targets would refuse of each model's graph."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import Told
from auditor.values import AuditResult, Patch, Refusal

__all__ = ["check_compatibility"]

_SHOWN = 8


def check_compatibility(result: AuditResult) -> Iterator[Told]:
    """Name custom ops, open sizes, state between images, the runtime that a graph needs, and what targets refuse."""
    for model in result.models:
        facts = model.compatibility
        if facts is None:
            continue
        where = {"model": model.model, "file": model.name}
        if facts.custom or facts.flex:
            yield Told("compatibility.custom_ops", {"file": model.name, "ops": [*facts.custom, *facts.flex]}, where)
        if facts.dynamic:
            yield Told("compatibility.open_size", {"file": model.name}, where)
        scale, source = model.decoder.options.get("score_scale"), model.sources.get("decoder.score_scale")
        if scale is not None and source is not None and source.origin == "images":
            patch = Patch({"decoder": {"name": model.decoder.name, "score_scale": scale}}, model=model.name)
            yield Told("compatibility.per_cent", {"file": model.name, "line": str(patch)}, where, fix=patch)
        if model.state:
            code = "compatibility.state_kept" if model.keeps_state else "compatibility.state"
            yield Told(code, {"file": model.name, "state": list(model.state)}, where)
        refused = {target: found for target, found in facts.targets.items() if found.ops or found.types}
        yield Told(
            "compatibility.targets",
            facts={
                "file": model.name,
                "version": facts.runtime.version,
                "op": facts.runtime.op,
                "op_version": facts.runtime.op_version,
                "refused": [
                    f"a {target} does not take {_listed(found, facts.ops)}" for target, found in refused.items()
                ],
                "remedies": " ".join(f"{target}: {found.remedy}" for target, found in refused.items()),
            },
            cell=where,
            observed=float(sum(sum(found.ops.values()) for found in refused.values())),
        )


def _listed(found: Refusal, ops: int) -> str:
    """What a target refuses, counted."""
    names = [f"{name} {count}" for name, count in found.ops.items()]
    shown = f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
    parts = [f"{sum(found.ops.values())} of its {ops} ops ({shown})"] if names else []
    parts += [f"{count} tensors of {name}" for name, count in found.types.items()]
    return " and ".join(parts)
