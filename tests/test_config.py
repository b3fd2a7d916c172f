"""`audit.yaml`: every mistake named with its line, all at once."""

from __future__ import annotations

import pytest

from auditor.config import load_audit, load_gates, load_pack, schema
from auditor.errors import InputError

GOOD = """\
name: x
dataset: {format: coco, images: images, annotations: a.json}
models:
  - {name: one, path: one.tflite, labels: coco80}
"""


def problems(tmp_path, text, load=load_audit):
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load(path)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_defaults_are_those_of_the_contract(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(GOOD)
    config = load_audit(path)
    assert config.scenarios == ("lighting", "resolution", "noise")
    assert config.severities == (1, 2, 3, 4, 5)
    assert (config.delegates, config.seed, config.gates, config.allow_code) == (("xnnpack",), 0, (), False)
    assert config.path("images") == tmp_path / "images"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("path: one.tflite", "pth: one.tflite"), "audit.yaml:4: models[0].pth: unknown key; did you mean 'path'?"),
        (("name: x", "name: x\nsead: 3"), "audit.yaml:2: sead: unknown key; did you mean 'seed'?"),
        (
            ("name: x", "name: x\nseed: many"),
            "audit.yaml:2: seed: expected a whole number but got 'many'",
        ),
        (
            ("labels: coco80", "labels: coco80, input: {resize: squeeze}"),
            "audit.yaml:4: models[0].input.resize: expected stretch, letterbox or crop but got 'squeeze'",
        ),
        (
            ("labels: coco80", "labels: coco80, input: {colour: bgr}"),
            "audit.yaml:4: models[0].input.colour: unknown key; did you mean 'color'?",
        ),
        (
            ("labels: coco80", "labels: coco80, input: {std: 0}"),
            "audit.yaml:4: models[0].input.std: expected a std above 0",
        ),
        (
            ("name: x", "name: x\nseverities: [0, 3]"),
            "audit.yaml:2: severities[0]: expected at least 1 but got 0",
        ),
        (("name: x", "name: x\nseverities: [3, 3]"), "audit.yaml:2: severities: 3.0 is given 2 times"),
        (
            ("name: x", "name: x\ngates: [{metric: AP}]"),
            "audit.yaml:2: gates[0]: expected exactly one of min, max and max_drop but got none",
        ),
        (
            ("name: x", "name: x\ngates: [{metric: AP, max_drop: 0.1}]"),
            "audit.yaml:2: gates[0]: max_drop needs `against: clean`",
        ),
        (
            ("name: x", "name: x\ngates: [{metric: AP, min: 0.1, model: two}]"),
            "audit.yaml:2: gates[0].model: no model 'two'",
        ),
        (
            ("  - {name: one", "  - {name: one, path: a.tflite}\n  - {name: one"),
            "audit.yaml:5: models[1].name: two models are named 'one'",
        ),
        (
            ("path: one.tflite", "path: one.tflite, variant_of: two"),
            "audit.yaml:4: models[0].variant_of: no model 'two' leads a family",
        ),
        (
            ("dataset: {format: coco, images: images, annotations: a.json}\n", ""),
            "audit.yaml:1: the document: a `dataset` is required",
        ),
    ],
)
def test_each_mistake_has_its_line(tmp_path, change, expected):
    got = problems(tmp_path, GOOD.replace(*change))
    assert any(problem.startswith(expected) for problem in got), got


def test_all_mistakes_come_at_once(tmp_path):
    text = GOOD.replace("path:", "pth:").replace("name: x", "nmae: x")
    got = problems(tmp_path, text)
    assert len(got) == 4  # two unknown keys, and what is missing in their place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("- 1\n", "expected a mapping"),
        ("name: [x\n", "not valid YAML"),
        ("name: x\nname: y\n", "audit.yaml:2: the key 'name' is given twice (first in line 1)"),
    ],
)
def test_what_is_no_document(tmp_path, text, expected):
    assert expected in problems(tmp_path, text)[0]


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_audit(tmp_path / "absent.yaml")


