"""Find scenario packs, and check that every scenario can be built and run."""

from __future__ import annotations

import contextlib
import importlib.resources
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditor.config import load_pack, nearest, read_pack, specs_of
from auditor.corruptions.corrupt import build, corrupt
from auditor.errors import InputError, ScenarioError
from auditor.executors import run_isolated
from auditor.values import ScenarioSpec

__all__ = ["built_in_packs", "load_scenarios", "scenario_names", "select_scenarios"]


_TRY_S, _TRY_BYTES = 30.0, 3 * 2**30
"""What corrupting a small image at five severities may take."""


def built_in_packs() -> dict[str, Path]:
    """Map the name of each pack that ships to its file: inside the installed package, else beside it in a checkout."""
    folder = Path(str(importlib.resources.files("auditor"))) / "_scenarios"
    if not folder.is_dir():
        root = Path(__file__).resolve().parents[2]
        folder = root / "scenarios"
        if not (root / "pyproject.toml").is_file() or not folder.is_dir():
            raise ScenarioError("the scenario packs that ship with the auditor are missing; install it again")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_scenarios(path: Path, *, allow_code: bool, built_in: bool) -> tuple[ScenarioSpec, ...]:
    """Load a pack file and try each of its scenarios at every severity on a small image.

    A scenario that names a Python function is tried only where `allow_code` is true.

    Raises:
        InputError: with every problem of the pack.
    """
    config, source, problems = read_pack(path)
    if not built_in and config.pack in built_in_packs():
        problems.append(
            f"{source.where('pack')}: {config.pack!r} is a built-in pack, which a file cannot replace; give it "
            "another name"
        )
    specs = specs_of(config, folder=path.parent.absolute())
    tries = [_Try(spec, source.where("scenarios", spec.name, "transforms"), allow_code) for spec in specs]
    if built_in:
        problems += [problem for item in tries for problem in _try(item)]
    else:  # what a stranger's pack asks for may take for ever, or all memory
        for outcome in run_isolated(_bounded, tries, timeout_s=_TRY_S):
            reason = (outcome.error or "").strip().splitlines()[-1:]
            told = [f"{outcome.item.where}: a small image could not be corrupted: {''.join(reason)}"]
            problems += outcome.result if outcome.error is None else told
    if problems:
        raise InputError(problems)
    return specs


def select_scenarios(
    names: Sequence[str], *, folder: Path, allow_code: bool, where: Sequence[str]
) -> tuple[ScenarioSpec, ...]:
    """Resolve an audit's `scenarios`: `pack`, `pack/scenario`, or a pack file (relative to `folder`) with or without
    `#scenario`. `where` begins the problem of each name.

    Raises:
        InputError: with every problem.
    """
    chosen: dict[str, ScenarioSpec] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []
    for name, place in zip(names, where, strict=True):
        try:
            specs = _of(name, folder=folder, allow_code=allow_code)
        except InputError as error:
            problems += [
                problem if _is_path(name) and (folder / name.partition("#")[0]).exists() else f"{place}: {problem}"
                for problem in error.problems
            ]
            continue
        for spec in specs:
            if owners.get(spec.pack, spec.folder) != spec.folder:
                problems.append(f"{place}: two packs are named {spec.pack!r}; rename one")
            owners[spec.pack] = str(spec.folder)
            chosen[spec.key] = spec
    if problems:
        raise InputError(dict.fromkeys(problems))
    return tuple(chosen.values())


def scenario_names() -> list[str]:
    """Name every pack that ships, and every scenario as pack/scenario."""
    packs = built_in_packs()
    return [*packs, *(spec.key for path in packs.values() for spec in _loaded(path))]


def _of(name: str, *, folder: Path, allow_code: bool) -> tuple[ScenarioSpec, ...]:
    if _is_path(name):
        file, _, scenario = name.partition("#")
        specs = load_scenarios(folder / file, allow_code=allow_code, built_in=False)
    else:
        pack, _, scenario = name.partition("/")
        packs = built_in_packs()
        if pack not in packs and (folder / name).is_dir():
            raise InputError(f"{name} is a folder; expected a pack, pack/scenario, or the path of a pack file (.yaml)")
        if pack not in packs and (folder / name).is_file():
            raise InputError(f"{name}: a pack file's name ends in .yaml; rename it")
        if pack not in packs:
            own = f" (a pack file of your own is given by its path, ./{pack}.yaml)" if pack.isidentifier() else ""
            raise InputError(f"unknown scenario {name!r}; {nearest(name, scenario_names())}{own}")
        specs = _loaded(packs[pack])
    if not scenario:
        return specs
    found = tuple(spec for spec in specs if spec.name == scenario)
    if not found:
        known = {spec.name: name.removesuffix(scenario) + spec.name for spec in specs}
        raise InputError(f"unknown scenario {name!r}; {nearest(name, known.values())}")
    return found


def _loaded(path: Path) -> tuple[ScenarioSpec, ...]:
    config, _ = load_pack(path)
    return specs_of(config, folder=path.parent.absolute())


def _is_path(name: str) -> bool:
    return name.partition("#")[0].endswith((".yaml", ".yml"))


@dataclass(frozen=True)
class _Try:
    """A scenario to try, and the line of its transforms."""

    spec: ScenarioSpec
    where: str
    allow_code: bool


def _bounded(item: _Try) -> list[str]:
    """As `_try`, in a process that can fill no more than so much memory."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_TRY_BYTES, _TRY_BYTES))
    return _try(item)


def _try(item: _Try) -> list[str]:
    """Build and run a scenario at every severity; what is wrong, with the line of its transforms."""
    spec, where, allow_code = item.spec, item.where, item.allow_code
    code = [step.target for step in spec.transforms if step.kind == "function"]
    if code and not allow_code:
        return [
            f"{where}: {code[0]} is Python code, which runs only where the audit says `allow_code: true` (or the "
            "command `--allow-code`)"
        ]
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for severity in range(1, 6):
        try:
            build(spec, severity)
            corrupt(image, spec, severity=severity, seed=0)
        except ScenarioError as error:
            return [f"{where}: {error}"]
    return []
