"""The whole run: artefacts, invariants, resumption, survival."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import InputError, StoreError
from auditor.executors import ProcessExecutor
from auditor.run import judge_run, load_run, report_run, run_audit
from auditor.store import load_json


def cells(folder: Path):
    return load_json(folder / "result.json")["cells"]


def test_a_run_leaves_every_artefact(project):
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=2)
    assert result.verdict == "passed"
    names = {path.name for path in (project / "out").iterdir() if path.name != ".lock"}
    expected = {
        "audit.yaml",
        "result.json",
        "report.html",
        "junit.xml",
        "summary.md",
        "measurements",
        "samples.parquet",
        "gallery",
        "run.json",
    }
    assert names == expected
    document = load_json(project / "out" / "result.json")
    assert [(cell["scenario"], cell["severity"], cell["status"], cell["images"]) for cell in document["cells"]] == [
        ("clean", 0, "ok", 10),
        ("lighting/low_light", 1, "ok", 10),
        ("lighting/low_light", 5, "ok", 10),
        ("noise/gaussian", 1, "ok", 10),
        ("noise/gaussian", 5, "ok", 10),
    ]
    values = [cell["metrics"]["AP"]["value"] for cell in document["cells"]]
    assert values[0] > 0.6
    assert values[4] < values[3] < values[0]
    assert load_run(project / "out")[0].cells == result.cells
    assert document["models"][0]["sources"]["input.resize"]["origin"] == "default"
    assert document["provenance"]["seed"] == 3
    assert set(document["provenance"]["seconds"]) == {
        "read",
        "corrupt",
        "encode",
        "invoke",
        "decode",
        "store",
        "evaluate",
    }


def test_serial_processes_dask_and_resumed_runs_agree_bit_for_bit(project):
    run_audit(project / "audit.yaml", output=project / "processes", jobs=2)
    run_audit(project / "audit.yaml", output=project / "serial", executor="serial")
    run_audit(project / "audit.yaml", output=project / "dask", executor="dask", jobs=2)
    shutil.copytree(project / "processes", project / "resumed")
    kept = sorted((project / "resumed" / "measurements").iterdir())
    for path in kept[::2]:
        path.unlink()
    (project / "resumed" / "result.json").unlink()
    run_audit(project / "audit.yaml", output=project / "resumed", jobs=1)
    first = cells(project / "processes")
    assert all(cells(project / name) == first for name in ("serial", "dask", "resumed"))


def test_a_complete_unit_is_not_measured_again_unless_asked(finished):
    stamps = {path: path.stat().st_mtime_ns for path in (finished / "out" / "measurements").iterdir()}
    run_audit(finished / "audit.yaml", output=finished / "out", executor="serial")
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    run_audit(finished / "audit.yaml", output=finished / "out", executor="serial", fresh=True)
    assert all(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())


def test_a_damaged_unit_is_measured_again(finished):
    before = cells(finished / "out")
    path = sorted((finished / "out" / "measurements").iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    run_audit(finished / "audit.yaml", output=finished / "out", executor="serial")
    assert cells(finished / "out") == before


@pytest.mark.parametrize(
    "change", [("seed: 3", "seed: 4"), ("path: detector.tflite", "postprocess: {nms_iou: 0.5}, path: detector.tflite")]
)
def test_what_can_change_a_number_changes_the_resume_key(finished, change):
    count = len(list((finished / "out" / "measurements").iterdir()))
    text = (finished / "audit.yaml").read_text()
    assert change[0] in text
    (finished / "audit.yaml").write_text(text.replace(*change))
    run_audit(finished / "audit.yaml", output=finished / "out", executor="serial")
    assert len(list((finished / "out" / "measurements").iterdir())) == 2 * count


def test_every_model_sees_the_same_pixels(project):
    text = (project / "audit.yaml").read_text()
    twin = (
        "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
        "  - {name: twin, path: detector.tflite, labels: labels.txt}\n"
    )
    (project / "audit.yaml").write_text(
        text.replace("  - {name: detector, path: detector.tflite, labels: labels.txt}\n", twin)
    )
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    by_file = {
        name: [cell["metrics"] for cell in cells(project / "out") if cell["file"] == name]
        for name in ("detector", "twin")
    }
    assert by_file["detector"] == by_file["twin"]


def test_an_unreadable_image_is_counted_and_the_rest_is_judged(project):
    (project / "images" / "004.png").write_text("not an image")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    assert {(cell.status, cell.images, cell.counts["failed_images"]) for cell in result.cells} == {("ok", 9, 1)}
    assert any(
        finding.check == "data" and "1 images could not be read" in finding.message for finding in result.findings
    )


def test_a_scenario_that_fails_costs_its_own_cells(project):
    (project / "odd.py").write_text(
        "def fog(image, *, severity, rng):\n    if image.shape[0] > 100 and severity > 2:\n        raise "
        "OSError('lens')\n    return image\n"
    )
    pack = (
        "pack: odd\n"
        "version: 1\n"
        "scenarios:\n"
        "  fog:\n"
        "    knobs: {x: [1, 2, 3, 4, 5]}\n"
        "    unit: none\n"
        "    transforms: [{function: 'odd:fog'}]\n"
    )
    (project / "odd.yaml").write_text(pack)
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("[lighting/low_light, noise/gaussian]", "[./odd.yaml, noise/gaussian]")
    )
    (project / "audit.yaml").write_text(text + "allow_code: true\n")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=2)
    assert [(cell.scenario, cell.severity) for cell in result.cells if cell.status == "failed"] == [("odd/fog", 5)]
    assert result.verdict == "incomplete"
    assert "lens" in next(finding.message for finding in result.findings if finding.check == "run")
    assert result.summaries[0].metrics["mPC"].value is None


def test_workers_that_are_killed_cost_nothing(project, monkeypatch):
    import auditor.run.session as run_module

    killed = []

    class Murderous(ProcessExecutor):
        def map(self, function, items, **options):
            for outcome in super().map(function, items, **options):
                if not killed and function.__name__ == "carry_out":
                    for lane in self.lanes:
                        for process in lane.pool()._processes.values():
                            killed.append(process.pid)
                            process.kill()
                yield outcome

    monkeypatch.setattr(run_module, "open_executor", lambda name, **options: Murderous(2))
    result = run_audit(project / "audit.yaml", output=project / "out")
    assert killed
    assert {cell.status for cell in result.cells} == {"ok"}


def test_what_ends_the_process_costs_its_own_cells(project):
    """A corruption that kills its process, as a delegate can, is tried again alone; the other cells are measured."""
    body = (
        "import os, signal\n"
        "\n"
        "def fog(image, *, severity, rng):\n"
        "    if image.shape[0] > 100:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return image\n"
    )
    (project / "deadly.py").write_text(body)
    pack = (
        "pack: deadly\n"
        "version: 1\n"
        "scenarios:\n"
        "  fog:\n"
        "    knobs: {x: [1, 2, 3, 4, 5]}\n"
        "    unit: none\n"
        "    transforms: [{function: 'deadly:fog'}]\n"
    )
    (project / "deadly.yaml").write_text(pack)
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("[lighting/low_light, noise/gaussian]", "[./deadly.yaml, noise/gaussian]")
    )
    (project / "audit.yaml").write_text(text + "allow_code: true\n")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=2)
    assert {cell.scenario: cell.status for cell in result.cells} == {
        "clean": "ok",
        "deadly/fog": "failed",
        "noise/gaussian": "ok",
    }
    assert any("it ended its process" in finding.message for finding in result.findings)


def test_judging_again_with_other_gates_changes_the_verdict_alone(finished):
    before = cells(finished / "out")
    (finished / "gates.yaml").write_text("gates:\n  - {metric: AP, min: 0.99}\n")
    assert judge_run(finished / "out", gates=finished / "gates.yaml").verdict == "failed"
    assert cells(finished / "out") == before
    assert load_json(finished / "out" / "result.json")["verdict"] == "failed"
    assert "failures=" in (finished / "out" / "junit.xml").read_text()
    report = (finished / "out" / "report.html").read_text()
    report_run(finished / "out")
    assert (finished / "out" / "report.html").read_text() == report


def test_findings_are_never_read_back(finished):
    path = finished / "out" / "result.json"
    document = load_json(path)
    document["findings"] = [
        {
            "check": "gate",
            "level": "error",
            "cell": {},
            "observed": None,
            "limit": None,
            "message": "forged",
            "remedy": "",
        }
    ]
    document["verdict"] = "failed"
    path.write_text(json.dumps(document))
    assert judge_run(finished / "out").verdict == "passed"
    assert "forged" not in path.read_text()


def test_results_of_a_newer_or_damaged_file_are_refused(finished):
    path = finished / "out" / "result.json"
    good = load_json(path)
    for change, expected in (
        ({"schema_version": "9.0"}, "schema_version 9.0"),
        ({"cells": [{}]}, "cells.0"),
        ({"schema_version": None}, "expected a result.json"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(StoreError, match=expected):
            load_run(finished / "out")
    with pytest.raises(StoreError, match=r"no result\.json"):
        load_run(finished / "absent")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("path: detector.tflite", "path: absent.tflite"), r"audit\.yaml:5: models\[0\]\.path: .*absent\.tflite"),
        (("annotations: instances.json", "annotations: absent.json"), r"audit\.yaml:3: dataset: .*absent\.json"),
        (("images: images", "images: nowhere"), "no such folder"),
        (("noise/gaussian", "noise/gausian"), r"did you mean 'noise/gaussian'"),
        (("format: coco", "format: cocoa"), "did you mean 'coco'"),
        (("labels: labels.txt", "labels: coco80"), r"6 classes .* but the model has 80 labels"),
        (("metric: AP,", "metric: mAP,"), r"audit\.yaml:11: gates\[0\]\.metric: unknown metric 'mAP'"),
        (("scenario: clean,", "scenario: blizzard,"), "unknown scenario 'blizzard'"),
        (("metric: AP, scenario: clean,", "metric: rPC, scenario: noise,"), "leave `scenario` and `severity` out"),
        (("metric: AP, scenario: clean,", "metric: top1,"), "top1 is a metric of another task than detection"),
        (
            ("metric: AP, scenario: clean, min: 0.4", "metric: AP, max_drop: 0.1, against: int8"),
            r"gates\[0\]\.against: no model of this audit is int8; they are float32",
        ),
        (("metric: AP, scenario: clean,", "metric: AP/dog,"), "unknown metric 'AP/dog'"),
        (("checks: {", "checks: {gate.violated: false, "), "findings of gates are not left out here"),
        (("checks: {", "checks: {input.better: {images: 3}, "), "options are those of its check, input_contract"),
        (("checks: {", "checks: {input.bettr: false, "), "did you mean 'input.better'"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(project, change, expected):
    text = (project / "audit.yaml").read_text()
    assert change[0] in text
    (project / "audit.yaml").write_text(text.replace(*change))
    with pytest.raises(InputError, match=expected):
        run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    assert not (project / "out").exists()


def test_whatever_a_document_names_is_told_at_once(project):
    text = (project / "audit.yaml").read_text()
    changes = {
        "annotations: instances.json": "annotations: absent.json",
        "path: detector.tflite": "path: absent.tflite",
        "noise/gaussian": "noise/gausian",
        "metric: AP, scenario: clean": "metric: mAP, scenario: blizzard, delegate: gpo",
        "checks: {": "checks: {latncy: false, input.better: {images: 3}, ",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (project / "audit.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    told = "\n".join(caught.value.problems)
    for expected in (
        "unknown check 'latncy'",
        "options are those of its check",
        "absent.json",
        "absent.tflite",
        "did you mean 'noise/gaussian'",
        "unknown metric 'mAP'",
        "unknown scenario 'blizzard'",
        "unknown delegate 'gpo'",
    ):
        assert told.count(expected) == 1, expected
    assert len(caught.value.problems) == 8


def test_a_drop_against_a_level_that_is_made_can_be_judged(project):
    text = (project / "audit.yaml").read_text()
    text = text.replace("labels: labels.txt}", "labels: labels.txt, quantize: {levels: [float16]}}")
    text = text.replace("scenario: clean, min: 0.4", "max_drop: 0.1, against: float16").replace(
        "[lighting/low_light, noise/gaussian]", "[]"
    )
    (project / "audit.yaml").write_text(text)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert result.verdict == "passed"


def test_no_class_in_common_is_an_error_not_ap_0(project):
    (project / "labels.txt").write_text("\n".join("qwerty") + "\n")
    with pytest.raises(InputError, match="no class in common"):
        run_audit(project / "audit.yaml", output=project / "out", jobs=1)


def test_classes_that_are_not_shared_are_listed_and_dropped(project):
    (project / "labels.txt").write_text("ball\ncrate\nCone\nlamp\nring\ncross\n")
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    (model,) = result.models
    assert list(model.classes_judged) == ["ball", "crate", "cone", "ring", "cross"]
    assert (model.classes_only_model, model.classes_only_truth) == (("lamp",), ("star",))
    clean = result.cells[0]
    assert clean.counts["dropped_predictions"] > 0
    assert "AP/star" not in clean.metrics
    per_class = [clean.metrics[f"AP/{name}"].value for name in list(model.classes_judged)]
    assert clean.metrics["AP"].value == pytest.approx(np.mean(per_class), abs=1e-12)


def test_an_output_folder_that_cannot_be_written(project):
    (project / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be made"):
        run_audit(project / "audit.yaml", output=project / "file" / "out", jobs=1)


def test_measuring_never_sees_truth(project, monkeypatch):
    """The unit that a worker gets holds no truth, and what it sends back no metric."""
    import pickle

    import auditor.run.stages.measuring as run_module

    seen = []
    original = run_module.predict_unit
    monkeypatch.setattr(run_module, "predict_unit", lambda unit: (seen.append(pickle.dumps(unit)), original(unit))[1])
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert seen
    assert all(b"GroundTruth" not in item and b"iscrowd" not in item for item in seen)


def test_an_audit_that_feeds_nonsense_says_so(project):
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("path: detector.tflite,", "path: detector.tflite, input: {std: 0.01},")
    )
    text = text.replace("checks: {input_contract: false}\n", "")
    (project / "audit.yaml").write_text(text)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert any(finding.check == "input_contract" and finding.level == "error" for finding in result.findings)


def test_images_of_another_size_than_annotated_are_told(project):
    document = json.loads((project / "instances.json").read_text())
    document["images"][0] |= {"width": 999, "height": 9}
    (project / "instances.json").write_text(json.dumps(document))
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    assert any("1 images have another size" in finding.message for finding in result.findings)


def test_a_verdict_needs_half_of_the_images(project):
    for index in range(6):
        (project / "images" / f"{index:03d}.png").write_text("broken")
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    assert (result.verdict, {cell.status for cell in result.cells}) == ("incomplete", {"failed"})


def test_a_unit_whose_worker_was_lost_is_measured_again(project):
    (project / "moody.py").write_text(
        "import os, pathlib, signal\n\ndef fog(image, *, severity, rng):\n"
        f"    if image.shape[0] > 100 and pathlib.Path({str(project / 'BOOM')!r}).exists():\n        "
        "os.kill(os.getpid(), signal.SIGKILL)\n    return image\n"
    )
    pack = (
        "pack: moody\n"
        "version: 1\n"
        "scenarios:\n"
        "  fog:\n"
        "    knobs: {x: [1, 2, 3, 4, 5]}\n"
        "    unit: none\n"
        "    transforms: [{function: 'moody:fog'}]\n"
    )
    (project / "moody.yaml").write_text(pack)
    text = (project / "audit.yaml").read_text().replace("[lighting/low_light, noise/gaussian]", "[./moody.yaml]")
    (project / "audit.yaml").write_text(text + "allow_code: true\n")
    (project / "BOOM").touch()
    assert run_audit(project / "audit.yaml", output=project / "out", jobs=1).verdict == "incomplete"
    (project / "BOOM").unlink()
    assert run_audit(project / "audit.yaml", output=project / "out", jobs=1).verdict == "passed"


def test_a_variant_with_a_decoder_of_its_own_does_not_inherit_options(project):
    text = (project / "audit.yaml").read_text()
    entry = "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
    leader = entry.replace("}", ", decoder: {name: yolov8, box_unit: normalized}}")
    variants = "".join(
        f"  - {{name: {name}, variant_of: detector, path: detector.tflite{more}}}\n"
        for name, more in (("same", ""), ("own", ", decoder: yolov8"))
    )
    (project / "audit.yaml").write_text(text.replace(entry, leader + variants))
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    sources = {model.name: model.sources["decoder.box_unit"].origin for model in result.models}
    assert sources == {"detector": "audit.yaml", "same": "audit.yaml", "own": "images"}


def test_fractional_severities_run_and_those_that_cannot_are_told_first(project):
    text = (
        (project / "audit.yaml")
        .read_text()
        .replace("severities: [1, 5]", "severities: [4.5]")
        .replace("noise/gaussian", "resolution/jpeg")
    )
    (project / "audit.yaml").write_text(text)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert {cell.status for cell in result.cells} == {"ok"}
    pack = (
        "pack: med\n"
        "version: 1\n"
        "scenarios:\n"
        "  m:\n"
        "    knobs: {k: [3, 5, 7, 9, 11]}\n"
        "    unit: px\n"
        "    transforms: [{MedianBlur: {blur_limit: [$k, $k]}}]\n"
    )
    (project / "med.yaml").write_text(pack)
    (project / "audit.yaml").write_text(text.replace("resolution/jpeg", "./med.yaml").replace("[4.5]", "[1.5]"))
    with pytest.raises(InputError, match=r"med/m cannot be had at severity 1\.5"):
        run_audit(project / "audit.yaml", output=project / "other", executor="serial")
    assert not (project / "other").exists()


def test_a_gate_may_spell_a_class_in_its_own_case(project):
    text = (project / "audit.yaml").read_text().replace("metric: AP,", "metric: AP/Ball,")
    (project / "audit.yaml").write_text(text)
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert (result.verdict, result.plan.gates[0].metric) == ("passed", "AP/ball")


def test_judging_by_what_there_is_not_is_bad_input_all_of_it_at_once(finished):
    before = (finished / "out" / "result.json").read_text()
    (finished / "gates.yaml").write_text(
        "- {metric: mAP, min: 0.1}\n"
        "- {metric: AP, quantization: int88, delegate: xnpack, min: 0.1}\n"
        "- {metric: AP, model: detectr, scenario: noise/gausian, max_drop: 0.1, against: float99}\n"
    )
    with pytest.raises(InputError) as caught:
        judge_run(finished / "out", gates=finished / "gates.yaml")
    told = [problem.split("gates.yaml:")[1] for problem in caught.value.problems]
    assert [problem.split(";")[0] for problem in told] == [
        "1: metric: unknown metric 'mAP'",
        "2: quantization: unknown level 'int88'",
        "2: delegate: unknown delegate 'xnpack'",
        "3: model: unknown model 'detectr'",
        "3: scenario: unknown scenario 'noise/gausian'",
        "3: against: unknown level 'float99'",
    ]
    assert (finished / "out" / "result.json").read_text() == before
