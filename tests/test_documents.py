"""Documents of every schema version: today's schemas as they were published, and older results read as today's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.config import RESULT_SCHEMA_VERSION, parse_result, result_document, schema
from auditor.run import load_run

GOLDEN = Path(__file__).parent / "golden"
OLD = sorted(GOLDEN.glob("result-*.json"))
old_result = pytest.mark.parametrize("golden", OLD, ids=lambda path: path.stem)


@pytest.mark.parametrize("document", ["audit", "pack", "result"])
def test_the_schemas_are_those_published(document):
    """A change here is a change of the public contract: raise the version, migrate, write the golden file again with
    `auditor schema DOCUMENT > tests/golden/schema-DOCUMENT.json`."""
    published = json.loads((GOLDEN / f"schema-{document}.json").read_text())
    assert schema(document) == published


def leaves(node, definitions, path="", seen=()):
    """Every place of a schema that accepts anything at all."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        if name not in seen:
            yield from leaves(definitions[name], definitions, f"{path}<{name}>", (*seen, name))
        return
    if not set(node) - {"title", "description", "default"}:
        yield path
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, part in enumerate(node.get(key, ())):
            yield from leaves(part, definitions, f"{path}|{index}", seen)
    for name, part in node.get("properties", {}).items():
        yield from leaves(part, definitions, f"{path}.{name}", seen)
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from leaves(node[key], definitions, f"{path}[]", seen)


def test_every_leaf_of_a_result_has_a_type():
    found = schema("result")
    assert list(leaves(found, found["$defs"])) == []


@old_result
def test_an_older_result_keeps_every_number(golden):
    old = json.loads(golden.read_text())
    result = parse_result(old, path=golden)
    assert len(result.cells) == len(old["cells"]) > 20
    for cell, was in zip(result.cells, old["cells"], strict=True):
        assert (cell.file, cell.scenario, cell.severity, cell.input) == (
            was["file"],
            was["scenario"],
            was["severity"],
            was["input"],
        )
        assert {name: (m.value, list(m.interval) if m.interval else None) for name, m in cell.metrics.items()} == {
            name: (m["value"], m["interval"]) for name, m in was["metrics"].items()
        }
    assert len(result.measurements) == len(old["measurements"]) > 0
    assert result.provenance.seed == old["provenance"]["seed"]
    assert {model.name: model.task for model in result.models} == {m["name"]: m["task"] for m in old["models"]}


@old_result
def test_an_older_result_is_judged_as_it_was(golden, tmp_path):
    """`auditor judge` finds what the auditor that wrote it found, with the same figures; the file is
    of this version afterwards."""
    old = json.loads(golden.read_text())
    (tmp_path / "result.json").write_text(golden.read_text())
    done = CliRunner().invoke(main, ["judge", str(tmp_path)])
    assert done.exit_code == {"passed": 0, "failed": 1, "incomplete": 3}[old["verdict"]], done.output
    result, _ = load_run(tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["schema_version"], written["verdict"]) == (RESULT_SCHEMA_VERSION, old["verdict"])
    assert all(finding["code"] for finding in written["findings"])
    assert found(written["findings"]) == found(old["findings"])
    assert result_document(result)["cells"] == written["cells"]
    assert "<html" in (tmp_path / "report.html").read_text()


def found(findings):
    """What was found, without its words: check, level, place and figures."""
    return Counter(
        (
            item["check"],
            item["level"],
            item["cell"].get("file"),
            item["cell"].get("scenario"),
            None if item["observed"] is None else round(item["observed"], 12),  # Python 3.12 sums otherwise
            item["limit"],
        )
        for item in findings
    )


@old_result
def test_a_report_is_written_of_an_older_result(golden, tmp_path):
    (tmp_path / "result.json").write_text(golden.read_text())
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert Path(done.stdout.strip()).read_text().count("<h2") > 5
    assert (tmp_path / "result.json").read_text() == golden.read_text()  # a report changes nothing
