"""What targets would refuse of each model's graph."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.values import AuditResult, Finding

__all__ = ["check_compatibility"]


def check_compatibility(result: AuditResult) -> Iterator[Finding]:
    """Name custom ops, open sizes, the runtime that a graph needs, and what named targets cannot take of it."""
    for model in result.models:
        facts = model.get("compatibility") or {}
        if not facts:
            continue
        where = {"model": model["model"], "file": model["name"]}
        if facts["custom"] or facts["flex"]:
            yield Finding(
                check="compatibility",
                level="info",
                message=f"{model['name']} has the custom ops {', '.join([*facts['custom'], *facts['flex']])}, which a runtime must be built with",
                remedy="Check that the target's interpreter registers them (LiteRT and TFLite Micro have TFLite_Detection_PostProcess), or export without them.",
                cell=where,
            )
        if facts["dynamic"]:
            yield Finding(
                check="compatibility",
                level="warning",
                message=f"{model['name']} leaves its input size open: delegates that plan ahead (GPU, NPUs, microcontrollers) refuse such graphs",
                remedy="Export it with the size that it is deployed at.",
                cell=where,
            )
        runtime = facts["runtime"]
        taken = {target: found for target, found in facts["targets"].items() if found["ops"] or found["types"]}
        for target, found in taken.items():
            listed = [f"{name} {count}" for name, count in found["ops"].items()]
            types = f"; {', '.join(f'{count} tensors of {name}' for name, count in found['types'].items())}" if found["types"] else ""
            yield Finding(
                check="compatibility",
                level="info",
                message=f"{model['name']}: a {target} does not take {sum(found['ops'].values())} of its {facts['ops']} ops ({', '.join(listed[:8]) or 'none by name'}){types}",
                remedy=found["remedy"],
                cell={**where, "target": target},
                observed=float(sum(found["ops"].values())),
            )
        yield Finding(
            check="compatibility",
            level="info",
            message=f"{model['name']} needs a runtime of version {runtime['version']} or newer"
            + (f" (for {runtime['op']} version {runtime['op_version']})" if runtime["op"] else ""),
            remedy="Compare with the runtime on the target: `pip show ai-edge-litert`, or the version that its firmware was built with.",
            cell=where,
        )
