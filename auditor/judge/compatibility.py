"""What targets would refuse of each model's graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
                message=f"{model['name']} has the custom ops {', '.join([*facts['custom'], *facts['flex']])}, which a "
                "runtime must be built with",
                remedy="Check that the target's interpreter registers them (LiteRT and TFLite Micro have "
                "TFLite_Detection_PostProcess), or export without them.",
                cell=where,
            )
        if facts["dynamic"]:
            yield Finding(
                check="compatibility",
                level="warning",
                message=f"{model['name']} leaves its input size open: delegates that plan ahead (GPU, NPUs, "
                "microcontrollers) refuse such graphs",
                remedy="Export it with the size that it is deployed at.",
                cell=where,
            )
        runtime = facts["runtime"]
        needs = f"a runtime of version {runtime['version']} or newer" + (
            f" ({runtime['op']} version {runtime['op_version']})" if runtime["op"] else ""
        )
        refused = {target: found for target, found in facts["targets"].items() if found["ops"] or found["types"]}
        told = "".join(
            f"; a {target} does not take {_listed(found, facts['ops'])}" for target, found in refused.items()
        )
        remedies = " ".join(f"{target}: {found['remedy']}" for target, found in refused.items())
        yield Finding(
            check="compatibility",
            level="info",
            message=f"{model['name']} needs {needs}{told}",
            remedy=f"Compare with the runtime on the target. {remedies}".strip(),
            cell=where,
            observed=float(sum(sum(found["ops"].values()) for found in refused.values())),
        )


def _listed(found: Mapping[str, Any], ops: int) -> str:
    """What a target refuses, in words."""
    names = [f"{name} {count}" for name, count in found["ops"].items()]
    parts = (
        [f"{sum(found['ops'].values())} of its {ops} ops ({', '.join(names[:8])}{', …' if len(names) > 8 else ''})"]
        if names
        else []
    )
    parts += [f"{count} tensors of {name}" for name, count in found["types"].items()]
    return " and ".join(parts)
