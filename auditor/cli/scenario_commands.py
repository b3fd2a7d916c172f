"""`auditor scenarios`: what packs hold, how their scenarios look, and whether they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from auditor.values import ScenarioSpec

__all__ = ["scenarios"]

_PATH = click.Path(path_type=Path)


@click.group()
def scenarios() -> None:
    """List, show, preview and check scenario packs."""


@scenarios.command("list")
def list_scenarios() -> None:
    """List the packs that ship, and their scenarios."""
    from auditor.config import load_pack
    from auditor.corruptions.packs import built_in_packs

    for name, path in built_in_packs().items():
        config, _ = load_pack(path)
        click.echo(f"{name} (v{config.version}): {config.about}")
        for scenario, spec in config.scenarios.items():
            click.echo(f"  {name}/{scenario:<20} {spec.unit}")


def _names(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """The packs and scenarios that begin with what was typed, for the shell's completion."""
    from auditor.corruptions.packs import scenario_names

    return [name for name in scenario_names() if name.startswith(typed)]


@scenarios.command()
@click.argument("name", shell_complete=_names)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def show(name: str, allow_code: bool) -> None:
    """Show NAME: a pack, pack/scenario, or a pack file, with its knobs at every severity."""
    for spec in _selected(name, allow_code=allow_code):
        click.echo(f"{spec.key} (v{spec.version}): {spec.about}")
        for knob, values in spec.knobs.items():
            click.echo(f"  {knob}: {', '.join(f'{value:g}' for value in values)}  at severities 1 to 5 ({spec.unit})")
        for step in spec.transforms:
            given = json.dumps(dict(step.arguments)) if step.arguments else ""
            click.echo(f"  {step.kind}: {step.target} {given}".rstrip())
        if spec.remedy:
            click.echo(f"  remedy: {spec.remedy}")


@scenarios.command()
@click.argument("pack", shell_complete=_names)
@click.option("--image", type=_PATH, required=True, help="The image to corrupt")
@click.option("-o", "--output", type=_PATH, required=True, help="The HTML file to write")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def preview(pack: str, image: Path, output: Path, seed: int, allow_code: bool) -> None:
    """Write one HTML contact sheet: an image at every severity of PACK (a pack, pack/scenario or pack file)."""
    from auditor.corruptions.corrupt import corrupt, knobs_at
    from auditor.datasets.image_files import read_image
    from auditor.provenance import image_seed, sha256_of
    from auditor.report.sheet import render_sheet
    from auditor.store import save_text

    specs = _selected(pack, allow_code=allow_code)
    original = read_image(image, size=None)
    rows = []
    for spec in specs:
        images = []
        for severity in range(1, 6):
            knobs = ", ".join(f"{name} {value:g}" for name, value in knobs_at(spec, severity).items())
            seen = corrupt(original, spec, severity=severity, seed=image_seed(seed, spec.key, sha256_of(image)))
            images.append((f"severity {severity}: {knobs}", seen))
        rows.append(({"key": spec.key, "about": spec.about, "unit": spec.unit}, images))
    save_text(output, render_sheet(f"{pack} on {image.name}", original, rows))
    click.echo(output)


@scenarios.command()
@click.argument("pack", type=_PATH)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that the pack names")
def check(pack: Path, allow_code: bool) -> None:
    """Check a PACK file: its document, and that each scenario runs at severities 1 and 5."""
    from auditor.corruptions.packs import built_in_packs, load_scenarios

    packs = built_in_packs()
    path = packs.get(str(pack), pack)
    specs = load_scenarios(
        path,
        allow_code=allow_code,
        built_in=path in packs.values() or path.resolve() in {p.resolve() for p in packs.values()},
    )
    click.echo(f"{path}: {len(specs)} scenarios, all run: {', '.join(spec.name for spec in specs)}")


def _selected(name: str, *, allow_code: bool) -> Sequence[ScenarioSpec]:
    from auditor.corruptions.packs import select_scenarios

    return select_scenarios([name], folder=Path(), allow_code=allow_code, where=["scenario"])
