"""Names of extensions -> "module:attribute": the built-in ones plus entry points, resolved on first use.

To add one from another package, declare an entry point in its `pyproject.toml`:

    [project.entry-points."auditor.heads"]
    my_head = "my_package.my_head:HEAD"

A name that is taken is an error, so a package can never replace a built-in extension.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from pathlib import Path
from typing import Any

from auditor.errors import InputError

__all__ = ["GROUPS", "built_in", "every", "names", "resolve", "table"]

_DISCOVERED = {
    "heads": ("auditor.heads", "HEAD"),
    "tasks": ("auditor.tasks", "TASK"),
    "datasets": ("auditor.datasets.formats", "FORMAT"),
    "runtimes": ("auditor.runtimes", "RUNTIME"),
    "sections": ("auditor.report.sections", "SECTION"),
}
"""Group -> the package each of whose modules is an extension, by its own name, and the attribute that holds it
there."""

_NAMED: dict[str, dict[str, str]] = {
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
        "overlay": "auditor.corruptions.overlays:overlay",
        "flicker": "auditor.corruptions.light:flicker",
        "headlamps": "auditor.corruptions.light:headlamps",
        "infrared": "auditor.corruptions.light:infrared",
        "low_sun": "auditor.corruptions.light:low_sun",
        "cast": "auditor.corruptions.light:cast",
        "tunnel_exit": "auditor.corruptions.light:tunnel_exit",
        "haze": "auditor.corruptions.air:haze",
        "insects": "auditor.corruptions.air:insects",
        "rain": "auditor.corruptions.air:rain",
        "snowfall": "auditor.corruptions.air:snowfall",
        "dirt": "auditor.corruptions.optics:dirt",
        "forward_motion": "auditor.corruptions.optics:forward_motion",
        "drops": "auditor.corruptions.optics:drops",
        "reflection": "auditor.corruptions.optics:reflection",
        "scratches": "auditor.corruptions.optics:scratches",
        "shake": "auditor.corruptions.optics:shake",
        "bad_pixels": "auditor.corruptions.sensing:bad_pixels",
        "gained": "auditor.corruptions.sensing:gained",
        "mosaic": "auditor.corruptions.sensing:mosaic",
        "short_range": "auditor.corruptions.sensing:short_range",
        "fewer_lines": "auditor.corruptions.coding:fewer_lines",
        "smooth_colour": "auditor.corruptions.coding:smooth_colour",
        "h264": "auditor.corruptions.coding:h264",
        "blocks": "auditor.corruptions.common:blocks",
        "brighter": "auditor.corruptions.common:brighter",
        "channel_contrast": "auditor.corruptions.common:channel_contrast",
        "disk_blur": "auditor.corruptions.common:disk_blur",
        "elastic": "auditor.corruptions.common:elastic",
        "fog": "auditor.corruptions.common:fog",
        "frost": "auditor.corruptions.common:frost",
        "glass_blur": "auditor.corruptions.common:glass_blur",
        "impulse_noise": "auditor.corruptions.common:impulse_noise",
        "photon_noise": "auditor.corruptions.common:photon_noise",
        "saturated": "auditor.corruptions.common:saturated",
        "snow": "auditor.corruptions.common:snow",
        "soft_blur": "auditor.corruptions.common:soft_blur",
        "spatter": "auditor.corruptions.common:spatter",
        "speckle_noise": "auditor.corruptions.common:speckle_noise",
        "streak_blur": "auditor.corruptions.common:streak_blur",
        "zoom_blur": "auditor.corruptions.common:zoom_blur",
    },
    "movements": {
        "crop": "auditor.corruptions.moving:crop",
        "digital_zoom": "auditor.corruptions.moving:digital_zoom",
        "distance": "auditor.corruptions.moving:distance",
        "lens_distortion": "auditor.corruptions.moving:lens_distortion",
        "rolling_shutter": "auditor.corruptions.moving:rolling_shutter",
        "rotate": "auditor.corruptions.moving:rotate",
        "tile": "auditor.corruptions.moving:tile",
        "tilt": "auditor.corruptions.moving:tilt",
    },
    "metrics": {},
    "checks": {
        "robustness": "auditor.judge.robust:check_robustness",
        "input_contract": "auditor.judge.inputs:check_input_contract",
        "labels": "auditor.judge.classes:check_labels",
        "latency": "auditor.judge.endurance:check_latency",
        "memory": "auditor.judge.endurance:check_memory",
        "data": "auditor.judge.data:check_data",
        "compatibility": "auditor.judge.compatibility:check_compatibility",
        "delegate_parity": "auditor.judge.delegates:check_delegates",
        "quantization": "auditor.judge.quantization:check_quantization",
        "operating_point": "auditor.judge.operating:check_operating_point",
        "slices": "auditor.judge.sliced:check_slices",
        "tiles": "auditor.judge.tiling:check_tiles",
        "run": "auditor.judge.ran:check_run",
    },
    "catalogues": {"built_in": "auditor.judge.catalogue:CATALOGUE"},
}
"""Group -> name -> where it is defined."""

GROUPS = (*_DISCOVERED, *_NAMED)


@functools.cache
def built_in(group: str) -> dict[str, str]:
    """Return the built-in names of `group` with their "module:attribute"."""
    if group in _NAMED:
        return dict(_NAMED[group])
    package, attribute = _DISCOVERED[group]
    inside = pkgutil.iter_modules([str(Path(__file__).parent.joinpath(*package.split(".")[1:]))])
    return {found.name: f"{package}.{found.name}:{attribute}" for found in inside if found.name not in _SHARED}


_SHARED = ("anatomy",)
"""What lies among the modules of a group and is none of them: what several share."""


@functools.cache
def table(group: str) -> dict[str, str]:
    """Return every registered name of `group` with its "module:attribute".

    Raises:
        InputError: two extensions claim one name.
    """
    if group not in GROUPS:
        raise ValueError(f"expected a group of {', '.join(GROUPS)} but got {group!r}")
    known = dict(built_in(group))
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
        InputError: it is not registered, its module cannot be imported, or it calls itself otherwise.
    """
    known = table(group)
    if name not in known:
        raise InputError(f"{name!r} is not registered in auditor.{group}; known are: {', '.join(sorted(known))}")
    module, _, attribute = known[name].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name!r} of auditor.{group} is {known[name]}, which cannot be imported ({error})") from error
    called = getattr(found, "name", name)
    if called != name:
        raise InputError(
            f"{name!r} of auditor.{group} is {known[name]}, which calls itself {called!r}; give both one name"
        )
    return found


def every(group: str) -> dict[str, Any]:
    """Import and return every extension of `group` by its name."""
    return {name: resolve(group, name) for name in names(group)}
