"""Advice on a model's input ends the search: it goes on from what is better until nothing is, in one run."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from conftest import write_scenes

from auditor.cli import main
from auditor.demo.scenes import CLASSES
from auditor.run import run_audit
from auditor.run.stages import measuring
from auditor.store import save_unit
from auditor.values import Gain, surest

pytestmark = pytest.mark.slow

ENTRY = "{name: detector, path: detector.tflite, labels: labels.txt}"


def audited(project, entry, out="out"):
    text = (project / "audit.yaml").read_text()
    text = text.replace(ENTRY, entry).replace(
        "checks: {input_contract: false}", "checks: {input_contract: {images: 16}}"
    )
    (project / "audit.yaml").write_text(text.replace("[lighting/low_light, noise/gaussian]", "[]"))
    return run_audit(project / "audit.yaml", output=project / out, executor="serial")


def advice(result):
    return [finding for finding in result.findings if finding.code in ("input.better", "labels.better", "boxes.better")]


WRONG = {
    "colour, range and resize": ("labels: labels.txt, input: {color: bgr, std: 1, resize: crop}", {"input"}),
    "range and labels": ("labels: shifted.txt, input: {std: 1}", {"input", "decoder"}),
    "labels and boxes": ("labels: shifted.txt, decoder: {name: yolov8, box_format: xyxy}", {"decoder"}),
    "range and boxes": (
        "labels: labels.txt, input: {std: 1}, decoder: {name: yolov8, box_unit: pixels}",
        {"input", "decoder"},
    ),
}


EACH = [pytest.param(wrong, marks=[pytest.mark.long] if "range and" in wrong else []) for wrong in WRONG]
"""Pairs whose parts are asked by the others too are for the long run."""


@pytest.mark.parametrize("wrong", EACH)
def test_one_run_finds_all_that_is_wrong_and_the_next_finds_nothing(project, wrong):
    write_scenes(project, 16)
    (project / "shifted.txt").write_text("\n".join(["nothing", *CLASSES[:-1]]) + "\n")
    given, mended = WRONG[wrong]
    result = audited(project, f"{{name: detector, path: detector.tflite, {given}}}")
    (found,) = advice(result)
    assert set(found.fix.keys) == mended
    chosen = [cell for cell in result.cells if cell.compared is not None and cell.compared.chosen]
    assert [cell.input for cell in chosen] == [found.cell["input"]]
    assert chosen[0].value > 0.7
    labels = "shifted.txt" if "shifted" in given else "labels.txt"
    lines = ", ".join(str(found.fix).splitlines())
    text = (project / "audit.yaml").read_text()
    mend = text.replace(given, f"labels: {labels}, {lines}")
    (project / "audit.yaml").write_text(mend)
    again = run_audit(project / "audit.yaml", output=project / "again", executor="serial")
    assert advice(again) == []
    assert again.summaries[0].metrics["AP_clean"].value == pytest.approx(chosen[0].value, abs=0.03)


def test_comparisons_are_counted_alike_everywhere(project):
    write_scenes(project, 16)
    result = audited(
        project, "{name: detector, path: detector.tflite, labels: labels.txt, input: {std: 1, color: bgr}}"
    )
    compared = [cell for cell in result.cells if cell.compared is not None]
    assert {cell.compared.comparisons for cell in compared} == {len(compared)}
    (found,) = advice(result)
    assert found.facts["comparisons"] == len(compared)
    assert f"over all {len(compared)} comparisons" in found.message
    page = (project / "out" / "report.html").read_text()
    assert f"detector: {len(compared)} comparisons on" in " ".join(page.split())


@pytest.mark.long
def test_init_takes_the_end_of_the_same_search(project):
    """A file whose notes say the wrong colour and range: init writes what the check would end with."""
    write_scenes(project, 20)
    first = project / "first.yaml"
    done = CliRunner().invoke(
        main,
        ["init", str(project / "detector.tflite"), "--dataset", str(project), "--labels", str(project / "labels.txt"),
         "-o", str(first)],
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    text = first.read_text().partition("gates:")[0].replace("[lighting, resolution, noise]", "[]")
    (project / "checked.yaml").write_text(text)
    checked = run_audit(project / "checked.yaml", output=project / "checked", executor="serial")
    assert advice(checked) == []
    assert json.loads((project / "checked" / "result.json").read_text())["verdict"] == "not judged"


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([Gain(0.3, 0.1, 2), Gain(0.295, 0.1, 1)], 1),
        ([Gain(0.3, 0.1, 2), Gain(0.28, 0.1, 1)], 0),
        ([Gain(0.3, 0.0, 1), Gain(0.009, 0.001, 1), Gain(0.5, None, 1)], None),
        ([], None),
    ],
)
def test_what_is_sure(gains, expected):
    assert surest(gains) == expected


def test_nothing_is_measured_twice_however_many_looks_it_takes(project, monkeypatch):
    """The looks of two models, in one queue, each with images that an earlier look had, and afresh."""
    saved = []
    monkeypatch.setattr(
        measuring, "save_unit", lambda *given, **rest: saved.append(given[1]) or save_unit(*given, **rest)
    )
    write_scenes(project, 40)
    entry = "{name: detector, path: detector.tflite, labels: labels.txt, input: {std: 1}}"
    other = "{name: other, path: detector.tflite, labels: labels.txt, input: {color: bgr}}"
    text = (project / "audit.yaml").read_text().replace(ENTRY, f"{entry}\n  - {other}")
    text = text.replace("checks: {input_contract: false}", "checks: {input_contract: {images: 40}}")
    (project / "audit.yaml").write_text(text.replace("[lighting/low_light, noise/gaussian]", "[]"))
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial", fresh=True)
    compared = [cell for cell in result.cells if cell.compared is not None]
    assert {cell.key.file for cell in compared} == {"detector", "other"}
    assert len({cell.images for cell in compared}) > 1  # what is hopeless was given up early
    assert advice(result)
    assert len(saved) == len(set(saved)) > 20
