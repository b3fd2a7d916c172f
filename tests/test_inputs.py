"""Is the model fed and read as it was trained? Wrong contracts are found with the line that mends them, right ones
pass."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_scenes

from auditor.cli import main
from auditor.demo.scenes import CLASSES
from auditor.models.graph import load_graph
from auditor.models.inspect import arena_bytes, inspect_model
from auditor.run import load_run, run_audit

ENTRY = "{name: detector, path: detector.tflite, labels: labels.txt}"


def audited(project, entry, *, images=40):
    text = (project / "audit.yaml").read_text()
    assert ENTRY in text
    text = text.replace(ENTRY, entry).replace(
        "checks: {input_contract: false}", f"checks: {{input_contract: {{images: {images}}}}}"
    )
    (project / "audit.yaml").write_text(text.replace("[lighting/low_light, noise/gaussian]", "[]"))
    return run_audit(project / "audit.yaml", output=project / "out", jobs=2)


def alarms(result):
    checks = ("input_contract", "labels")
    return [finding for finding in result.findings if finding.check in checks and finding.level != "info"]


def test_a_right_contract_is_called_right(project):
    write_scenes(project, 24)
    result = audited(project, "{name: detector, path: detector.tflite, labels: labels.txt, input: {resize: letterbox}}")
    assert alarms(result) == []
    (finding,) = [finding for finding in result.findings if finding.check == "input_contract"]
    assert "no other input contract of" in finding.message
    changed = [cell for cell in result.cells if cell.cell.input != "declared"]
    assert len(changed) > 12
    assert all(cell.cell.scenario == "clean" and cell.difference("declared") is not None for cell in changed)
    assert load_run(project / "out")[0].cells == result.cells  # details come back from the file
    assert "Input contract" in (project / "out" / "report.html").read_text()
    assert [summary.metrics["AP_clean"].images for summary in result.summaries] == [24]


@pytest.mark.parametrize(
    ("entry", "check", "yaml"),
    [
        ("input: {std: 1}", "input_contract", "std: 255"),
        ("decoder: {name: yolov8, box_format: xyxy}", "input_contract", "decoder: {name: yolov8, box_format: cxcywh}"),
        (
            "decoder: {name: yolov8, box_unit: pixels}",
            "input_contract",
            "decoder: {name: yolov8, box_unit: normalized}",
        ),
        ("labels: shifted.txt", "labels", "decoder: {name: yolov8, label_offset: 1}"),
    ],
)
def test_a_wrong_contract_is_found_and_its_line_mends_it(project, entry, check, yaml):
    write_scenes(project, 24)
    (project / "shifted.txt").write_text("\n".join(["nothing", *CLASSES[:-1]]) + "\n")
    labels = "" if "labels" in entry else "labels: labels.txt, "
    result = audited(project, f"{{name: detector, path: detector.tflite, {labels}{entry}}}", images=8)
    found = [finding for finding in alarms(result) if finding.check == check]
    assert len(found) == 1
    assert found[0].level == "error"
    line = found[0].remedy.partition(": ")[2]
    assert yaml in line
    repaired = (
        (project / "audit.yaml")
        .read_text()
        .replace(f"{labels}{entry}", f"{labels}{line}" if labels else f"{entry}, {line}")
    )
    (project / "audit.yaml").write_text(repaired)
    again = run_audit(project / "audit.yaml", output=project / "again", jobs=2)
    assert [finding for finding in alarms(again) if finding.level == "error"] == []
    assert again.summaries[0].metrics["AP_clean"].value > 0.5


def test_changes_of_two_factors_combine():
    from auditor.models.resolve import ModelRequest, resolve_model
    from auditor.models.variants import combined, input_variants

    wrong = {"color": "bgr", "mean": (0.0,), "std": (1.0,)}
    spec = resolve_model(
        ModelRequest("m", "m", str(DEMO_MODEL), "d", ".", need_labels=False, decoder="yolov8", input=wrong)
    )
    rng = np.random.default_rng(1)
    variants = {
        variant.name: variant for variant in input_variants(spec, [rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)])
    }
    assert {"color=rgb", "std=255", "resize=stretch", "interpolation=area", "pad=0"} <= variants.keys()
    pair = combined(spec, variants["color=rgb"], variants["std=255"])
    assert (pair.name, pair.factor) == ("color=rgb,std=255", "color and range")
    imagenet = next(variant for name, variant in variants.items() if "57.12" in name)
    assert imagenet.spec.input.mean == (103.53, 116.28, 123.675)  # in the order of the declared bgr
    assert combined(spec, variants["color=rgb"], imagenet).spec.input.mean == (123.675, 116.28, 103.53)


def test_the_check_can_be_left_out(project):
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    assert {cell.cell.input for cell in result.cells} == {"declared"}
    assert not any(finding.check == "input_contract" for finding in result.findings)


def test_unlike_calibration_and_small_boxes_are_told(project):
    from auditor.judge.data import check_data
    from auditor.values import AuditResult

    facts = {
        "brightness": [0.5 + 0.001 * index for index in range(40)],
        "contrast": [0.2] * 40,
        "sharpness": [9.0] * 40,
        "shorter_side_px": [100.0] * 40,
    }
    dark = {**facts, "brightness": [0.1 + 0.001 * index for index in range(40)]}
    dataset = {
        "images": 300,
        "boxes": 9,
        "counts": {},
        "facts": facts,
        "instances": {"a": 3, "b": 40},
        "duplicate_images": 2,
        "duplicate_boxes": 1,
    }
    model = {
        "name": "m",
        "model": "m",
        "dataset": "default",
        "input": {"width": 64, "height": 64, "resize": "stretch"},
        "boxes_at_input": {"boxes": 9, "under_8px": 0.4, "under_16px": 0.7},
    }
    plan = {"gates": [], "calibration": {"m": {"images": 40, "unreadable": 0, "facts": dark}}}
    told = [
        finding.message
        for finding in check_data(AuditResult("1.0", "r", {}, plan, (model,), {"default": dataset}, (), ()))
    ]
    assert any("unlike the evaluated ones in brightness" in text for text in told)
    assert not any("in contrast" in text for text in told)
    assert any("40% of the true boxes are under 8 px" in text for text in told)
    assert any("1 of 2 classes" in text for text in told)
    assert any("2 images of the data set stand there more than once" in text for text in told)


def test_data_is_described(project):
    result = run_audit(project / "audit.yaml", output=project / "out", jobs=1)
    dataset = result.datasets["default"]
    assert len(dataset["facts"]["brightness"]) == 10
    assert sum(dataset["instances"].values()) == dataset["boxes"]
    assert sum(result.models[0]["boxes_at_input"]["counts"]) == dataset["boxes"]


def test_inspect_tells_what_the_file_says():
    facts = inspect_model(DEMO_MODEL)
    assert facts["quantization"] == "float32"
    assert facts["inputs"][0]["shape"] == [1, 160, 160, 3]
    assert sum(facts["ops"].values()) == len(load_graph(DEMO_MODEL).ops)
    assert (facts["custom_ops"], facts["flex_ops"]) == ([], [])
    done = CliRunner().invoke(main, ["inspect", str(DEMO_MODEL), "--labels", "coco80"])
    assert done.exit_code == 0
    assert "input   " in done.stdout
    document = json.loads(CliRunner().invoke(main, ["inspect", str(DEMO_MODEL), "--json"]).stdout)
    assert document["size_bytes"] == DEMO_MODEL.stat().st_size
    assert CliRunner().invoke(main, ["inspect", "absent.tflite"]).exit_code == 2


def test_the_arena_holds_what_lives_at_once():
    graph = load_graph(DEMO_MODEL)
    sizes = {
        index: 4 * int(np.prod(tensor.shape))
        for index, tensor in enumerate(graph.tensors)
        if not tensor.constant and tensor.shape
    }
    needed = max(sum(sizes.get(index, 0) for index in {*op.inputs, *op.outputs} if index >= 0) for op in graph.ops)
    assert needed <= arena_bytes(graph) <= sum(sizes.values())


def test_init_writes_an_audit_that_runs(project):
    (project / "audit.yaml").unlink()
    arguments = ["init", str(project / "detector.tflite"), "--dataset", str(project), "-o", str(project / "mine.yaml")]
    done = CliRunner().invoke(main, [*arguments, "--labels", str(project / "labels.txt")])
    assert done.exit_code == 0, done.stderr
    text = (project / "mine.yaml").read_text()
    assert "box_unit: normalized" in text
    (project / "mine.yaml").write_text(text.replace("[lighting, resolution, noise]", "[]"))
    assert run_audit(project / "mine.yaml", output=project / "out", jobs=1).summaries[0].metrics["AP_clean"].value > 0.5
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    guessed = CliRunner().invoke(main, [*arguments[:-1], str(project / "guessed.yaml")])
    assert guessed.exit_code == 0
    assert "labels: dataset   # guessed" in (project / "guessed.yaml").read_text()


def test_init_marks_the_labels_that_it_cannot_find(project):
    document = json.loads((project / "instances.json").read_text())
    document["categories"].append({"id": 99, "name": "another"})
    (project / "instances.json").write_text(json.dumps(document))
    arguments = ["init", str(project / "detector.tflite"), "--dataset", str(project), "-o", str(project / "mine.yaml")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    assert "# MISSING" in (project / "mine.yaml").read_text()
    refused = CliRunner().invoke(main, ["run", str(project / "mine.yaml"), "-o", str(project / "out")])
    assert refused.exit_code == 2
    assert "models[0].labels" in refused.stderr


def compared(name, kind, gain, yaml, **metrics):
    from auditor.values import Cell, CellResult, MetricValue

    values = {
        "AP": MetricValue("AP", 0.1 + gain),
        "AP_minus_declared": MetricValue("AP_minus_declared", gain, interval=(gain / 2, 2 * gain)),
    }
    details = {"kind": kind, "factor": kind, "yaml": yaml, "compared": 2}
    return CellResult(
        Cell("m", "m", "float32", "xnnpack", "clean", 0, input=name), "ok", 40, {**values, **metrics}, details=details
    )


def test_only_what_explains_more_is_told():
    from auditor.judge.inputs import check_input_contract
    from auditor.values import AuditResult

    contract = {"mean": [0.0], "std": [1.0], "color": "rgb", "resize": "stretch", "anchor": "center"}
    model = {"name": "m", "model": "m", "input": contract, "sources": {}, "decoder": {"name": "yolox"}}
    cells = (
        compared("color=bgr", "input", 0.05, "input: {}"),
        compared("label_offset=1", "labels", 0.6, "decoder: {}"),
    )
    (finding,) = check_input_contract(AuditResult("1.0", "r", {}, {"gates": []}, (model,), {}, cells, ()))
    assert (finding.check, finding.level) == ("labels", "error")


def test_the_line_keeps_what_was_declared():
    from auditor.models.resolve import ModelRequest, resolve_model
    from auditor.models.variants import input_variants, readings

    given = {"mean": (1.0, 2.0, 3.0), "std": (10.0, 20.0, 30.0)}
    options = {"box_unit": "normalized", "outputs": ["Identity"]}
    graph = load_graph(DEMO_MODEL)
    options["outputs"] = [graph.output_names()[0]]
    spec = resolve_model(
        ModelRequest(
            "m",
            "m",
            str(DEMO_MODEL),
            "d",
            ".",
            need_labels=False,
            decoder="yolov8",
            decoder_options=options,
            input=given,
        )
    )
    lines = [reading.yaml for reading in readings(spec, CLASSES) if reading.name == "box_format=xyxy"]
    assert lines == [
        f"decoder: {{name: yolov8, outputs: [{options['outputs'][0]}], box_unit: normalized, box_format: xyxy}}"
    ]
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    turned = next(variant for variant in input_variants(spec, [image]) if variant.factor == "color")
    assert "color: bgr, mean: [3, 2, 1], std: [30, 20, 10]" in turned.yaml
