"""The command line: arguments, human words on stderr, machine output on stdout, exit codes.

Exit codes: 0 passed, 1 a gate failed, 2 the user's input is wrong, 3 incomplete.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.errors import AuditorError, InputError

if TYPE_CHECKING:
    from auditor.values import AuditResult

_EXIT = {"passed": 0, "failed": 1, "incomplete": 3}
_PATH = click.Path(path_type=Path)


class _Stopped(BaseException):
    """The process was asked to end (SIGTERM); raised so that workers are stopped on the way out."""


def _stop(*_: object) -> None:
    raise _Stopped


class _Group(click.Group):
    """A group whose commands tell the user's mistakes in words, with exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stop)
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except AuditorError as error:
            problems = error.problems if isinstance(error, InputError) else (str(error),)
            for problem in problems:
                click.echo(f"error: {problem}", err=True)
            context.exit(2)
        except (KeyboardInterrupt, _Stopped) as stop:
            click.echo("interrupted; what is complete is kept, and the same command continues", err=True)
            context.exit(143 if isinstance(stop, _Stopped) else 130)
        except Exception:  # noqa: BLE001 (a bug of ours must not end with 1, which says that a gate failed)
            click.echo(traceback.format_exc(), err=True)
            click.echo(
                "this is a bug in the auditor, please report it with the lines above; nothing was judged", err=True
            )
            context.exit(3)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tflite-auditor", prog_name="auditor")
def main() -> None:
    """Tell before deployment whether a TensorFlow Lite (LiteRT) vision model is accurate and reliable enough, and if
    not, why."""


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--output", "-o", type=_PATH, help="The run folder  [default: reports/<name>]"),
        click.option("--jobs", "-j", type=click.IntRange(min=1), help="Worker processes  [default: one per core]"),
        click.option(
            "--executor",
            default="processes",
            show_default=True,
            metavar="NAME",
            help="processes, serial, dask, or a Dask scheduler's address",
        ),
        click.option("--fresh", is_flag=True, help="Measure everything again, also what is complete in the run folder"),
        click.option("--quiet", "-q", is_flag=True, help="Say only errors"),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("audit", type=_PATH)
@click.option(
    "--measurements",
    type=_PATH,
    multiple=True,
    help="What another device measured with `auditor measure`'s bundle; repeat for its parts",
)
@_run_options
def run(audit: Path, output: Path | None, measurements: tuple[Path, ...], **options: Any) -> None:
    """Run the audit that AUDIT (an audit.yaml) describes; an interrupted run continues in the same folder."""
    command = f"auditor run {audit}" + (f" --output {output}" if output else "")
    command += "".join(f" --measurements {path}" for path in measurements)
    result, folder = _run(audit, output or Path("reports") / audit.stem, command, elsewhere=measurements, **options)
    sys.exit(_tell(result, folder, quiet=options["quiet"]))


@main.command()
@_run_options
def demo(output: Path | None, **options: Any) -> None:
    """Run the embedded example, end to end.

    One of its gates fails on purpose, so that the report shows how that looks; the exit code is 0 all the same, and 3
    when something could not be measured.
    """
    from auditor.demo.example import write_example
    from auditor.store import check_writable

    folder = output or Path("reports") / "demo"
    check_writable(folder)
    audit = write_example(folder / "example")
    result, folder = _run(audit, folder, "auditor demo", **options)
    code = _tell(result, folder, quiet=options["quiet"])
    if code == 1 and not options["quiet"]:
        click.echo(
            "the demo's failing gate is part of the example: `auditor run` would exit with 1 here, the demo with 0",
            err=True,
        )
    sys.exit(0 if code == 1 else code)


@main.command()
@click.argument("run", type=_PATH)
@click.option("--gates", type=_PATH, help="A YAML file with `gates:`, in place of the run's own")
def judge(run: Path, gates: Path | None) -> None:
    """Judge a RUN folder again from its result.json; no model is opened."""
    from auditor.run import judge_run, load_run

    result = judge_run(run, gates=gates)
    sys.exit(_tell(result, load_run(run)[1], quiet=False))


