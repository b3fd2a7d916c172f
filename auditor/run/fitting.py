"""Which severity of which scenarios makes clean pictures most like real bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.corruptions.corrupt import corrupt, knobs_at
from auditor.corruptions.traits import GROUPS, TRAITS, traits_of
from auditor.datasets.image_files import folder_images, read_record
from auditor.errors import DataError, InputError
from auditor.evaluate.resemblance import Nearest, distances, nearest_severity, scale_of
from auditor.executors import open_executor
from auditor.provenance import image_seed, same_versions
from auditor.run.progress import Progress
from auditor.values import ImageRecord, ScenarioSpec

__all__ = ["Fitted", "fit_scenarios"]

SEVERITIES = (0.0, *(1 + step / 4 for step in range(17)))
_LEAST_IMAGES = 5


@dataclass(frozen=True)
class Fitted:
    """What a scenario can do: its nearest severity, the value of its first knob there and at the interval's ends (None
    at severity 0), and the distance that is left by group of traits."""

    scenario: ScenarioSpec
    nearest: Nearest
    knob: str
    at: float | None
    between: tuple[float | None, float | None]
    left: dict[str, float]


@dataclass(frozen=True)
class _Look:
    """An image, under a scenario at some severities; none of a real one."""

    record: ImageRecord
    scenario: ScenarioSpec | None = None
    severities: tuple[float, ...] = (0.0,)


def fit_scenarios(
    scenarios: Sequence[ScenarioSpec], clean: Path, real: Path, *, most: int, jobs: int | None, progress: Progress
) -> tuple[list[Fitted], float]:
    """Fit each scenario, those that come nearest first, on at most so many images of each folder; and the distance of
    two halves of the real pictures, which no scenario can be expected to come below.

    Raises:
        InputError: a folder has too few images that can be read.
    """
    absent = [
        f"{path}: there is no such folder; expected one of pictures" for path in (clean, real) if not path.is_dir()
    ]
    if absent:
        raise InputError(absent)
    sets = {path: folder_images(path, limit=most) for path in (clean, real)}
    workers = open_executor("processes", jobs=jobs, imports=("auditor.corruptions.traits",), versions=same_versions)
    try:
        looks = [_Look(record) for record in sets[real]]
        looks += [_Look(record, scenario, SEVERITIES) for record in sets[clean] for scenario in scenarios]
        progress.stage("looking at pictures", of=len(looks), what="pictures")
        found: dict[tuple[str, str], NDArray[np.float64]] = {}
        unreadable: set[str] = set()
        for outcome in workers.map(_looked, looks, affinity=lambda look: str(look.record.path)):
            look: _Look = outcome.item
            if outcome.error is not None:
                raise InputError(f"{look.record.path}: {outcome.error.strip().splitlines()[-1]}")
            if outcome.result is None and str(look.record.path) not in unreadable:
                unreadable.add(str(look.record.path))
                progress.say(f"{look.record.path} cannot be read, and is left out")
            if outcome.result is not None:
                found[str(look.record.path), "" if look.scenario is None else look.scenario.key] = outcome.result
            progress.done()
    except BaseException:
        workers.kill()
        raise
    finally:
        workers.close()
    theirs = _stacked(found, sets[real], "", real)[:, 0]
    groups = [[TRAITS.index(name) for name in names] for names in GROUPS.values()]
    fitted = []
    for scenario in scenarios:
        mine = _stacked(found, sets[clean], scenario.key, clean)
        fitted.append(_fitted(scenario, mine, theirs, groups))
    fitted.sort(key=lambda item: item.nearest.distance)
    return fitted, _halves(theirs, groups)


def _looked(look: _Look) -> NDArray[np.float64] | None:
    """The traits (S, T) of an image at each severity; None where it cannot be read."""
    try:
        image = read_record(look.record)
    except DataError:
        return None
    seed = image_seed(0, "" if look.scenario is None else look.scenario.key, look.record.sha256)
    rows = []
    for severity in look.severities:
        seen = image if look.scenario is None else corrupt(image, look.scenario, severity=severity, seed=seed)
        rows.append(traits_of(seen))
    return np.stack(rows)


def _stacked(
    found: dict[tuple[str, str], NDArray[np.float64]], records: Sequence[ImageRecord], key: str, folder: Path
) -> NDArray[np.float64]:
    """(N, S, T): the traits of the images that could be read."""
    rows = [found[str(record.path), key] for record in records if (str(record.path), key) in found]
    if len(rows) < _LEAST_IMAGES:
        raise InputError(f"{folder}: {len(rows)} images can be read; a distribution takes {_LEAST_IMAGES} at least")
    return np.stack(rows)


def _fitted(
    scenario: ScenarioSpec, mine: NDArray[np.float64], theirs: NDArray[np.float64], groups: Sequence[Sequence[int]]
) -> Fitted:
    by_severity = {severity: mine[:, index] for index, severity in enumerate(SEVERITIES)}
    scale = scale_of(mine[:, 0], theirs)
    nearest = nearest_severity(by_severity, theirs, scale, groups)
    knob = next(iter(scenario.knobs))

    def at(severity: float) -> float | None:
        return knobs_at(scenario, severity)[knob] if severity >= 1 else None

    closest = min(by_severity, key=lambda severity: abs(severity - nearest.severity))
    left = distances(by_severity[closest], theirs, scale)
    low, high = nearest.interval
    return Fitted(
        scenario,
        nearest,
        knob,
        at(nearest.severity),
        (at(low), at(high)),
        {name: float(left[list(group)].mean()) for name, group in zip(GROUPS, groups, strict=True)},
    )


def _halves(theirs: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> float:
    """The median distance between two halves of the real pictures, over random ones."""
    rng, told = np.random.default_rng(20261128), []
    for _ in range(50):
        order = rng.permutation(len(theirs))
        first, second = theirs[order[::2]], theirs[order[1::2]]
        apart = distances(first, second, scale_of(theirs))
        told.append(np.sqrt(np.mean([apart[list(group)].mean() ** 2 for group in groups])))
    return float(np.median(told))
