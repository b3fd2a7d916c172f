"""Names of extensions -> "module:attribute": a built-in table plus entry points, resolved on first use.

To add one from another package, declare an entry point in its `pyproject.toml`:

    [project.entry-points."auditor.decoders"]
    my_head = "my_package.heads:decode"

A name that is taken is an error, so a package can never replace a built-in extension.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from typing import Any

from auditor.errors import InputError

__all__ = ["BUILT_IN", "GROUPS", "names", "resolve", "table"]

BUILT_IN: dict[str, dict[str, str]] = {
    "decoders": {
        "tflite_postprocess": "auditor.models.decoders:tflite_postprocess",
        "yolox": "auditor.models.decoders:yolox",
        "yolov5": "auditor.models.decoders:yolov5",
        "yolov8": "auditor.models.decoders:yolov8",
        "end2end": "auditor.models.decoders:end2end",
        "ssd_anchors": "auditor.models.anchors:ssd_anchors",
        "nanodet": "auditor.models.decoders:nanodet",
        "classifier": "auditor.models.decoders:classifier",
    },
    "corruptions": {
        "exposure": "auditor.corruptions.builtin:exposure",
        "contrast": "auditor.corruptions.builtin:contrast",
        "color_temperature": "auditor.corruptions.builtin:color_temperature",
        "uneven_light": "auditor.corruptions.builtin:uneven_light",
        "downscale": "auditor.corruptions.builtin:downscale",
        "pixelate": "auditor.corruptions.builtin:pixelate",
        "defocus": "auditor.corruptions.builtin:defocus",
        "motion_blur": "auditor.corruptions.builtin:motion_blur",
        "gaussian_noise": "auditor.corruptions.builtin:gaussian_noise",
        "shot_noise": "auditor.corruptions.builtin:shot_noise",
        "row_banding": "auditor.corruptions.builtin:row_banding",
    },
    "metrics": {"coco": "auditor.evaluate.coco:coco_metrics"},
    "checks": {
        "robustness": "auditor.judge.checks:check_robustness",
        "input_contract": "auditor.judge.inputs:check_input_contract",
        "labels": "auditor.judge.checks:check_labels",
        "latency": "auditor.judge.speed:check_latency",
        "memory": "auditor.judge.speed:check_memory",
        "data": "auditor.judge.data:check_data",
        "compatibility": "auditor.judge.compatibility:check_compatibility",
        "delegate_parity": "auditor.judge.delegates:check_delegates",
        "quantization": "auditor.judge.quantization:check_quantization",
        "run": "auditor.judge.checks:check_run",
    },
    "datasets": {
        "coco": "auditor.datasets.coco:load",
        "yolo": "auditor.datasets.yolo:load",
        "voc": "auditor.datasets.voc:load",
        "folders": "auditor.datasets.classified:load_folders",
        "idx": "auditor.datasets.classified:load_idx_pair",
    },
}
"""Group -> name -> where it is defined."""

GROUPS = tuple(BUILT_IN)


@functools.cache
def table(group: str) -> dict[str, str]:
    """Return every registered name of `group` with its "module:attribute".

    Raises:
        InputError: two extensions claim one name.
    """
    if group not in BUILT_IN:
        raise ValueError(f"expected a group of {', '.join(GROUPS)} but got {group!r}")
    known = dict(BUILT_IN[group])
    owners = dict.fromkeys(known, "the auditor itself")
    problems = []
    for point in importlib.metadata.entry_points(group=f"auditor.{group}"):
        owner = point.dist.name if point.dist else point.value
        if point.name in known:
            problems.append(
                f"{owner} registers {point.name!r} in auditor.{group}, but {owners[point.name]} has that name; rename "
                "it"
            )
        known[point.name] = point.value
        owners[point.name] = owner
    if problems:
        raise InputError(problems)
    return known


def names(group: str) -> list[str]:
    """Return the registered names of `group`, sorted."""
    return sorted(table(group))


def resolve(group: str, name: str) -> Any:
    """Import and return the extension `name` of `group`.

    Raises:
        InputError: it is not registered, or its module cannot be imported.
    """
    known = table(group)
    if name not in known:
        raise InputError(f"{name!r} is not registered in auditor.{group}; known are: {', '.join(sorted(known))}")
    module, _, attribute = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name!r} of auditor.{group} is {known[name]}, which cannot be imported ({error})") from error