def test_gates_files_may_be_a_list_a_mapping_or_an_audit(tmp_path):
    path = tmp_path / "gates.yaml"
    for text in (
        "- {metric: AP, min: 0.3}\n",
        "gates:\n  - {metric: AP, min: 0.3}\n",
        GOOD + "gates:\n  - {metric: AP, min: 0.3}\n",
    ):
        path.write_text(text)
        (rule,) = load_gates(path)
        assert (rule.metric, rule.kind, rule.limit) == ("AP", "min", 0.3)


PACK = """\
pack: mine
version: 1
scenarios:
  fog:
    knobs: {sigma: [1, 2, 3, 4, 5]}
    unit: px
    transforms:
      - GaussianBlur: {sigma_limit: [$sigma, $sigma]}
"""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("$sigma, $sigma", "$sigma, $sgma"), "$sgma is not a knob"),
        (("[1, 2, 3, 4, 5]", "[1, 2, 3]"), "scenarios.fog.knobs.sigma"),
        (("    unit: px\n", ""), "scenarios.fog.unit: this key is required"),
        (("{sigma: [1, 2, 3, 4, 5]}", "{sigma: [1, 2, 3, 4, 5], other: [1, 2, 3, 4, 5]}"), "no transform uses $other"),
        (("- GaussianBlur:", "- function: 3\n      - GaussianBlur:"), "expected `function: module:name`"),
    ],
)
def test_mistakes_in_a_pack(tmp_path, change, expected):
    got = problems(tmp_path, PACK.replace(*change), load_pack)
    assert any(expected in problem for problem in got), got


@pytest.mark.parametrize("document", ["audit", "pack", "result"])
def test_schemas_are_json_schemas_of_the_documents(document):
    assert schema(document)["type"] == "object"
    with pytest.raises(ValueError, match="expected a document"):
        schema("recipe")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: \0\n", "not valid YAML"),
        ("? [a, b]\n: 1\n", "expected a plain word as a key"),
        ("a: &a [*a]\n", "contains itself"),
        (GOOD + "gates: [{metric: AP, min: .nan}]\n", "gates[0].min"),
        (GOOD + "delegates: [{path: lib.so, name: xnnpack}]\n", "'xnnpack', which is a built-in delegate's"),
        (GOOD + "delegates: [xnpack]\n", "unknown delegate 'xnpack'; expected none, xnnpack"),
    ],
)
def test_odd_documents_are_told_not_traced(tmp_path, text, expected):
    assert expected in problems(tmp_path, text)[0]


@pytest.mark.parametrize(
    "line",
    [
        "severities: [true]",
        "severities: ['1']",
        "seed: true",
        "gates: [{metric: AP, min: true}]",
        "gates: [{metric: AP, min: '0.1'}]",
    ],
)
def test_numbers_are_numbers(tmp_path, line):
    got = problems(tmp_path, GOOD + line + "\n")
    assert len(got) == 1
    assert "number but got" in got[0]


def test_whole_numbers_serve_where_fractions_may_stand(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(
        GOOD.replace("labels: coco80", "labels: coco80, input: {pad: 0, mean: 1, std: [2, 3, 4]}")
        + "severities: [1, 2.5]\ngates: [{metric: AP, min: 0}]\n"
    )
    config = load_audit(path)
    assert (config.severities, config.gates[0].min, config.models[0].input.std) == ((1, 2.5), 0, (2, 3, 4))


def test_one_mistake_is_one_sentence(tmp_path):
    for change in (
        ("labels: coco80", "labels: coco80, imput: {}"),
        ("labels: coco80", "input: {std: abc}"),
        ("labels: coco80", "decoder: {nam: yolox}"),
    ):
        assert len(problems(tmp_path, GOOD.replace(*change))) == 1


def test_levels_may_be_called_as_exporters_call_them(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(
        """\
name: aliases
dataset: {annotations: a.json, images: i}
models:
  - {name: m, path: m.tflite, quantize: {levels: [w8a32, int8], calibration: {images: c}}}
  - {name: w, variant_of: m, path: w.tflite, quantization: w8a16}
gates:
  - {metric: AP, quantization: w8a32, max_drop: 0.1, against: w8a16}
"""
    )
    config = load_audit(path)
    assert config.models[0].quantize.levels == ("dynamic", "int8")
    assert config.models[1].quantization == "int16x8"
    assert (config.gates[0].quantization, config.gates[0].against) == ("dynamic", "int16x8")
