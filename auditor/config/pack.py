"""Scenario packs: `scenarios/<pack>.yaml` or a file of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, field_validator

from auditor.config.partly import validate_partly
from auditor.config.yaml_file import Document, YamlFile, read_yaml
from auditor.errors import InputError
from auditor.values import CLEAN, ScenarioSpec, Transform

__all__ = ["PackConfig", "load_pack", "read_pack", "specs_of"]

PackName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


def _five(value: Any) -> Any:
    if isinstance(value, list) and len(value) != 5:
        raise ValueError(f"expected 5 numbers, one for each severity from 1 to 5, but got {len(value)}")
    return value


Knob = Annotated[tuple[StrictFloat, ...], Field(min_length=5, max_length=5), BeforeValidator(_five)]


class ScenarioConfig(Document):
    """One scenario: its knobs at severities 1..5 and the transforms that take them."""

    about: str = ""
    knobs: Annotated[dict[PackName, Knob], Field(min_length=1)]
    unit: str
    remedy: str = ""
    """What to do about a model that breaks under it."""
    source: str = ""
    """What the transforms and the values of the knobs are taken from."""
    monotone: StrictBool = True
    """Whether the effect grows with severity."""
    transforms: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]

    @field_validator("transforms")
    @classmethod
    def _one_key_each(cls, transforms: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for transform in transforms:
            if len(transform) != 1:
                raise ValueError(
                    f"expected one transform an item, as `- Name: {{…}}`, but got the keys "
                    f"{', '.join(transform) or 'none'}"
                )
            (name, arguments), *_ = transform.items()
            if name == "function":
                if not isinstance(arguments, str) or arguments.count(":") != 1:
                    raise ValueError(f"expected `function: module:name` but got {arguments!r}")
            elif arguments is not None and not isinstance(arguments, dict | str):
                raise ValueError(f"expected arguments of {name} as a mapping but got {arguments!r}")
        return transforms


class PackConfig(Document):
    """A scenario pack."""

    pack: PackName
    version: Annotated[int, Field(strict=True, ge=1)]
    about: str = ""
    source: str = ""
    """The source of every scenario that names none of its own."""
    scenarios: Annotated[dict[PackName, ScenarioConfig], Field(min_length=1)]

    @field_validator("pack")
    @classmethod
    def _not_clean(cls, pack: str) -> str:
        if pack == CLEAN:
            raise ValueError("`clean` is the scenario of uncorrupted images; give the pack another name")
        return pack


def load_pack(path: Path) -> tuple[PackConfig, YamlFile]:
    """Read and validate the document of a pack; whether its transforms exist, the corruptions know.

    Raises:
        InputError: with every problem that the document itself shows.
    """
    config, source, problems = read_pack(path)
    if problems:
        raise InputError(problems)
    return config, source


def read_pack(path: Path) -> tuple[PackConfig, YamlFile, list[str]]:
    """Read the document of a pack as far as it is right, and what is wrong; a scenario that lacks something is left
    out.

    Raises:
        InputError: with every problem, where too little is left to look at the rest.
    """
    data, source, problems = read_yaml(path)
    found = validate_partly(PackConfig, data, source, instead={"version": 1})
    problems += found.problems
    if found.document is None:
        raise InputError(problems)
    whole = {
        name: scenario for name, scenario in found.document.scenarios.items() if not found.is_touched("scenarios", name)
    }
    config, source = found.document.model_copy(update={"scenarios": whole}), found.source
    wrong = set()
    for name, scenario in config.scenarios.items():
        used = _references(scenario.transforms)
        where = source.where("scenarios", name, "transforms")
        unknown = sorted(used - set(scenario.knobs))
        problems += [
            f"{where}: ${knob} is not a knob of this scenario; its knobs are {', '.join(scenario.knobs)}"
            for knob in unknown
        ]
        if unknown:
            wrong.add(name)
        if any(isinstance(given, str) for transform in scenario.transforms for given in transform.values()):
            continue  # a function takes the severity itself, and a transform of files alone every knob
        problems += [
            f"{source.where('scenarios', name, 'knobs', knob)}: no transform uses ${knob}"
            for knob in sorted(set(scenario.knobs) - used)
        ]
    right = {name: scenario for name, scenario in config.scenarios.items() if name not in wrong}
    return config.model_copy(update={"scenarios": right}), source, problems


def specs_of(config: PackConfig, *, folder: Path, distribution: str | None = None) -> tuple[ScenarioSpec, ...]:
    """Turn a pack, which came with a Python package or not, into its scenarios' specs, in the order of the file. A
    transform that is given as a text takes it as its `files`, and each knob of the scenario under the knob's name."""
    specs = []
    for name, scenario in config.scenarios.items():
        transforms = []
        for transform in scenario.transforms:
            (key, arguments), *_ = transform.items()
            if key == "function":
                transforms.append(Transform("function", str(arguments)))
            elif isinstance(arguments, str):
                named = {knob: f"${knob}" for knob in scenario.knobs}
                transforms.append(Transform("builtin", key, {"files": arguments, **named}))
            else:
                kind: Literal["albumentations", "builtin"] = "albumentations" if key[:1].isupper() else "builtin"
                transforms.append(Transform(kind, key, dict(arguments or {})))
        specs.append(
            ScenarioSpec(
                pack=config.pack,
                name=name,
                version=config.version,
                about=scenario.about,
                unit=scenario.unit,
                knobs=dict(scenario.knobs),
                transforms=tuple(transforms),
                remedy=scenario.remedy,
                source=scenario.source or config.source,
                monotone=scenario.monotone,
                folder=str(folder),
                distribution=distribution,
            )
        )
    return tuple(specs)


def _references(value: Any) -> set[str]:
    """Name every knob that `value` refers to with `$`.

    >>> sorted(_references([{"A": {"x": ["$low", "$high"], "y": 3}}]))
    ['high', 'low']
    """
    if isinstance(value, str):
        return {value[1:]} if value.startswith("$") else set()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return set().union(*(_references(item) for item in value))
    return set()
