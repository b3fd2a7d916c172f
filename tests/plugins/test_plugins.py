"""Seven plug-ins, each a distribution of its own beside which nothing was touched, complete in one audit."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conftest import DEMO_MODEL, write_scenes

from auditor.demo.scenes import CLASSES
from auditor.run import load_run

HERE = Path(__file__).parent
PLUGINS = sorted(path.parent for path in HERE.glob("*/pyproject.toml"))

AUDIT = """\
name: plugins
dataset: {format: table, images: images, table: boxes.csv}
models:
  - {name: stacked, path: stacked.tflite, labels: labels.txt, decoder: {name: stacked, gain: 1.0}}
  - {name: plain, path: stacked.tflite, labels: labels.txt}
  - {name: stacked_int8, variant_of: stacked, path: stacked_int8.tflite}
  - {name: counter, path: counter.tflite, labels: labels.txt}
scenarios: [toy]
severities: [3]
delegates: [xnnpack, none]
checks: {input_contract: {images: 10}}
measure: {threads: []}
gates:
  - {metric: center_error, scenario: clean, max: 100}
  - {metric: center_error, model: plain, scenario: toy/blinds, against: clean, max_drop: 500}
  - {metric: counted, model: counter, scenario: clean, min: 0.99}
"""


def install(site: Path, plugins=PLUGINS) -> dict[str, str]:
    """Lay plug-ins down as an installer does: their modules, and the metadata of their `pyproject.toml`."""
    for plugin in plugins:
        project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
        info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module in plugin.glob("*.py"):
            shutil.copy(module, site)
        for package in plugin.glob("*/*.yaml"):
            (site / package.parent.name).mkdir()
            shutil.copy(package, site / package.parent.name)
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(root)])}


def auditor(environment, *arguments, folder):
    command = [sys.executable, "-m", "auditor", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def with_shape(path: Path, shape: tuple[int, ...], *, turned: bool = False, source: Path = DEMO_MODEL) -> None:
    """The demo's detector, its output (1, 4 + classes, N) given another shape; `turned` puts candidates first."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes()))
    graph = model.subgraphs[0]
    graph.outputs = [int(index) for index in graph.outputs]
    (old,) = graph.outputs
    if turned:
        rows = shape[1], shape[2]
        old = _appended(model, graph, schema.BuiltinOperator.TRANSPOSE, old, np.array([0, 2, 1], np.int32), (1, *rows))
    wanted = np.array(shape, dtype=np.int32)
    last = graph.operators[-1]
    if model.operatorCodes[last.opcodeIndex].builtinCode == schema.BuiltinOperator.DEQUANTIZE:
        graph.operators.pop()  # the codes are reshaped, and dequantized afterwards
        last.inputs = [_appended(model, graph, schema.BuiltinOperator.RESHAPE, last.inputs[0], wanted, shape)]
        graph.operators.append(last)
        graph.tensors[graph.outputs[0]].shape = list(shape)
    else:
        graph.outputs[0] = _appended(model, graph, schema.BuiltinOperator.RESHAPE, old, wanted, shape)
    model.signatureDefs, model.metadata = [], []
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _appended(model, graph, builtin, source, operand, shape):
    """Append an op that takes `source` and a constant, and return the index of its output."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(operand.tobytes(), dtype=np.uint8)
    model.buffers.append(buffer)
    constant, out = schema.TensorT(), schema.TensorT()
    constant.name, constant.type, constant.shape = b"operand", schema.TensorType.INT32, [len(operand)]
    constant.buffer = len(model.buffers) - 1
    out.name, out.shape, out.buffer = f"shaped{builtin}".encode(), list(shape), 0
    out.type, out.quantization = graph.tensors[source].type, graph.tensors[source].quantization
    graph.tensors += [constant, out]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    op = schema.OperatorT()
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.inputs, op.outputs = [source, len(graph.tensors) - 2], [len(graph.tensors) - 1]
    graph.operators.append(op)
    return len(graph.tensors) - 1


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with scenes as a table, both models, the pack and the audit; and an environment with all plug-ins."""
    folder = tmp_path_factory.mktemp("plugins")
    environment = install(folder / "site")
    write_scenes(folder, 12)
    document = json.loads((folder / "instances.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    with (folder / "boxes.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "label", "x1", "y1", "x2", "y2"])
        for item in document["annotations"]:
            x, y, width, height = item["bbox"]
            label = CLASSES[item["category_id"] - 7]
            table.writerow([names[item["image_id"]], label, x, y, x + width, y + height])
    (folder / "instances.json").unlink()
    _, channels, count = _output_shape()
    with_shape(folder / "stacked.tflite", (1, channels, count, 1))
    with_shape(folder / "stacked_int8.tflite", (1, channels, count, 1), source=DEMO_MODEL.with_stem("detector_int8"))
    with_shape(folder / "counter.tflite", (1, count, channels, 1, 1), turned=True)
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "audit.yaml").write_text(AUDIT)
    return folder, environment


