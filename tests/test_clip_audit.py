"""An audit of a clip: corruptions that go on over its frames, intervals by blocks of them, and what is told."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL
from made_clips import FRAMES, coded, with_truth

from auditor.cli import main
from auditor.corruptions.air import rain
from auditor.corruptions.builtin import light_of
from auditor.corruptions.corrupt import corrupt, draw_of
from auditor.corruptions.packs import pack_file, read_scenarios
from auditor.corruptions.sensing import gained
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.detect import detect_dataset
from auditor.datasets.formats.video import load
from auditor.datasets.image_table import load_table
from auditor.datasets.video_file import Frame, darker_than_mean, read_clip
from auditor.demo import clips
from auditor.demo.clips import RATE, write_clip
from auditor.errors import InputError
from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.counted import Seen
from auditor.evaluate.differences import difference
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import FIXED, expanded, quantile_of
from auditor.evaluate.robustness import summarize
from auditor.run import run_audit
from auditor.tasks.detection.over_frames import OVER_FRAMES
from auditor.tasks.detection.point_choice import _folds
from auditor.values import Cell, CellResult, MetricValue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip with its gt.txt and the names of its classes."""
    place = tmp_path_factory.mktemp("video")
    write_clip(place, 3, FRAMES)
    return place


# ---------------------------------------------------------------------------------------------------------- corruptions


def seen(record, image, key, severity=3):
    pack, _ = key.split("/")
    scenario = next(item for item in read_scenarios(pack_file(pack))[0] if item.key == key)
    return corrupt(image, scenario, severity=severity, seed=draw_of(record, key, seed=0)).astype(int)


def test_dirt_stays_noise_flickers_and_an_image_is_as_ever(folder):
    records = load(DatasetRequest("d", options={"path": folder / "clip.mp4"})).images
    image = np.full((120, 160, 3), 128, np.uint8)
    first, later = records[0], records[20]
    for key in ("security_camera/dome_dirt", "sensor/bad_pixels"):
        assert np.array_equal(seen(first, image, key), seen(later, image, key)), key
    for key in ("noise/gaussian", "noise/shot"):
        one, other = seen(first, image, key) - 128, seen(later, image, key) - 128
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02, key
    still = dataclasses.replace(first, moment=None)
    assert np.array_equal(seen(still, image, "noise/gaussian"), seen(first, image, "noise/gaussian"))


def test_what_a_gain_follows_does_not_jump_where_half_of_a_clip_is_dark():
    def of_bright(frames):
        lights = [0.5] * frames + [0.03] * (120 - frames)
        return darker_than_mean([Frame(number / 10, number, (9, 9), light) for number, light in enumerate(lights)])[0]

    found = [of_bright(frames) for frames in (70, 61, 60, 59, 50)]
    assert all(1 > before > after > 0.8 * before for before, after in itertools.pairwise(found))


def test_a_gain_follows_the_scene_with_half_a_second_s_delay(tmp_path):
    """The light of the second half, 0.0625 of white, is a quarter: the gain grows by four, but not at once."""
    images = [np.full((96, 128, 3), level, np.uint8) for level in (137, 71) for _ in range(20)]
    clip = read_clip(coded(tmp_path / "a.mp4", images, options={"crf": "1"}))
    settled = darker_than_mean(clip.frames)
    assert settled[39] / settled[19] == pytest.approx(4, rel=0.1)
    at_once, later = settled[20] / settled[19], settled[25] / settled[19]
    assert 1 < at_once < 1.4
    assert later == pytest.approx(1 / (1 - 0.75 * (1 - np.exp(-6 * 0.1 / 0.5))), rel=0.1)
    image = np.full((240, 320, 3), 71, np.uint8)
    usual, brighter = (gained(image, rng=np.random.default_rng(0), gain=30, darker=factor) for factor in (1.0, 4.0))
    assert brighter.mean() == pytest.approx(137, abs=2)
    ratio = light_of(brighter).std() / light_of(usual).std()
    assert ratio == pytest.approx(4, rel=0.05)
    white = np.full((240, 320, 3), 254, np.uint8)
    kept, stated = (gained(white, rng=np.random.default_rng(0), gain=30, darker=factor) for factor in (0.25, 1.0))
    assert np.array_equal(kept, stated)  # a bright scene has the gain that is stated
    records = load(DatasetRequest("d", options={"path": tmp_path / "a.mp4"})).images
    assert draw_of(records[39], "a/b", seed=0).darker == settled[39]
    still = dataclasses.replace(records[0], moment=None)
    assert draw_of(still, "a/b", seed=0).darker == 1.0


