"""Is the model fed and read as it was trained? Wrong contracts are found with the line that mends them, right ones
pass."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_scenes
from made_graphs import OPS, OPTIONS, Builder
from made_results import DATASET, findings_of, made_cell, made_result, model

from auditor.cli import main
from auditor.demo.scenes import CLASSES
from auditor.judge.data import check_data
from auditor.judge.inputs import check_input_contract
from auditor.resolve.inspect import inspect_model
from auditor.resolve.model import ModelRequest, resolve_model
from auditor.resolve.variants import combined, input_variants, readings
from auditor.run import load_run, run_audit
from auditor.runtimes.litert.arena import arena_bytes
from auditor.runtimes.litert.graph import load_graph
from auditor.values import BoxSizes, CalibrationRecord, Compared, MetricValue, Patch, PlanRecord

ENTRY = "{name: detector, path: detector.tflite, labels: labels.txt}"


def audited(project, entry, *, images=40):
    text = (project / "audit.yaml").read_text()
    assert ENTRY in text
    text = text.replace(ENTRY, entry).replace(
        "checks: {input_contract: false}", f"checks: {{input_contract: {{images: {images}}}}}"
    )
    (project / "audit.yaml").write_text(text.replace("[lighting/low_light, noise/gaussian]", "[]"))
    return run_audit(project / "audit.yaml", output=project / "out", executor="serial")


def alarms(result):
    checks = ("input_contract", "labels")
    return [finding for finding in result.findings if finding.check in checks and finding.level != "info"]


def test_a_right_contract_is_called_right(project):
    write_scenes(project, 16)
    result = audited(project, "{name: detector, path: detector.tflite, labels: labels.txt, input: {resize: letterbox}}")
    assert alarms(result) == []
    assert [finding.code for finding in result.findings if finding.check == "input_contract"] == ["input.sound"]
    changed = [cell for cell in result.cells if cell.input != "declared"]
    assert len(changed) > 12
    assert all(cell.scenario == "clean" and cell.difference("declared") is not None for cell in changed)
    assert load_run(project / "out")[0].cells == result.cells  # details come back from the file
    assert "Input contract" in (project / "out" / "report.html").read_text()
    assert [summary.metrics["AP_clean"].images for summary in result.summaries] == [16]


@pytest.mark.parametrize(
    ("entry", "code", "yaml"),
    [
        ("input: {std: 1}", "input.better", "std: 255"),
        ("decoder: {name: yolov8, box_format: xyxy}", "boxes.better", "decoder: {name: yolov8, box_format: cxcywh}"),
        (
            "decoder: {name: yolov8, box_unit: pixels}",
            "boxes.better",
            "decoder: {name: yolov8, box_unit: normalized}",
        ),
        ("labels: shifted.txt", "labels.better", "decoder: {name: yolov8, label_offset: 1}"),
    ],
)
def test_a_wrong_contract_is_found_and_its_line_mends_it(project, entry, code, yaml):
    write_scenes(project, 16)
    (project / "shifted.txt").write_text("\n".join(["nothing", *CLASSES[:-1]]) + "\n")
    labels = "" if "labels" in entry else "labels: labels.txt, "
    result = audited(project, f"{{name: detector, path: detector.tflite, {labels}{entry}}}", images=8)
    found = [finding for finding in alarms(result) if finding.code == code]
    assert len(found) == 1
    assert found[0].level == "error"
    line = str(found[0].fix)
    assert found[0].fix.model == "detector"
    assert yaml in line
    repaired = (
        (project / "audit.yaml")
        .read_text()
        .replace(f"{labels}{entry}", f"{labels}{line}" if labels else f"{entry}, {line}")
    )
    (project / "audit.yaml").write_text(repaired)
    again = run_audit(project / "audit.yaml", output=project / "again", executor="serial")
    assert [finding for finding in alarms(again) if finding.level == "error"] == []
    assert again.summaries[0].metrics["AP_clean"].value > 0.5


def colour_classifier(path):
    """Red, green or blue, whichever channel has most: as sure of it as it is right where it is fed 0..1."""
    made = Builder(1, 8, 8, 3)
    pooled, scaled = made.tensor("pooled", (1, 3)), made.tensor("scaled", (1, 3))
    reducing = schema.ReducerOptionsT()
    made.add(OPS.MEAN, [made.image, made.constant("axes", np.array([1, 2], np.int32))], [pooled], 27, reducing)
    factor = made.constant("factor", np.array([3], np.float32))
    made.add(OPS.MUL, [pooled, factor], [scaled], OPTIONS.MulOptions, schema.MulOptionsT())
    out = made.tensor("scores", (1, 3))
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    made.add(OPS.SOFTMAX, [scaled], [out], OPTIONS.SoftmaxOptions, softmax)
    return made.write(path, out)


def test_confidence_that_the_input_spoils_is_told_with_the_line_that_mends_it(tmp_path):
    """Fed 0..255 it has the same accuracy, so accuracy on a few images cannot tell; a fifth of the truth is another."""
    rng = np.random.default_rng(5)
    colour_classifier(tmp_path / "colours.tflite")
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    for number in range(240):
        seen = number % 3
        truth = seen if number % 5 else (seen + 1) % 3
        pixels = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8)
        pixels[..., seen] = rng.integers(190, 256, (8, 8))
        folder = tmp_path / "images" / ("red", "green", "blue")[truth]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), pixels[..., ::-1])
    (tmp_path / "audit.yaml").write_text(
        "name: c\nmodels: [{name: m, path: colours.tflite, labels: labels.txt, input: {std: 1, color: bgr}}]\n"
        "dataset: {format: folders, images: images}\nscenarios: []\nchecks: {input_contract: {images: 20}}\n"
    )
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")
    (found,) = [finding for finding in alarms(result) if finding.code == "input.overconfident"]
    assert found.observed == pytest.approx(0.2, abs=0.01)
    assert found.facts["other_error"] < 0.05
    assert found.facts["other_images"] == 240
    assert "std: 255" in str(found.fix)


def test_changes_of_two_factors_combine():

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
    assert (pair.name, pair.factors) == ("color=rgb,std=255", ("color", "range"))
    imagenet = next(variant for name, variant in variants.items() if "57.12" in name)
    assert imagenet.spec.input.mean == (103.53, 116.28, 123.675)  # in the order of the declared bgr
    assert combined(spec, variants["color=rgb"], imagenet).spec.input.mean == (123.675, 116.28, 103.53)


def test_the_check_can_be_left_out(project):
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert {cell.input for cell in result.cells} == {"declared"}
    assert not any(finding.check == "input_contract" for finding in result.findings)


def test_unlike_calibration_and_small_boxes_are_told(project):

    def images(first):
        return {
            "brightness": tuple(first + 0.001 * index for index in range(40)),
            "contrast": (0.2,) * 40,
            "sharpness": (9.0,) * 40,
            "shorter_side_px": (100.0,) * 40,
        }

    dataset = dataclasses.replace(
        DATASET,
        images=300,
        facts=images(0.5),
        instances={"a": 3, "b": 40},
        duplicate_images=2,
        duplicate_boxes=1,
    )
    found = check_data(
        made_result(
            models=(model(boxes_at_input=BoxSizes(9, 0.4, 0.7, (0.0,), (9,))),),
            plan=PlanRecord(calibration={"m": CalibrationRecord(40, 0, images(0.1))}),
            datasets={"default": dataset},
        )
    )
    told = {item.code: item.facts for item in found}
    assert told.keys() == {
        "data.rare_classes",
        "data.duplicate_images",
        "data.duplicate_boxes",
        "data.small_boxes",
        "data.calibration_unlike",
    }
    assert told["data.calibration_unlike"]["fact"] == "brightness"
    assert told["data.small_boxes"]["under_8px"] == 0.4
    assert told["data.rare_classes"]["rare"] == ["a 3"]


def test_data_is_described(project):
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    dataset = result.datasets["default"]
    assert len(dataset.facts["brightness"]) == 10
    assert sum(dataset.instances.values()) == dataset.boxes
    assert sum(result.models[0].boxes_at_input.counts) == dataset.boxes


def test_inspect_tells_what_the_file_says():
    facts = inspect_model(DEMO_MODEL)
    assert facts.quantization == "float32"
    assert facts.inputs[0].shape == (1, 160, 160, 3)
    assert sum(facts.ops.values()) == len(load_graph(DEMO_MODEL).ops)
    assert (facts.custom_ops, facts.flex_ops) == ((), ())
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


@pytest.mark.long
def test_init_writes_an_audit_that_runs(project):
    (project / "audit.yaml").unlink()
    arguments = ["init", str(project / "detector.tflite"), "--dataset", str(project), "-o", str(project / "mine.yaml")]
    done = CliRunner().invoke(main, [*arguments, "--labels", str(project / "labels.txt")])
    assert done.exit_code == 0, done.stderr
    text = (project / "mine.yaml").read_text()
    assert "box_unit: normalized" in text
    text = text.partition("# What must hold")[0].replace("[lighting, resolution, noise]", "[]")
    (project / "mine.yaml").write_text(text)
    assert (
        run_audit(project / "mine.yaml", output=project / "out", executor="serial")
        .summaries[0]
        .metrics["AP_clean"]
        .value
        > 0.5
    )
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


def compared(name, kind, gain):
    metrics = {
        "AP": MetricValue("AP", 0.1 + gain),
        "AP_minus_declared": MetricValue("AP_minus_declared", gain, interval=(gain / 2, 2 * gain)),
    }
    return made_cell(
        "clean", 0, 0.0, input=name, metrics=metrics, compared=Compared(kind, (kind,), Patch({kind: {}}, "m"), 2)
    )


def test_only_what_explains_more_is_told():
    cells = [compared("color=bgr", "input", 0.05), compared("label_offset=1", "labels", 0.6)]
    (told,) = findings_of(check_input_contract, made_result(cells))
    assert (told.code, told.level) == ("labels.better", "error")
    assert told.fix == Patch({"labels": {}}, "m")


def test_the_line_keeps_what_was_declared():

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
    lines = [str(reading.patch) for reading in readings(spec, CLASSES) if reading.name == "box_format=xyxy"]
    assert lines == [
        f"decoder: {{name: yolov8, outputs: [{options['outputs'][0]}], box_unit: normalized, box_format: xyxy}}"
    ]
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    turned = next(variant for variant in input_variants(spec, [image]) if variant.factors == ("color",))
    assert "color: bgr, mean: [3, 2, 1], std: [30, 20, 10]" in str(turned.patch)
