"""What other programs read of a run: JUnit by gate and cell, GitHub's annotations, a CycloneDX BOM, tables."""

from __future__ import annotations

import importlib
import json
import sys
from xml.etree import ElementTree as ET

import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from made_results import cell_of, made_cell, made_result

from auditor import extensions
from auditor.cli import main
from auditor.errors import InputError
from auditor.judge.verdict import judge
from auditor.report.annotations import github_annotations
from auditor.report.bom import render_bom
from auditor.report.junit import render_junit
from auditor.run.judging import catalogue
from auditor.values import MetricValue, PlanRecord, Rule


def judged(*rules, cells=(), **plan):
    cells = cells or (made_cell("clean", 0, 0.5), made_cell("noise/iso", 1, 0.45), made_cell("noise/iso", 3, 0.2))
    result = made_result(cells, plan=PlanRecord(gates=rules, **plan))
    return judge(result, extensions.every("checks"), catalogue())


def test_junit_has_a_case_for_each_value_that_a_gate_looks_at():
    lost = made_cell("noise/iso", 5, None, status="failed")
    cells = (made_cell("clean", 0, 0.5), made_cell("noise/iso", 3, 0.2), lost)
    rules = Rule("AP", "min", 0.4), Rule("AP", "min", 0.1, {"scenario": "x"})
    suite = ET.fromstring(render_junit(judged(*rules, cells=cells)))
    first = [case for case in suite if case.get("classname") == "gate.AP at least 0·4 (every one)"]
    assert [case.get("name").split(" on ")[1] for case in first] == [
        "clean", "noise/iso at severity 3", "noise/iso at severity 5",
    ]  # fmt: skip
    assert [case[0].tag for case in first] == ["system-out", "failure", "error"]
    assert first[1][0].get("message") == "AP 0.200 is 0.200 below the limit 0.400"
    assert "it broke" in first[2][0].get("message")
    (unmet,) = [case for case in suite if "scenario x" in case.get("classname")]
    assert unmet[0].tag == "error"
    assert suite.get("tests") == str(len(suite))


def test_a_drop_says_what_it_is_a_drop_from():
    suite = ET.fromstring(render_junit(judged(Rule("AP", "max_drop", 0.1, {"scenario": "noise/iso"}, "clean"))))
    worst = next(case for case in suite if case.find("failure") is not None)
    assert worst[0].get("message") == "AP 0.200 (0.300 below clean) is 0.200 below the limit 0.400"


def test_annotations_stand_at_the_lines_of_gates():
    rule = Rule("AP", "min", 0.4, {"scenario": "noise/iso"}, line=12)
    lines = list(github_annotations(judged(rule), "a,b/audit.yaml"))
    start = "::error file=a%2Cb/audit.yaml,line=12,title=gate failed::AP at least 0.4 (scenario noise/iso): "
    assert lines[0].startswith(start)
    assert "\n" not in "".join(lines)
    warning = next(line for line in lines if "title=robustness.weak" in line)
    assert warning.startswith("::warning file=a%2Cb/audit.yaml,title=robustness.weak::m (float32")
    assert "%25" in warning  # a per cent sign
    assert "%0A" in warning  # its remedy is on a line of its own
    counted = list(github_annotations(judged(rule, fail_on="warning"), "audit.yaml"))
    assert [line for line in counted if line.startswith("::error") and "robustness.weak" in line]
    many = [Rule("AP", "min", 0.9, {"severity": 3.0}, line=line) for line in range(40)]
    assert len([line for line in github_annotations(judged(*many), "a") if line.startswith("::error")]) == 10


def test_annotations_are_printed_on_github_alone(finished, monkeypatch):
    (finished / "gates.yaml").write_text("gates:\n  - {metric: AP, min: 0.99}\n")
    command = ["judge", str(finished / "out"), "--gates", str(finished / "gates.yaml"), "-q"]
    assert "::error" not in CliRunner().invoke(main, command).stdout
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(finished))
    told = CliRunner().invoke(main, command).stdout
    assert told.startswith("::error file=gates.yaml,line=2,title=gate failed::AP at least 0.99")


def test_the_bom_holds_models_hashes_metrics_slices_and_intervals():
    cells = [
        cell_of(0.5, {"recall": MetricValue("recall", 0.7, interval=(0.6, 0.8))}),
        made_cell("noise/iso", 3, 0.2),
        made_cell("noise/iso", 5, None),
    ]
    document = json.loads(render_bom(judged(cells=cells)))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    (model,) = [part for part in document["components"] if part["type"] == "machine-learning-model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    recall = next(metric for metric in metrics if metric["type"] == "recall")
    assert recall["value"] == "0.7"
    assert recall["confidenceInterval"] == {"lowerBound": "0.6", "upperBound": "0.8"}
    slices = {metric["slice"].split(",")[0] for metric in metrics if metric["type"] == "AP"}
    assert slices == {"clean", "noise/iso at severity 3"}  # what is undefined is left out
    assert "noise/iso" in str(model["modelCard"]["considerations"]["technicalLimitations"])


def test_a_bom_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    with pytest.raises(InputError, match=r"pip install 'tflite-auditor\[bom\]'"):
        render_bom(judged())


def test_the_command_writes_a_bom(finished, tmp_path):
    done = CliRunner().invoke(main, ["bom", str(finished / "out"), "-o", str(tmp_path / "b.json")])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "b.json").read_text())
    card = next(part for part in document["components"] if "modelCard" in part)["modelCard"]
    types = {metric["type"] for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert {"AP", "recall", "fppi", "mPC", "rPC"} <= types


def test_a_result_is_a_table_with_pandas_or_without(monkeypatch):
    result, load = judged(), importlib.import_module

    def without_pandas(name):
        if name == "pandas":
            raise ImportError(name)
        return load(name)

    monkeypatch.setattr(importlib, "import_module", without_pandas)
    table = result.to_frame()
    assert isinstance(table, pa.Table)
    assert table.num_rows == 3
    row = table.to_pylist()[2]
    assert (row["scenario"], row["severity"], row["metric"], row["value"]) == ("noise/iso", 3.0, "AP", 0.2)
    monkeypatch.undo()
    assert isinstance(result.to_frame(), pd.DataFrame)
    assert list(result.to_frame()["value"]) == [0.5, 0.45, 0.2]