@main.command()
@click.argument("run", type=_PATH)
@click.option("--gates", type=_PATH, help="A YAML file with `gates:`, in place of the run's own")
def report(run: Path, gates: Path | None) -> None:
    """Write report.html of a RUN folder again from its result.json."""
    from auditor.run import report_run

    click.echo(report_run(run, gates=gates))


@main.command()
@click.argument("model", type=_PATH)
@click.option(
    "--levels",
    required=True,
    help="Levels to make, separated by commas: float32, float16, dynamic, weight_only, int8, int16x8",
)
@click.option("--calibration", type=_PATH, help="A folder of images, for int8 and int16x8")
@click.option("--output", "-o", type=_PATH, required=True, help="The folder to write to")
@click.option(
    "--io",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="Input and output type of integer levels",
)
@click.option(
    "--labels", help="The model's labels, where its head cannot be told without their number: coco80, a file, …"
)
def quantize(model: Path, levels: str, calibration: Path | None, output: Path, io: str, labels: str | None) -> None:
    """Make quantization levels of MODEL: a float32 .tflite file, a .keras file or a SavedModel folder.

    Levels of a .tflite file are made by litert-quantizer, others by TensorFlow's converter (which also makes float32).
    """
    from auditor.quantize import quantize_file
    from auditor.store import check_writable

    check_writable(output)
    names = [level.strip() for level in levels.split(",") if level.strip()]
    made = quantize_file(
        model,
        levels=names,
        calibration=calibration,
        folder=output,
        io=io,
        labels=labels,
        say=lambda text: click.echo(text, err=True),
    )
    for level in made:
        if level.spec is None:
            click.echo(f"{level.request.level}: skipped: {level.reason}", err=True)
        else:
            click.echo(level.spec.path)
    sys.exit(3 if any(level.spec is None for level in made) else 0)


@main.command()
@click.argument("audit", type=_PATH)
@click.option("--bundle", type=_PATH, required=True, help="The zipapp to write, FILE.pyz")
@click.option(
    "--limit",
    "limit_mb",
    type=click.FloatRange(min=1),
    default=2000,
    show_default=True,
    help="Megabytes above which it is split in parts",
)
def measure(audit: Path, bundle: Path, limit_mb: float) -> None:
    """Pack the models and corrupted inputs of AUDIT for another device.

    There, `python FILE.pyz -o measurements.npz` needs Python 3.9, numpy and a LiteRT or tflite-runtime interpreter;
    here, `auditor run AUDIT --measurements measurements.npz` judges what it wrote.
    """
    from auditor.run import write_bundle

    for path in write_bundle(audit, bundle, limit_mb=limit_mb, say=lambda text: click.echo(text, err=True)):
        click.echo(path)


@main.command()
@click.argument("model", type=_PATH)
@click.option("--dataset", type=_PATH, required=True, help="The folder of the data set")
@click.option("--labels", help="The model's labels: a built-in list, or a file with one label a line")
@click.option("--output", "-o", type=_PATH, default=Path("audit.yaml"), show_default=True, help="The file to write")
def init(model: Path, dataset: Path, labels: str | None, output: Path) -> None:
    """Write a first audit.yaml for MODEL: what could be found out and measured on 20 images, and what could not,
    marked."""
    from auditor.starter import draft_audit
    from auditor.store import save_text

    if output.exists():
        raise InputError(f"{output}: this file is there already; name another with --output")
    text, missing = draft_audit(model, dataset, labels=labels, output=output)
    save_text(output, text)
    for problem in missing:
        click.echo(f"missing: {problem}", err=True)
    click.echo(output)


@main.command()
@click.argument("model", type=_PATH)
@click.option("--labels", help="The model's labels, where its head cannot be told without their number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def inspect(model: Path, labels: str | None, as_json: bool) -> None:
    """Print what MODEL, a .tflite file, says: inputs, outputs, quantization, ops, metadata, likely task and decoder,
    arena size."""
    from auditor.models.inspect import inspect_model, shown

    facts = inspect_model(model, labels=labels)
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(shown(facts)))


