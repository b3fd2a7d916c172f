"""Two runs beside each other: what is really better or worse, what is chance, and what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_project
from made_results import MODEL, PROVENANCE, made_cell, made_result

from auditor.cli import main
from auditor.errors import InputError
from auditor.evaluate.discovery import discoveries, p_of
from auditor.evaluate.versus import Run, compare_runs
from auditor.report.compare_text import headline, render_comparison_markdown
from auditor.run import compare_folders, judge_run, load_run, load_side, run_audit
from auditor.values import DatasetRecord, Evaluation, Judging, MetricValue, PlanRecord, ScenarioRecord

INT8 = DEMO_MODEL.parent / "detector_int8.tflite"


@pytest.mark.parametrize("seed", range(3))
def test_discoveries_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    p = np.concatenate([rng.random(40), rng.random(20) * 0.01])
    expected = scipy.stats.false_discovery_control(p) <= 0.05
    assert (discoveries(p) == expected).all()
    assert p_of(1.3, 0.7) == pytest.approx(2 * scipy.stats.norm.sf(1.3 / 0.7))
    assert discoveries([]).tolist() == []
    assert (p_of(0.0, 0.0), p_of(0.1, 0.0)) == (1.0, 0.0)


def side(values, *, seed=0, audit_seed=0, contents="same", fingerprint="f", plan=None, samples=True, **model):
    """A run of a clean cell and some of a scenario, by severity, whose AP is drawn about these values."""
    rng = np.random.default_rng(seed)
    cells, drawn = [], {}
    common = np.random.default_rng(99).normal(0, 0.03, 1000)  # what both runs have in common: the resamples
    for severity, value in values.items():
        scenario = "clean" if severity == 0 else "noise/iso"
        own = value + common + rng.normal(0, 0.004, 1000)
        interval = tuple(np.quantile(own, [0.025, 0.975]).tolist())
        cell = dataclasses.replace(
            made_cell(scenario, severity, value), images=40, metrics={"AP": MetricValue("AP", value, interval=interval)}
        )
        cells.append(cell)
        drawn[cell.key, "AP"] = own
    dataset = DatasetRecord(
        format="coco", task="detection", images=40, boxes=90, categories=("a", "b"), counts={}, fingerprint=fingerprint,
        contents=contents,
    )  # fmt: skip
    record = dataclasses.replace(MODEL, judging=Judging("AP", things="boxes", decided_by=("AP", "F1")), **model)
    result = made_result(cells, models=(record,), datasets={"default": dataset}, plan=plan or PlanRecord())
    result = dataclasses.replace(result, provenance=dataclasses.replace(PROVENANCE, seed=audit_seed))
    return Run(result, drawn if samples else {})


VALUES = {0: 0.5, 1: 0.45, 3: 0.3}


def outcomes(comparison):
    return {(cell.cell.scenario, cell.cell.severity): cell.outcome for cell in comparison.cells}


def test_a_small_loss_is_real_where_images_are_the_same_and_chance_where_they_are_not():
    before, after = side(VALUES), side({0: 0.5, 1: 0.42, 3: 0.3}, seed=1)
    paired = compare_runs(before, after)
    assert outcomes(paired) == {("clean", 0): "same", ("noise/iso", 1): "worse", ("noise/iso", 3): "same"}
    worst = paired.cells[0].deciding[0]
    assert (worst.metric, worst.paired) == ("AP", True)
    assert worst.value == pytest.approx(-0.03)
    assert worst.interval[0] < -0.03 < worst.interval[1] < 0
    others = compare_runs(before, side({0: 0.5, 1: 0.42, 3: 0.3}, seed=1, contents="others"))
    assert set(outcomes(others).values()) == {"same"}
    assert not others.cells[0].deciding[0].paired
    assert others.notes[0] == "unpaired, so with wider intervals: not the same images"
    assert headline(paired) == "WORSE: cells worse: 1, better: 0, no difference beyond chance: 2"


@pytest.mark.parametrize(("fingerprint", "paired"), [("f", True), ("g", False), ("", False)])
def test_results_that_do_not_say_their_contents_are_of_one_data_set_by_its_fingerprint(fingerprint, paired):
    found = compare_runs(side(VALUES, contents="", fingerprint=fingerprint), side(VALUES, seed=1))
    assert found.cells[0].deciding[0].paired is paired


def test_without_kept_resamples_a_large_loss_is_still_told():
    found = compare_runs(side(VALUES, samples=False), side({**VALUES, 0: 0.2}, samples=False))
    assert outcomes(found)["clean", 0] == "worse"
    assert not found.cells[0].deciding[0].paired


def test_a_difference_below_what_matters_is_called_the_same():
    before, after = side(VALUES), side({0: 0.5, 1: 0.42, 3: 0.36}, seed=1)
    assert outcomes(compare_runs(before, after, least=0.05)) == {
        ("clean", 0): "same", ("noise/iso", 1): "same", ("noise/iso", 3): "better",
    }  # fmt: skip


def test_false_calls_are_few():
    """Where nothing differs, hardly any run of 40 cells is called better or worse: the rate is over whole runs then."""
    called = 0
    for seed in range(60):
        values = dict.fromkeys(range(40), 0.5)
        before, after = side(values, seed=seed), side(values, seed=1000 + seed)
        shifts = np.random.default_rng(seed).normal(0, 0.004 * np.sqrt(2), 40)
        cells = [
            dataclasses.replace(cell, metrics={"AP": dataclasses.replace(cell.metrics["AP"], value=0.5 + shift)})
            for cell, shift in zip(after.result.cells, shifts, strict=True)
        ]
        run = Run(dataclasses.replace(after.result, cells=tuple(cells)), after.samples)
        called += {"better", "worse"} & set(outcomes(compare_runs(before, run)).values()) != set()
    assert called <= 7  # of 60, at a rate of 5 %: more than 7 come about in 1 of 100 tries


def scenario(version=1, knob=1.0, sha256=None):
    return PlanRecord(scenarios=(ScenarioRecord("noise/iso", version, "", "", {"k": (knob,)}, (), sha256=sha256),))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {"audit_seed": 5}, "seed: 0 became 5"),
        ({"plan": scenario()}, {"plan": scenario(version=2)}, "pack: noise/iso is of version 2, was 1"),
        ({"plan": scenario()}, {"plan": scenario(knob=2.0)}, "other knobs or transforms under one version"),
        ({"plan": scenario(sha256="a")}, {"plan": scenario(sha256="b")}, "names other code or other pictures"),
        ({}, {"fingerprint": "g"}, "data: the same images have other truth"),
        ({}, {"classes_judged": ("a",)}, "data: other classes are judged (b)"),
        ({}, {"plan": PlanRecord(evaluation=Evaluation(iou=(0.4,)))}, "settings: `evaluation:` is another"),
    ],
)
def test_what_cannot_be_compared_says_why(before, after, reason):
    found = compare_runs(side(VALUES, **before), side(VALUES, **after))
    told = [cell.reason for cell in found.cells if cell.outcome == "not comparable"]
    assert len(told) >= 2
    assert all(reason in text for text in told)


def test_other_pictures_are_told_once_and_the_same_ones_compared_whatever_their_version():
    other = compare_runs(side(VALUES, plan=scenario(sha256="a")), side(VALUES, plan=scenario(version=2, sha256="b")))
    (note,) = [note for note in other.notes if note.startswith("not compared, since the pictures are others")]
    assert note.endswith("noise/iso is of version 2, was 1")
    same = compare_runs(side(VALUES, plan=scenario(sha256="a")), side(VALUES, plan=scenario(version=2, sha256="a")))
    assert "not comparable" not in {cell.outcome for cell in same.cells}


def test_families_and_levels_that_stand_alone_are_one_whatever_they_are_called():
    after = side(VALUES, seed=2)
    renamed = [dataclasses.replace(cell, model="n", file="n", quantization="int8") for cell in after.result.cells]
    model = dataclasses.replace(after.result.models[0], name="n", model="n")
    other = Run(dataclasses.replace(after.result, cells=tuple(renamed), models=(model,)))
    found = compare_runs(side(VALUES), other)
    assert len(found.cells) == 3
    assert not found.only_before
    assert not found.only_after


def test_markdown_is_short_and_begins_with_the_worst():
    many = {severity / 10: 0.5 for severity in range(80)}
    worse = {key: value - 0.02 - key / 100 for key, value in many.items()}
    text = render_comparison_markdown(compare_runs(side(many), side(worse, seed=3)))
    lines = text.splitlines()
    assert len(lines) < 60
    rows = [line for line in lines if line.startswith("| worse")]
    assert "severity 7.9" in rows[0]
    assert "more cells" in text


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """The run of a float32 model, and beside it the document of its int8 level, which is compared with that run."""
    from auditor.run import run_audit as run

    folder = write_project(tmp_path_factory.mktemp("releases"))
    run(folder / "audit.yaml", output=folder / "one", executor="serial")
    shutil.copy(INT8, folder / "detector.tflite")
    text = (folder / "audit.yaml").read_text().replace("seed: 3", "seed: 3\nbaseline: one")
    text = text.replace(
        "  - {metric: AP, scenario: clean, min: 0.4}\n",
        "  - {metric: AP, max_drop: 0.9, against: baseline}\n"
        "  - {metric: AP_minus_baseline, scenario: clean, min: 0.0}\n"
        "  - {metric: recall/ring, scenario: clean, max_drop: 1, against: baseline}\n",
    )
    (folder / "two.yaml").write_text(text)
    run(folder / "two.yaml", output=folder / "two", executor="serial")
    return folder


@pytest.mark.slow
def test_gates_compare_with_the_baseline(releases):
    result, _ = load_run(releases / "two")
    assert result.baseline.run.name == "small"
    assert [gate.status for gate in judge_run(releases / "two").gates] == ["passed", "failed", "passed"]
    clean = result.cells[0]
    assert clean.metrics["AP_minus_baseline"].interval is not None
    before = next(cell for cell in load_run(releases / "one")[0].cells if cell.is_clean)
    assert clean.metrics["AP_minus_baseline"].value == pytest.approx(clean.value - before.value)


@pytest.mark.slow
def test_the_command_says_the_worst_first_and_writes_all_forms(releases, tmp_path):
    paths = [tmp_path / name for name in ("c.html", "c.md", "c.json")]
    told = CliRunner().invoke(
        main,
        ["compare", str(releases / "one"), str(releases / "two"), "--html", str(paths[0]), "--markdown", str(paths[1]),
         "--json", str(paths[2])],
    )  # fmt: skip
    found = compare_folders(releases / "one", releases / "two")
    assert told.exit_code == (1 if found.of("worse") else 0)
    assert told.output.rstrip() == paths[1].read_text().rstrip()
    assert headline(found) in paths[0].read_text()
    assert len(json.loads(paths[2].read_text())["cells"]) == 5
    assert all(item.paired for cell in found.cells for item in cell.deciding)
    same = CliRunner().invoke(main, ["compare", str(releases / "one"), str(releases / "one"), "-q"])
    assert (same.exit_code, same.output.split(":")[0]) == (0, "NO REAL DIFFERENCE")


@pytest.mark.slow
def test_one_run_beside_itself_differs_in_nothing(releases):
    found = compare_folders(releases / "one", releases / "one")
    every = {item.metric: item for cell in found.cells for item in (*cell.deciding, *cell.others)}
    for name in ("AP", "AP50", "AP75", "recall", "fppi"):
        assert every[name].paired
        assert every[name].interval == (0.0, 0.0)
    for name in ("AR100", "flips"):
        assert (every[name].interval, every[name].paired) == (None, False)


@pytest.mark.slow
def test_a_result_alone_compares_unpaired(releases, tmp_path):
    shutil.copy(releases / "one" / "result.json", tmp_path / "result.json")
    assert load_side(tmp_path).samples == {}
    found = compare_folders(tmp_path / "result.json", releases / "two")
    assert not any(item.paired for cell in found.cells for item in cell.deciding)


@pytest.mark.slow
def test_what_is_wrong_is_one_error(releases, tmp_path):
    told = CliRunner().invoke(main, ["compare", str(tmp_path / "no"), str(releases / "two")])
    assert told.exit_code == 2
    assert "no result.json there" in told.output
    shutil.copytree(releases / "one", tmp_path / "run")
    (tmp_path / "run" / "samples.parquet").write_bytes(b"PAR1 no")
    told = CliRunner().invoke(main, ["compare", str(tmp_path / "run"), str(releases / "two")])
    assert told.exit_code == 2
    assert "samples.parquet: it cannot be read" in told.output
    told = CliRunner().invoke(main, ["compare", str(releases / "one"), str(releases / "two"), "--html", str(tmp_path)])
    assert told.exit_code == 2
    assert "this is a folder" in told.output


def test_a_gate_on_a_baseline_needs_one(project):
    text = (project / "audit.yaml").read_text()
    text = text.replace("scenario: clean, min: 0.4", "max_drop: 0.1, against: baseline")
    (project / "audit.yaml").write_text(text + "  - {metric: AP_minus_baseline, min: 0}\n")
    with pytest.raises(InputError, match="write `baseline:` with the run folder"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    (project / "audit.yaml").write_text((project / "audit.yaml").read_text() + "baseline: nowhere\n")
    with pytest.raises(InputError, match=r"audit.yaml:13: baseline: .*no result.json there"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert not (project / "out").exists()
