"""Find scenario packs, and check that every scenario can be built and run."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import importlib.metadata
import importlib.resources
import importlib.util
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.config import YamlFile, nearest, read_pack, specs_of
from auditor.corruptions.corrupt import build, corrupt, files_at
from auditor.errors import InputError, ScenarioError
from auditor.executors import run_isolated
from auditor.values import ScenarioSpec

__all__ = [
    "PackFile",
    "bound_memory",
    "broken_packs",
    "built_in_packs",
    "first_failure",
    "known_packs",
    "load_scenarios",
    "named_pack",
    "pack_file",
    "read_scenarios",
    "refused_code",
    "scenario_names",
    "select_scenarios",
]


_TRY_S, _TRY_BYTES = 30.0, 3 * 2**30
"""What corrupting a small image at five severities may take."""


@dataclass(frozen=True)
class PackFile:
    """Where the pack of a name lies; `distribution` is the Python package that brought it, with its version, None for
    one that ships with the auditor."""

    name: str
    path: Path
    distribution: str | None = None


def built_in_packs() -> dict[str, Path]:
    """Map the name of each pack that ships to its file: inside the installed package, else beside it in a checkout."""
    folder = Path(str(importlib.resources.files("auditor"))) / "_scenarios"
    if not folder.is_dir():
        root = Path(__file__).resolve().parents[2]
        folder = root / "scenarios"
        if not (root / "pyproject.toml").is_file() or not folder.is_dir():
            raise ScenarioError("the scenario packs that ship with the auditor are missing; install it again")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def known_packs() -> dict[str, PackFile]:
    """Every pack that has a name: those that ship, and those of installed Python packages. Such a package declares

        [project.entry-points."auditor.packs"]
        factory = "acme_packs"

    and holds `acme_packs/factory.yaml`; finding it imports nothing of it (but what stands before a dot). Those that are
    `broken_packs` are left out.
    """
    return _all_packs()[0]


def broken_packs() -> list[str]:
    """What is wrong with packs of installed Python packages: a name that is taken, or a file that is not there."""
    return _all_packs()[1]


def _all_packs() -> tuple[dict[str, PackFile], list[str]]:
    known = {name: PackFile(name, path) for name, path in built_in_packs().items()}
    problems = []
    for point in importlib.metadata.entry_points(group="auditor.packs"):
        owner = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
        path = _inside(point.value, f"{point.name}.yaml")
        if point.name in known:
            other = known[point.name].distribution or "the auditor itself"
            problems.append(f"{owner} brings a pack {point.name!r}, but {other} has that name; uninstall one")
        elif path is None:
            problems.append(
                f"{owner} says that the package {point.value!r} holds the pack {point.name}.yaml, but it does not; "
                "install it again, or tell its authors"
            )
        else:
            known[point.name] = PackFile(point.name, path, owner)
    return known, problems


def _inside(package: str, file: str) -> Path | None:
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = found.submodule_search_locations or () if found is not None else ()
    return next((Path(folder) / file for folder in folders if (Path(folder) / file).is_file()), None)


def pack_file(name: str | Path) -> PackFile:
    """The pack of a name, else the file of a path; whatever leads to a pack that has a name is that pack."""
    known = known_packs()
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    own = (found for found in known.values() if found.path.resolve() == path.resolve())
    return next(own, PackFile(path.stem, path))


def named_pack(name: str) -> tuple[PackFile, str]:
    """The pack that `pack`, `pack/scenario`, `file.yaml` or `file.yaml#scenario` names, and the scenario; or all of
    them, an empty name."""
    if _is_path(name):
        file, _, scenario = name.partition("#")
        return pack_file(file), scenario
    pack, _, scenario = name.partition("/")
    return (pack_file(pack), scenario) if pack in known_packs() else (pack_file(name), "")


def read_scenarios(file: PackFile) -> tuple[tuple[ScenarioSpec, ...], YamlFile, list[str]]:
    """What a pack's document says, as far as it is right, its lines, and what is wrong; nothing of it is run.

    Raises:
        InputError: with every problem, where too little is left to look at the rest.
    """
    config, source, problems = read_pack(file.path)
    known = known_packs()
    if config.pack in known and known[config.pack].path != file.path:
        owner = known[config.pack].distribution
        whose = f"a pack of {owner}" if owner else "a built-in pack"
        problems.append(
            f"{source.where('pack')}: {config.pack!r} is {whose}, which a file cannot replace; give it another name"
        )
    if file.distribution is not None and config.pack != file.name:
        problems.append(f"{source.where('pack')}: {file.distribution} brings it as {file.name!r}")
    specs = specs_of(config, folder=file.path.parent.absolute(), distribution=file.distribution)
    return specs, source, problems


def load_scenarios(path: Path, *, allow_code: bool = False) -> tuple[ScenarioSpec, ...]:
    """Load a pack file and try each of its scenarios at every severity on a small image.

    A scenario that names a Python function is tried only where `allow_code` is true.

    Raises:
        InputError: with every problem of the pack.
    """
    return _tried(pack_file(path), allow_code=allow_code)


def refused_code(spec: ScenarioSpec, *, allow_code: bool) -> str | None:
    """Why a scenario is not run: it names Python code, which nobody has allowed."""
    code = [step.target for step in spec.transforms if step.kind == "function"]
    if not code or allow_code:
        return None
    return (
        f"{code[0]} is Python code, which runs only where the audit says `allow_code: true` (or the command "
        "`--allow-code`)"
    )


def _tried(file: PackFile, *, allow_code: bool, only: str = "") -> tuple[ScenarioSpec, ...]:
    """The scenarios of a pack, each tried, or `only` that of a name."""
    specs, source, problems = read_scenarios(file)
    if only and any(spec.name == only for spec in specs):
        specs = tuple(spec for spec in specs if spec.name == only)
        problems = [
            problem for problem in problems if ": scenarios." not in problem or f": scenarios.{only}." in problem
        ]
    tries = [_Try(spec, source.where("scenarios", spec.name, "transforms"), allow_code) for spec in specs]
    if file.path in built_in_packs().values():
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
    """Name every pack that has a name, and every scenario of one as pack/scenario."""
    packs = known_packs()
    return [*packs, *(spec.key for file in packs.values() for spec in read_scenarios(file)[0])]


def _of(name: str, *, folder: Path, allow_code: bool) -> tuple[ScenarioSpec, ...]:
    if _is_path(name):
        file, _, scenario = name.partition("#")
        specs = _tried(pack_file(folder / file), allow_code=allow_code, only=scenario)
    else:
        pack, _, scenario = name.partition("/")
        packs = known_packs()
        if pack not in packs and (folder / name).is_dir():
            raise InputError(f"{name} is a folder; expected a pack, pack/scenario, or the path of a pack file (.yaml)")
        if pack not in packs and (folder / name).is_file():
            raise InputError(f"{name}: a pack file's name ends in .yaml; rename it")
        if pack not in packs:
            own = f" (a pack file of your own is given by its path, ./{pack}.yaml)" if pack.isidentifier() else ""
            broken = [problem for problem in broken_packs() if f" {pack}.yaml" in problem]
            raise InputError(broken or f"unknown scenario {name!r}; {nearest(name, scenario_names())}{own}")
        known = packs[pack]
        specs = read_scenarios(known)[0] if known.distribution is None else _tried(known, allow_code=allow_code)
    if not scenario:
        return specs
    found = tuple(spec for spec in specs if spec.name == scenario)
    if not found:
        names = {spec.name: name.removesuffix(scenario) + spec.name for spec in specs}
        raise InputError(f"unknown scenario {name!r}; {nearest(name, names.values())}")
    return found


def _is_path(name: str) -> bool:
    return name.partition("#")[0].endswith((".yaml", ".yml"))


@dataclass(frozen=True)
class _Try:
    """A scenario to try, and the line of its transforms."""

    spec: ScenarioSpec
    where: str
    allow_code: bool


def _bounded(item: _Try) -> list[str]:
    bound_memory()
    return _try(item)


def bound_memory() -> None:
    """Let this process, a worker, fill no more than so much memory."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_TRY_BYTES, _TRY_BYTES))


