"""What a scenario does to sample images, severity by severity, and what is wrong with that."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.corruptions.corrupt import corrupt, knobs_at, moves, warps_of
from auditor.corruptions.likeness import psnr, ssim
from auditor.provenance import image_seed
from auditor.values import ScenarioSpec

__all__ = ["Fault", "Observed", "displacements", "faults_of", "observe"]

SEVERITIES = (1, 2, 3, 4, 5)
_RISES_DB, _RISES_SSIM, _FALLS_DB = 0.05, 0.005, 0.5
"""What PSNR and SSIM may rise by from one severity to the next, since so little is chance and rounding; and by how much
PSNR falls where a rise of SSIM says nothing, for SSIM sees structure alone."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Observed:
    """A scenario at one severity: means over the images of PSNR (dB; None where none was changed) and SSIM, the least
    milliseconds that an image took, a digest of all pixels, and the transforms (from 0) that changed none."""

    severity: int
    psnr: float | None
    ssim: float
    ms: float
    sha256: str
    idle: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What is wrong with a scenario, and the keys of its document, from its own on, whose line it is told with."""

    at: tuple[str | int, ...]
    text: str


def observe(scenario: ScenarioSpec, images: Sequence[Image]) -> tuple[Observed, ...]:
    """Corrupt every image at severities 1 to 5, each with a seed of its own.

    Raises:
        ScenarioError: the scenario cannot be built, or fails.
    """
    return tuple(_observed(scenario, images, severity) for severity in SEVERITIES)


def _observed(scenario: ScenarioSpec, images: Sequence[Image], severity: int) -> Observed:
    seeds = [image_seed(0, scenario.key, str(number)) for number in range(len(images))]
    content, likeness, times = hashlib.sha256(), [], []
    for image, seed in zip(images, seeds, strict=True):
        begin = time.perf_counter()
        seen = corrupt(image, scenario, severity=severity, seed=seed)
        times.append(1e3 * (time.perf_counter() - begin))
        content.update(seen.tobytes())
        likeness.append((psnr(image, seen), ssim(image, seen)))
    changed = [value for value, _ in likeness if value is not None]
    return Observed(
        severity=severity,
        psnr=float(np.mean(changed)) if changed else None,
        ssim=float(np.mean([value for _, value in likeness])),
        ms=min(times),
        sha256=content.hexdigest(),
        idle=tuple(_idle(scenario, images[0], severity, seeds[0])),
    )


def _idle(scenario: ScenarioSpec, image: Image, severity: int, seed: int) -> Iterator[int]:
    """The transforms, of several, that change no pixel of what those before them leave."""
    before = image
    for number in range(len(scenario.transforms) if len(scenario.transforms) > 1 else 0):
        first = dataclasses.replace(scenario, transforms=scenario.transforms[: number + 1])
        after = corrupt(image, first, severity=severity, seed=seed)
        if np.array_equal(before, after):
            yield number
        before = after


def faults_of(scenario: ScenarioSpec, seen: Sequence[Observed], again: Sequence[Observed]) -> Iterator[Fault]:
    """What is wrong with a scenario by what it did, and did `again` in another process."""
    other = [a.severity for a, b in zip(seen, again, strict=True) if a.sha256 != b.sha256]
    if other:
        yield Fault(
            ("transforms",),
            f"another process gives other pixels of the same image and seed {_at(other)}; draw everything from `rng`, "
            "and keep no state, clock or hash() of a text in it",
        )
    idle = [item.severity for item in seen if item.psnr is None]
    if idle:
        yield Fault(("knobs",), f"it changes no pixel {_at(idle)}; severity 0 is the untouched image already")
    for number in set.intersection(*(set(item.idle) for item in seen)) if len(idle) < len(seen) else ():
        yield Fault(("transforms", number), f"{scenario.transforms[number].target} changes no pixel at any severity")
    rising = [(a, b) for a, b in itertools.pairwise(seen) if _milder(a, b)]
    if moves(scenario):
        far = displacements(scenario)
        rising = [(a, b) for a, b in itertools.pairwise(seen) if far[a.severity] >= far[b.severity]]
    rising = [pair for pair in rising if pair[0].psnr is not None or pair[1].psnr is not None]
    if scenario.monotone and rising and not other:
        steps = "; ".join(_step(scenario, a, b) for a, b in rising)
        yield Fault(
            ("knobs",),
            f"its effect does not grow with severity: {steps}; put its values in order, or say `monotone: false`",
        )


def displacements(scenario: ScenarioSpec) -> dict[int, float]:
    """How far a scenario moves the points of an image of 640 × 480 pixels on average, in pixels, by severity: what its
    effect is, since pictures of which one is moved are not less alike the farther."""
    xs, ys = np.meshgrid(np.linspace(0, 640, 9), np.linspace(0, 480, 9))
    points = np.column_stack([xs.ravel(), ys.ravel()])
    found = {}
    for severity in SEVERITIES:
        moved = points
        for warp in warps_of(scenario, severity=severity, size=(480, 640), seed=0):
            moved = warp.forward(moved)
        found[severity] = float(np.hypot(*(moved - points).T).mean())
    return found


def _milder(first: Observed, second: Observed) -> bool:
    """Whether the second changes an image less than the first, though its severity is higher: PSNR rises, or SSIM does
    while PSNR hardly falls."""
    if first.sha256 == second.sha256:
        return True
    if first.psnr is None or second.psnr is None:
        return second.psnr is None and first.psnr is not None
    decibels, likeness = second.psnr - first.psnr, second.ssim - first.ssim
    return decibels > _RISES_DB or (likeness > _RISES_SSIM and decibels > -_FALLS_DB)


def _at(severities: Sequence[int]) -> str:
    listed = ", ".join(map(str, severities))
    return "at any severity" if len(severities) == len(SEVERITIES) else f"at severity {listed}"


def _step(scenario: ScenarioSpec, first: Observed, second: Observed) -> str:
    knob = next(iter(scenario.knobs))
    before, after = (knobs_at(scenario, item.severity)[knob] for item in (first, second))
    quality = " and ".join(
        f"{name} {'none' if a is None else format(a, form)} → {'none' if b is None else format(b, form)}"
        for name, a, b, form in (("PSNR", first.psnr, second.psnr, ".1f"), ("SSIM", first.ssim, second.ssim, ".3f"))
    )
    return f"from severity {first.severity} to {second.severity} ({knob} {before:g} → {after:g}) {quality}"
