"""The commands of audits in shards: measure one, and merge them."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from auditor.cli.telling import tell

__all__ = ["SHARD", "default_folder", "measure_shard", "merge"]

_PATH = click.Path(path_type=Path)


class _Shard(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """`3/20` as its two numbers."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            self.fail(
                f"expected I/N, a shard's number and how many there are, at most 999999, as 3/20, but got {value!r}"
            )
        return number, of


SHARD = _Shard()


def default_folder(audit: Path, shard: tuple[int, int] | None) -> Path:
    """Where a run, or a shard of one, lands if nothing else is said."""
    part = "" if shard is None else f"-shard-{shard[0]}-of-{shard[1]}"
    return Path("reports") / f"{audit.stem}{part}"


def measure_shard(audit: Path, shard: tuple[int, int], output: Path, **options: Any) -> None:
    """Measure a shard, and say what comes next."""
    from auditor.run import SilentProgress, run_shard
    from auditor.terminal import BarProgress

    with SilentProgress() if options.pop("quiet") else BarProgress() as progress:
        problems = run_shard(audit, shard, output=output, progress=progress, **options)
    number, of = shard
    for problem in problems:
        click.echo(f"shard {number}/{of}: {problem.strip().splitlines()[-1]}", err=True)
    if problems:
        click.echo(f"shard {number}/{of} is not complete; the same command measures again what is missing", err=True)
        sys.exit(3)
    click.echo(f"shard {number}/{of} is complete; once all are: auditor merge SHARD... --output DIR", err=True)
    click.echo(output)


@click.command()
@click.argument("shards", type=_PATH, nargs=-1, required=True)
@click.option("--output", "-o", type=_PATH, required=True, help="The run folder to write")
@click.option("--audit", type=_PATH, help="The document, where it is not where the shards found it")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Worker processes  [default: one per core]")
@click.option("--executor", default="processes", show_default=True, metavar="NAME", help="As in `auditor run`")
@click.option("--quiet", "-q", is_flag=True, help="Say the verdict, its reasons and the report alone")
def merge(shards: tuple[Path, ...], output: Path, quiet: bool, **options: Any) -> None:
    """Make one run of the folders of all SHARDS of an audit, as `auditor run --shard I/N` wrote them.

    What they measured is not measured again; what else an audit has (other inputs, speed) is measured here.
    """
    from auditor.run import SilentProgress, merge_shards
    from auditor.terminal import BarProgress

    command = shlex.join(["auditor", "merge", *map(str, shards), "--output", str(output)])
    with SilentProgress() if quiet else BarProgress() as progress:
        result = merge_shards(shards, output=output, progress=progress, command=command, **options)
    sys.exit(tell(result, output, quiet=quiet))