def _try(item: _Try) -> list[str]:
    """What is wrong with a scenario, with the line of its transforms."""
    problem = refused_code(item.spec, allow_code=item.allow_code) or first_failure(item.spec)
    return [] if problem is None else [f"{item.where}: {problem}"]


def first_failure(spec: ScenarioSpec) -> str | None:
    """Build and run a scenario at every severity on a small image; why that fails, None where it does not."""
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for severity in range(1, 6):
        try:
            build(spec, severity)
            corrupt(image, spec, severity=severity, seed=0)
        except ScenarioError as error:
            return str(error)
    return _unusable_picture(spec, image)


def _unusable_picture(spec: ScenarioSpec, image: NDArray[np.uint8]) -> str | None:
    """Which of a scenario's pictures cannot be laid over an image, each tried alone, since an audit draws some."""
    for number, step in enumerate(spec.transforms):
        pattern = step.arguments.get("files")
        for path in files_at(pattern, spec.folder) if step.kind == "builtin" and isinstance(pattern, str) else ():
            file = str(path.relative_to(spec.folder or "."))
            alone = dataclasses.replace(step, arguments={**step.arguments, "files": glob.escape(file)})
            steps = (*spec.transforms[:number], alone, *spec.transforms[number + 1 :])
            try:
                corrupt(image, dataclasses.replace(spec, transforms=steps), severity=5, seed=0)
            except ScenarioError as error:
                return str(error)
    return None