def _output_shape():
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(DEMO_MODEL.read_bytes()))
    graph = model.subgraphs[0]
    return tuple(int(side) for side in graph.tensors[graph.outputs[0]].shape)


@pytest.fixture(scope="module")
def finished(place):
    folder, environment = place
    done = auditor(environment, "run", "audit.yaml", "-o", "out", "--executor", "serial", folder=folder)
    assert done.returncode in (0, 1), done.stderr
    result, _ = load_run(folder / "out")
    return result, (folder / "out" / "report.html").read_text()


def findings(run: Path) -> list[dict]:
    return json.loads((run / "result.json").read_text())["findings"]


def declared(result, file, **fields):
    cells = [cell for cell in result.cells if cell.file == file and cell.is_declared and cell.delegate == "xnnpack"]
    return [cell for cell in cells if all(getattr(cell, key) == value for key, value in fields.items())]


def test_the_head_is_recognised_fed_and_read_as_its_own(finished):
    result, _ = finished
    plain = result.model("plain")
    assert (plain.decoder.name, plain.sources["decoder"].origin) == ("stacked", "graph")
    assert (plain.input.resize, plain.sources["input.resize"].origin) == ("stretch", "default")
    assert plain.decoder.options["box_unit"] == "normalized"
    named = result.model("stacked")
    assert named.sources["decoder.gain"].origin == "audit.yaml"
    (clean,) = declared(result, "plain", scenario="clean")
    assert clean.metrics["AP"].value > 0.6
    assert not plain.letterboxed


def test_the_head_is_fed_and_read_otherwise_too(finished):
    """Other inputs are measured, and its stored boxes are read in another order and unit."""
    result, _ = finished
    compared = {cell.input: cell for cell in result.cells if cell.file == "plain" and not cell.is_declared}
    assert any(cell.compared.kind == "input" for cell in compared.values())
    other = [cell for cell in compared.values() if cell.compared.kind == "boxes"]
    assert other
    assert all(cell.metrics["AP"].value < 0.2 for cell in other)


def test_the_head_s_options_are_checked(place):
    folder, environment = place
    for wrong, expected in (
        ("gain: high", "gain is 'high'; expected a number"),
        ("gian: 1.0", "decoder stacked has no option 'gian'; it has box_format, box_unit, gain, label_offset"),
    ):
        (folder / "wrong.yaml").write_text(AUDIT.replace("gain: 1.0", wrong))
        done = auditor(environment, "run", "wrong.yaml", "-o", "wrong", folder=folder)
        assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
        assert "wrong.yaml:4: models[0].decoder" in done.stderr


def test_the_head_is_diagnosed(finished):
    """What its quantized output holds is told of boxes and scores apart, where this head has them."""
    result, _ = finished
    (output,) = result.model("stacked_int8").diagnosis.outputs
    assert output.dtype == "int8"
    assert output.box_values[1] > 0.5
    assert 0.3 < output.score_values[1] <= 1.0
    assert output.distinct_scores > 10
    assert result.model("stacked_int8").decoder.options["gain"] == 1.0


def test_the_metric_has_interval_difference_gate_and_column(finished, place):
    result, page = finished
    (clean,) = declared(result, "plain", scenario="clean")
    (worse,) = declared(result, "plain", scenario="toy/blinds")
    value = clean.metrics["center_error"]
    assert value.interval[0] <= value.value <= value.interval[1]
    paired = worse.metrics["center_error_minus_clean"]
    assert paired.value == pytest.approx(worse.metrics["center_error"].value - value.value)
    assert paired.interval is not None
    gates = {(rule.metric, rule.kind) for rule in result.plan.gates}
    assert {("center_error", "max"), ("center_error", "max_drop")} <= gates
    codes = {item["code"] for item in findings(place[0] / "out")}
    assert "gate.violated" in codes  # of the counter alone
    assert not codes & {"gate.unmet", "gate.unmeasured"}
    assert ">center_error<" in page
    assert "center_error" not in declared(result, "counter", scenario="clean")[0].metrics


