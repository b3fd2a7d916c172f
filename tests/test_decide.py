"""Gates that are decided early: the same verdict as of all images, on a part of them."""

from __future__ import annotations

import json
import os
import re

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_scenes
from made_graphs import svdf

from auditor.cli import main
from auditor.errors import InputError
from auditor.evaluate.betting import drop_of_all, mean_of_all
from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.sequential import error_of, looks_of, whole_interval
from auditor.run import judge_run, load_run, run_audit
from auditor.run.progress import SilentProgress
from auditor.tasks.detection.coco_ap import match_parts
from auditor.tasks.detection.coco_truth import prepare_truth
from auditor.tasks.detection.columns import Columns
from auditor.tasks.detection.resampling import resampled_ap
from auditor.values import Detections, Evaluation, GroundTruth

AUDITS = 200 if os.environ.get("AUDITOR_LONG") else 24

# What confseq 0.0.9 gives (betting_cs, bets of lambda_predmix_eb without truncation on both sides, running
# intersection, alpha 0.05), by the number of values seen.
SEEN = np.array([(i * 37 % 100) / 100 for i in range(200)])
CONFSEQ = {
    "spread": (SEEN, 1000, {10: (0.187, 0.755), 20: (0.287, 0.664), 50: (0.369, 0.604), 200: (0.433, 0.553)}),
    "right or wrong": (
        (SEEN > 0.2).astype(float),
        1000,
        {10: (0.358, 0.998), 20: (0.471, 0.944), 50: (0.604, 0.907), 200: (0.697, 0.864)},
    ),
    "all right": (np.ones(50), 400, {10: (0.533, 1.0), 20: (0.718, 1.0), 50: (0.875, 1.0)}),
    "small": (SEEN * 0.2, 250, {10: (0.0037, 0.514), 20: (0.016, 0.346), 50: (0.06, 0.206), 200: (0.089, 0.116)}),
}


@pytest.mark.parametrize("kind", CONFSEQ)
def test_the_confidence_sequence_is_that_of_confseq(kind):
    values, of, expected = CONFSEQ[kind]
    for count, interval in expected.items():
        assert mean_of_all(values[:count], of=of, error=0.05) == pytest.approx(interval, abs=0.0021)


def test_what_all_values_give_is_known_when_all_are_seen():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = (rng.random(60) < rng.random()).astype(float)
        low, high = mean_of_all(values, of=60, error=0.05)
        assert low == pytest.approx(values.mean())
        assert high == pytest.approx(values.mean())


