"""The manual: its tables are those of the registries, its pages print, and the README is short and leads to them."""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auditor import extensions
from auditor.cli import main
from auditor.config import load_audit
from auditor.heads.anatomy.head import Seen, Settling
from auditor.judge.catalogue import CATALOGUE
from auditor.manual import page_names, page_text, refreshed
from auditor.tasks.anatomy.task import Metric
from auditor.values import InputContract, ModelSpec, Postprocess

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


def rows_of(text, name):
    """The cells of a recorded table by its first column; its titles are the row called nothing."""
    (found,) = re.findall(rf"<!-- results: {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return {"": lines[0], **{line[0]: line for line in lines[2:]}}


def test_the_recorded_results_agree_with_themselves_and_with_the_readme():
    """`tests/reference/record_results.py` writes both from two runs; what a hand changes in one is found."""
    page = page_text("results")
    over, short = rows_of(page, "over"), rows_of(README, "short")
    assert len(over) == len(short) == 9
    for name, row in over.items():
        if not name:
            continue
        clean, common, kept, camera, kept_there = (float(cell.split()[0]) for cell in row[1:])
        assert kept == pytest.approx(common / clean, abs=0.0007 / clean)
        assert kept_there == pytest.approx(camera / clean, abs=0.0007 / clean)
        shown = [float(cell.split()[0]) for cell in short[name][1:4]]
        assert shown == pytest.approx([clean, kept, kept_there], abs=0.0051)
    for place, title in enumerate(short[""][4:], start=4):
        scenario = title.removeprefix("breaks at: ").split(",")[0]
        (limits,) = (table for table in (rows_of(page, "common"), rows_of(page, "camera")) if scenario in table)
        for name in over:
            if name:
                assert short[name][place] == limits[scenario][limits[""].index(name)]


def test_pages_and_types_are_package_data():
    package = importlib.resources.files("auditor")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("docs", "gates.md").is_file()


def test_the_examples_of_a_metric_and_a_head_are_such_values(tmp_path):
    page = page_text("extending")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "mine.py").write_text("\n".join(blocks))
    made = runpy.run_path(str(tmp_path / "mine.py"))
    assert isinstance(made["METRIC"], Metric)
    head = made["HEAD"]
    stacked = np.zeros((1, 6, 7, 1), np.float32)
    stacked[0, :, 2, 0] = [4, 8, 12, 24, 0.25, 0.75]
    seen = Seen({"out": stacked}, InputContract(height=32, width=32))
    assert head.recognise(seen).sure
    assert head.recognise(Seen({"out": stacked[..., 0]}, seen.contract)) is None
    spec = ModelSpec(
        "m", "m", "m", "0", "detection", "float32", seen.contract, "my_head", {}, ("a", "b"), Postprocess(), 1
    )
    settled = head.settle(Settling(head, spec, [seen.arrays], {}, list))
    assert settled.options == {"box_unit": "pixels", "label_offset": 0}
    found = head.decode(seen.arrays, dataclasses.replace(spec, decoder_options=settled.options))
    assert (found.boxes[2].tolist(), found.scores[2].tolist()) == ([4, 8, 12, 24], [0.25, 0.75])