def test_the_check_is_told_explained_and_silenced(finished, place):
    _, page = finished
    folder, environment = place
    told = {item["code"]: item for item in findings(folder / "out")}
    crowded = told["crowded.images"]
    assert (crowded["check"], crowded["level"], crowded["facts"]["dataset"]) == ("crowded", "info", "default")
    assert "Audit single objects apart." in page
    explained = auditor(environment, "explain", "crowded.images", folder=folder)
    assert "Images show two objects or more." in explained.stdout
    quiet = AUDIT.replace("checks: {", "checks: {crowded.images: false, ")
    (folder / "quiet.yaml").write_text(quiet)
    shutil.copytree(folder / "out", folder / "quiet")
    done = auditor(environment, "run", "quiet.yaml", "-o", "quiet", "--executor", "serial", folder=folder)
    assert done.returncode in (0, 1), done.stderr
    assert {item["code"] for item in findings(folder / "quiet")} == told.keys() - {"crowded.images"}


def test_the_format_loads_and_is_recognised_by_init(finished, place):
    result, _ = finished
    folder, environment = place
    dataset = result.datasets["default"]
    assert (dataset.format, dataset.images, dataset.categories) == ("table", 12, tuple(sorted(CLASSES)))
    drafted = auditor(
        environment,
        "init",
        "stacked.tflite",
        "--dataset",
        ".",
        "--labels",
        "labels.txt",
        "-o",
        "first.yaml",
        folder=folder,
    )
    assert drafted.returncode == 0, drafted.stderr
    text = (folder / "first.yaml").read_text()
    assert "format: table" in text
    assert 'table: "boxes.csv"' in text
    assert "decoder" in text
    assert "stacked" in text
    (folder / "typo.yaml").write_text(AUDIT.replace("table: boxes.csv", "tabel: boxes.csv"))
    done = auditor(environment, "run", "typo.yaml", "-o", "typo", folder=folder)
    assert (done.returncode, "unknown key; did you mean 'table'" in done.stderr) == (2, True), done.stderr


def test_the_corruption_is_a_scenario_with_its_remedy(finished, place):
    result, page = finished
    folder, environment = place
    (scenario,) = result.plan.scenarios
    assert (scenario.key, scenario.remedy) == ("toy/blinds", "Take the blinds down.")
    assert scenario.distribution == "auditor-toy-pack 2.1"
    assert {cell.status for cell in result.cells if cell.scenario == "toy/blinds"} == {"ok"}
    assert "toy/blinds" in page
    checked = auditor(environment, "scenarios", "check", "toy", folder=folder)
    assert (checked.returncode, "1 scenarios, all run" in checked.stdout) == (0, True), checked.stderr


def test_the_task_is_measured_judged_and_shown(finished, place):
    result, page = finished
    counter = result.model("counter")
    assert (counter.task, counter.decoder.name) == ("counting", "counter")
    (clean,) = declared(result, "counter", scenario="clean")
    assert clean.status == "ok"
    assert clean.judged_by == "counted"
    assert 0.3 < clean.metrics["counted"].value < 1
    assert clean.metrics["counted"].interval is not None
    (worse,) = declared(result, "counter", scenario="toy/blinds")
    assert worse.metrics["counted_minus_clean"].interval is not None
    violated = [item for item in findings(place[0] / "out") if item["code"] == "gate.violated"]
    assert {item["facts"]["metric"] for item in violated} == {"counted"}
    assert result.verdict == "failed"
    summary = next(summary for summary in result.summaries if summary.file == "counter")
    assert summary.metrics["counted_clean"].value == clean.metrics["counted"].value
    assert "counter is off by" in page


def test_a_name_that_is_taken_is_refused(place, tmp_path):
    """Two distributions with one name: neither wins."""
    folder, _ = place
    twin = tmp_path / "twin"
    shutil.copytree(HERE / "metric", twin)
    text = (twin / "pyproject.toml").read_text().replace("auditor-toy-metric", "auditor-toy-twin")
    (twin / "pyproject.toml").write_text(text)
    environment = install(tmp_path / "site", [*PLUGINS, twin])
    done = auditor(environment, "run", "audit.yaml", "-o", "taken", folder=folder)
    assert done.returncode == 2
    assert "registers 'center_error' in auditor.metrics" in done.stderr
