"""The command line: arguments, human words on stderr, machine output on stdout, exit codes.

Exit codes: 0 passed, 1 a gate failed, 2 the user's input is wrong, 3 incomplete or undecided.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from auditor.cli import handing_commands, help_commands, reading_commands
from auditor.cli.scenario_commands import scenarios
from auditor.cli.shard_commands import SHARD, default_folder, measure_shard, merge
from auditor.cli.telling import deciding, tell, tell_estimate
from auditor.errors import AuditorError, InputError
from auditor.files import readable

if TYPE_CHECKING:
    from auditor.values import AuditResult

_PATH = click.Path(path_type=Path)
_CONTINUES = "what is complete is kept, and the same command continues"
_KEPT = {"run": _CONTINUES, "demo": _CONTINUES, "merge": _CONTINUES, "init": "nothing was written"}
"""What is said of an interrupted command."""
_SHOWN = 300
"""Of a path, where it is no path, so many characters are told."""
_GRACE_S = 10.0
"""How long ending in order may take."""


class _Stopped(BaseException):
    """The process was asked to end (SIGTERM); raised so that workers are stopped on the way out."""


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what is under way is being ended
    threading.Thread(target=_end, daemon=True).start()
    raise _Stopped


def _end() -> None:
    """End this process when it did not in time, as where the signal came in the midst of a library's own bookkeeping;
    workers end with it."""
    time.sleep(_GRACE_S)
    os.write(2, f"interrupted; {_CONTINUES}\n".encode())
    os._exit(143)


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
            from auditor.config import without_repeats

            problems = error.problems if isinstance(error, InputError) else (str(error),)
            for problem in without_repeats(problems):
                click.echo(f"error: {readable(problem)}", err=True)
            context.exit(2)
        except (KeyboardInterrupt, _Stopped) as stop:
            kept = _KEPT.get(context.invoked_subcommand or "", "what was not complete is lost")
            click.echo(f"interrupted; {kept}", err=True)
            # Python ends by the signal, without the exit code, when Ctrl-C came inside an `exec` of text, as where
            # dataclasses are made; the next such text makes it forget that (`run_eval_code_obj` of CPython).
            exec("")  # noqa: S102
            context.exit(143 if isinstance(stop, _Stopped) else 130)
        except BrokenPipeError:  # whoever read the output has enough of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(141)
        except OSError as error:
            if error.filename is None:
                _tell_bug(context)
            click.echo(f"error: {readable(str(error.filename))[:_SHOWN]}: {error.strerror}", err=True)
            context.exit(2)
        except Exception:  # noqa: BLE001 (a bug of ours must not end with 1, which says that a gate failed)
            _tell_bug(context)


def _tell_bug(context: click.Context) -> NoReturn:
    click.echo(traceback.format_exc(), err=True)
    click.echo("this is a bug in the auditor, please report it with the lines above; nothing was judged", err=True)
    context.exit(3)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tflite-auditor", prog_name="auditor")
def main() -> None:
    """Tell before deployment whether a TensorFlow Lite (LiteRT) vision model is accurate and reliable enough, and if
    not, why."""


def _run_options(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of what runs an audit; `default` is where its results land."""
    options = (
        click.option("--output", "-o", type=_PATH, help=f"The run folder  [default: {default}]"),
        click.option("--jobs", "-j", type=click.IntRange(min=1), help="Worker processes  [default: one per core]"),
        click.option(
            "--executor",
            default="processes",
            show_default=True,
            metavar="NAME",
            help="processes, serial, dask, or a Dask scheduler's address",
        ),
        click.option("--fresh", is_flag=True, help="Measure everything again, also what is complete in the run folder"),
        click.option("--quiet", "-q", is_flag=True, help="Say the verdict, its reasons and the report alone"),
    )
    return lambda command: functools.reduce(lambda inner, option: option(inner), options, command)


