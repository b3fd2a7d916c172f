"""`auditor scenarios`: what packs hold, how their scenarios look, and whether they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from auditor.run import Fitted
    from auditor.values import ScenarioSpec

__all__ = ["scenarios"]

_PATH = click.Path(path_type=Path)


@click.group()
def scenarios() -> None:
    """List, show, begin, preview and check scenario packs."""


@scenarios.command("list")
def list_scenarios() -> None:
    """List the packs that have a name, those of installed Python packages among them, and their scenarios."""
    from auditor.config import load_pack
    from auditor.corruptions.packs import broken_packs, known_packs

    for problem in broken_packs():
        click.echo(f"warning: {problem}", err=True)
    for name, file in known_packs().items():
        config, _ = load_pack(file.path)
        brought = f", from {file.distribution}" if file.distribution else ""
        click.echo(f"{name} (v{config.version}{brought}): {config.about}")
        for scenario, spec in config.scenarios.items():
            click.echo(f"  {name}/{scenario:<20} {spec.unit}")


@scenarios.command("new")
@click.argument("name")
@click.option("-o", "--output", type=_PATH, help="The file to write  [default: NAME.yaml]")
def new(name: str, output: Path | None) -> None:
    """Write a commented pack called NAME (small letters, digits and _) that runs as it is."""
    import re

    from auditor.corruptions.packs import known_packs
    from auditor.errors import InputError
    from auditor.starter.pack_draft import draft_pack
    from auditor.store import save_text

    path = output or Path(f"{name}.yaml")
    problems = []
    if re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) is None or name == "clean":
        problems.append(
            f"{name!r}: expected a name of small letters, digits and `_`, beginning with a letter, and not `clean`"
        )
    if name in known_packs():
        owner = known_packs()[name].distribution or "the auditor itself"
        problems.append(f"{name!r}: {owner} has a pack of that name; choose another")
    if path.suffix not in (".yaml", ".yml"):
        problems.append(f"{path}: a pack file's name ends in .yaml")
    elif path.exists():
        problems.append(f"{path}: it is there already, and is left as it is; choose another name, or -o FILE")
    if problems:
        raise InputError(problems)
    save_text(path, draft_pack(name))
    click.echo(path)
    click.echo(f"next: auditor scenarios check {path}", err=True)


def _names(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """The packs and scenarios that begin with what was typed, for the shell's completion."""
    from auditor.corruptions.packs import scenario_names

    return [name for name in scenario_names() if name.startswith(typed)]


@scenarios.command()
@click.argument("name", shell_complete=_names)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def show(name: str, allow_code: bool) -> None:
    """Show NAME: a pack, pack/scenario, or a pack file, with its knobs at every severity."""
    for spec in _selected([name], allow_code=allow_code):
        click.echo(f"{spec.key} (v{spec.version}): {spec.about}")
        for knob, values in spec.knobs.items():
            click.echo(f"  {knob}: {', '.join(f'{value:g}' for value in values)}  at severities 1 to 5 ({spec.unit})")
        for step in spec.transforms:
            given = json.dumps(dict(step.arguments)) if step.arguments else ""
            click.echo(f"  {step.kind}: {step.target} {given}".rstrip())
        if not spec.monotone:
            click.echo("  its effect does not grow with every severity")
        for what, said in (("remedy", spec.remedy), ("source", spec.source), ("from", spec.distribution)):
            if said:
                click.echo(f"  {what}: {said}")


