"""The manual: its tables are those of the registries, its pages print, and the README is short and leads to them."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditor import extensions
from auditor.cli import main
from auditor.config import load_audit
from auditor.judge.catalogue import CATALOGUE
from auditor.manual import page_names, page_text, refreshed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", page_names())
def test_tables_are_not_stale(name):
    """Write them anew with `python -m auditor.manual`."""
    assert refreshed(page_text(name)) == page_text(name)


def test_tables_name_everything_that_is_registered():
    findings, heads, gates = page_text("findings"), page_text("heads"), page_text("gates")
    assert all(f"`{code}`" in findings for code in CATALOGUE)
    assert all(f"`{name}`" in heads for name in extensions.built_in("heads"))
    for name in extensions.built_in("tasks"):
        assert all(f"`{metric}`" in gates for metric in extensions.resolve("tasks", name).metrics)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_finding_is_explained(code):
    done = CliRunner().invoke(main, ["explain", code])
    assert done.exit_code == 0, done.output
    assert CATALOGUE[code].about in done.output
    assert (f"checks: {{{code}: false}}" in done.output) == (not code.startswith("gate."))
    assert CATALOGUE[code].page in page_names()


def test_pages_are_listed_printed_and_missed():
    listed = CliRunner().invoke(main, ["docs"])
    assert [line.split()[0] for line in listed.stdout.splitlines()] == page_names()
    assert CliRunner().invoke(main, ["docs", "gates"]).stdout == page_text("gates") + "\n"
    for arguments in (["docs", "gate"], ["explain", "input.bettr"]):
        missed = CliRunner().invoke(main, arguments)
        assert missed.exit_code == 2
        assert "did you mean" in missed.stderr


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= 150
    assert set(re.findall(r"\(auditor/docs/(\w+)\.md\)", README)) == set(page_names())
    assert all((ROOT / path).exists() for path in re.findall(r"\]\((?!http)([\w./]+)\)", README))


def test_the_readme_s_audit_is_a_document(tmp_path):
    (found,) = [block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if block.startswith("name:")]
    (tmp_path / "audit.yaml").write_text(found)
    assert load_audit(tmp_path / "audit.yaml").models[0].name == "yolox_nano"


def test_pages_and_types_are_package_data():
    package = importlib.resources.files("auditor")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("docs", "gates.md").is_file()