def test_it_holds_at_every_time_at_once():
    """Of 300 sets of 200 values, looked at after each value, at most about 5 in 100 are ever outside."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        values = (rng.random(200) < 0.7).astype(float)
        low, high = mean_of_all(values, of=200, error=0.05)
        wrong += not low - 1e-9 <= values.mean() <= high + 1e-9
        seen = [mean_of_all(values[:count], of=200, error=0.05) for count in (10, 40, 90)]
        wrong += any(not a - 1e-9 <= values.mean() <= b + 1e-9 for a, b in seen)
    assert wrong / 300 < 0.08


def test_the_error_of_all_looks_is_what_may_be_spent():
    for images in (8, 79, 200, 5000):
        looks = looks_of(images)
        assert looks[-1] == images
        assert sum(error_of(look, looks, 0.05) for look in range(len(looks))) == pytest.approx(0.05)
        assert all(error_of(look, looks, 0.05) > 0 for look in range(len(looks)))


@pytest.mark.parametrize("kind", ["betting", "resamples"])
@pytest.mark.parametrize(("limit", "holds"), [(0.022, False), (0.06, True)])
def test_drops_that_are_rare_are_not_taken_for_none(kind, limit, holds):
    """Of 400 images 10 are right in one model alone, a drop of 0.025: of 40 orders (200 in the long run), at most about
    5 in 100 verdicts are another than that of all images, though the first 40 images often hold none of them."""
    orders = 200 if os.environ.get("AUDITOR_LONG") else 40
    rng, wrong, early = np.random.default_rng(2), 0, 0
    looks = looks_of(400)
    weights = draw_weights(400, seed=0, resamples=200)
    for _ in range(orders):
        order = rng.permutation(400)
        mine, theirs = (order >= 10).astype(float), np.ones(400)
        before = None
        for look, count in enumerate(looks):
            drop = mine[:count] - theirs[:count]
            value = drop.mean()
            if kind == "betting":
                found = drop_of_all(mine[:count], theirs[:count], of=400, error=0.05)
            else:
                part = weights[:, :count]
                samples = part @ drop / np.maximum(part.sum(axis=1), 1)
                error = error_of(look, looks, 0.05)
                found = whole_interval(value, samples, before=before, images=count, of=400, error=error, paired=True)
            before = value
            low, high = (None, None) if found is None else (found[0] + limit, found[1] + limit)
            if count == 400 or (low is not None and (low >= 0 or high < 0)):
                verdict = value + limit >= 0 if count == 400 else low >= 0
                wrong += verdict != holds
                early += count < 400
                break
    assert wrong <= 0.075 * orders
    assert early > 0.75 * orders or not holds


def made_set(rng: np.random.Generator, images: int):
    """Truth, and what a detector of a drawn quality says of it, clean and disturbed."""
    quality, loss = rng.uniform(0.15, 0.95), rng.uniform(0, 0.7)
    truth, clean, noisy = {}, {}, {}
    for image in range(images):
        count = int(rng.integers(1, 6))
        low = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(20, 150, (count, 2))], axis=1)
        labels = rng.integers(0, 4, count)
        truth[image] = GroundTruth(boxes, labels, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.zeros(count, bool))
        for said, keeps in ((clean, quality), (noisy, quality * (1 - loss))):
            seen = rng.random(count) < keeps
            found = boxes[seen] + rng.normal(0, 5, (int(seen.sum()), 4))
            false = rng.uniform(0, 250, (3, 2))
            every = np.concatenate([found, np.concatenate([false, false + rng.uniform(20, 100, (3, 2))], axis=1)])
            every = np.concatenate([np.minimum(every[:, :2], every[:, 2:]), np.maximum(every[:, :2], every[:, 2:])], 1)
            scores = np.concatenate([rng.beta(4, 2, len(found)), rng.beta(2, 4, 3)])
            order = np.argsort(-scores, kind="stable")
            named = np.concatenate([labels[seen], rng.integers(0, 4, 3)])
            said[image] = Detections(every[order], scores[order], named[order])
    return truth, clean, noisy


def ap(truth, said, images):
    chosen, found = {image: truth[image] for image in images}, {image: said[image] for image in images}
    weights = np.concatenate([np.ones((1, len(images)), np.int64), draw_weights(len(images), seed=0, resamples=300)])
    value, *samples = resampled_ap(
        match_parts(prepare_truth(chosen, ("a", "b", "c", "d"), Evaluation()), [Columns.of(found.items())]), weights
    )
    return float(value), np.array(samples)


@pytest.mark.slow
def test_the_verdict_is_that_of_all_images():
    """Audits with two gates, on clean AP and on what a scenario costs; the limits are drawn from far to near."""
    rng = np.random.default_rng(5)
    same, seen, clear = 0, [], []
    images = 240
    looks = looks_of(images)
    for _ in range(AUDITS):
        truth, clean, noisy = made_set(rng, images)
        order = rng.permutation(images)
        whole = ap(truth, clean, order)[0], ap(truth, noisy, order)[0]
        limits = whole[0] - rng.uniform(-0.4, 0.4), whole[0] - whole[1] + rng.uniform(-0.4, 0.4)
        right = whole[0] >= limits[0], whole[1] - whole[0] + limits[1] >= 0
        open_gates, before, took, verdicts = {0, 1}, [None, None], {}, [True, True]
        for look, size in enumerate(looks):
            a, b = ap(truth, clean, order[:size]), ap(truth, noisy, order[:size])
            margins = a[0] - limits[0], b[0] - a[0] + limits[1]
            samples = a[1], b[1] - a[1]
            took = {0: size, 1: size if 1 in open_gates else took.get(1, 0)}
            for gate in sorted(open_gates):
                found = whole_interval(
                    margins[gate],
                    samples[gate],
                    before=before[gate],
                    images=size,
                    of=images,
                    error=error_of(look, looks, 0.025),
                )
                before[gate] = margins[gate]
                if found is not None and (found[0] >= 0 or found[1] < 0):
                    verdicts[gate] = found[0] >= 0
                    open_gates.discard(gate)
            if not open_gates:
                break
        same += all(verdicts) == all(right)
        seen.append(sum(took.values()) / (2 * images))
        if min(abs(whole[0] - limits[0]), abs(whole[1] - whole[0] + limits[1])) > 0.25:
            clear.append(seen[-1])
    shares = f"{np.mean(seen):.2f} of the inferences, {np.mean(clear):.2f} where it is clear"
    print(f"\n{same} of {AUDITS} verdicts the same, {shares}")
    assert same >= 0.95 * AUDITS
    assert np.mean(seen) < 0.8


GATES = """\
decide: {error: 0.05}
gates:
  - {metric: AP, scenario: clean, min: 0.2}
  - {metric: AP, scenario: noise/gaussian, severity: 5, min: 0.9}
