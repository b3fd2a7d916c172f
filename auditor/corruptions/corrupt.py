"""corrupt(image, scenario, severity, seed): one scenario applied to one image."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import nearest, parameters_of
from auditor.corruptions.over_time import DARKER, TIME, Draw, is_anew, of_frame
from auditor.errors import InputError, ScenarioError
from auditor.provenance import digest, image_seed, sha256_of
from auditor.values import ImageRecord, ScenarioSpec
from auditor.values.warps import Warp

__all__ = [
    "FILLED",
    "build",
    "content_sha256",
    "corrupt",
    "draw_of",
    "files_at",
    "knobs_at",
    "moves",
    "named_sha256",
    "warps_of",
]

# albumentations asks a server for its newest version when it is imported, unless this is set.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

Step = Callable[[NDArray[np.uint8], Draw], NDArray[np.uint8]]


def draw_of(record: ImageRecord, scenario: str, *, seed: int) -> Draw:
    """What the corruption of an image by a scenario (its key) draws from, in an audit of such a `seed`."""
    own = image_seed(seed, scenario, record.sha256)
    if record.moment is None:
        return Draw.of_image(own)
    return Draw(image_seed(seed, scenario, record.moment.clip), own, record.moment.time_s, record.moment.darker)


def corrupt(
    image: NDArray[np.uint8], scenario: ScenarioSpec, *, severity: float, seed: int | Draw
) -> NDArray[np.uint8]:
    """Return a corrupted copy of an (H, W, 3) uint8 RGB image; shape and type are kept, the input is untouched.

    `seed` is the image's own and the same at every severity, of a frame of a clip what `draw_of` gives; at severity 0
    the copy is the image.

    Raises:
        ScenarioError: a transform failed, or returned something other than such an image.
    """
    result = image.copy()
    if severity == 0:
        return result
    draw = seed if isinstance(seed, Draw) else Draw.of_image(seed)
    for step, transform in zip(build(scenario, severity), scenario.transforms, strict=True):
        try:
            result = step(result, draw)
        except ScenarioError:
            raise
        except (Exception, SystemExit) as error:
            raise ScenarioError(
                f"{scenario.key} at severity {severity:g} failed: {_line_of(error, scenario.folder)}"
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(result, np.ndarray) or result.shape != image.shape or result.dtype != np.uint8:
            got = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
            expected = f"a uint8 image of shape {image.shape} back from {transform.target}"
            raise ScenarioError(f"{scenario.key}: expected {expected} but got {got}")
    return result


def _line_of(error: BaseException, folder: str | None) -> str:
    """Where in the code beside a pack an error arose, as `file.py:line: in function: `; nothing where in none of it."""
    inside = Path(folder or ".").resolve()
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if folder is not None and frame.filename[:1] != "<" and inside in Path(frame.filename).resolve().parents
    ]
    own = [frame for frame in own if "site-packages" not in frame.filename] or own
    if not own or Path(own[-1].filename).resolve() == Path(__file__).resolve():
        return ""
    path = Path(own[-1].filename)
    shown = path.relative_to(Path.cwd()) if Path.cwd() in path.parents else path
    return f"{shown}:{own[-1].lineno}: in {own[-1].name}: "


def knobs_at(scenario: ScenarioSpec, severity: float) -> dict[str, float]:
    """Return the value of each knob at `severity`; between whole severities they are interpolated.

    Raises:
        ValueError: the severity is not in 1..5.
    """
    if not 1 <= severity <= 5:
        raise ValueError(f"expected a severity from 1 to 5 but got {severity}")
    return {name: float(np.interp(severity, range(1, 6), values)) for name, values in scenario.knobs.items()}


def build(scenario: ScenarioSpec, severity: float) -> tuple[Step, ...]:
    """Build the steps of a scenario at one severity.

    Raises:
        ScenarioError: a transform does not exist, or refuses its arguments.
    """
    return _build(_Key(scenario), severity)


class _Key:
    """A scenario as a cache key: by its content."""

    def __init__(self, scenario: ScenarioSpec) -> None:
        self.scenario = scenario
        self._content = repr(scenario)

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content


@functools.lru_cache(maxsize=256)
def _build(key: _Key, severity: float) -> tuple[Step, ...]:
    knobs = knobs_at(key.scenario, severity)
    folder = key.scenario.folder
    steps = []
    for step in key.scenario.transforms:
        arguments = _substituted(step.arguments, knobs)
        if step.kind == "function":
            steps.append(_function_step(step.target, folder, severity))
        elif step.kind == "builtin":
            steps.append(_builtin_step(step.target, arguments, folder))
        else:
            steps.append(_albumentations_step(step.target, arguments))
    return tuple(steps)


def _substituted(value: Any, knobs: Mapping[str, float]) -> Any:
    """Put knobs' values in place of `$knob`; a whole number becomes an int, since many arguments are counts."""
    if isinstance(value, str) and value.startswith("$"):
        number = knobs[value[1:]]
        return int(number) if number == int(number) else number
    if isinstance(value, Mapping):
        return {key: _substituted(item, knobs) for key, item in value.items()}
    if isinstance(value, list):
        return [_substituted(item, knobs) for item in value]
    return value


