"""The models: their files, every setting with its origin, and where a level's error arises."""

from __future__ import annotations

import dataclasses

from auditor.report.section import Facts, Section, Shown
from auditor.values import ModelRecord

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts:
    models = shown.result.models
    return {"models": [{"model": model, "settings": _settings(model), "note": _note(model)} for model in models]}


def _note(model: ModelRecord) -> str:
    """How a file came to its level, where that is no matter of its graph."""
    source = model.sources.get("quantization")
    if model.made is not None:
        return str(model.made)
    return str(source) if source is not None and source.origin == "audit.yaml" else ""


def _settings(model: ModelRecord) -> list[dict[str, object]]:
    parts = {
        "input": dataclasses.asdict(model.input),
        "decoder": dict(model.decoder.options),
        "postprocess": dataclasses.asdict(model.postprocess),
    }
    rows = [("decoder", model.decoder.name)]
    rows += [(f"{part}.{key}", value) for part, values in parts.items() for key, value in values.items()]
    return [{"name": name, "value": value, "source": model.sources.get(name, "")} for name, value in rows]


SECTION = Section("settings", 110, _facts, "settings.html.j2")
