"""What a run's plan, models and data sets look like in `result.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor.config import delegate_name
from auditor.models.compatibility import compatibility
from auditor.models.graph import load_graph
from auditor.models.keras import PARENT
from auditor.plan import Plan
from auditor.run.describing import sides_at_input
from auditor.values import ModelSpec, Rule

__all__ = ["dataset_document", "model_document", "plan_document"]


def plan_document(plan: Plan, rules: Sequence[Rule], described: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what the audit ran, and by which checks and gates it is judged."""
    return {
        "severities": list(plan.severities),
        "delegates": [delegate_name(delegate) for delegate in plan.config.delegates],
        "scenarios": [
            {
                "key": scenario.key,
                "version": scenario.version,
                "about": scenario.about,
                "unit": scenario.unit,
                "knobs": {name: list(values) for name, values in scenario.knobs.items()},
                "transforms": [
                    {name: arguments} if kind != "function" else {"function": name}
                    for kind, name, arguments in scenario.transforms
                ],
            }
            for scenario in plan.scenarios
        ],
        "calibration": {
            name: {
                "images": len(images),
                "unreadable": plan.unreadable.get(name, 0),
                **described["calibration"].get(name, {}),
            }
            for name, images in plan.calibration.items()
        },
        "checks": plan.config.checks.by_name,
        "gates": [dataclasses.asdict(rule) for rule in rules],
    }


def model_document(plan: Plan, spec: ModelSpec) -> dict[str, Any]:
    """Describe one model file: what it is, every setting and where each came from."""
    match = plan.matches[spec.name]
    options = {
        name: f"{len(value)} anchors" if name == "anchors" and isinstance(value, list) else value
        for name, value in spec.decoder_options.items()
    }
    return {
        "name": spec.name,
        "model": spec.model,
        "file": Path(spec.path).name,
        "sha256": spec.sha256,
        "size_bytes": spec.size_bytes,
        "quantization": spec.quantization,
        "output_dtypes": list(spec.output_dtypes),
        "task": spec.task,
        "dataset": spec.dataset,
        "input": dataclasses.asdict(spec.input),
        "decoder": {"name": spec.decoder, **options},
        "postprocess": dataclasses.asdict(spec.postprocess),
        "labels": list(spec.labels),
        "classes_judged": list(match.judged),
        "classes_only_model": list(match.only_model),
        "classes_only_truth": list(match.only_truth),
        "class_aliases": [list(pair) for pair in match.aliases],
        "sources": dict(spec.sources),
        "diagnosis": dict(spec.diagnosis),
        "boxes_at_input": _boxes_at_input(plan, spec),
        "compatibility": {} if spec.quantization == PARENT else compatibility(load_graph(Path(spec.path))),
    }


def _boxes_at_input(plan: Plan, spec: ModelSpec) -> dict[str, Any]:
    """How many true boxes are too small to be seen well, and how they are spread over powers of two."""
    sides = np.array(sides_at_input(plan.datasets[spec.dataset], spec))
    if not len(sides):
        return {}
    edges = [0, 4, 8, 16, 32, 64, 128, 256, 512, 1e9]
    return {
        "boxes": len(sides),
        "under_8px": float((sides < 8).mean()),
        "under_16px": float((sides < 16).mean()),
        "from_px": edges[:-1],
        "counts": np.histogram(sides, bins=edges)[0].tolist(),
    }


def dataset_document(plan: Plan, name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one data set: its size, its classes and what was met on loading it."""
    dataset = plan.datasets[name]
    return {
        "format": dataset.format,
        "task": dataset.task,
        "images": len(dataset.images),
        "boxes": sum(len(dataset.truth[image.id].labels) for image in dataset.images),
        "categories": list(dataset.categories),
        "counts": dict(dataset.counts),
        "fingerprint": dataset.fingerprint,
        **described["datasets"].get(name, {}),
        **{
            key: Path(value).name if key in ("annotations", "images") else value
            for key, value in dataset.about.items()
            if key != "images"
        },
    }