def test_rain_falls():
    """A drop that falls for so long is where its speed takes it; after a whole pass it comes in elsewhere."""
    from auditor.corruptions.air import Drops, _fallen
    from auditor.corruptions.depth import focal_px

    drops = Drops(np.array([2.0, 2.0]), np.array([1.0, 2.0]), np.array([[0.5, 0.1], [0.5, 0.1]]))
    after = _fallen(drops, np.array([0.3, 0.3]), lean=0.1, size=(640, 480))
    down = (after.places[:, 1] - drops.places[:, 1]) * 1.3 * 480
    across = (after.places[:, 0] - drops.places[:, 0]) * 1.2 * 640
    np.testing.assert_allclose(down, [0.3 * focal_px(640), 0.15 * focal_px(640)])
    np.testing.assert_allclose(across, 0.1 * down)
    again = _fallen(drops, np.full(2, 1.3 * 480 / focal_px(640) * np.array([1, 2])), lean=0.0, size=(640, 480))
    np.testing.assert_allclose(again.places[:, 1], 0.1)
    np.testing.assert_allclose(again.places[:, 0], (0.5 + 0.6180339887) % 1)


def test_rain_moves_over_frames_and_does_not_jump():
    image = np.full((240, 320, 3), 110, np.uint8)

    def at(time_s):
        return rain(image, rng=np.random.default_rng(0), rate=40, lamp=1.0, time_s=time_s).astype(float)

    assert np.array_equal(at(0.0), rain(image, rng=np.random.default_rng(0), rate=40, lamp=1.0))
    assert not np.array_equal(at(0.0), at(0.04))
    veil = np.median([at(step) for step in np.linspace(0, 1, 9)], axis=0)
    alike = [np.corrcoef((at(0.0) - veil).ravel(), (at(step) - veil).ravel())[0, 1] for step in (0.0005, 0.1)]
    assert alike[0] > 0.7 > 0.3 > alike[1]


# ------------------------------------------------------------------------------------------------------------ intervals


def test_blocks_cover_what_single_frames_do_not():
    """A series in which each frame is like the one before: the mean of the process lies in the 95 % interval from
    blocks in most of 200 runs, in that from single frames in about half."""
    rng = np.random.default_rng(1)
    within = {1: 0, 30: 0}
    for run in range(200):
        series = np.zeros(300)
        series[0] = rng.normal() / np.sqrt(1 - 0.9**2)
        for frame in range(1, 300):
            series[frame] = 0.9 * series[frame - 1] + rng.normal()
        for block in within:
            means = draw_weights(300, seed=run, resamples=300, block=block) @ series / 300
            ((low, high),) = expanded(means[:, np.newaxis], images=300 // block)
            within[block] += low <= 0 <= high
    assert within[30] >= 165
    assert within[1] < 120


def test_differences_and_means_over_scenarios_are_of_blocks_too():
    """With the same resamples, intervals are as much wider as Student's quantile for so few blocks."""

    def evaluated(scenario, severity, value, blocks):
        cell = Cell("m", "m", "float32", "cpu", scenario, severity)
        metrics = {"AP": MetricValue("AP", value, images=100)}
        result = CellResult.of(cell, status="ok", images=100, judged_by="AP", metrics=metrics, blocks=blocks)
        drawn = value + 0.02 * np.random.default_rng(severity).normal(size=400)
        return CellEvaluation(result, {"AP": drawn}, fixed={"AP": drawn})

    def widths(blocks):
        clean, noisy = evaluated("clean", 0, 0.6, blocks), evaluated("noise/shot", 1, 0.5, blocks)
        (apart,) = [value for value in difference(noisy, clean, against="clean") if value.interval is not None]
        samples = {
            (item.result.key, name): item.samples["AP"] for item in (clean, noisy) for name in ("AP", f"AP{FIXED}")
        }
        (summary,) = summarize([clean.result, noisy.result], judged_by={"m": "AP"}, samples=samples)
        found = [apart.interval, *(summary.metrics[name].interval for name in ("mPC", "rPC"))]
        return np.array([high - low for low, high in found])

    np.testing.assert_allclose(widths(5) / widths(None), quantile_of(5) / quantile_of(100))


def test_weights_of_blocks():
    weights = draw_weights(103, seed=4, resamples=2000, block=10)
    assert (weights.sum(axis=1) == 103).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.1)
    assert np.array_equal(draw_weights(9, seed=2), draw_weights(9, seed=2, block=1))


