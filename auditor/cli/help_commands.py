"""What helps to get going: a look at the machine, and completion for the shell."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["completion", "doctor"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at this machine: versions, wheels that break each other, delegates, cores, disk, and what each extra would
    add. The exit code is 3 where something is wrong."""
    from auditor.doctor import check_up

    found = check_up(Path())
    if as_json:
        click.echo(json.dumps({**found.found, "problems": found.problems}, indent=2))
    else:
        for title, lines in found.found.items():
            for number, line in enumerate(lines):
                click.echo(f"{'' if number else title:<10} {line}")
        for problem in found.problems:
            click.echo(f"problem: {problem}", err=True)
        click.echo(f"{len(found.problems)} problems" if found.problems else "nothing is wrong", err=True)
    context.exit(3 if found.problems else 0)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes `auditor` in a SHELL: `eval "$(auditor completion bash)"` in ~/.bashrc."""
    from click.shell_completion import get_completion_class

    program = context.find_root()
    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"{shell} is not supported by click")
    click.echo(maker(program.command, {}, "auditor", "_AUDITOR_COMPLETE").source())
