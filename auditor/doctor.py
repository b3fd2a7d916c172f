"""What this machine has for an audit: versions, wheels that break each other, delegates, cores, disk, extras."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from auditor.delegate import BUILT_IN, TENSORFLOW, XNNPACK
from auditor.provenance import auditor_version, clashing_wheels, processor, versions_of
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.run import verified
from auditor.runtimes.anatomy.chatter import dropped_stderr
from auditor.values import Verified

__all__ = ["Checkup", "check_up"]

_PACKAGE = "tflite-auditor"
_EXTRAS = {
    "quantize": "makes quantization levels of .tflite models (`quantize:`, `auditor quantize`, int8 in `init`)",
    TENSORFLOW.name: "reads Keras and SavedModel sources, and converts them",
    "dask": "runs audits on a Dask cluster (`--executor dask`)",
}
"""What each extra that a user may want adds."""
_TIMEOUT_S = 60.0
_LITTLE_GB = 1.0


@dataclass(frozen=True)
class Checkup:
    """What was found, line by line under a title, and what is wrong, each with what to do."""

    found: dict[str, list[str]]
    problems: list[str]


def check_up(folder: Path) -> Checkup:
    """Look at this machine; runs are thought to land in `folder`."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    delegates = _delegates()
    problems = [*clashing_wheels(), *_unmet()]
    if free_gb < _LITTLE_GB:
        problems.append(f"only {free_gb:.1f} GB are free in {folder}; a run of thousands of images needs more")
    usual = delegates[XNNPACK.name]
    if not usual.runs:
        problems.append(f"no model runs on {XNNPACK.name}, the usual delegate: {usual.failed or usual.skipped}")
    found = {
        "auditor": [f"{auditor_version()}, Python {platform.python_version()}"],
        "machine": [
            f"{processor()}, {platform.machine()}, {platform.system()} {platform.release()}",
            f"{usable} of {os.cpu_count()} cores, as many worker processes unless --jobs says otherwise",
            f"{free_gb:.1f} GB free in {folder.absolute()}",
        ],
        "packages": [f"{name} {version}" for name, version in versions_of(_required(None)).items()],
        "delegates": [f"{name}: {_told(name, facts)}" for name, facts in delegates.items()],
        "extras": list(_extras()),
    }
    return Checkup(found, problems)


def _requirements() -> list[Requirement]:
    return [Requirement(text) for text in importlib.metadata.requires(_PACKAGE) or ()]


def _required(extra: str | None) -> list[str]:
    """The packages that the auditor, or one of its extras, needs beside itself."""
    return [
        requirement.name
        for requirement in _requirements()
        if requirement.name != _PACKAGE and _is_of(requirement, extra)
    ]


def _is_of(requirement: Requirement, extra: str | None) -> bool:
    if requirement.marker is None:
        return extra is None
    in_extra = requirement.marker.evaluate({"extra": extra or ""})
    return in_extra and (extra is None or not requirement.marker.evaluate({"extra": ""}))


def _unmet() -> Iterator[str]:
    """Installed packages of versions that the auditor, or an extra whose packages are there, does not work with."""
    for requirement in _requirements():
        installed = versions_of([requirement.name])[requirement.name]
        if requirement.name == _PACKAGE or (requirement.marker is not None and installed == "absent"):
            continue
        if installed == "absent" or not requirement.specifier.contains(installed, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            yield f"{requirement.name} is {installed}, but the auditor needs {wanted}: pip install '{wanted}'"


def _extras() -> Iterator[str]:
    for name, about in _EXTRAS.items():
        missing = [package for package, version in versions_of(_required(name)).items() if version == "absent"]
        there = ", ".join(f"{package} {version}" for package, version in versions_of(_required(name)).items())
        wanted = f'not installed; it {about}: pip install "{_PACKAGE}[{name}]"'
        yield f"{name}: {wanted if missing else there}"


def _delegates() -> dict[str, Verified]:
    """What the embedded example's detector shows on each delegate that a document names by a word."""
    with importlib.resources.as_file(importlib.resources.files("auditor.demo") / "models") as models:
        path = models / "detector_float32.tflite"
        request = ModelRequest("example", "example", str(path), "default", ".", need_labels=False)
        spec = resolve_model(request)
        with dropped_stderr():  # delegates that are not here say so at length
            facts = verified([spec], {spec.name: list(BUILT_IN.values())}, timeout_s=_TIMEOUT_S)
    return {name: facts[spec.name, name] for name in BUILT_IN}


def _told(name: str, facts: Verified) -> str:
    if facts.runs:
        took = f", takes {facts.delegated} of {facts.ops} ops" if facts.delegated is not None else ""
        return f"works{took} of the embedded detector" if took else "works"
    return f"not here: {(facts.skipped or facts.failed or '').removeprefix(f'{name}: ')}"