def test_a_block_is_two_seconds_and_few_blocks_say_nothing_of_chance(folder):
    whole = load(DatasetRequest("d", options={"path": folder / "clip.mp4"}))
    assert whole.block == 2 * RATE
    independent = {frames: Seen(np.arange(frames), frames, 0, 20).independent(frames) for frames in (40, 99, 100, 220)}
    assert independent == {40: 1, 99: 1, 100: 5, 220: 11}
    assert Seen(np.arange(3), 3, 0).independent(3) == 3
    moments = [dataclasses.replace(whole.images[0].moment, time_s=number / RATE) for number in range(400)]
    images = tuple(dataclasses.replace(whole.images[0], id=number, moment=one) for number, one in enumerate(moments))
    longer = dataclasses.replace(whole, images=images)
    assert longer.block == 2 * RATE
    stills = dataclasses.replace(whole, images=tuple(dataclasses.replace(image, moment=None) for image in whole.images))
    assert stills.block == 1


def test_thresholds_are_not_chosen_by_a_frame_s_neighbours():
    assert _folds(20, alike=True).tolist() == [number // 2 for number in range(20)]
    assert _folds(20, alike=False).tolist() == [number % 10 for number in range(20)]
    assert len(np.unique(_folds(4, alike=True))) == 4


# ------------------------------------------------------------------------------------------------------------ the audit

AUDIT = """\
name: clip
dataset: {format: video, path: clip.mp4, TRUTH}
models:
  - {name: m, path: detector.tflite, labels: labels.txt, input: {std: 255, resize: letterbox, pad: 114}POINT}
scenarios: [noise/gaussian]
severities: [2]
checks: {input_contract: false}
measure: {threads: []}
"""


@pytest.mark.parametrize("truth", ["truth: mot, annotations: gt.txt, labels: labels.txt", "truth: none, every: 2"])
def test_an_audit_of_a_clip(tmp_path, folder, truth):
    for name in ("clip.mp4", "gt.txt", "labels.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    point = "" if "mot" in truth else ", operating_point: {threshold: 0.35}"
    (tmp_path / "audit.yaml").write_text(AUDIT.replace("TRUTH", truth).replace("POINT", point))
    run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    record = result["datasets"]["default"]
    clean = next(cell for cell in result["cells"] if cell["scenario"] == "clean")
    assert clean["status"] == "ok"
    assert record["images"] == clean["images"] == (FRAMES if "mot" in truth else FRAMES // 2)
    assert clean["blocks"] == 1
    assert clean["metrics"].get("AP", {}).get("interval") is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "frames of a clip" in page
    assert ("Over the frames of the clip" in page) == ("mot" in truth)
    if "mot" in truth:
        told = " ".join(page.split())
        assert "40 frames, 320 × 240 pixels, 10 frames a second, h264" in told
        assert "too short for intervals" in told
        assert "On clean frames; worst: the scenario" in told
        assert clean["metrics"]["AP"]["value"] > 0.5
        assert set(OVER_FRAMES) <= set(clean["metrics"])
        assert re.search(r"clip.mp4 frame \d+, \d\.\d\d s", page)
        assert "data.short_clip" in page
        where = tmp_path / "coco"
        done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), "--to", "coco", "-o", str(where)])
        assert done.exit_code == 0, done.output
        (written,) = where.glob("truth*.json")
        options = {"path": tmp_path / "clip.mp4", "truth": "coco_vid"}
        again = load(DatasetRequest("d", annotations=written, options=options))
        for number, found in load(with_truth(tmp_path, tmp_path / "clip.mp4")).truth.items():
            mine, theirs = (np.argsort(truth.tracks) for truth in (again.truth[number], found))
            np.testing.assert_array_equal(again.truth[number].tracks[mine], found.tracks[theirs])
            np.testing.assert_allclose(again.truth[number].boxes[mine], found.boxes[theirs])