"""


@pytest.fixture
def many(project):
    """A project of 120 images, without gates."""
    write_scenes(project, 40, repeat=3)
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(text[: text.index("gates:")])
    return project


def test_an_audit_measures_what_its_gates_need(many):
    plain = (many / "audit.yaml").read_text()
    (many / "audit.yaml").write_text(plain + GATES)
    early = run_audit(many / "audit.yaml", output=many / "early", jobs=2)
    (many / "audit.yaml").write_text(plain + GATES[GATES.index("gates:") :])
    whole = run_audit(many / "audit.yaml", output=many / "whole", jobs=2)
    assert early.verdict == whole.verdict == "failed"
    assert [gate.status for gate in early.gates] == [gate.status for gate in whole.gates] == ["passed", "failed"]
    cells = {(cell.scenario, cell.severity): cell for cell in early.cells}
    clean, noise = cells["clean", 0], cells["noise/gaussian", 5]
    assert (clean.of_images, noise.of_images) == (120, 120)
    assert clean.images <= 24
    assert noise.images <= 24
    idle = [cell for key, cell in cells.items() if key not in (("clean", 0), ("noise/gaussian", 5))]
    assert {(cell.status, cell.cause) for cell in idle} == {("skipped", "decided")}
    assert {(decision.holds, decision.of) for decision in early.decisions} == {(True, 120), (False, 120)}
    for decision in early.decisions:
        of_all = next(cell for cell in whole.cells if str(cell.key) == decision.where).value
        assert decision.interval[0] <= of_all <= decision.interval[1]
    page = re.sub(r"\s+", " ", (many / "early" / "report.html").read_text())
    assert "Decided early" in page
    assert re.search(r"<small>\d+ of 120 images</small>", page)
    assert "Not measured, since no gate that was still open needed them" in page
    assert load_run(many / "early")[0].decisions == early.decisions
    assert judge_run(many / "early").verdict == "failed"
    assert any(finding.code == "run.decided" for finding in early.findings)


def test_a_run_that_was_decided_goes_on_and_a_near_gate_takes_all(many):
    """The flag does the same; what is there is not measured again; a limit that is the value itself takes all."""
    command = ["run", str(many / "audit.yaml"), "-o", str(many / "out"), "--executor", "serial", "-q", "--decide"]
    text = (many / "audit.yaml").read_text()
    whole = run_audit(many / "audit.yaml", output=many / "whole", executor="serial")
    value = next(cell for cell in whole.cells if cell.is_clean).value
    (many / "audit.yaml").write_text(text + f"gates:\n  - {{metric: AP, scenario: clean, min: {value}}}\n")
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    clean = next(
        cell for cell in json.loads((many / "out" / "result.json").read_text())["cells"] if cell["severity"] == 0
    )
    assert (clean["images"], clean["of_images"]) == (120, None)
    assert clean["metrics"]["AP"]["value"] == value
    stamps = {path: path.stat().st_mtime_ns for path in (many / "out" / "measurements").iterdir()}
    assert CliRunner().invoke(main, command).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_gates_over_all_scenarios_and_drops(many):
    text = (many / "audit.yaml").read_text()
    gates = (
        "gates:\n  - {metric: rPC, min: 0.05}\n  - {metric: mPC, max: 0.99}\n"
        "  - {metric: AP, scenario: lighting/low_light, severity: 1, max_drop: 0.6, against: clean}\n"
    )
    (many / "audit.yaml").write_text(f"{text}decide: {{error: 0.05}}\n{gates}")
    result = run_audit(many / "audit.yaml", output=many / "out", jobs=2)
    assert result.verdict == "passed", [gate.messages for gate in result.gates]
    assert {decision.where for decision in result.decisions} >= {"detector (float32, xnnpack)"}
    assert all(cell.images < 120 for cell in result.cells)


def test_what_gates_did_not_ask_is_not_judged_by_few_images(many):
    """Another gate on what was decided early is incomplete, on a cell that few images were enough for as on one that
    was not measured; the same gate on another line is as it was."""
    text = (many / "audit.yaml").read_text()
    (many / "audit.yaml").write_text(text + GATES + "  - {metric: file_mb, max: 10000}\n")
    result = run_audit(many / "audit.yaml", output=many / "out", jobs=2)
    assert {cell.cause for cell in result.cells if cell.scenario == "lighting/low_light"} == {"decided"}
    gates = many / "gates.yaml"
    gates.write_text("\n\n\ngates:\n  - {metric: AP, scenario: clean, min: 0.2}\n")
    assert judge_run(many / "out", gates=gates).verdict == "passed"
    assert "Decided early" in (many / "out" / "report.html").read_text()
    gates.write_text(
        "gates:\n  - {metric: AP, scenario: clean, min: 0.21}\n"
        "  - {metric: AP, scenario: lighting/low_light, severity: 1, min: 0.01}\n  - {metric: rPC, min: 0.01}\n"
    )
    judged = judge_run(many / "out", gates=gates)
    assert (judged.verdict, [gate.status for gate in judged.gates]) == ("incomplete", ["incomplete"] * 3)
    told = " ".join(message for gate in judged.gates for message in gate.messages)
    assert re.search(r"was measured on \d+ of 120 images for another gate; run the audit again with this gate", told)
    assert "was not measured, since no other gate needed it" in told


def test_a_cell_that_another_gate_took_further_is_judged_by_all_it_has(many):
    """AP is decided early; AP50 has no interval and takes all: both are of all images then."""
    text = (many / "audit.yaml").read_text()
    gates = "  - {metric: AP, scenario: clean, min: 0.2}\n  - {metric: AP50, scenario: clean, min: 0.1}\n"
    (many / "audit.yaml").write_text(f"{text}decide: {{error: 0.05}}\ngates:\n{gates}")
    result = run_audit(many / "audit.yaml", output=many / "out", jobs=2)
    clean = next(cell for cell in result.cells if cell.is_clean)
    assert (clean.images, clean.of_images) == (120, None)
    assert result.gates[0].nearest.value == clean.value
    assert {cell.cause for cell in result.cells if not cell.is_clean} == {"decided"}


@pytest.mark.long
def test_where_all_is_measured_nothing_is_decided_early(many):
    text = (many / "audit.yaml").read_text()
    whole = run_audit(many / "audit.yaml", output=many / "out", jobs=2)
    (many / "audit.yaml").write_text(text + GATES)
    result = run_audit(many / "audit.yaml", output=many / "out", jobs=2)
    assert [cell.value for cell in result.cells] == [cell.value for cell in whole.cells]
    assert not result.decisions


class Told(SilentProgress):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_two_delegates_that_differ_are_shown_where_gates_were_decided_early(many):
    text = (many / "audit.yaml").read_text()
    (many / "audit.yaml").write_text(text + GATES + "delegates: [xnnpack, none]\n")
    told = Told()
    result = run_audit(many / "audit.yaml", output=many / "out", jobs=2, progress=told)
    assert sum(cell.parity is not None for cell in result.cells) == 1
    assert not [text for text in told.said if "no picture" in text]


@pytest.mark.parametrize("wrong", ["decide: {error: 0}", "decide: {error: x}", "decide: yes", "decide: {errors: 0.1}"])
def test_what_is_no_way_to_decide_is_told(project, wrong):
    (project / "audit.yaml").write_text((project / "audit.yaml").read_text() + wrong + "\n")
    done = CliRunner().invoke(main, ["run", str(project / "audit.yaml")])
    assert done.exit_code == 2
    assert "decide" in done.output


def test_a_model_that_keeps_its_state_is_not_shown_images_in_random_order(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / "data" / name / f"{number}.png"), np.full((2, 2, 3), 60 * number, np.uint8))
    svdf(tmp_path / "video.tflite")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "audit.yaml").write_text(
        "name: video\ndataset: {format: folders, images: data}\nscenarios: []\nmeasure: {threads: []}\n"
        "models:\n  - {name: video, path: video.tflite, labels: labels.txt, input: {std: 255}, state: keep}\n"
        "decide: {error: 0.05}\ngates:\n  - {metric: top1, scenario: clean, min: 0.1}\n"
    )
    with pytest.raises(InputError, match=r"video keeps its state.*leave `decide` out"):
        run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")
    assert not (tmp_path / "out").exists()
