"""`auditor scenarios check`: every scenario of a pack on sample images, in two processes, and all that is wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.config import YamlFile, nearest
from auditor.corruptions.observing import Observed, faults_of, observe
from auditor.corruptions.packs import PackFile, bound_memory, first_failure, read_scenarios, refused_code
from auditor.errors import InputError, ScenarioError
from auditor.executors import Outcome, run_isolated
from auditor.values import ScenarioSpec

__all__ = ["USUAL_MS", "Checked", "check_pack"]

USUAL_MS = 60.0
"""What corrupting an image of 640 × 480 pixels may take before it is told."""
_PIXELS = 640 * 480
_TIMEOUT_S = 120.0

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Checked:
    """A scenario that nothing is wrong with, and what it did; `slow` says so where it takes long."""

    scenario: ScenarioSpec
    seen: tuple[Observed, ...]
    slow: str | None = None


@dataclass(frozen=True)
class _Look:
    scenario: ScenarioSpec
    images: tuple[Image, ...]


def check_pack(
    file: PackFile, images: Sequence[Image], *, only: str = "", allow_code: bool, most_ms: float | None = None
) -> list[Checked]:
    """Run each scenario, or `only` one, at every severity on `images` ((H, W, 3) uint8 RGB), twice, each time in a
    process of its own.

    `most_ms` is what an image of 640 × 480 pixels may take, in proportion to its pixels for others; left out,
    `USUAL_MS` is told and is no problem.

    Raises:
        InputError: with every problem: of the document, of what cannot be run, and with the line of each scenario that
            changes nothing, does not grow with severity, or is not the same in another process.
    """
    specs, source, problems = read_scenarios(file)
    if only:
        names = [spec.name for spec in specs]
        specs = tuple(spec for spec in specs if spec.name == only)
        problems = problems if specs else [f"{file.path}: it has no scenario {only!r}; {nearest(only, names)}"]
    runs = []
    for spec in specs:
        refused = refused_code(spec, allow_code=allow_code)
        if refused is None:
            runs.append(_Look(spec, tuple(images)))
        else:
            problems.append(f"{_line(source, spec, ('transforms',))}: {refused}")
    first = _looked(runs, hash_seed=1)
    again = iter(_looked([outcome.item for outcome in first if _failure(outcome) is None], hash_seed=2))
    second = [outcome if _failure(outcome) is not None else next(again) for outcome in first]
    checked = []
    for look, one, other in zip(runs, first, second, strict=True):
        spec = look.scenario
        failed = next((why for outcome in (one, other) if (why := _failure(outcome)) is not None), None)
        if failed is not None:
            problems.append(f"{_line(source, spec, ('transforms',))}: {failed}")
            continue
        faults = [
            f"{_line(source, spec, fault.at)}: {fault.text}" for fault in faults_of(spec, one.result, other.result)
        ]
        slow = _slow(source, look, one.result, USUAL_MS if most_ms is None else most_ms)
        problems += faults + ([slow] if slow is not None and most_ms is not None else [])
        checked.append(Checked(spec, one.result, slow))
    if problems:
        raise InputError(problems)
    return checked


def _looked(runs: Sequence[_Look], *, hash_seed: int) -> list[Outcome]:
    """What each scenario does in a process in which texts hash by this seed, which differs from process to process
    unless the environment says it."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = str(hash_seed)
    try:
        return run_isolated(_look, runs, timeout_s=_TIMEOUT_S)
    finally:
        del os.environ["PYTHONHASHSEED"]
        os.environ.update({} if before is None else {"PYTHONHASHSEED": before})


def _look(item: _Look) -> tuple[Observed, ...] | str:
    """What a scenario did, or why it failed."""
    bound_memory()
    try:
        return first_failure(item.scenario) or observe(item.scenario, item.images)
    except ScenarioError as error:
        return str(error)


def _failure(outcome: Outcome) -> str | None:
    """Why there is nothing to see; None where there is."""
    if outcome.error is not None:
        return "".join(outcome.error.strip().splitlines()[-1:])
    return outcome.result if isinstance(outcome.result, str) else None


def _line(source: YamlFile, spec: ScenarioSpec, at: Sequence[str | int]) -> str:
    return source.where("scenarios", spec.name, *at)


def _slow(source: YamlFile, look: _Look, seen: Sequence[Observed], most_ms: float) -> str | None:
    height, width = min(look.images, key=lambda image: image.size).shape[:2]
    most = most_ms * height * width / _PIXELS
    ms = max(item.ms for item in seen)
    if ms <= most:
        return None
    return (
        f"{_line(source, look.scenario, ('transforms',))}: it takes {ms:.0f} ms for an image of {width} × {height} "
        f"pixels, more than {most:.0f} ms; an audit spends that on each image and severity"
    )