def test_a_folder_with_a_clip_is_known_and_its_frames_have_a_table(tmp_path, folder):
    found = detect_dataset(folder)
    assert found == {
        "format": "video",
        "path": folder / "clip.mp4",
        "truth": "mot",
        "annotations": folder / "gt.txt",
        "labels": folder / "labels.txt",
    }
    images = load(DatasetRequest("d", options={"path": folder / "clip.mp4"})).images
    (tmp_path / "frames.csv").write_text("frame,hour\n" + "".join(f"{image.id},{image.id // 10}\n" for image in images))
    table = load_table(tmp_path / "frames.csv", images)
    assert table == {"hour": tuple(str(image.id // 10) for image in images)}


@pytest.mark.slow
def test_what_is_found_of_a_listed_class_that_does_not_come_up_is_a_false_alarm(tmp_path, folder):
    """As with COCO's categories; boxes that do not count are none of either."""
    for name in ("clip.mp4", "labels.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    (tmp_path / "audit.yaml").write_text(
        AUDIT.replace("TRUTH", "truth: mot, annotations: gt.txt, labels: labels.txt")
        .replace("POINT", ", operating_point: 0.5")
        .replace("[noise/gaussian]", "[]")
    )
    rows = [line.split(",") for line in (folder / "gt.txt").read_text().splitlines()]
    often = max({row[7] for row in rows}, key=[row[7] for row in rows].count)
    found = {}
    for kind in ("as it is", "without", "not counted"):
        kept = [row for row in rows if row[7] != often or kind != "without"]
        ignored = [[*row[:6], "0", *row[7:]] if row[7] == often and kind == "not counted" else row for row in kept]
        (tmp_path / "gt.txt").write_text("".join(f"{','.join(row)}\n" for row in ignored))
        result = run_audit(tmp_path / "audit.yaml", output=tmp_path / kind, executor="serial")
        clean = next(cell for cell in result.cells if cell.is_clean)
        assert clean.status == "ok", clean.error
        found[kind] = clean.metrics["alarm_events_per_hour"].value
    assert found["without"] > found["as it is"] + 3600 / 4  # in four seconds of the clip once more at least
    assert found["not counted"] <= found["as it is"]


@pytest.mark.long
def test_init_takes_the_classes_that_lie_beside_a_clip(folder, tmp_path):
    """Some of them do not come up in it, so that those of its truth are not the model's."""
    found = CliRunner().invoke(
        main, ["init", str(DEMO_MODEL), "--dataset", str(folder), "-o", str(tmp_path / "a.yaml")]
    )
    assert found.exit_code == 0, found.output
    text = (tmp_path / "a.yaml").read_text()
    assert re.search(r"^    labels: .*labels\.txt\"   # guessed", text, flags=re.M)
    assert "input: {color: rgb, mean: 0, std: 255" in text  # few seconds of a clip make no other input surely better


def test_a_guarantee_is_refused_of_frames_that_are_alike(tmp_path, folder):
    for name in ("clip.mp4", "gt.txt", "labels.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    point = ", operating_point: {recall: {at_least: 0.8, confidence: 0.9}}"
    truth = "truth: mot, annotations: gt.txt, labels: labels.txt"
    (tmp_path / "audit.yaml").write_text(AUDIT.replace("TRUTH", truth).replace("POINT", point))
    with pytest.raises(InputError, match="frames of a clip are not"):
        run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")


def test_the_demo_of_a_clip_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "_FRAMES", 12)
    audit = clips.write_clip_example(tmp_path)
    found = CliRunner().invoke(main, ["run", str(audit), "-o", str(tmp_path / "out"), "--dry-run"])
    assert found.exit_code == 0, found.output
    assert str(12 * 2 * 9) in found.output
    broken = audit.read_text().replace("truth: mot, annotations: gt.txt, labels: labels.txt", "truth: none")
    audit.write_text(broken)
    found = CliRunner().invoke(main, ["run", str(audit), "-o", str(tmp_path / "out"), "--dry-run"])
    assert found.exit_code == 2
    assert "threshold" in found.output


# ----------------------------------------------------------------------------------------------------------------- keys


def test_keys_and_gates_that_would_do_nothing_are_refused_at_once(folder, tmp_path):
    models = f"name: clip\nmodels: [{{name: m, path: {DEMO_MODEL}}}]\n"
    (tmp_path / "audit.yaml").write_text(
        f"{models}dataset: {{format: video, path: {folder / 'clip.mp4'}, truth: none, split: test, bits: 12}}\n"
        "gates: [{metric: flicker, min: 0.1}]\n"
    )
    told = CliRunner().invoke(main, ["run", str(tmp_path / "audit.yaml"), "--dry-run"])
    assert told.exit_code == 2
    assert "dataset.split: the format video takes no `split`" in told.output
    assert "dataset.bits: the images of the format video have 8 bits; leave it out" in told.output
    assert "gates[0].min: flicker is better when it is lower, so nothing asks for more of it; give `max`" in told.output
    (tmp_path / "audit.yaml").write_text(f"{models}dataset: {{path: {folder / 'clip.mp4'}, truth: none}}\n")
    told = CliRunner().invoke(main, ["run", str(tmp_path / "audit.yaml"), "--dry-run"])
    assert told.exit_code == 2
    assert "dataset.path: unknown key; it goes with `format: video`" in told.output
