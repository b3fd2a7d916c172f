"""What there is to read: a finding explained, the manual, schemas, two runs compared, a run as a BOM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from auditor.errors import InputError

__all__ = ["bom", "compare", "docs", "explain", "schema"]

_PATH = click.Path(path_type=Path)


def _codes(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """The codes that begin with what was typed, for the shell's completion."""
    from auditor.run import catalogue

    return [code for code in catalogue() if code.startswith(typed)]


def _pages(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """The manual's pages that begin with what was typed."""
    from auditor.manual import page_titles

    return [page for page in page_titles() if page.startswith(typed)]


@click.command()
@click.argument("code", shell_complete=_codes)
def explain(code: str) -> None:
    """Say what a finding's CODE means, and print its page of the manual."""
    from auditor.config import nearest
    from auditor.manual import page_text
    from auditor.run import catalogue, is_silenced_by_code

    rows = catalogue()
    if code not in rows:
        alike = [known for known in rows if known.startswith(code.lower())]
        raise InputError(f"unknown code {code!r}; {nearest(code.lower(), alike or rows)}")
    row = rows[code]
    click.echo(f"{code} ({row.level}, check {row.check}): {row.about}")
    silent = is_silenced_by_code(code)
    click.echo(
        f"Leave it out with `checks: {{{code}: false}}`" if silent else "It stands while its gate stands in `gates:`",
        nl=False,
    )
    click.echo(" in audit.yaml.\n")
    click.echo(page_text(row.page))


@click.command()
@click.argument("page", required=False, shell_complete=_pages)
def docs(page: str | None) -> None:
    """Print a PAGE of the manual; without one, list the pages."""
    from auditor.manual import page_text, page_titles

    if page is None:
        for name, title in page_titles().items():
            click.echo(f"{name:<14} {title}")
    else:
        click.echo(page_text(page))


@click.command()
@click.argument("document", type=click.Choice(["audit", "pack", "result"]))
def schema(document: str) -> None:
    """Print the JSON Schema of a DOCUMENT, for editors and CI."""
    from auditor.config import schema as schema_of

    click.echo(json.dumps(schema_of(document), indent=2))


@click.command()
@click.argument("baseline", type=_PATH)
@click.argument("run", type=_PATH)
@click.option("--html", type=_PATH, help="Write the comparison as a page")
@click.option("--markdown", type=_PATH, help="Write it as Markdown for a pull request, as it is printed")
@click.option("--json", "as_json", type=_PATH, help="Write it as JSON")
@click.option(
    "--least",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Call no difference real that is smaller, in the unit of its metric",
)
@click.option("--quiet", "-q", is_flag=True, help="Print one line alone")
def compare(
    baseline: Path, run: Path, html: Path | None, markdown: Path | None, as_json: Path | None, least: float, quiet: bool
) -> None:
    """Compare RUN with BASELINE: two run folders, or their result.json.

    Says of each cell whether it is better, worse, or does not differ beyond chance, and which cannot be compared.
    Exit code 1 where something is really worse, 3 where nothing can be compared.
    """
    from auditor.report.compare_text import headline, render_comparison_markdown
    from auditor.run import compare_folders, save_comparison

    comparison = compare_folders(baseline, run, least=least)
    save_comparison(comparison, html=html, markdown=markdown, json=as_json)
    click.echo(headline(comparison) if quiet else render_comparison_markdown(comparison).rstrip())
    if comparison.of("worse"):
        sys.exit(1)
    sys.exit(0 if comparison.of("better") or comparison.of("same") else 3)


@click.command()
@click.argument("run", type=_PATH)
@click.option("--output", "-o", type=_PATH, help="The file to write  [default: standard output]")
def bom(run: Path, output: Path | None) -> None:
    """Print a CycloneDX ML-BOM of a RUN folder: its models with hashes, and what was measured of them.

    Needs `pip install "tflite-auditor[bom]"`.
    """
    from auditor.report.bom import render_bom
    from auditor.run import as_judged
    from auditor.store import save_text

    text = render_bom(as_judged(run))
    if output is None:
        click.echo(text, nl=False)
    else:
        save_text(output, text)
        click.echo(output)