def _builtin_step(name: str, arguments: Mapping[str, Any], folder: str | None) -> Step:
    if name in extensions.names("movements"):
        warp = _movement(name, arguments)
        return lambda image, draw: warp((image.shape[0], image.shape[1]), draw.seed).pixels(image)
    function = _extension("corruptions", name)
    given = dict(arguments)
    if isinstance(given.get(_FILES), str):
        given[_FILES] = files_at(given[_FILES], folder)
    _check(name, function, given)
    return lambda image, draw: function(image, **_drawn(function, draw), **given)


def _drawn(function: Callable[..., Any], draw: Draw) -> dict[str, Any]:
    """The arguments of a function that are no knobs: its generator, and what it takes of a frame."""
    return {"rng": np.random.default_rng(draw.chosen(anew=is_anew(function))), **of_frame(function, draw)}


def _movement(name: str, arguments: Mapping[str, Any]) -> Callable[[tuple[int, int], int], Warp]:
    """A movement as a function of an image's size (height, width) and seed."""
    function = _extension("movements", name)
    _check(name, function, arguments)
    return lambda size, seed: function(size, rng=np.random.default_rng(seed), **arguments)


def _extension(group: str, name: str) -> Callable[..., Any]:
    try:
        return extensions.resolve(group, name)  # type: ignore[no-any-return]
    except InputError as error:
        raise ScenarioError(str(error)) from error


def _check(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    problems = parameters_of(function, FILLED).problems(arguments)
    if problems:
        raise ScenarioError("; ".join(f"{name} {problem}" for problem in problems))


_FILES = "files"
"""The argument of a corruption that is given as a pattern of files, and arrives as their paths."""
FILLED = frozenset({"image", "size", "rng", TIME, DARKER})
"""The parameters of a corruption or movement that are no knobs."""


def moves(scenario: ScenarioSpec) -> bool:
    """Whether a scenario moves what is on an image, so that true boxes move with it."""
    known = extensions.names("movements")
    return any(step.kind == "builtin" and step.target in known for step in scenario.transforms)


def warps_of(scenario: ScenarioSpec, *, severity: float, size: tuple[int, int], seed: int) -> tuple[Warp, ...]:
    """Where a scenario takes the points of an image of `size` (height, width), movement after movement; none at
    severity 0.

    Raises:
        ScenarioError: a transform does not exist, or refuses its arguments.
    """
    if severity == 0:
        return ()
    known, knobs = extensions.names("movements"), knobs_at(scenario, severity)
    steps = [step for step in scenario.transforms if step.kind == "builtin" and step.target in known]
    return tuple(_movement(step.target, _substituted(step.arguments, knobs))(size, seed) for step in steps)


def files_at(pattern: str, folder: str | None) -> tuple[Path, ...]:
    """The files that a pattern such as `dirt/*.png` names, from a pack's folder on, in the order of their names.

    Raises:
        ScenarioError: there is none.
    """
    where = Path(folder or ".")
    if not pattern or Path(pattern).is_absolute():
        raise ScenarioError(f"expected files beside the pack, such as dirt/*.png, but got {pattern!r}")
    try:
        found = sorted(path for path in where.glob(pattern) if path.is_file())
    except ValueError as error:
        raise ScenarioError(
            f"expected files beside the pack, such as dirt/*.png, but got {pattern!r} ({error})"
        ) from error
    if not found:
        raise ScenarioError(f"no file is there that is called {pattern}, looked for from {where} on")
    return tuple(found)


def _function_step(target: str, folder: str | None, severity: float) -> Step:
    function = _imported(target, folder)
    return lambda image, draw: function(image, severity=severity, **_drawn(function, draw))


def _imported(target: str, folder: str | None) -> Callable[..., Any]:
    """Import `module:name`, looking beside the pack's file too."""
    module, _, name = target.partition(":")
    try:
        found = _module_beside(module, folder) or importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ScenarioError(
            f"function {target} cannot be imported ({_line_of(error, folder)}{type(error).__name__}: {error}); "
            f"expected {module}.py beside the pack, or an installed module"
        ) from error
    function = getattr(found, name, None)
    if function is None:
        known = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise ScenarioError(f"function {target}: {module} has no {name}; {nearest(name, known)}")
    if not callable(function):
        raise ScenarioError(f"function {target} is not callable")
    return function  # type: ignore[no-any-return]


def _module_beside(module: str, folder: str | None) -> ModuleType | None:
    """Load `module` from the pack's folder under a name of its own, so that two packs may each have one; None: not
    there."""
    path = Path(folder or ".") / f"{module.replace('.', '/')}.py"
    if folder is None or not path.is_file():
        return None
    name = f"_auditor_pack_{digest(str(path.absolute()), sha256_of(path))[:16]}_{module.replace('.', '_')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be loaded")
        before = set(sys.modules)
        sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
        sys.path.append(folder)  # for what the module itself imports from beside it
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(folder)
            beside = {
                key: sys.modules[key]
                for key in set(sys.modules) - before - {name}
                if _lies_in(sys.modules[key], folder)
            }
            for key in beside:  # another pack may have one of that name
                del sys.modules[key]
        _imported_beside[name] = (path, *sorted(Path(str(other.__file__)) for other in beside.values()))
    return sys.modules[name]


