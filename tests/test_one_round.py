"""Everything that is wrong is told in one round, in our words, once."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from auditor.cli import main
from auditor.config import load_audit
from auditor.errors import InputError


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


PACK = """\
pack: own
version: 1
scenarios:
  fog:
    knobs: {a: [1, 2, 3, 4, 5]}
    unit: none
    transforms:
      - function: mine:fog
  turn:
    knobs: {a: [1, 2, 3, 4, 5]}
    unit: degrees
    transforms:
      - Rotate: {limit: [$a, $a]}
  other:
    knobs: {a: [1, 2, 3, 4, 5]}
    unit: none
    transforms:
      - GaussianBlur: {sigma_limit: [$a, $b], blur_limit: 0}
  few:
    knobs: {a: [1, 2, 3]}
    unit: none
    transforms:
      - GaussianBlur: {sigma_limit: [$a, $a], blur_limit: 0}
"""
CODE = """\
def fog(image, *, severity, rng):
    return image / missing
"""
AUDIT = """\
name: everything wrong
sead: 3
dataset:
  format: coco
  images: images
  annotations: instances.json
models:
  - {name: one, path: detector.tflite, labels: labels.txt}
  - {name: one, path: missing.tflite, labels: nowhere.txt}
  - {name: three, path: missing3.tflite, pth: x}
  - {name: four, path: detector.tflite, labels: images}
scenarios: [lighting, nosie, ./own.yaml, ./nothere.yaml, blizzard, quake, images]
severities: [1, 7]
allow_code: true
name: again
gates:
  - {metric: AP, min: 30}
  - {metric: AP/bal, min: 0.3}
  - {metric: mAPP, min: 0.3}
  - {metric: AP, min: 0.3, max: 0.4}
  - {metric: AP, delegate: gpu, min: 0.3}
