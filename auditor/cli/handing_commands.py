"""What hands a finished run on: a gallery of its pictures, and its predictions in the forms of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditor.errors import InputError

__all__ = ["export", "gallery"]

_PATH = click.Path(path_type=Path)


def _selecting(command: Any) -> Any:
    """The options that choose among a run's cells."""
    for option in (
        click.option("--audit", type=_PATH, help="The run's audit.yaml, where it is not where the run found it"),
        click.option("--severity", "severities", type=float, multiple=True, help="At this severity; repeat for more"),
        click.option("--scenario", "scenarios", multiple=True, help="Of this scenario, or clean; repeat for more"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("run", type=_PATH)
@_selecting
@click.option("--all", "every", is_flag=True, help="Every image, those without an error last")
@click.option("--images", type=click.IntRange(min=1), default=48, show_default=True, help="Of each cell so many")
@click.option("--width", type=click.IntRange(min=64), default=1280, show_default=True, help="Of pictures, in pixels")
@click.option("--output", "-o", type=_PATH, help="The folder  [default: RUN/gallery-SCENARIO]")
def gallery(
    run: Path,
    audit: Path | None,
    scenarios: tuple[str, ...],
    severities: tuple[float, ...],
    every: bool,
    images: int,
    width: int,
    output: Path | None,
) -> None:
    """Write a folder with a page of what models saw in a RUN: more images, and larger, than its report holds.

    Without --severity, scenarios are shown at the middle severity of the audit. Clean images are always among them.
    The folder must be new, or empty.
    """
    from auditor.run import load_run, revisited, write_gallery
    from auditor.terminal import BarProgress

    result, folder = load_run(run)
    middle = result.plan.middle_severity if result.plan.scenarios else None
    chosen = severities or (() if middle is None else (middle,))
    asked = (*scenarios, "clean") if scenarios else ()
    named = ["gallery", *map(_plain, scenarios), *(f"{severity:g}" for severity in severities)]
    place = output or folder / ("-".join(named) if len(named) > 1 else "gallery-all")
    _check_empty(place)
    with (
        BarProgress() as progress,
        revisited(run, audit=audit, scenarios=asked, severities=(0.0, *chosen), progress=progress) as opened,
    ):
        if opened.session.config.gallery is False:
            click.echo(f"its audit.yaml says `gallery: false`; pictures of its images are written to {place}", err=True)
        page, count = write_gallery(opened, place, most=None if every else images, width=width)
    click.echo(f"{count} pictures", err=True)
    click.echo(page)


def _plain(scenario: str) -> str:
    return scenario.replace("/", "-")


def _check_empty(folder: Path) -> None:
    """Refuse a folder that holds something: what was handed on before, or is another's, is not mixed with."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: it is there already; delete it, or name another folder with --output")


@click.command()
@click.argument("run", type=_PATH)
@click.option("--to", "form", type=click.Choice(["coco", "fiftyone", "model-explorer"]), required=True, help="The form")
@_selecting
@click.option("--output", "-o", type=_PATH, help="The folder  [default: RUN/export-FORM]")
def export(
    run: Path,
    form: str,
    audit: Path | None,
    scenarios: tuple[str, ...],
    severities: tuple[float, ...],
    output: Path | None,
) -> None:
    """Hand what a RUN measured to another tool.

    coco writes the truth and, of each cell, its detections as COCO annotations and results; fiftyone a data set with a
    field for each cell; model-explorer the noise of layers as node data over a file's graph.
    """
    from auditor.run import export_coco, export_fiftyone, export_node_data, load_run, revisited
    from auditor.terminal import BarProgress

    result, folder = load_run(run)
    place = output or folder / f"export-{form}"
    _check_empty(place)
    if form == "model-explorer":
        written = export_node_data(result, place)
    else:
        with (
            BarProgress() as progress,
            revisited(run, audit=audit, scenarios=scenarios, severities=severities, progress=progress) as opened,
        ):
            written = (export_coco if form == "coco" else export_fiftyone)(opened, place)
        others = {cell.device for cell in result.cells if not cell.is_local}
        if others:
            click.echo(
                f"what {', '.join(sorted(others))} measured is not among it: its predictions are not here", err=True
            )
    click.echo(f"{len(written)} files", err=True)
    click.echo(place)