@main.command()
@click.argument("audit", type=_PATH)
@click.option(
    "--measurements",
    type=_PATH,
    multiple=True,
    help="What another device measured with a bundle; repeat for its parts",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="A value in place of AUDIT's: dataset.limit=20, severities=[3], models.NAME.input.color=bgr; repeatable",
)
@click.option(
    "--shard",
    type=SHARD,
    help="Measure part I of N alone, as 3/20, for `auditor merge`  [output: reports/ and AUDIT-shard-I-of-N]",
)
@click.option(
    "--decide", "decide", is_flag=True, help="Stop measuring what no open gate needs, at an error of 5 % over all gates"
)
@click.option(
    "--dry-run", "dry", is_flag=True, help="Say what the run would take, from a few timed images; write nothing"
)
@_run_options("reports/ and the name of AUDIT without .yaml")
def run(
    audit: Path,
    output: Path | None,
    measurements: tuple[Path, ...],
    given: tuple[str, ...],
    shard: tuple[int, int] | None,
    dry: bool,
    decide: bool,
    **options: Any,
) -> None:
    """Run the audit that AUDIT (an audit.yaml) describes; an interrupted run continues in the same folder."""
    if decide:
        given = deciding(audit, given)
    if dry:
        return tell_estimate(audit, output or default_folder(audit, shard), given=given, shard=shard, **options)
    if shard is not None:
        if measurements:
            raise click.UsageError("--measurements are judged by a whole run: give them to it once shards are merged")
        return measure_shard(audit, shard, output or default_folder(audit, shard), given=given, **options)
    words = ["auditor", "run", str(audit), *(("--output", str(output)) if output else ())]
    words += [word for path in measurements for word in ("--measurements", str(path))]
    words += [word for value in given for word in ("--set", value)]
    folder = output or default_folder(audit, None)
    result, folder = _run(audit, folder, shlex.join(words), elsewhere=measurements, given=given, **options)
    sys.exit(tell(result, folder, quiet=options["quiet"], document=audit))


@main.command()
@_run_options("reports/demo")
@click.option("--clip", is_flag=True, help="Draw a clip of moving objects, and audit that; needs the extra `video`")
def demo(output: Path | None, clip: bool, **options: Any) -> None:
    """Run the embedded example, end to end.

    One of its gates fails on purpose, so that the report shows how that looks; the exit code is 0 all the same, and 3
    when something could not be measured.
    """
    from auditor.demo.example import write_example
    from auditor.store import check_writable

    folder = output or Path("reports") / "demo"
    check_writable(folder)
    audit = write_example(folder / "example", clip=clip)
    result, folder = _run(audit, folder, "auditor demo --clip" if clip else "auditor demo", **options)
    code = tell(result, folder, quiet=options["quiet"])
    if code == 1 and not options["quiet"]:
        click.echo(
            "the demo's failing gate is part of the example: `auditor run` would exit with 1 here, the demo with 0",
            err=True,
        )
    sys.exit(0 if code == 1 else code)


@main.command()
@click.argument("run", type=_PATH)
@click.option("--gates", type=_PATH, help="A YAML file with `gates:`, in place of the run's own")
@click.option("--quiet", "-q", is_flag=True, help="Say the verdict, its reasons and the report alone")
def judge(run: Path, gates: Path | None, quiet: bool) -> None:
    """Judge a RUN folder again from its result.json; no model is opened."""
    from auditor.run import judge_run, load_run

    result = judge_run(run, gates=gates)
    sys.exit(tell(result, load_run(run)[1], quiet=quiet, document=gates))


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
    help="Levels to make, separated by commas: float32, float16, dynamic, weight_only, int8, int16x8, int8_float_head",
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
    from auditor.run import quantize_file
    from auditor.store import check_writable
    from auditor.terminal import BarProgress

    check_writable(output)
    names = [level.strip() for level in levels.split(",") if level.strip()]
    with BarProgress() as progress:
        made = quantize_file(
            model, levels=names, calibration=calibration, folder=output, io=io, labels=labels, progress=progress
        )
    for level in made:
        if level.reason is not None:
            click.echo(f"{level.level}: skipped: {level.reason}", err=True)
        else:
            click.echo(level.path)
        for finding in level.findings:
            click.echo(f"warning: {finding.message}. {finding.remedy}", err=True)
    sys.exit(3 if any(level.reason is not None for level in made) else 0)