@scenarios.command()
@click.argument("pack", shell_complete=_names)
@click.option("--image", type=_PATH, required=True, help="The image to corrupt")
@click.option("-o", "--output", type=_PATH, required=True, help="The HTML file to write")
@click.option("--model", help="Show what it finds: a .tflite file, or an entry of a document (audit.yaml#name)")
@click.option("--score", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Show what it says from")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def preview(pack: str, image: Path, output: Path, model: str | None, score: float, seed: int, allow_code: bool) -> None:
    """Write one HTML contact sheet: an image at every severity of PACK (a pack, pack/scenario or pack file)."""
    from auditor.corruptions.corrupt import corrupt, knobs_at
    from auditor.datasets.image_files import read_image
    from auditor.errors import InputError
    from auditor.provenance import image_seed, sha256_of
    from auditor.report.sheet import Shown, render_sheet
    from auditor.run import Finder
    from auditor.store import save_text

    other = output.suffix.lower() not in ("", ".htm", ".html")
    if other or output.is_dir() or (output.exists() and not output.is_file()):
        raise InputError(f"-o {output}: expected an HTML file to write, such as sheet.html")
    specs = _selected([pack], allow_code=allow_code)
    original = read_image(image, size=None)
    finder = Finder(model, original) if model is not None else None

    def shown(caption: str, seen: NDArray[np.uint8]) -> Shown:
        return Shown(caption, seen, finder(seen, least=score) if finder is not None else None)

    rows = []
    for spec in specs:
        image_own = image_seed(seed, spec.key, sha256_of(image))
        images = []
        for severity in range(1, 6):
            knobs = ", ".join(f"{name} {value:g}" for name, value in knobs_at(spec, severity).items())
            seen = corrupt(original, spec, severity=severity, seed=image_own)
            images.append(shown(f"severity {severity}: {knobs}", seen))
        rows.append((spec, images))
    asked = f"{model}, from a score of {score:g} on," if model is not None else ""
    save_text(output, render_sheet(f"{pack} on {image.name}", shown("original", original), rows, asked=asked))
    click.echo(output)


@scenarios.command()
@click.argument("pack", shell_complete=_names)
@click.option("--images", type=_PATH, help="A folder of your own images to try it on  [default: drawn ones]")
@click.option("--max-ms", type=click.FloatRange(min=0, min_open=True), help="What 640 × 480 pixels may take")
@click.option("--allow-code", is_flag=True, help="Import the Python functions that the pack names")
def check(pack: str, images: Path | None, max_ms: float | None, allow_code: bool) -> None:
    """Check PACK (a file, or a name): its document, and what each scenario does at every severity.

    Wrong is a scenario that fails, changes shape or type of an image, changes nothing, does not grow with severity (by
    PSNR and SSIM; unless it says `monotone: false`), is not the same in another process, or takes longer than
    --max-ms; without that, slow ones are told.
    """
    from auditor.corruptions.pack_check import check_pack
    from auditor.corruptions.packs import named_pack

    file, scenario = named_pack(pack)
    found = check_pack(file, _samples(images), only=scenario, allow_code=allow_code, most_ms=max_ms)
    for item in found:
        quality = " ".join("same" if seen.psnr is None else f"{seen.psnr:.1f}" for seen in item.seen)
        likeness = " ".join(f"{seen.ssim:.2f}" for seen in item.seen)
        ms = max(seen.ms for seen in item.seen)
        click.echo(f"  {item.scenario.name:<20} PSNR {quality} dB · SSIM {likeness} · {ms:.0f} ms")
        if item.slow is not None:
            click.echo(f"warning: {item.slow}", err=True)
    names = ", ".join(item.scenario.name for item in found)
    click.echo(f"{file.path}: {len(found)} scenarios, all run: {names}")


@scenarios.command()
@click.argument("names", nargs=-1, required=True, shell_complete=_names)
@click.option("--clean", type=_PATH, required=True, help="A folder of good pictures")
@click.option("--real", type=_PATH, required=True, help="A folder of the real bad ones")
@click.option("--images", type=click.IntRange(min=5), default=60, show_default=True, help="Of each folder, at most")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes  [default: all cores]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
@click.option("--allow-code", is_flag=True, help="Import the Python functions that packs name")
def fit(
    names: tuple[str, ...], clean: Path, real: Path, images: int, jobs: int | None, as_json: bool, allow_code: bool
) -> None:
    """Tell which severity of NAMES (packs, pack/scenario, pack files) is your night.

    It is the one that makes clean pictures most like real bad ones.

    Compared are the distributions of brightness, noise by level, sharpness, colour and blocks over the pictures of each
    folder, whatever is on them; a distance of 1 is as far as pictures of one folder lie from each other. Of the real
    pictures, two halves are compared too: no scenario can come much nearer than that.
    """
    from auditor.config import plain
    from auditor.run import fit_scenarios
    from auditor.terminal import BarProgress

    specs = _selected(names, allow_code=allow_code)
    with BarProgress() as progress:
        fitted, halves = fit_scenarios(specs, clean, real, most=images, jobs=jobs, progress=progress)
    if as_json:
        told = [{**plain(item), "scenario": item.scenario.key, "unit": item.scenario.unit} for item in fitted]
        click.echo(json.dumps({"halves": halves, "fitted": told}, indent=1))
        return
    click.echo(f"two halves of the real pictures are {halves:.2f} apart")
    for item in fitted:
        click.echo(_fit_text(item))
        click.echo("    left: " + ", ".join(f"{name} {value:.2f}" for name, value in item.left.items()))


def _fit_text(item: Fitted) -> str:
    """One line of a fit: the severity, its knob's value, and how near that comes."""
    nearest = item.nearest
    low, high = nearest.interval
    apart = f"distance {nearest.distance:.2f}, untouched {nearest.untouched:.2f}"
    if item.at is None and nearest.severity > 0:
        return (
            f"{item.scenario.key:<32} milder than severity 1 ({nearest.severity:.2g} of the way from untouched "
            f"pictures, 95 % {low:.2g} to {high:.2g}); {apart}"
        )
    if item.at is None:
        return f"{item.scenario.key:<32} none of it: untouched pictures are nearest; {apart}"
    begin, end = ("untouched" if value is None else f"{value:.3g}" for value in item.between)
    return (
        f"{item.scenario.key:<32} severity {nearest.severity:.2g} (95 % {low:.2g} to {high:.2g}): {item.knob} "
        f"{item.at:.3g} ({begin} to {end}); {apart}"
    )


_SAMPLES = 3


def _samples(folder: Path | None) -> list[NDArray[np.uint8]]:
    """The images that a pack is tried on: the first of a folder, or scenes of 640 × 480 pixels."""
    import cv2

    from auditor.datasets.image_files import list_images, read_image
    from auditor.demo.scenes import render_scene
    from auditor.errors import InputError

    if folder is None:
        drawn = (render_scene(seed)[0] for seed in range(5001, 5001 + _SAMPLES))
        return [cv2.resize(scene, (640, 480), interpolation=cv2.INTER_CUBIC).astype("uint8") for scene in drawn]
    if not folder.is_dir():
        raise InputError(f"--images {folder}: there is no such folder")
    paths = list_images(folder)[:_SAMPLES]
    if not paths:
        raise InputError(f"{folder}: there is no image in it")
    return [read_image(path, size=None) for path in paths]


def _selected(names: Sequence[str], *, allow_code: bool) -> Sequence[ScenarioSpec]:
    from auditor.corruptions.packs import select_scenarios

    return select_scenarios(names, folder=Path(), allow_code=allow_code, where=["scenario"] * len(names))