@main.group()
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


@scenarios.command()
@click.argument("name")
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def show(name: str, allow_code: bool) -> None:
    """Show NAME: a pack, pack/scenario, or a pack file, with its knobs at every severity."""
    for spec in _selected(name, allow_code=allow_code):
        click.echo(f"{spec.key} (v{spec.version}): {spec.about}")
        for knob, values in spec.knobs.items():
            click.echo(f"  {knob}: {', '.join(f'{value:g}' for value in values)}  at severities 1 to 5 ({spec.unit})")
        for kind, target, arguments in spec.transforms:
            click.echo(f"  {kind}: {target} {json.dumps(dict(arguments)) if arguments else ''}".rstrip())


@scenarios.command()
@click.argument("pack")
@click.option("--image", type=_PATH, required=True, help="The image to corrupt")
@click.option("-o", "--output", type=_PATH, required=True, help="The HTML file to write")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--allow-code", is_flag=True, help="Import the Python functions that a pack names")
def preview(pack: str, image: Path, output: Path, seed: int, allow_code: bool) -> None:
    """Write one HTML contact sheet: an image at every severity of PACK (a pack, pack/scenario or pack file)."""
    from auditor.corruptions.corrupt import corrupt, knobs_at
    from auditor.datasets.images import read_image
    from auditor.provenance import image_seed
    from auditor.report.sheet import render_sheet
    from auditor.store import save_text

    specs = _selected(pack, allow_code=allow_code)
    original = read_image(image, size=None)
    rows = []
    for spec in specs:
        images = []
        for severity in range(1, 6):
            knobs = ", ".join(f"{name} {value:g}" for name, value in knobs_at(spec, severity).items())
            seen = corrupt(original, spec, severity=severity, seed=image_seed(seed, spec.key, 0))
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


@main.command()
@click.argument("document", type=click.Choice(["audit", "pack", "result"]))
def schema(document: str) -> None:
    """Print the JSON Schema of a DOCUMENT, for editors and CI."""
    from auditor.config import schema as schema_of

    click.echo(json.dumps(schema_of(document), indent=2))


def _selected(name: str, *, allow_code: bool) -> Any:
    from auditor.corruptions.packs import select_scenarios

    return select_scenarios([name], folder=Path(), allow_code=allow_code, where=["scenario"])


def _run(audit: Path, output: Path, command: str, **options: Any) -> tuple[AuditResult, Path]:
    from auditor.progress import BarProgress
    from auditor.provenance import warn_of_two_opencvs
    from auditor.run import SilentProgress, run_audit

    warning = warn_of_two_opencvs()
    if warning:
        click.echo(f"warning: {warning}", err=True)
    quiet = options.pop("quiet")
    with SilentProgress() if quiet else BarProgress() as progress:
        return run_audit(audit, output=output, progress=progress, command=command, **options), output


def _tell(result: AuditResult, folder: Path, *, quiet: bool) -> int:
    if not quiet:
        measured = {cell.cell.file for cell in result.cells if cell.status != "skipped"}
        for summary in [summary for summary in result.summaries if summary.file in measured]:
            values = ", ".join(
                f"{name} {'undefined' if value.value is None else f'{value.value:.3f}'}"
                for name, value in summary.metrics.items()
            )
            click.echo(f"{summary}: {values}", err=True)
        for reason in dict.fromkeys(
            f"skipped: {cell.cell.file}: {cell.error}" for cell in result.cells if cell.status == "skipped"
        ):
            click.echo(reason, err=True)
        for finding in [finding for finding in result.findings if finding.level == "error"][:10]:
            click.echo(f"{finding.check}: {finding.message}", err=True)
        click.echo(f"{result.verdict.upper()}: {folder / 'report.html'}", err=True)
    return _EXIT[result.verdict]


if __name__ == "__main__":
    main()