"""
EXPECTED = [
    "audit.yaml:2: sead: unknown key; did you mean 'seed'?",
    "audit.yaml:9: models[1].name: two models are named 'one'",
    "audit.yaml:9: models[1].path: ",
    "audit.yaml:9: models[1].labels: ",
    "audit.yaml:10: models[2].pth: unknown key; did you mean 'path'?",
    "audit.yaml:10: models[2].path: ",
    "audit.yaml:11: models[3].labels: ",
    "audit.yaml:12: scenarios[1]: unknown scenario 'nosie'; did you mean 'noise'?",
    "own.yaml:7: scenarios.fog.transforms: own/fog at severity 1 failed: ",
    "own.yaml:12: scenarios.turn.transforms: Rotate is not an image-only transform of albumentations but a geometric",
    "own.yaml:17: scenarios.other.transforms: $b is not a knob of this scenario; its knobs are a",
    "own.yaml:20: scenarios.few.knobs.a: expected 5 numbers, one for each severity from 1 to 5, but got 3",
    "nothere.yaml: no such file",
    "audit.yaml:12: scenarios[4]: unknown scenario 'blizzard'; known are: ",
    "audit.yaml:12: scenarios[5]: unknown scenario 'quake'; known are those named above",
    "audit.yaml:12: scenarios[6]: images is a folder",
    "audit.yaml:13: severities[1]: expected at most 5 but got 7",
    "audit.yaml:15: the key 'name' is given twice (first in line 1)",
    "audit.yaml:17: gates[0].min: expected a limit from 0 to 1",
    "audit.yaml:18: gates[1].metric: unknown metric 'AP/bal': no class 'bal' is judged; did you mean 'ball'?",
    "audit.yaml:19: gates[2].metric: unknown metric 'mAPP'; did you mean 'AP'?",
    "audit.yaml:20: gates[3]: expected exactly one of min, max and max_drop but got min, max",
    "audit.yaml:21: gates[4].delegate: this audit has no delegate 'gpu'",
]


def test_one_round_tells_all_of_it(project):
    (project / "own.yaml").write_text(PACK)
    (project / "mine.py").write_text(CODE)
    (project / "audit.yaml").write_text(AUDIT)
    done = invoke("run", project / "audit.yaml", "-o", project / "out")
    assert done.exit_code == 2
    for expected in EXPECTED:
        assert done.stderr.count(expected) == 1, expected
    assert done.stderr.count("error: ") == len(EXPECTED), done.stderr
    assert "mine.py:2: in fog: NameError" in done.stderr
    for theirs in ("validation", "tuple", "Input should", "Traceback", "ValidationError"):
        assert theirs not in done.stderr
    assert "is a folder; expected a file with one label a line" in done.stderr
    assert not (project / "out").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("severities: []", "severities: expected at least 1 item but got 0"),
        ("severities: three", "severities: expected a list but got 'three'"),
        ("seed: many", "seed: expected a whole number but got 'many'"),
        ("seed: -1", "seed: expected at least 0 but got -1"),
        ("allow_code: perhaps", "allow_code: expected true or false but got 'perhaps'"),
        ("fail_on: info", "fail_on: expected warning or error but got 'info'"),
        ("measure: {threads: [0]}", "measure.threads[0]: expected at least 1 but got 0"),
        ("measure: fast", "measure: expected a mapping of keys to values but got 'fast'"),
        ("evaluation: {areas: {Tiny: [0, 1]}}", "a name of small letters and digits"),
    ],
)
def test_each_is_told_in_our_words(tmp_path, line, expected):
    (tmp_path / "audit.yaml").write_text(f"name: x\ndataset: {{}}\nmodels: [{{name: a, path: a.tflite}}]\n{line}\n")
    with pytest.raises(InputError) as caught:
        load_audit(tmp_path / "audit.yaml")
    (problem,) = caught.value.problems
    assert expected in problem
    assert "audit.yaml:4: " in problem


def test_what_is_wrong_hides_nothing_of_the_rest_and_causes_no_more(tmp_path):
    """An entry that lacks something still has a name, and a list keeps its numbers."""
    (tmp_path / "audit.yaml").write_text(
        "name: x\ndataset: {limit: 0}\nmodels:\n  - {nme: a, path: a.tflite}\n"
        "  - {name: b, variant_of: a, path: b.tflite}\n  - {name: c, path: 3}\ngates:\n"
        "  - {metric: AP}\n  - {metric: AP, model: a, min: 0.1, max_drop: 3}\n"
    )
    with pytest.raises(InputError) as caught:
        load_audit(tmp_path / "audit.yaml")
    told = [problem.partition("audit.yaml:")[2] for problem in caught.value.problems]
    assert {problem.split(":")[1].strip() for problem in told} == {
        "dataset.limit", "models[0].nme", "models[0].name", "models[2].path", "gates[0]", "gates[1]",
    }  # fmt: skip
    assert len(told) == 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "{project}"), "this is a folder; expected a YAML document"),
        (("judge", "{project}/out", "--gates", "{project}"), "this is a folder; expected a YAML document"),
        (("init", "{project}/detector.tflite", "--dataset", "{project}/instances.json"), "is a file"),
        (("init", "{project}/detector.tflite", "--dataset", "{project}", "--labels", "{project}"), "is a folder"),
        (("inspect", "{project}/images"), "folder"),
        (("inspect", "{project}/labels.txt"), "labels.txt"),
        (("quantize", "{project}/detector.tflite", "--levels", "int8", "--calibration", "{project}/labels.txt", "-o",
          "{project}/made"), "is a file"),
        (("scenarios", "check", "{project}/images"), "this is a folder; expected a YAML document"),
        (("scenarios", "preview", "noise", "--image", "{project}/images", "-o", "{project}/x.html"), "folder"),
        (("run", "{project}/images.yaml"), "no such file"),
        (("run", "{project}/detector.tflite"), "this is no text; expected a YAML document (of a model, `auditor init"),
        (("judge", "{project}/audit.yaml"), "give the folder that `auditor run` wrote"),
        (("run", "{project}/audit.yaml", "--set", "dataset.annotations=images"), "this is a folder; expected COCO"),
        (("run", "{project}/audit.yaml", "--set", "models.detector.path=images"), "holds no saved_model.pb"),
        (("run", "{project}/audit.yaml", "--set", "scenarios=[./labels.txt]"), "a pack file's name ends in .yaml"),
    ],
)  # fmt: skip
def test_a_file_is_no_folder_and_a_folder_no_file(finished, arguments, expected):
    done = invoke(*(argument.replace("{project}", str(finished)) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert expected in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "Errno" not in done.stderr


def test_files_that_are_not_there_are_told_beside_a_wrong_key(project):
    text = (project / "audit.yaml").read_text()
    text = text.replace("images: images, annotations: instances.json", "images: nope, annotations: none.json, limit: 0")
    (project / "audit.yaml").write_text(text)
    done = invoke("run", project / "audit.yaml", "-o", project / "out")
    for expected in ("dataset.limit: expected at least 1", "nope: no such file", "none.json: no such file"):
        assert done.stderr.count(expected) == 1, done.stderr
    (project / "audit.yaml").write_text(text.replace(", limit: 0", ""))
    done = invoke("run", project / "audit.yaml", "-o", project / "out")
    for expected in ("nope: no such folder", "none.json: no such file"):
        assert done.stderr.count(expected) == 1, done.stderr


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def other(image, *, severity, rng):\n    return image\n", "mine has no fog; known are: other"),
        ("def fog(image:\n", "SyntaxError"),
        ("import nothing_such\n", "mine.py:1: in <module>: ModuleNotFoundError"),
        ("def fog(image, *, severity, rng):\n    return image[:2]\n", "back from mine:fog but got uint8 (2, 32, 3)"),
    ],
)
def test_what_is_wrong_in_ones_own_code_is_told_with_its_place(tmp_path, monkeypatch, code, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(PACK.partition("  turn:")[0])
    (tmp_path / "mine.py").write_text(code)
    done = invoke("scenarios", "check", "own.yaml", "--allow-code")
    assert done.exit_code == 2
    assert expected in done.stderr, done.stderr
    assert "frozen" not in done.stderr
    assert "_auditor_pack" not in done.stderr


# ---------------------------------------------------------------------------------------------------- --set KEY=VALUE


def test_the_command_line_gives_values(project):
    done = invoke(
        "run", project / "audit.yaml", "-o", project / "out", "--executor", "serial", "--set", "scenarios=[]",
        "--set", "dataset.limit=4", "--set", "models.detector.input.std=255", "--set", "name=by hand",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    from auditor.run import load_run

    result, _ = load_run(project / "out")
    assert (result.name, len(result.cells), result.cells[0].images) == ("by hand", 1, 4)
    assert result.models[0].sources["input.std"].origin == "audit.yaml"
    assert "--set scenarios=[]" in result.provenance.command.replace("'", "")
    kept = (project / "out" / "audit.yaml").read_text()
    assert "#   --set dataset.limit=4" in kept
    (project / "again.yaml").write_text(kept)
    assert load_audit(project / "again.yaml").dataset.limit == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("limit", "--set limit: expected KEY=VALUE, such as dataset.limit=20"),
        ("models.other.path=x", "--set models.other.path=x: models has no item 'other'; known are: detector"),
        ("severities=[9]", "--set severities=[9]: severities[0]: expected at most 5 but got 9"),
        ("dataset.limt=3", "--set dataset.limt=3: dataset.limt: unknown key; did you mean 'limit'?"),
        ("name.x=3", "--set name.x=3: name is 'small', which has no keys"),
        ("gates=[", "--set gates=[: "),
    ],
)
def test_a_wrong_value_is_told_by_what_was_typed(project, given, expected):
    done = invoke("run", project / "audit.yaml", "-o", project / "out", "--set", given)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert not (project / "out").exists()