@main.command()
@click.argument("audit", type=_PATH)
@click.option("--output", "-o", type=_PATH, required=True, help="The zipapp to write, FILE.pyz")
@click.option(
    "--limit",
    "limit_mb",
    type=click.FloatRange(min=1),
    default=2000,
    show_default=True,
    help="Megabytes above which it is split in parts",
)
def bundle(audit: Path, output: Path, limit_mb: float) -> None:
    """Pack the models and corrupted inputs of AUDIT for another device.

    There, `python FILE.pyz -o measurements.npz` needs Python 3.9, numpy and a LiteRT or tflite-runtime interpreter;
    here, `auditor run AUDIT --measurements measurements.npz` judges what it wrote.
    """
    from auditor.run import write_bundle
    from auditor.terminal import BarProgress

    with BarProgress() as progress:
        paths = write_bundle(audit, output, limit_mb=limit_mb, progress=progress)
    for path in paths:
        click.echo(path)


@main.command()
@click.argument("model", type=_PATH)
@click.option("--dataset", type=_PATH, required=True, help="The folder of the data set")
@click.option("--labels", help="The model's labels: a built-in list, or a file with one label a line")
@click.option("--calibration", type=_PATH, help="A folder of images to calibrate int8 on, none of them evaluated")
@click.option("--output", "-o", type=_PATH, default=Path("audit.yaml"), show_default=True, help="The file to write")
def init(model: Path, dataset: Path, labels: str | None, calibration: Path | None, output: Path) -> None:
    """Write a first audit.yaml for MODEL: what could be found out and measured on 20 images, and what could not,
    marked."""
    from auditor.starter.draft import Asked, draft_audit
    from auditor.store import save_text
    from auditor.terminal import BarProgress, duration

    if output.exists():
        what = "this is a folder" if output.is_dir() else "this file is there already"
        raise InputError(f"{output}: {what}; name another with --output")
    with BarProgress() as progress:
        draft = draft_audit(Asked(model, dataset, output, labels, calibration), progress)
    for path, text in draft.files.items():
        save_text(path, text)
    save_text(output, draft.text)
    for path in draft.files:
        click.echo(f"also written: {path}", err=True)
    for title, told in (("found out", draft.found), ("not found out", draft.unknown), ("missing", draft.missing)):
        for text in told:
            click.echo(f"{title}: {text}", err=True)
    if draft.missing:
        click.echo(f"next: fill in what is missing in {output}, then `auditor run {output}`", err=True)
    else:
        soon = f"   (about {duration(draft.seconds)})" if draft.seconds else ""
        click.echo(f"next: auditor run {output}{soon}", err=True)
    click.echo(output)


@main.command()
@click.argument("model", type=_PATH)
@click.option("--labels", help="The model's labels, where its head cannot be told without their number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def inspect(model: Path, labels: str | None, as_json: bool) -> None:
    """Print what MODEL, a .tflite file, says: inputs, outputs, quantization, ops, metadata, likely task and decoder,
    arena size."""
    from auditor.config import plain
    from auditor.resolve.inspect import as_lines, inspect_model
    from auditor.run import file_findings

    found = inspect_model(model, labels=labels)
    better = (
        "Make a level that keeps the head in float, of the float32 model that it was made of: auditor quantize "
        "FLOAT32.tflite --levels int8_float_head --calibration FOLDER --output FOLDER"
    )
    against = file_findings(model.name, found.likely.diagnosis, remedy=better)
    if as_json:
        click.echo(json.dumps({**plain(found), "findings": plain(against)}, indent=2))
    else:
        click.echo("\n".join(as_lines(found)))
    for finding in () if as_json else against:
        click.echo(f"warning: {finding.message}. {finding.remedy}", err=True)


def _run(audit: Path, output: Path, command: str, **options: Any) -> tuple[AuditResult, Path]:
    from auditor.provenance import clashing_wheels
    from auditor.run import SilentProgress, run_audit
    from auditor.terminal import BarProgress

    quiet = options.pop("quiet")
    for warning in () if quiet else clashing_wheels():
        click.echo(f"warning: {warning}", err=True)
    with SilentProgress() if quiet else BarProgress() as progress:
        return run_audit(audit, output=output, progress=progress, command=command, **options), output


main.add_command(scenarios)
for _command in (
    handing_commands.export,
    handing_commands.gallery,
    reading_commands.bom,
    reading_commands.compare,
    reading_commands.explain,
    reading_commands.docs,
    reading_commands.schema,
    help_commands.doctor,
    help_commands.completion,
    merge,
):
    main.add_command(_command)