_imported_beside: dict[str, tuple[Path, ...]] = {}
"""By the module of a pack its own file, and those of modules beside the pack that it imports."""


def _lies_in(module: ModuleType, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(folder).resolve() in Path(file).resolve().parents


def named_sha256(scenario: ScenarioSpec) -> str | None:
    """A digest of what a scenario names outside of its pack, for the resume key: the source of its Python functions,
    with what that imports from beside the pack, and its pictures; None where it names nothing."""
    found: list[str] = []
    for step in scenario.transforms:
        pattern = step.arguments.get(_FILES)
        if step.kind == "function":
            function = _imported(step.target, scenario.folder)
            file = inspect.getsourcefile(inspect.unwrap(function))
            found.append(sha256_of(Path(file)) if file else step.target)
            beside = _module_beside(step.target.partition(":")[0], scenario.folder)
            found += [sha256_of(path) for path in _imported_beside[beside.__name__]] if beside is not None else []
        elif step.kind == "builtin" and isinstance(pattern, str):
            found += [sha256_of(path) for path in files_at(pattern, scenario.folder)]
    return digest(found) if found else None


def content_sha256(scenario: ScenarioSpec) -> str:
    """A digest of everything that decides a scenario's pixels, whatever version its pack calls itself."""
    transforms = [dataclasses.asdict(step) for step in scenario.transforms]
    return digest(scenario.key, dict(scenario.knobs), transforms, named_sha256(scenario))


def _albumentations_step(name: str, arguments: Mapping[str, Any]) -> Step:
    """An image-only transform of albumentations, applied always; unknown arguments, and values that it would silently
    change, are errors."""
    import albumentations

    transform = getattr(albumentations, name, None)
    image_only = (albumentations.ImageOnlyTransform, albumentations.PixelDropout, albumentations.CoarseDropout)
    if not (isinstance(transform, type) and issubclass(transform, image_only)):
        known = [
            key
            for key, value in vars(albumentations).items()
            if isinstance(value, type) and issubclass(value, image_only)
        ]
        if isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform):
            raise ScenarioError(
                f"{name} is not an image-only transform of albumentations but a geometric one, which moves what is on "
                "the image: the true boxes would no longer be where the objects are, so that a worse metric would say "
                f"nothing of the model; boxes move along with {', '.join(extensions.names('movements'))}"
            )
        raise ScenarioError(f"{name} is not an image-only transform of albumentations; {nearest(name, known)}")
    if "p" in arguments:
        raise ScenarioError(f"{name}: `p` cannot be given, a scenario is always applied")
    accepted = set(inspect.signature(transform).parameters) - {"self", "p", "always_apply"}
    unknown = sorted(set(arguments) - accepted - {"strict"})
    if unknown:
        raise ScenarioError(f"{name} has no argument {', '.join(unknown)}; it has {', '.join(sorted(accepted))}")
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    # What refuses an interpolated knob may count in whole numbers: the nearest ones are tried before it is an error.
    refusals = []
    for candidate in (tuples, _rounded(tuples)):
        try:
            pipeline = _pipeline(transform, candidate)
            break
        except Exception as error:  # noqa: BLE001 (pydantic, ValueError, TypeError, or a warning, by transform)
            refusals.append(" ".join(str(error).split())[:300])
    else:
        raise ScenarioError(f"{name} refuses {dict(arguments)}: {refusals[0]}")

    anew = is_anew(transform)

    def step(image: NDArray[np.uint8], draw: Draw) -> NDArray[np.uint8]:
        pipeline.set_random_seed(draw.chosen(anew=anew) % 2**32)
        return np.ascontiguousarray(pipeline(image=image)["image"])

    return step


def _pipeline(transform: Any, arguments: Mapping[str, Any]) -> Any:
    import albumentations

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return albumentations.Compose([transform(**arguments, p=1.0)])


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_rounded(item) for item in value)
    return round(value) if isinstance(value, float) else value
